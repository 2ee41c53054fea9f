package fs

import (
	"context"
	"errors"
	"math"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// CopyFileRange puts extents of a file that is stored behind what a new one
// has: no byte moves, here or on the network. Programs copy a file so, in as
// many calls as they like. All else the kernel copies: it asks us to read and to write, or does
// that by itself. Whoever packs the copy then finds by hashes that it is one.
func (n *node) CopyFileRange(ctx context.Context, in fusefs.FileHandle, offIn uint64, _ *fusefs.Inode, out fusefs.FileHandle, offOut, length, _ uint64) (uint32, syscall.Errno) {
	from, ok := in.(*handle)
	to, okTo := out.(*handle)
	if !ok || !okTo || offIn > math.MaxInt64 || offOut > math.MaxInt64 {
		return 0, syscall.EOPNOTSUPP
	}
	if from.f == to.f {
		return to.copy(ctx, from, int64(offIn), int64(offOut), length)
	}
	n1 := int64(min(length, math.MaxUint32&^(blockSize-1))) // what the answer has room for
	copied, err := to.share(ctx, from, index.ShareRequest{From: from.f.ino, To: to.f.ino, Off: int64(offIn), Len: n1, At: int64(offOut)})
	if copied == 0 && (err == nil || mustCopy(err)) {
		if local := to.f.staged(); local != nil && offIn == offOut {
			local.NoteCopy(from.f.ino)
		}
		return to.copy(ctx, from, int64(offIn), int64(offOut), length)
	}
	return uint32(copied), n.errno("copy_file_range", err)
}

// copyMost is how much one call copies that cannot share, in bytes.
const copyMost = 1 << 20

// copy copies bytes where the kernel cannot, which may splice from no handle
// whose reads come to us while it uses the data file; see raw.Read.
func (h *handle) copy(ctx context.Context, from *handle, off, at int64, length uint64) (uint32, syscall.Errno) {
	if !from.direct {
		return 0, syscall.EOPNOTSUPP
	}
	buf := make([]byte, min(length, copyMost))
	n, err := from.read(ctx, buf, off)
	if err != nil || n == 0 {
		return 0, h.n.errno("copy_file_range", err)
	}
	return h.Write(ctx, buf[:n], at)
}

// mustCopy reports whether content was not shared because it cannot be.
func mustCopy(err error) bool {
	for _, reason := range []error{index.ErrStale, index.ErrStoring, index.ErrCollected, staging.ErrBusy} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// share gives this file, which is new, content of a stored one. The kernel lets
// nobody write to this one meanwhile.
func (h *handle) share(ctx context.Context, from *handle, r index.ShareRequest) (int64, error) {
	if err := h.n.fs.change(); err != nil {
		return 0, err
	}
	attr, err := h.n.fs.cfg.Index.Get(ctx, r.From)
	if err != nil {
		return 0, err
	}
	if attr.Dirty || attr.PubVersion == 0 || from.f.unqueued() {
		return 0, index.ErrStale
	}
	var copied int64
	err = h.n.fs.withinQuota(h.f, r.At+max(0, min(r.Len, attr.PubSize-r.Off)), func() error {
		copied, err = h.f.share(ctx, r)
		return err
	})
	if err == nil && copied > 0 {
		h.n.fs.cfg.Wake()
		err = h.n.dropSetid(ctx, h.f)
	}
	return copied, err
}

// share takes what staging holds of a new file out of the way before the index
// gives it content: a crash in between leaves an empty file, as it was.
func (f *file) share(ctx context.Context, r index.ShareRequest) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	staged := f.local != nil
	if staged {
		if err := f.local.Withdraw(); err != nil {
			return 0, err
		}
		f.local = nil
	}
	s, err := f.fs.cfg.Index.Share(ctx, r)
	if err != nil && staged {
		err = errors.Join(err, f.putBack(ctx))
	}
	if err != nil {
		return 0, err
	}
	f.size, f.base, f.lost = s.Attr.Size, s.Attr.Size, false
	f.queued = index.Queued{Size: s.Attr.Size, Mtime: s.Attr.Mtime}
	return s.Len, nil
}

// putBack makes staging hold a file again that got no content. A write to one
// that is stored, empty, has to mark it first, as ever. The caller holds mu.
func (f *file) putBack(ctx context.Context) error {
	attr, err := f.fs.cfg.Index.Get(ctx, f.ino)
	if err != nil {
		return err
	}
	local, err := f.fs.cfg.Staging.File(ctx, f.ino, staging.Shape{Mtime: attr.Mtime, New: attr.PubVersion == 0})
	if err != nil {
		return err
	}
	for range f.writers {
		local.AddWriter()
	}
	f.local = local
	return nil
}

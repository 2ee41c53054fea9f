package fs

import (
	"context"
	"math"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// handle is an open regular file.
type handle struct {
	n        *node
	f        *file
	writable bool
	direct   bool // the kernel uses the data file, but this handle's reads and writes come to us
	ahead    readahead
	opened   atomic.Bool // the kernel is done with the open
}

// newHandle makes a handle of what a program asked for and what the kernel is told.
func newHandle(n *node, f *file, asked, told uint32) *handle {
	h := &handle{n: n, f: f, writable: asked&syscall.O_ACCMODE != syscall.O_RDONLY, direct: told&fuse.FOPEN_DIRECT_IO != 0}
	if h.writable {
		f.addWriter()
	}
	return h
}

// Read fills dest, but for the end of the file.
func (h *handle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n, err := h.read(ctx, dest, off)
	if err != nil {
		return nil, h.n.errno("read", err)
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// Write stages data. It returns less when the disk is full in the middle of it.
func (h *handle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	done, err := h.n.fs.grow(h.f, off+int64(len(data)))
	if err != nil {
		return 0, h.n.errno("write", err)
	}
	defer done()
	local, err := h.stage(ctx, int64(len(data)))
	if err != nil {
		return 0, h.n.errno("write", err)
	}
	n, err := local.WriteAt(ctx, data, off, h.f.fill)
	if n == 0 {
		return 0, h.n.errno("write", err)
	}
	if err := h.n.dropSetid(ctx, h.f); err != nil {
		return 0, h.n.errno("write", err)
	}
	return uint32(n), 0
}

// stage prepares for a change of content.
func (h *handle) stage(ctx context.Context, bytes int64) (*staging.File, error) {
	if err := h.n.fs.change(); err != nil {
		return nil, err
	}
	if err := h.n.fs.take(bytes); err != nil {
		return nil, err
	}
	return h.f.stage(ctx)
}

// dropSetid takes the set-uid and set-gid bits away when somebody other than
// root changed content. The kernel leaves that to us, see mount.go.
func (n *node) dropSetid(ctx context.Context, f *file) error {
	if uid, _, _ := caller(ctx); uid == 0 || !f.setid.Load() {
		return nil
	}
	cleared, err := f.clearSetid(ctx)
	if cleared {
		n.NotifyContent(-1, 0) // attributes only; takes no lock that a write holds
	}
	return err
}

// clearSetid takes the set-uid and set-gid bits away, and reports whether there were any.
func (f *file) clearSetid(ctx context.Context) (bool, error) {
	attr, err := f.fs.cfg.Index.Get(ctx, f.ino)
	if err != nil {
		return false, err
	}
	return f.setMode(ctx, &attr, withoutSetid(ctx, &attr))
}

// setMode gives a file with some attributes a mode, and reports whether it had another one.
func (f *file) setMode(ctx context.Context, attr *index.Attr, mode uint32) (bool, error) {
	if mode == attr.Mode {
		return false, nil
	}
	if _, err := f.fs.cfg.Index.SetAttr(ctx, f.ino, index.Change{Mode: &mode}); err != nil {
		return false, err
	}
	f.setid.Store(mode&setidBits != 0)
	return true, nil
}

// withoutSetid returns a mode as a write by the caller leaves it. Without the
// group's execute bit members of the group leave the set-gid bit.
// Source: setattr_should_drop_sgid of Linux.
func withoutSetid(ctx context.Context, attr *index.Attr) uint32 {
	mode := attr.Mode &^ syscall.S_ISUID
	if mode&syscall.S_ISGID != 0 && (mode&syscall.S_IXGRP != 0 || !member(ctx, attr.GID)) {
		mode &^= syscall.S_ISGID
	}
	return mode
}

// Flush is called for each close(2).
func (h *handle) Flush(ctx context.Context) syscall.Errno {
	h.openEnded()
	return h.n.errno("flush", h.f.queue(ctx))
}

// openEnded notes that the kernel is done with the open: only then a program
// gets a descriptor, which it closes. It may end without one.
func (h *handle) openEnded() {
	if !h.opened.Swap(true) {
		h.f.opened.opening.Add(-1)
	}
}

// Release is called when the last descriptor and mapping is gone.
func (h *handle) Release(ctx context.Context) syscall.Errno {
	h.openEnded()
	h.ahead.drop(h.n.fs)
	if h.writable {
		h.f.dropWriter()
	}
	return h.n.errno("release", h.f.close(ctx))
}

// Fsync makes content, attributes and names survive a power cut, and waits
// until they are certified if the mount was made so.
func (h *handle) Fsync(ctx context.Context, _ uint32) syscall.Errno {
	err := h.f.sync(ctx)
	if err == nil {
		err = h.n.fs.certify(ctx, h.f.ino)
	}
	return h.n.errno("fsync", err)
}

// The modes of fallocate(2) that we know.
const allocateModes = unix.FALLOC_FL_KEEP_SIZE | unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_ZERO_RANGE

// Allocate reserves room, punches holes and makes zeros.
func (h *handle) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	if mode&^allocateModes != 0 {
		return syscall.EOPNOTSUPP
	}
	if off > math.MaxInt64 || size > math.MaxInt64-off {
		return syscall.EFBIG
	}
	return h.n.errno("allocate", h.allocate(ctx, int64(off), int64(size), mode))
}

func (h *handle) allocate(ctx context.Context, off, n int64, mode uint32) error {
	room := n
	if mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) != 0 {
		room = 0
	}
	if mode&unix.FALLOC_FL_KEEP_SIZE == 0 {
		done, err := h.n.fs.grow(h.f, off+n)
		if err != nil {
			return err
		}
		defer done()
	}
	local, err := h.stage(ctx, room)
	if err != nil {
		return err
	}
	if room == 0 {
		err = local.Punch(ctx, off, n, h.f.fill)
	} else {
		err = local.Allocate(ctx, off, n)
	}
	if err == nil && mode&unix.FALLOC_FL_KEEP_SIZE == 0 && off+n > local.Size() {
		err = local.Truncate(ctx, off+n)
	}
	if err != nil {
		return err
	}
	return h.n.dropSetid(ctx, h.f)
}

// Lseek finds data and holes.
func (h *handle) Lseek(ctx context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	size, _ := h.f.live()
	if whence != unix.SEEK_DATA && whence != unix.SEEK_HOLE {
		return 0, syscall.EINVAL
	}
	if off >= uint64(size) {
		return 0, syscall.ENXIO
	}
	pos, err := h.f.seek(ctx, int64(off), whence == unix.SEEK_DATA, func(off, n int64) {
		h.n.NotifyContent(off, n) // drops pages, but writes them before; we hold no lock that a write needs
	})
	if err != nil {
		return 0, h.n.errno("lseek", err)
	}
	if pos >= size && whence == unix.SEEK_DATA {
		return 0, syscall.ENXIO
	}
	return uint64(min(pos, size)), 0
}

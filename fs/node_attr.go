package fs

import (
	"context"
	"fmt"
	"math"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// Getattr returns the attributes of an inode.
func (n *node) Getattr(ctx context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	moment := n.fs.ended.now()
	if f := n.fs.using(n.ino()); f != nil && f.isLent() {
		if err := f.dropUnseen(ctx); err != nil {
			return n.errno("getattr", err)
		}
	}
	attr, err := n.fs.cfg.Index.Get(ctx, n.ino())
	if err != nil {
		return n.errno("getattr", err)
	}
	if n.fs.fill(ctx, &attr, moment, &out.Attr) {
		out.SetTimeout(soon)
	}
	return 0
}

// Setattr changes attributes, and the size of a file.
func (n *node) Setattr(ctx context.Context, _ fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	moment := n.fs.ended.now()
	attr, err := n.setattr(ctx, in)
	if err != nil {
		return n.errno("setattr", err)
	}
	ahead := n.tellAhead(ctx, in, &attr)
	out.SetTimeout(cacheFor) // as the library does for all other replies
	if n.fs.fill(ctx, &attr, moment, &out.Attr) || ahead {
		out.SetTimeout(soon)
	}
	return 0
}

// tellAhead gives attr the mode that a write will leave, for a moment, when the kernel asks for a
// change of nothing before one. Of what the write does to the mode the kernel learns too late to
// allow a link of the file: for that it takes the mode that it knows. Who could not be
// writing is told the mode as it is.
func (n *node) tellAhead(ctx context.Context, in *fuse.SetAttrIn, attr *index.Attr) bool {
	if !changesNothing(in) || !attr.IsRegular() || attr.Mode&setidBits == 0 {
		return false
	}
	f := n.fs.using(n.ino())
	if f == nil || !f.written() {
		return false
	}
	attr.Mode = withoutSetid(ctx, attr)
	return true
}

func (n *node) setattr(ctx context.Context, in *fuse.SetAttrIn) (index.Attr, error) {
	if err := n.fs.change(); err != nil {
		return index.Attr{}, err
	}
	attr, err := n.fs.cfg.Index.Get(ctx, n.ino())
	if err != nil {
		return attr, err
	}
	change := asked(ctx, in, attr)
	if attr.IsRegular() {
		return n.setRegular(ctx, in, attr, change)
	}
	return n.fs.cfg.Index.SetAttr(ctx, n.ino(), change)
}

// asked translates what the kernel asks for, but for the size.
func asked(ctx context.Context, in *fuse.SetAttrIn, attr index.Attr) index.Change {
	var c index.Change
	if uid, ok := in.GetUID(); ok {
		c.UID = &uid
	}
	if gid, ok := in.GetGID(); ok {
		c.GID = &gid
	}
	if mode, ok := in.GetMode(); ok {
		c.Mode = &mode
	}
	if killsSetid(ctx, in, &attr) {
		if c.Mode != nil {
			attr.Mode = *c.Mode
		}
		mode := withoutSetid(ctx, &attr)
		c.Mode = &mode
	}
	if t, ok := in.GetATime(); ok {
		ns := Nanos(t)
		c.Atime = &ns
	}
	if t, ok := in.GetMTime(); ok {
		ns := Nanos(t)
		c.Mtime = &ns
	}
	return c
}

// killsSetid reports whether a change takes set-id bits away. A change of
// nothing is a chown(2) to nobody and no group, which does, or comes before a
// write, which will. The kernel lets anybody ask for it: only owner and root get it.
func killsSetid(ctx context.Context, in *fuse.SetAttrIn, attr *index.Attr) bool {
	kills := in.Valid&fuse.FATTR_KILL_SUIDGID != 0
	if changesNothing(in) {
		uid, _, _ := caller(ctx)
		kills = uid == 0 || uid == attr.UID
	}
	return kills && attr.Mode&setidBits != 0 && attr.Mode&syscall.S_IFMT != syscall.S_IFDIR
}

// changesNothing reports whether no attribute is named in what the kernel asks for.
func changesNothing(in *fuse.SetAttrIn) bool {
	return in.Valid&^uint32(fuse.FATTR_FH|fuse.FATTR_LOCKOWNER) == 0
}

// Nanos returns a time in nanoseconds since 1970, or the nearest that fits.
func Nanos(t time.Time) int64 {
	const last = math.MaxInt64 / int64(time.Second)
	ns := t.UnixNano()
	switch sec := t.Unix(); {
	case sec >= last:
		ns = math.MaxInt64
	case sec <= -last:
		ns = math.MinInt64
	}
	return ns
}

// setRegular changes size and attributes of a regular file.
func (n *node) setRegular(ctx context.Context, in *fuse.SetAttrIn, attr index.Attr, c index.Change) (index.Attr, error) {
	size, resize := in.GetSize()
	if size > math.MaxInt64 {
		return attr, fmt.Errorf("size %d: %w", size, staging.ErrTooLarge)
	}
	if !resize && c.Mtime == nil && c.Mode == nil {
		return n.fs.cfg.Index.SetAttr(ctx, n.ino(), c)
	}
	f, err := n.fs.acquire(ctx, n.ino())
	if err != nil {
		return attr, err
	}
	attr, err = f.setattr(ctx, int64(size), resize, c)
	if rerr := f.release(ctx); err == nil {
		err = rerr
	}
	if err != nil || !resize {
		return attr, err
	}
	return n.fs.cfg.Index.Get(ctx, n.ino()) // as release left it
}

func (f *file) setattr(ctx context.Context, size int64, resize bool, c index.Change) (attr index.Attr, err error) {
	if resize {
		if err := f.truncate(ctx, size, &c); err != nil {
			return attr, err
		}
	}
	if c == (index.Change{}) {
		return attr, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.Mtime != nil && f.local != nil {
		if err := f.local.SetMtime(*c.Mtime); err != nil {
			return attr, err
		}
		now := f.local.State()
		c.Mtime, c.Seq = &now.Mtime, now.Seq
	}
	if f.local != nil && c.Mode != nil {
		f.opened.checked.Store(f.local.Wrote()) // later writes take set-id bits away
	}
	if attr, err = f.fs.cfg.Index.SetAttr(ctx, f.ino, c); err != nil {
		return attr, err
	}
	f.setid.Store(attr.Mode&setidBits != 0)
	if c.Mtime != nil && f.queued.Size >= 0 {
		f.queued.Mtime, f.queued.Seq = *c.Mtime, c.Seq
	}
	return attr, nil
}

// truncate sets the size. Setting the size that a file has already changes
// its times only. A file becomes shorter on a full disk too.
func (f *file) truncate(ctx context.Context, size int64, c *index.Change) error {
	have, _ := f.live()
	if have == size {
		if c.Mtime == nil {
			now := time.Now().UnixNano()
			c.Mtime = &now
		}
		return nil
	}
	f.giveUp(size)
	if size < have {
		return f.fs.cfg.Staging.MakeRoom(func() error { return f.resize(ctx, size) })
	}
	return f.resize(ctx, size)
}

// resize is truncate for another size.
func (f *file) resize(ctx context.Context, size int64) error {
	local, err := f.stage(ctx)
	if err != nil {
		return err
	}
	if err := f.fs.take(0); err != nil && size > local.Size() {
		return err
	}
	return f.fs.withinQuota(f, size, func() error { return local.Truncate(ctx, size) })
}

// giveUp cuts off content that is lost, so that a file can be written anew.
func (f *file) giveUp(size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost && size <= f.base {
		f.lost, f.size = false, f.base
	}
}

// Statfs says how much more can be stored, from memory.
func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	space, err := n.fs.space()
	if err != nil {
		return n.errno("statfs", err)
	}
	const files = 1 << 32 // inodes cost nothing that could run out
	*out = fuse.StatfsOut{
		Blocks: uint64(space.Total) / blockSize, Bfree: uint64(space.Free) / blockSize, Bavail: uint64(space.Free) / blockSize,
		Files: files, Ffree: files - 1,
		Bsize: blockSize, Frsize: blockSize, NameLen: index.MaxName,
	}
	return 0
}

func (fs *FS) space() (Space, error) {
	if fs.cfg.Room.Space != nil {
		s := fs.cfg.Room.Space()
		return fs.quotaSpace(Space{Total: max(0, s.Total), Free: max(0, min(s.Free, s.Total))}), nil
	}
	total, err := fs.cfg.Staging.Total()
	if err != nil {
		return Space{}, err
	}
	free, err := fs.cfg.Staging.Free()
	return fs.quotaSpace(Space{Total: total, Free: free}), err
}

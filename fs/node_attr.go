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
	attr, err := n.fs.cfg.Index.Get(ctx, n.ino())
	if err != nil {
		return n.errno("getattr", err)
	}
	n.fs.fill(ctx, &attr, moment, &out.Attr)
	return 0
}

// Setattr changes attributes, and the size of a file.
func (n *node) Setattr(ctx context.Context, _ fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	moment := n.fs.ended.now()
	attr, err := n.setattr(ctx, in)
	if err != nil {
		return n.errno("setattr", err)
	}
	n.fs.fill(ctx, &attr, moment, &out.Attr)
	return 0
}

func (n *node) setattr(ctx context.Context, in *fuse.SetAttrIn) (index.Attr, error) {
	if err := n.fs.change(); err != nil {
		return index.Attr{}, err
	}
	attr, err := n.fs.cfg.Index.Get(ctx, n.ino())
	if err != nil {
		return attr, err
	}
	change := asked(in, attr)
	if attr.IsRegular() {
		return n.setRegular(ctx, in, attr, change)
	}
	return n.fs.cfg.Index.SetAttr(ctx, n.ino(), change)
}

// asked translates what the kernel asks for, but for the size.
func asked(in *fuse.SetAttrIn, attr index.Attr) index.Change {
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
	if in.Valid&fuse.FATTR_KILL_SUIDGID != 0 && attr.Mode&setidBits != 0 {
		mode := withoutSetid(attr.Mode)
		if c.Mode != nil {
			mode = withoutSetid(*c.Mode)
		}
		c.Mode = &mode
	}
	if t, ok := in.GetATime(); ok {
		c.Atime = nanos(t)
	}
	if t, ok := in.GetMTime(); ok {
		c.Mtime = nanos(t)
	}
	return c
}

// nanos returns a time in nanoseconds, or the nearest that fits.
func nanos(t time.Time) *int64 {
	const last = math.MaxInt64 / int64(time.Second)
	ns := t.UnixNano()
	switch sec := t.Unix(); {
	case sec >= last:
		ns = math.MaxInt64
	case sec <= -last:
		ns = math.MinInt64
	}
	return &ns
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
		c.Seq = f.local.State().Seq
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
// its times only.
func (f *file) truncate(ctx context.Context, size int64, c *index.Change) error {
	if have, _ := f.live(); have == size {
		if c.Mtime == nil {
			now := time.Now().UnixNano()
			c.Mtime = &now
		}
		return nil
	}
	f.giveUp(size)
	local, err := f.stage(ctx)
	if err != nil {
		return err
	}
	if err := f.fs.take(0); err != nil && size > local.Size() {
		return err
	}
	if err := local.Truncate(ctx, size); err != nil {
		return err
	}
	f.changed()
	return nil
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
		return Space{Total: max(0, s.Total), Free: max(0, min(s.Free, s.Total))}, nil
	}
	total, err := fs.cfg.Staging.Total()
	if err != nil {
		return Space{}, err
	}
	free, err := fs.cfg.Staging.Free()
	return Space{Total: total, Free: free}, err
}

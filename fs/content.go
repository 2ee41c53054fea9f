package fs

import (
	"context"
	"errors"
	"io"
	"syscall"

	"github.com/walfs/walfs/index"
)

// What follows is for who has the drive open without the kernel. Recover comes
// first, and Close of the FS after the last Content was closed.

// Content is an open regular file. ReadAt may be called concurrently.
type Content struct {
	h *handle
}

// Open opens a regular file for reading.
func (fs *FS) Open(ctx context.Context, ino index.Ino) (*Content, error) {
	f, err := fs.acquire(ctx, ino)
	if err != nil {
		return nil, err
	}
	return &Content{h: &handle{f: f}}, nil
}

// Create makes a regular file or, where the mode says so, a directory or a
// symbolic link, of which there is nothing to open: then the Content is nil.
// ErrExist and the other errors are those of index.Create.
func (fs *FS) Create(ctx context.Context, r index.CreateRequest) (*Content, error) {
	if err := fs.change(); err != nil {
		return nil, err
	}
	if err := fs.take(0); err != nil {
		return nil, err
	}
	attr, err := fs.cfg.Index.Create(ctx, r)
	if err != nil || !attr.IsRegular() {
		return nil, err
	}
	f, err := fs.acquireNew(ctx, attr)
	if err != nil {
		_, uerr := fs.cfg.Index.Unlink(ctx, r.Parent, r.Name)
		return nil, errors.Join(err, uerr, fs.bury(ctx, attr.Ino))
	}
	return &Content{h: newHandle(&node{fs: fs}, f, syscall.O_WRONLY, 0)}, nil
}

// ReadAt fills p with verified content from off on. It gives less at the end of the
// file, with io.EOF, and else only together with another error. When ctx ends
// it returns within the time that a fetch may take; Stop of the FS ends it at once.
func (c *Content) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n, err := c.h.read(ctx, p, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// WriteAt stages p at off in a file that Create has made. ErrQuota: the quota is used
// up. ErrNoRoom: draining
// would not have the room that it needs.
func (c *Content) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	done, err := c.h.n.fs.grow(c.h.f, off+int64(len(p)))
	if err != nil {
		return 0, err
	}
	defer done()
	local, err := c.h.stage(ctx, int64(len(p)))
	if err != nil {
		return 0, err
	}
	n, err := local.WriteAt(ctx, p, off, c.h.f.fill)
	return n, err
}

// Data returns the first range of the file from off on that is no hole. Behind the last one it is
// empty, and begins where the file ends.
func (c *Content) Data(ctx context.Context, off int64) (from, to int64, err error) {
	unmapped := func(int64, int64) {}
	if from, err = c.h.f.seek(ctx, off, true, unmapped); err != nil {
		return 0, 0, err
	}
	to, err = c.h.f.seek(ctx, from, false, unmapped)
	return from, to, err
}

// Truncate sets the length of a file that Create has made. ErrQuota and ErrNoRoom as WriteAt.
func (c *Content) Truncate(ctx context.Context, size int64) error {
	if have, _ := c.h.f.live(); have == size {
		return nil
	}
	return c.h.f.resize(ctx, size)
}

// Finish changes attributes of a file that Create has made, and makes all of it survive a power cut.
func (c *Content) Finish(ctx context.Context, change index.Change) error {
	if _, err := c.h.f.setattr(ctx, 0, false, change); err != nil {
		return err
	}
	return c.h.f.sync(ctx)
}

// Close ends the use of the file.
func (c *Content) Close(ctx context.Context) error {
	c.h.ahead.drop(c.h.f.fs)
	if c.h.writable {
		c.h.f.dropWriter()
	}
	return c.h.f.release(ctx)
}

// Remove takes a name of a file away, and the file if that was its last.
func (fs *FS) Remove(ctx context.Context, parent index.Ino, name []byte) error {
	if err := fs.change(); err != nil {
		return err
	}
	attr, err := fs.cfg.Index.Unlink(ctx, parent, name)
	if err != nil {
		return err
	}
	fs.unlink(attr)
	fs.forgotten(attr.Ino) // no kernel ever knew it
	return nil
}

// Link gives an inode that is no directory another name. The errors are those of index.Link.
func (fs *FS) Link(ctx context.Context, ino, parent index.Ino, name []byte) error {
	if err := fs.change(); err != nil {
		return err
	}
	_, err := fs.cfg.Index.Link(ctx, ino, parent, name)
	if err == nil {
		fs.relink(ino)
	}
	return err
}

// Rename moves a name. Over an existing file it is atomic after a power cut too.
func (fs *FS) Rename(ctx context.Context, r index.RenameRequest) error {
	displaced, err := fs.rename(ctx, r)
	if err == nil && displaced.Ino != 0 {
		fs.forgotten(displaced.Ino)
	}
	return err
}

// Stop ends all fetches, those to come included: who waits gets an error.
func (fs *FS) Stop() { fs.stop() }

// Close ends the use of a file system that was not mounted, and makes all
// that was changed survive a power cut. One that was mounted is closed by Wait.
func (fs *FS) Close(ctx context.Context) error { return fs.shutdown(ctx) }

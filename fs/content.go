package fs

import (
	"context"
	"io"

	"github.com/walfs/walfs/index"
)

// Content reads the live content of a regular file for who has the drive open
// without the kernel. Calls may be concurrent, but for Close.
type Content struct {
	h *handle
}

// Open opens a regular file for reading, without the kernel. Recover comes
// before it, and Close of the FS after the last Content was closed.
func (fs *FS) Open(ctx context.Context, ino index.Ino) (*Content, error) {
	f, err := fs.acquire(ctx, ino)
	if err != nil {
		return nil, err
	}
	return &Content{h: &handle{f: f}}, nil
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

// Close ends the use of the file.
func (c *Content) Close(ctx context.Context) error {
	c.h.ahead.drop(c.h.f.fs)
	return c.h.f.release(ctx)
}

// Stop ends all fetches, those to come included: who waits gets an error.
func (fs *FS) Stop() { fs.stop() }

// Close ends the use of a file system that was not mounted, and makes all
// that was changed survive a power cut. One that was mounted is closed by Wait.
func (fs *FS) Close(ctx context.Context) error { return fs.shutdown(ctx) }

package fs

import (
	"context"
	"errors"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/walfs/walfs/index"
)

// Open opens a regular file. Nothing is fetched before it is read.
func (n *node) Open(ctx context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	f, err := n.fs.acquire(ctx, n.ino())
	if err != nil {
		return nil, 0, n.errno("open", err)
	}
	return n.openHandle(ctx, f, opening{n: n, flags: flags})
}

// openHandle opens a file that is in use, and gives the use to the handle.
func (n *node) openHandle(ctx context.Context, f *file, r opening) (fusefs.FileHandle, uint32, syscall.Errno) {
	flags, err := f.open(ctx, r)
	if err != nil {
		return nil, 0, n.errno("open", errors.Join(err, f.release(ctx)))
	}
	return newHandle(r.n, f, r.flags, flags), flags, 0
}

// Create makes a regular file and opens it.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	return n.createOpen(ctx, "create", name, flags, mode, out)
}

// Tmpfile makes a regular file without a name, which Link may give it later.
func (n *node) Tmpfile(ctx context.Context, flags, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	return n.createOpen(ctx, "tmpfile", "", flags, mode, out)
}

func (n *node) createOpen(ctx context.Context, op, name string, flags, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	moment := n.fs.ended.now()
	attr, err := n.create(ctx, name, index.CreateRequest{Mode: mode&^syscall.S_IFMT | syscall.S_IFREG})
	if err != nil {
		return nil, nil, 0, n.errno(op, err)
	}
	f, err := n.openNew(ctx, name, attr)
	if err != nil {
		return nil, nil, 0, n.errno(op, err)
	}
	n.fs.unlink(attr)
	child := n.child(ctx, attr, moment, out)
	h, open, errno := n.openHandle(ctx, f, opening{n: child.Operations().(*node), flags: flags, isNew: true})
	return child, h, open, errno
}

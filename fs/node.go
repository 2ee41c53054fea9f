package fs

import (
	"context"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	fusefs "github.com/hanwen/go-fuse/v2/fs"

	"github.com/walfs/walfs/index"
)

// node is an inode that the kernel knows. It holds nothing but its number:
// there may be millions.
type node struct {
	fusefs.Inode
	fs *FS
}

func (n *node) ino() index.Ino { return index.Ino(n.StableAttr().Ino) }

// errno returns what a program sees of an error of an operation on n.
func (n *node) errno(op string, err error) syscall.Errno { return n.fs.errno(op, n.ino(), err) }

// OnForget is called when the kernel has forgotten the inode.
func (n *node) OnForget() { n.fs.forgotten(n.ino()) }

// child answers a request for a name with the inode that it is bound to, with
// attributes that the index gave after the given moment of FS.ended.
func (n *node) child(ctx context.Context, attr index.Attr, moment uint64, out *fuse.EntryOut) *fusefs.Inode {
	if n.fs.fill(ctx, &attr, moment, &out.Attr) {
		out.SetAttrTimeout(soon)
	}
	return n.NewInode(ctx, &node{fs: n.fs}, fusefs.StableAttr{Ino: uint64(attr.Ino), Mode: attr.Mode & syscall.S_IFMT})
}

// fill translates attributes for the kernel, which the index gave after the
// given moment. Staging knows better about a file that is in use. Unsteady: they
// may change without the kernel's asking us.
func (fs *FS) fill(ctx context.Context, attr *index.Attr, moment uint64, out *fuse.Attr) (unsteady bool) {
	f := (*file)(nil)
	if attr.IsRegular() {
		f = fs.overlay(ctx, attr, moment)
	}
	out.Ino = uint64(attr.Ino)
	out.Mode = attr.Mode
	out.Nlink = attr.Nlink
	out.Uid, out.Gid = attr.UID, attr.GID
	out.Rdev = attr.Rdev
	out.Size = uint64(attr.Size)
	out.Blksize = blockSize
	out.Blocks = fs.blocks(attr, f)
	out.Atime, out.Atimensec = split(attr.Atime)
	out.Mtime, out.Mtimensec = split(attr.Mtime)
	out.Ctime, out.Ctimensec = split(attr.Ctime)
	fs.shown.over(out)
	return f != nil && f.isLent()
}

// soon is how long the kernel believes attributes that may change unseen. Zero means something else.
const soon = time.Nanosecond

// split turns nanoseconds into what the kernel reads as a signed number of
// seconds and nanoseconds from 0 on.
func split(ns int64) (sec uint64, nsec uint32) {
	t := time.Unix(0, ns)
	return uint64(t.Unix()), uint32(t.Nanosecond())
}

const (
	blockSize   = 4096
	statBlock   = 512     // Source: stat(2), the unit of st_blocks
	countBlocks = 1 << 20 // bytes; in smaller files holes are not looked for
)

// blocks returns how much room the content takes, here or in segments.
func (fs *FS) blocks(attr *index.Attr, f *file) uint64 {
	whole := uint64(attr.Size+blockSize-1) / blockSize * (blockSize / statBlock)
	if !attr.IsRegular() || attr.Size < countBlocks {
		return whole
	}
	local, published := int64(0), int64(0)
	if f != nil && f.staged() != nil {
		if n, err := f.staged().Allocated(); err == nil {
			local = n
		}
	} else if n, ok := fs.cfg.Staging.Allocated(attr.Ino); ok {
		local = n
	}
	if attr.PubVersion != 0 {
		extents, err := fs.cfg.Index.Extents(context.Background(), attr.Ino, 0, attr.Size)
		if err != nil {
			return whole
		}
		for _, e := range extents {
			published += e.Len
		}
	}
	return min(whole, uint64(max(local, published)+statBlock-1)/statBlock)
}

// caller returns who asks. Requests of the kernel itself count as root's.
func caller(ctx context.Context) (uid, gid, pid uint32) {
	if c, ok := fuse.FromContext(ctx); ok {
		return c.Uid, c.Gid, c.Pid
	}
	return 0, 0, 0
}

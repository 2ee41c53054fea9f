package fs

import (
	"context"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/walfs/walfs/index"
)

// OpendirHandle opens a directory. The kernel may keep what it read: it knows
// of every change.
func (n *node) OpendirHandle(_ context.Context, _ uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	return &dir{n: n}, fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE, 0
}

// The offsets behind "." and ".."; behind any other entry it is its cookie.
const (
	offDot    = 1
	offDotDot = 2
)

// A request gets few entries at first, since most of them are answered with
// one reply of the kernel's smallest size.
const (
	firstEntries = 32
	mostEntries  = 512
)

// dir is an open directory. The library calls its methods one at a time.
type dir struct {
	n       *node
	off     uint64 // behind the last entry that was given out
	entries []index.Entry
	moment  uint64 // of FS.ended, before entries were read
	max     int
	last    index.Entry // given out last
	done    bool        // nothing follows entries

	// request tells one READDIRPLUS from the next. What was read for one is not
	// good for another: attributes may have changed, and the kernel would
	// believe the old ones.
	request any
}

// Readdirent returns the next entry, nil at the end.
func (d *dir) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	if d.request != any(ctx) {
		d.request, d.entries, d.max, d.done = ctx, nil, firstEntries, false
	}
	switch d.off {
	case 0:
		d.off = offDot
		return &fuse.DirEntry{Name: ".", Mode: syscall.S_IFDIR, Ino: uint64(d.n.ino()), Off: d.off}, 0
	case offDot:
		parent, err := d.n.fs.cfg.Index.Parent(ctx, d.n.ino())
		if err != nil {
			parent = d.n.ino() // removed, or about to be
		}
		d.off = offDotDot
		return &fuse.DirEntry{Name: "..", Mode: syscall.S_IFDIR, Ino: uint64(parent), Off: d.off}, 0
	case nowhere:
		return nil, 0
	}
	if len(d.entries) == 0 && !d.done {
		if err := d.read(ctx); err != nil {
			return nil, d.n.errno("readdir", err)
		}
	}
	if len(d.entries) == 0 {
		return nil, 0
	}
	d.last, d.entries = d.entries[0], d.entries[1:]
	d.off = d.last.Cookie
	return &fuse.DirEntry{
		Name: string(d.last.Name), Mode: d.last.Attr.Mode, Ino: uint64(d.last.Attr.Ino), Off: d.off,
	}, 0
}

func (d *dir) read(ctx context.Context) (err error) {
	d.moment = d.n.fs.ended.now()
	d.entries, err = d.n.fs.cfg.Index.ReadDir(ctx, d.n.ino(), d.off, d.max)
	d.done = len(d.entries) < d.max
	d.max = min(2*d.max, mostEntries)
	return err
}

// Lookup answers for the entry that Readdirent gave out last.
func (d *dir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if d.request != any(ctx) || string(d.last.Name) != name {
		return d.n.Lookup(ctx, name, out)
	}
	return d.n.child(ctx, d.last.Attr, d.moment, out), 0
}

// Seekdir goes to where an offset was that Readdirent gave out, be the entry
// still there or not.
func (d *dir) Seekdir(_ context.Context, off uint64) syscall.Errno {
	d.off, d.entries, d.done, d.max = off, nil, false, firstEntries
	return 0
}

// Fsyncdir makes all names and attributes survive a power cut.
func (d *dir) Fsyncdir(ctx context.Context, _ uint32) syscall.Errno {
	return d.n.errno("fsyncdir", d.n.fs.cfg.Index.Barrier(ctx, nil))
}

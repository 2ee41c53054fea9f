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
	from    uint64 // where the request before began
	beyond  uint64 // what it gave out
	last    uint64 // the cookie with which this listing ends
	entries []index.Entry
	moment  uint64 // of FS.ended, before entries were read
	max     int
	given   index.Entry // out last
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
	d.given, d.entries = d.entries[0], d.entries[1:]
	d.off = d.given.Cookie
	return &fuse.DirEntry{
		Name: string(d.given.Name), Mode: d.given.Attr.Mode, Ino: uint64(d.given.Attr.Ino), Off: d.off,
	}, 0
}

func (d *dir) read(ctx context.Context) (err error) {
	d.moment = d.n.fs.ended.now()
	d.entries, err = d.n.fs.cfg.Index.ReadDir(ctx, d.n.ino(), d.off, d.max)
	d.done = len(d.entries) < d.max
	for n := len(d.entries); n > 0 && d.entries[n-1].Cookie > d.last; n-- {
		d.entries, d.done = d.entries[:n-1], true
	}
	d.max = min(2*d.max, mostEntries)
	return err
}

// Lookup answers for the entry that Readdirent gave out last.
func (d *dir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if d.request != any(ctx) || string(d.given.Name) != name {
		return d.n.Lookup(ctx, name, out)
	}
	return d.n.child(ctx, d.given.Attr, d.moment, out), 0
}

// Seekdir goes to where an offset was that Readdirent gave out, be the entry
// still there or not.
//
// A listing ends with the last entry that there was when it began: who renames
// what is listed, or has others beside him who make files, would never come to
// the end. A seek that does not go on where the kernel left off begins anew.
func (d *dir) Seekdir(ctx context.Context, off uint64) syscall.Errno {
	if off == nowhere {
		d.off, d.beyond = nowhere, d.off
		return 0
	}
	if off == 0 || off < d.from || off > d.beyond {
		last, err := d.n.fs.cfg.Index.LastCookie(ctx, d.n.ino())
		if err != nil {
			return d.n.errno("seekdir", err)
		}
		d.last = last
	}
	d.off, d.from, d.entries, d.done, d.max = off, off, nil, false, firstEntries
	return 0
}

// Fsyncdir makes all names and attributes survive a power cut.
func (d *dir) Fsyncdir(ctx context.Context, _ uint32) syscall.Errno {
	return d.n.errno("fsyncdir", d.n.fs.cfg.Index.Barrier(ctx, nil))
}

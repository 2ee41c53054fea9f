package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/control"
	drivefs "github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/index"
)

// tree is what is copied from: files of this machine, mounted drives included, or a drive that
// is open in this process. Paths begin with a slash; names may hold any bytes.
type tree struct {
	entry func(ctx context.Context, path string) (*treeEntry, error)
	close func() error
}

// treeEntry is an entry of a tree: what was read of it, and ways to what is in it.
type treeEntry struct {
	attr  treeAttr
	names func(ctx context.Context, each func(name string) error) error // of a folder
	open  func(ctx context.Context) (*content, error)                   // of a regular file
	close func() error
}

// treeAttr is what is kept of a file when it is copied.
type treeAttr struct {
	mode         uint32 // as in st_mode
	uid, gid     uint32
	rdev         uint64
	size         int64
	links        uint64
	is           identity
	atime, mtime unix.Timespec
	target       string        // of a symbolic link
	xattrs       []index.Xattr // POSIX ACLs among them
	unread       error         // why some of them could not be read; nil: all were
}

// kind is the type of the file, as in st_mode.
func (a *treeAttr) kind() uint32 { return a.mode & unix.S_IFMT }

// perm is all of the mode but the type.
func (a *treeAttr) perm() uint32 { return a.mode &^ unix.S_IFMT }

// identity tells hard links of one file from other files.
type identity struct{ dev, ino uint64 }

// content is what is in a regular file.
type content struct {
	read func(ctx context.Context, p []byte, off int64) (int, error) // as io.ReaderAt
	// data returns the next range from off on that is no hole, which may reach over the end of
	// the file; behind the last one it is empty, and begins where the file ends.
	data  func(ctx context.Context, off int64) (from, to int64, err error)
	close func() error
}

// openTree reaches the drive in h, and returns with it the path in the drive that path means.
func (a *app) openTree(ctx context.Context, h home, path string) (*tree, string, error) {
	if err := a.checkHome(h); err != nil {
		return nil, "", err
	}
	client, err := control.Dial(ctx, h.dir)
	if errors.Is(err, control.ErrNotRunning) {
		t, err := a.openedTree(ctx, h)
		return t, filepath.Join("/", path), err
	}
	if err != nil {
		return nil, "", err
	}
	l := &line{call: client.Call, close: client.Close, mounted: true}
	var s status
	inner, err := l.existing(ctx, path)
	if err == nil {
		err = l.call(ctx, opStatus, nothing{}, nil, &s)
	}
	if err == nil && s.Detached {
		err = errDetached(s.Mountpoint)
	}
	if err = errors.Join(err, l.close()); err != nil {
		return nil, "", err
	}
	t, err := folderTree(s.Mountpoint)
	return t, filepath.Join("/", string(inner)), err
}

// openedTree opens the drive. What a crash left is put in order first, as a mount does.
func (a *app) openedTree(ctx context.Context, h home) (*tree, error) {
	d, err := a.openDrive(ctx, h, a.logTo(h))
	if err != nil {
		return nil, err
	}
	fsys, err := d.recover(ctx)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	stop := context.AfterFunc(ctx, fsys.Stop) // a read that waits for nodes ends with the command
	return &tree{
		entry: func(ctx context.Context, path string) (*treeEntry, error) {
			attr, err := d.resolve(ctx, []byte(path))
			if err != nil {
				return nil, err
			}
			kept, err := d.keptOf(ctx, &attr)
			return &treeEntry{
				attr:  kept,
				names: func(ctx context.Context, each func(string) error) error { return d.names(ctx, attr.Ino, each) },
				open:  func(ctx context.Context) (*content, error) { return opened(ctx, fsys, attr.Ino) },
				close: func() error { return nil },
			}, err
		},
		close: func() error {
			stop()
			return errors.Join(fsys.Close(context.WithoutCancel(ctx)), d.Close())
		},
	}, nil
}

// keptOf returns what a copy keeps of an entry of the drive.
func (d *drive) keptOf(ctx context.Context, attr *index.Attr) (treeAttr, error) {
	a := treeAttr{
		mode: attr.Mode, uid: attr.UID, gid: attr.GID, rdev: uint64(attr.Rdev), size: attr.Size, links: uint64(attr.Nlink),
		is:    identity{ino: uint64(attr.Ino)},
		atime: unix.NsecToTimespec(attr.Atime), mtime: unix.NsecToTimespec(attr.Mtime),
	}
	if attr.IsSymlink() {
		target, err := d.index.Readlink(ctx, attr.Ino)
		if err != nil {
			return a, err
		}
		a.target = string(target)
	}
	names, err := d.index.ListXattr(ctx, attr.Ino)
	if err != nil {
		return a, err
	}
	for _, name := range names {
		if !copiedXattr(name) {
			continue
		}
		value, err := d.index.GetXattr(ctx, attr.Ino, name)
		if err != nil {
			return a, err
		}
		a.xattrs = append(a.xattrs, index.Xattr{Name: name, Value: value})
	}
	return a, nil
}

// opened opens the content of a file of an open drive.
func opened(ctx context.Context, fsys *drivefs.FS, ino index.Ino) (*content, error) {
	c, err := fsys.Open(ctx, ino)
	if err != nil {
		return nil, err
	}
	return &content{
		read: func(ctx context.Context, p []byte, off int64) (int, error) {
			n, err := c.ReadAt(ctx, p, off)
			if err != nil && ctx.Err() != nil {
				return n, ctx.Err()
			}
			if err != nil && !errors.Is(err, io.EOF) {
				err = fmt.Errorf("read at %d: %w", off, err)
			}
			return n, err
		},
		data:  c.Data,
		close: func() error { return c.Close(context.WithoutCancel(ctx)) },
	}, nil
}

// names calls each for the names in a folder of the drive.
func (d *drive) names(ctx context.Context, dir index.Ino, each func(string) error) error {
	for after := uint64(0); ; {
		entries, err := d.index.ReadDir(ctx, dir, after, maxListPage)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			after = e.Cookie
			if err := each(string(e.Name)); err != nil {
				return err
			}
		}
	}
}

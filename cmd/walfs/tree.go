package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/walfs/walfs/cmd/internal/control"
	drivefs "github.com/walfs/walfs/fs"
)

// tree is what is copied from: files of this machine, mounted drives included, or a drive that
// is open in this process. Paths begin with a slash; names may hold any bytes.
type tree struct {
	attr   func(ctx context.Context, path string) (treeAttr, error)
	names  func(ctx context.Context, path string, each func(name string) error) error
	open   func(ctx context.Context, path string) (io.ReadCloser, error)
	target func(ctx context.Context, path string) (string, error) // of a symbolic link
	close  func() error
}

// treeAttr is what is kept of a file when it is copied.
type treeAttr struct {
	mode  os.FileMode
	size  int64
	mtime time.Time
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
	return folderTree(s.Mountpoint), filepath.Join("/", string(inner)), nil
}

// folderTree reads files of this machine, with paths that count from dir.
func folderTree(dir string) *tree {
	at := func(path string) string { return filepath.Join(dir, path) }
	return &tree{
		attr: func(_ context.Context, path string) (treeAttr, error) {
			info, err := os.Lstat(at(path))
			if err != nil {
				return treeAttr{}, err
			}
			return treeAttr{mode: info.Mode(), size: info.Size(), mtime: info.ModTime()}, nil
		},
		names: func(_ context.Context, path string, each func(string) error) error {
			return namesIn(at(path), each)
		},
		open:   func(_ context.Context, path string) (io.ReadCloser, error) { return os.Open(at(path)) },
		target: func(_ context.Context, path string) (string, error) { return os.Readlink(at(path)) },
		close:  func() error { return nil },
	}
}

// namesIn calls each for the names in a folder of this machine.
func namesIn(dir string, each func(string) error) (err error) {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		names, err := f.Readdirnames(maxListPage)
		for _, name := range names {
			if err := each(name); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
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
		attr: func(ctx context.Context, path string) (treeAttr, error) {
			attr, err := d.resolve(ctx, []byte(path))
			return treeAttr{mode: goMode(attr.Mode), size: attr.Size, mtime: time.Unix(0, attr.Mtime)}, err
		},
		names: d.names,
		open: func(ctx context.Context, path string) (io.ReadCloser, error) {
			attr, err := d.resolve(ctx, []byte(path))
			if err != nil {
				return nil, err
			}
			content, err := fsys.Open(ctx, attr.Ino)
			return &reader{ctx: ctx, content: content}, err
		},
		target: func(ctx context.Context, path string) (string, error) {
			attr, err := d.resolve(ctx, []byte(path))
			if err != nil {
				return "", err
			}
			target, err := d.index.Readlink(ctx, attr.Ino)
			return string(target), err
		},
		close: func() error {
			stop()
			return errors.Join(fsys.Close(context.WithoutCancel(ctx)), d.Close())
		},
	}, nil
}

// names calls each for the names in a folder of the drive.
func (d *drive) names(ctx context.Context, path string, each func(string) error) error {
	dir, err := d.resolve(ctx, []byte(path))
	if err != nil {
		return err
	}
	for after := uint64(0); ; {
		entries, err := d.index.ReadDir(ctx, dir.Ino, after, maxListPage)
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

// reader reads a file of an open drive from its start to its end.
type reader struct {
	ctx     context.Context // of the command, which is as long as the reader
	content *drivefs.Content
	off     int64
}

// Read is io.Reader's.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.content.ReadAt(r.ctx, p, r.off)
	r.off += int64(n)
	if err != nil && r.ctx.Err() != nil {
		return n, r.ctx.Err()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("read at %d: %w", r.off, err)
	}
	return n, err
}

// Close ends the use of the file.
func (r *reader) Close() error { return r.content.Close(context.WithoutCancel(r.ctx)) }

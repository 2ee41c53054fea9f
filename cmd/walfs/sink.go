package main

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/walfs/walfs/cmd/internal/ui"
	drivefs "github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/index"
)

// tempName is a name for a copy that is not whole.
func tempName(path string) string { return filepath.Join(filepath.Dir(path), ".walfs-"+rand.Text()) }

// noFolder reports that something else lies where a folder should.
func noFolder(path string) error {
	return ui.Errorf(ui.Failed, "%s is there and is no folder", ui.Clean(path))
}

// folderSink writes below a folder of this machine and nowhere else, whatever links lie there.
func folderSink(root *os.Root) *sink {
	finish := func(_ context.Context, path string, attr treeAttr) error {
		if path == "." { // it was there before
			return nil
		}
		return errors.Join(root.Chmod(path, attr.mode.Perm()), root.Chtimes(path, time.Time{}, attr.mtime))
	}
	return &sink{
		finish: finish,
		mkdir: func(_ context.Context, path string) error {
			if err := root.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			if info, err := root.Lstat(path); err != nil || !info.IsDir() {
				return errors.Join(err, noFolder(path))
			}
			return nil
		},
		link: func(_ context.Context, path, target string) error {
			err := root.Symlink(target, path)
			if old, bad := root.Readlink(path); errors.Is(err, fs.ErrExist) && bad == nil && old == target {
				return nil
			}
			return err
		},
		file: func(ctx context.Context, path string, attr treeAttr, pour func(io.Writer) error) error {
			temp := tempName(path)
			f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			err = pour(f)
			if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
				err = finish(ctx, temp, attr)
			}
			if err == nil {
				err = root.Rename(temp, path)
			}
			if err != nil {
				return errors.Join(err, root.Remove(temp))
			}
			return nil
		},
	}
}

// drivePlace is a path in an open drive, taken apart.
type drivePlace struct {
	parent index.Ino
	name   []byte
}

// driveWriter is an open drive that copies go into.
type driveWriter struct {
	d    *drive
	fsys *drivefs.FS
}

func (w *driveWriter) sink() *sink {
	return &sink{mkdir: w.mkdir, file: w.file, link: w.link, finish: w.finish}
}

// place finds the folder of a path.
func (w *driveWriter) place(ctx context.Context, path string) (drivePlace, error) {
	dir, err := w.d.resolve(ctx, []byte(filepath.Dir(path)))
	if err == nil && !dir.IsDir() {
		err = noFolder(filepath.Dir(path))
	}
	return drivePlace{parent: dir.Ino, name: []byte(filepath.Base(path))}, err
}

// request is for a new inode of this user.
func (p drivePlace) request(mode uint32) index.CreateRequest {
	return index.CreateRequest{
		Parent: p.parent, Name: p.name, Mode: mode, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()),
	}
}

func (w *driveWriter) mkdir(ctx context.Context, path string) error {
	if attr, err := w.d.index.Resolve(ctx, path); err == nil {
		if !attr.IsDir() {
			return noFolder(path)
		}
		return nil
	}
	p, err := w.place(ctx, path)
	if err == nil {
		_, err = w.fsys.Create(ctx, p.request(modeDir|0o700))
	}
	return err
}

func (w *driveWriter) link(ctx context.Context, path, target string) error {
	p, err := w.place(ctx, path)
	if err != nil {
		return err
	}
	r := p.request(modeLink | 0o777)
	r.Target = []byte(target)
	_, err = w.fsys.Create(ctx, r)
	if !errors.Is(err, index.ErrExist) {
		return err
	}
	attr, bad := w.d.index.Resolve(ctx, path)
	if bad == nil && attr.IsSymlink() {
		if old, bad := w.d.index.Readlink(ctx, attr.Ino); bad == nil && string(old) == target {
			return nil
		}
	}
	return err
}

// file writes to a temporary name, and renames when the whole of it is on the disk.
func (w *driveWriter) file(ctx context.Context, path string, attr treeAttr, pour func(io.Writer) error) error {
	temp := tempName(path)
	p, err := w.place(ctx, temp)
	if err != nil {
		return err
	}
	content, err := w.fsys.Create(ctx, p.request(modeFile|0o600))
	if err != nil {
		return err
	}
	undone := context.WithoutCancel(ctx)
	err = pour(&contentWriter{ctx: ctx, content: content})
	if err == nil {
		err = content.Finish(ctx, uint32(attr.mode.Perm()), attr.mtime.UnixNano())
	}
	if err = errors.Join(err, content.Close(undone)); err == nil {
		err = w.fsys.Rename(ctx, index.RenameRequest{
			OldParent: p.parent, OldName: p.name, NewParent: p.parent, NewName: []byte(filepath.Base(path)),
		})
	}
	if err != nil {
		return errors.Join(err, w.fsys.Remove(undone, p.parent, p.name))
	}
	return nil
}

func (w *driveWriter) finish(ctx context.Context, path string, attr treeAttr) error {
	dir, err := w.d.resolve(ctx, []byte(path))
	if err != nil || dir.Ino == index.Root {
		return err
	}
	mode, mtime := uint32(attr.mode.Perm()), attr.mtime.UnixNano()
	_, err = w.d.index.SetAttr(ctx, dir.Ino, index.Change{Mode: &mode, Mtime: &mtime})
	return err
}

// contentWriter writes a file of an open drive from its start on.
type contentWriter struct {
	ctx     context.Context // of the command, which is as long as the writer
	content *drivefs.Content
	off     int64
}

// Write is io.Writer's.
func (w *contentWriter) Write(p []byte) (int, error) {
	n, err := w.content.WriteAt(w.ctx, p, w.off)
	w.off += int64(n)
	return n, err
}

package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// folder is a folder of this machine that is copied from or to. What lies below it is
// reached name by name, and never through a symbolic link: a drive may have put one there, or somebody
// may put one there meanwhile.
type folder struct {
	name string
	root int    // its descriptor
	at   string // the folder below it that was reached last, ending with a slash; empty: none
	last int    // its descriptor
}

// openFolder opens a folder, through links if need be: its path comes from whoever calls.
func openFolder(dir string) (*folder, error) {
	fd, err := openAt(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &folder{name: dir, root: fd}, nil
}

// close ends the use of the folder. Closing what was opened to name it loses nothing.
func (f *folder) close() error {
	f.forget()
	return unix.Close(f.root)
}

func (f *folder) forget() {
	if f.at != "" {
		_ = unix.Close(f.last)
		f.at = ""
	}
}

// wrong names the entry in an error of a call.
func (f *folder) wrong(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: filepath.Join(f.name, path), Err: err}
}

// call is for calls of the file system: a signal does not end them, and their errors name the entry.
func (f *folder) call(op, path string, call func() error) error {
	return f.wrong(op, path, uninterrupted(call))
}

// parent returns the folder that an entry is in, open until the next call, and the entry's
// name. The folder itself is "." in itself.
func (f *folder) parent(path string) (fd int, name string, err error) {
	path = strings.TrimPrefix(filepath.Clean(path), "/")
	dir, name := filepath.Split(path)
	if name == "" || name == "." {
		return f.root, ".", nil
	}
	if name == ".." {
		return 0, "", f.wrong("open", path, unix.EINVAL)
	}
	if dir == "" {
		return f.root, name, nil
	}
	if err := f.reach(dir); err != nil {
		return 0, "", f.wrong("open", dir, err)
	}
	return f.last, name, nil
}

// reach opens dir, which ends with a slash, from the folder reached last or from the root on.
func (f *folder) reach(dir string) error {
	if f.at == dir {
		return nil
	}
	rest, ok := strings.CutPrefix(dir, f.at)
	if !ok || f.at == "" {
		f.forget()
		rest = dir
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(rest, "/"), "/") {
		if name == ".." {
			return unix.EINVAL
		}
		from := f.root
		if f.at != "" {
			from = f.last
		}
		fd, err := openAt(from, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
		if err != nil {
			return err
		}
		at := f.at + name + "/"
		f.forget()
		f.at, f.last = at, fd
	}
	return nil
}

// grip takes hold of an entry without opening it: what a fifo or a device would do when it is opened, it does not.
func (f *folder) grip(path string) (*grip, error) {
	dir, name, err := f.parent(path)
	if err != nil {
		return nil, err
	}
	fd, err := openAt(dir, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return nil, f.wrong("open", path, err)
	}
	return &grip{fd: fd, path: filepath.Join(f.name, path)}, nil
}

// openAt is openat(2), for a descriptor that no other program inherits.
func openAt(dir int, name string, flags int) (fd int, err error) {
	err = uninterrupted(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// uninterrupted calls again what a signal ended.
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// folderTree reads files of this machine, with paths that count from dir.
func folderTree(dir string) (*tree, error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	return &tree{
		entry: func(_ context.Context, path string) (*treeEntry, error) {
			p, err := f.grip(path)
			if err != nil {
				return nil, err
			}
			e, err := p.entry()
			if err != nil {
				return nil, errors.Join(err, p.close())
			}
			return e, nil
		},
		close: f.close,
	}, nil
}

package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	drivefs "github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/index"
)

// grip is an entry of this machine that was taken hold of. All that is read of it and done to it is
// of this one, whatever takes its name meanwhile; a symbolic link is not followed.
type grip struct {
	fd   int
	path string // for messages
}

func (g *grip) close() error { return unix.Close(g.fd) }

// self is a path that leads to the entry itself. Calls that follow links end there, at a
// symbolic link too.
func (g *grip) self() string { return "/proc/self/fd/" + strconv.Itoa(g.fd) }

// wrong names the entry in an error of a call.
func (g *grip) wrong(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: g.path, Err: err}
}

// call is for calls of the file system: a signal does not end them, and their errors name the entry.
func (g *grip) call(op string, call func() error) error { return g.wrong(op, uninterrupted(call)) }

func (g *grip) stat() (st unix.Stat_t, err error) {
	err = g.call("stat", func() error { return unix.Fstat(g.fd, &st) })
	return st, err
}

// target reads a symbolic link.
func (g *grip) target() (string, error) {
	b := make([]byte, unix.PathMax)
	n := 0
	err := g.call("readlink", func() (err error) {
		n, err = unix.Readlinkat(g.fd, "", b)
		return err
	})
	return string(b[:max(n, 0)]), err
}

// entry reads what is kept of the entry.
func (g *grip) entry() (*treeEntry, error) {
	st, err := g.stat()
	if err != nil {
		return nil, err
	}
	e := &treeEntry{names: g.names, open: g.open, close: g.close}
	e.attr = treeAttr{
		mode: st.Mode, uid: st.Uid, gid: st.Gid, rdev: st.Rdev, size: st.Size, links: uint64(st.Nlink),
		is: identity{dev: st.Dev, ino: st.Ino}, atime: st.Atim, mtime: st.Mtim,
	}
	if e.attr.kind() == unix.S_IFLNK {
		if e.attr.target, err = g.target(); err != nil {
			return nil, err
		}
	}
	e.attr.xattrs, e.attr.unread = g.xattrs()
	return e, nil
}

// xattrs reads the attributes that are copied, and says why some cannot be.
func (g *grip) xattrs() (list []index.Xattr, unread error) {
	names, err := g.xattrNames()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !copiedXattr(name) {
			continue
		}
		value, err := g.xattr(name)
		switch {
		case errors.Is(err, unix.ENODATA): // removed meanwhile
		case err != nil:
			unread = err
		default:
			list = append(list, index.Xattr{Name: name, Value: value})
		}
	}
	return list, unread
}

// labelXattr is what SELinux goes by.
const labelXattr = "security.selinux"

// copiedXattr reports whether an attribute goes with a copy. What the drive tells of a file does not, and a
// label does with root only: another user's copies get theirs from the policy of the machine.
func copiedXattr(name string) bool {
	return !drivefs.IsOwnXattr(name) && (name != labelXattr || os.Geteuid() == 0)
}

// xattrNames returns none where the file system has no attributes.
func (g *grip) xattrNames() ([]string, error) {
	list, err := sized(func(b []byte) (int, error) { return unix.Listxattr(g.self(), b) })
	if unsupported(err) || len(list) == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, g.wrong("listxattr", err)
	}
	return strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00"), nil
}

func (g *grip) xattr(name string) ([]byte, error) {
	value, err := sized(func(b []byte) (int, error) { return unix.Getxattr(g.self(), name, b) })
	return value, g.wrong("getxattr "+name, err)
}

// smallXattr holds most values, and lists of names, in bytes.
const smallXattr = 1 << 10

// sized calls with a buffer that is long enough.
func sized(call func([]byte) (int, error)) ([]byte, error) {
	b := make([]byte, smallXattr)
	n := 0
	again := func() (err error) {
		n, err = call(b)
		return err
	}
	err := uninterrupted(again)
	if errors.Is(err, unix.ERANGE) {
		b = make([]byte, index.MaxXattrList)
		err = uninterrupted(again)
	}
	if err != nil {
		return nil, err
	}
	return slices.Clip(b[:n]), nil
}

func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS)
}

// names calls each for the names in the folder.
func (g *grip) names(_ context.Context, each func(string) error) (err error) {
	fd, err := openAt(g.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return g.wrong("open", err)
	}
	f := os.NewFile(uintptr(fd), g.path)
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

// open opens the content of a regular file, and of nothing else.
func (g *grip) open(context.Context) (*content, error) {
	st, err := g.stat()
	if err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, g.wrong("open", unix.EINVAL)
	}
	fd, err := openAt(unix.AT_FDCWD, g.self(), unix.O_RDONLY)
	if err != nil {
		return nil, g.wrong("open", err)
	}
	f := os.NewFile(uintptr(fd), g.path)
	return &content{
		read:  func(_ context.Context, b []byte, off int64) (int, error) { return f.ReadAt(b, off) },
		data:  func(_ context.Context, off int64) (from, to int64, err error) { return nextData(f, off) },
		close: f.Close,
	}, nil
}

// nextData returns the next range of a file that is no hole. Of a file that does not tell, or that has a length of
// zero and perhaps content all the same, as those of the kernel, it is all that can be read.
func nextData(f *os.File, off int64) (from, to int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	size := info.Size()
	if size == 0 && off == 0 {
		return 0, math.MaxInt64, nil
	}
	from, err = unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	if err == nil {
		to, err = unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
	}
	switch {
	case errors.Is(err, unix.ENXIO):
		return max(off, size), max(off, size), nil
	case errors.Is(err, unix.EINVAL), unsupported(err):
		return off, math.MaxInt64, nil
	}
	if err == nil && to <= from { // what was data has just become a hole
		to = from + copyBlock
	}
	return from, to, err
}

package integration

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// fileOps are the calls on open files, which a script gives names.
func fileOps() map[string]op {
	fd := func(f func(s *stage, fd int, a []string) (string, error)) op {
		return func(s *stage, a []string) (string, error) { return f(s, s.file(a[0]), a[1:]) }
	}
	return map[string]op{
		"open":  opOpen, // path, flags, [mode, [name]]
		"close": plain(func(s *stage, a []string) error { defer delete(s.files, a[0]); return unix.Close(s.file(a[0])) }),
		"fstat": fd(func(_ *stage, fd int, a []string) (string, error) {
			return statFields(a[0], func(st *unix.Stat_t) error { return unix.Fstat(fd, st) })
		}),
		"fchmod": fd(func(_ *stage, fd int, a []string) (string, error) { return "", unix.Fchmod(fd, uint32(number(a[0]))) }),
		"fchown": fd(func(_ *stage, fd int, a []string) (string, error) {
			return "", unix.Fchown(fd, number(a[0]), number(a[1]))
		}),
		"ftruncate": fd(func(_ *stage, fd int, a []string) (string, error) {
			return "", unix.Ftruncate(fd, int64(number(a[0])))
		}),
		"fallocate": fd(func(_ *stage, fd int, a []string) (string, error) {
			return "", unix.Fallocate(fd, uint32(flags(a[0], allocateNames)), int64(number(a[1])), int64(number(a[2])))
		}),
		"futimens": fd(func(_ *stage, fd int, a []string) (string, error) {
			return "", setTimes(fmt.Sprintf("/proc/thread-self/fd/%d", fd), a[0], a[1], 0)
		}),
		"fsync": fd(func(_ *stage, fd int, _ []string) (string, error) { return "", unix.Fsync(fd) }),
		"write": fd(func(_ *stage, fd int, a []string) (string, error) { return done(unix.Write(fd, []byte(a[0]))) }),
		"pwrite": fd(func(_ *stage, fd int, a []string) (string, error) {
			return done(unix.Pwrite(fd, []byte(a[1]), int64(number(a[0]))))
		}),
		"read": fd(func(_ *stage, fd int, a []string) (string, error) {
			return got(number(a[0]), func(b []byte) (int, error) { return unix.Read(fd, b) })
		}),
		"pread": fd(func(_ *stage, fd int, a []string) (string, error) {
			return got(number(a[1]), func(b []byte) (int, error) { return unix.Pread(fd, b, int64(number(a[0]))) })
		}),
		"lseek":  fd(opLseek),
		"seeks":  fd(opSeeks),
		"linkfd": fd(opLinkfd),
		"fsetxattr": fd(func(_ *stage, fd int, a []string) (string, error) {
			return "", unix.Fsetxattr(fd, a[0], []byte(a[1]), 0)
		}),
		"fgetxattr": fd(func(_ *stage, fd int, a []string) (string, error) {
			return got(100, func(b []byte) (int, error) { return unix.Fgetxattr(fd, a[0], b) })
		}),
		"copyrange": opCopyRange, // from, offset, to, offset, length
	}
}

func done(n int, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return fmt.Sprint(n), nil
}

func got(n int, read func([]byte) (int, error)) (string, error) {
	b := make([]byte, n)
	n, err := read(b)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%q", b[:n]), nil
}

// file returns the descriptor of an open file, or one that is none.
func (s *stage) file(name string) int {
	if fd, ok := s.files[name]; ok {
		return fd
	}
	return -1
}

func opOpen(s *stage, a []string) (string, error) {
	mode := 0
	if len(a) > 2 {
		mode = number(a[2])
	}
	fd, err := unix.Open(a[0], flags(a[1], openNames)|unix.O_CLOEXEC, uint32(mode))
	if err != nil {
		return "", err
	}
	if len(a) < 4 {
		return "", unix.Close(fd)
	}
	if old, ok := s.files[a[3]]; ok {
		_ = unix.Close(old)
	}
	s.files[a[3]] = fd
	return "", nil
}

// opLseek seeks, in a directory not: there an offset means what the file
// system likes, and the kernel answers for FUSE.
func opLseek(_ *stage, fd int, a []string) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return "", err
	}
	off, err := unix.Seek(fd, int64(number(a[0])), flags(a[1], whenceNames))
	if err != nil {
		return "", err
	}
	return fmt.Sprint(off), nil
}

// opSeeks tells whether what is called a hole from an offset on is zeros. Where
// room is reserved, or zeros were written, data may be told of or not, so that the position stays what it was.
func opSeeks(s *stage, fd int, a []string) (string, error) {
	off := int64(number(a[0]))
	before, err := unix.Seek(fd, 0, unix.SEEK_CUR)
	if err == nil {
		defer unix.Seek(fd, before, unix.SEEK_SET)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || off >= st.Size {
		_, seekErr := unix.Seek(fd, off, unix.SEEK_DATA)
		return fmt.Sprint(err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && errors.Is(seekErr, unix.ENXIO)), nil
	}
	data, err := unix.Seek(fd, off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		data = st.Size
	} else if err != nil {
		return "", err
	}
	hole, err := unix.Seek(fd, off, unix.SEEK_HOLE)
	if err != nil || hole < off || hole > st.Size || data < off || data > st.Size {
		return fmt.Sprintf("data at %d, hole at %d of %d", data, hole, st.Size), err
	}
	got := make([]byte, data-off)
	n, err := unix.Pread(fd, got, off)
	if errors.Is(err, unix.EBADF) {
		return "", nil // write only
	}
	return fmt.Sprint(n == len(got) && len(bytes.Trim(got, "\x00")) == 0), err
}

// opLinkfd gives an open file a name.
func opLinkfd(_ *stage, fd int, a []string) (string, error) {
	return "", unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/thread-self/fd/%d", fd), unix.AT_FDCWD, a[0], unix.AT_SYMLINK_FOLLOW)
}

func opCopyRange(s *stage, a []string) (string, error) {
	from, to := int64(number(a[1])), int64(number(a[3]))
	return done(unix.CopyFileRange(s.file(a[0]), &from, s.file(a[2]), &to, number(a[4]), 0))
}

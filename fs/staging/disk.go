package staging

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// disk makes the changes to files and folders, so that tests can let each of
// them fail or be the last one.
type disk struct {
	off   bool                     // no syncing
	fault func(op string) error    // nil outside tests
	torn  func(off, end int64) int // how much is written when fault stops a write; nil: nothing
}

func (k *disk) check(op string) error {
	if k.fault == nil {
		return nil
	}
	return k.fault(op)
}

// pwrite writes all of p, or returns how much of it was written.
func (k *disk) pwrite(f *os.File, p []byte, off int64) (int, error) {
	if err := k.check("pwrite"); err != nil {
		if k.torn == nil {
			return 0, err
		}
		n, werr := f.WriteAt(p[:k.torn(off, off+int64(len(p)))], off)
		return n, errors.Join(err, werr)
	}
	return f.WriteAt(p, off)
}

func (k *disk) truncate(f *os.File, size int64) error {
	if err := k.check("truncate"); err != nil {
		return err
	}
	return f.Truncate(size)
}

// punch makes a range a hole, or zeros where the file system has no holes.
func (k *disk) punch(f *os.File, off, n int64) error {
	if err := k.check("punch"); err != nil {
		return err
	}
	err := retry(func() error {
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
	if !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	zeros := make([]byte, 1<<20)
	for n > 0 {
		part := min(n, int64(len(zeros)))
		if _, err := f.WriteAt(zeros[:part], off); err != nil {
			return err
		}
		off, n = off+part, n-part
	}
	return nil
}

// reserve allocates a range without changing the size, where the file system can.
func (k *disk) reserve(f *os.File, off, n int64) error {
	if err := k.check("reserve"); err != nil {
		return err
	}
	err := retry(func() error { return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, n) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// empty cuts a file to nothing.
func (k *disk) empty(path string) error {
	if err := k.check("truncate"); err != nil {
		return err
	}
	return os.Truncate(path, 0)
}

func (k *disk) setMtime(path string, ns int64) error {
	if err := k.check("setMtime"); err != nil {
		return err
	}
	omit := unix.Timespec{Nsec: unix.UTIME_OMIT}
	t := time.Unix(0, ns)
	times := [2]unix.Timespec{omit, {Sec: t.Unix(), Nsec: int64(t.Nanosecond())}}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, times[:], 0)
}

func (k *disk) create(path string) (*os.File, error) {
	if err := k.check("create"); err != nil {
		return nil, err
	}
	return openFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

// openFile is os.OpenFile without an attempt to wait for the file by epoll(7), which
// costs five more calls of the kernel.
func openFile(path string, flags int) (*os.File, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC|unix.O_LARGEFILE, 0o600)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (k *disk) rename(from, to string) error {
	if err := k.check("rename"); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// remove deletes a file; there need not be one.
func (k *disk) remove(path string) error {
	if err := k.check("remove"); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// syncWithTime is sync for the times of the file too.
func (k *disk) syncWithTime(f *os.File) error {
	if err := k.check("syncWithTime"); err != nil || k.off {
		return err
	}
	return retry(func() error { return unix.Fsync(int(f.Fd())) })
}

// sync brings data and size to stable storage.
func (k *disk) sync(f *os.File) error {
	if err := k.check("sync"); err != nil || k.off {
		return err
	}
	return retry(func() error { return unix.Fdatasync(int(f.Fd())) })
}

// syncDir brings the names in a folder to stable storage.
func (k *disk) syncDir(path string) (err error) {
	if err := k.check("syncDir"); err != nil || k.off {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}

// syncFS brings the whole file system that holds a folder to stable storage.
func (k *disk) syncFS(path string) (err error) {
	if err := k.check("syncFS"); err != nil || k.off {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return unix.Syncfs(int(f.Fd()))
}

func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// seek finds data (SEEK_DATA) or a hole (SEEK_HOLE) from off on, size when
// there is none before it.
func seek(f *os.File, off, size int64, whence int) (int64, error) {
	if off >= size {
		return size, nil
	}
	pos, err := unix.Seek(int(f.Fd()), off, whence)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, nil
	case errors.Is(err, unix.EINVAL): // no SEEK_DATA here: everything is data
		if whence == unix.SEEK_DATA {
			return off, nil
		}
		return size, nil
	case err != nil:
		return 0, err
	}
	return min(pos, size), nil
}

// allocated returns how many bytes a file takes on disk.
func allocated(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512 // Source: stat(2), the unit of st_blocks
	}
	return info.Size()
}

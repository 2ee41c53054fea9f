package node

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate reserves the disk blocks of the first size bytes of f and makes it
// that long, so that no later write inside them can find the disk full. File
// systems that cannot do it only get the length: there ENOSPC comes from the
// writes or from fsync, which is still before anything is signed.
func allocate(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	for errors.Is(err, unix.EINTR) {
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	}
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return f.Truncate(size)
	}
	return err
}

// evict drops the clean pages of f.
func evict(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }

// space returns the size of the file system of dir and what is free for this user.
func space(dir string) (total, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize, nil
}

//go:build !linux

package node

import (
	"os"

	"golang.org/x/sys/unix"
)

// allocate only sets the length: a full disk shows in the writes or in fsync.
func allocate(f *os.File, size int64) error { return f.Truncate(size) }

// evict does nothing here.
func evict(*os.File) {}

// space returns the size of the file system of dir and what is free for this user.
func space(dir string) (total, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Blocks) * int64(st.Bsize), int64(st.Bavail) * int64(st.Bsize), nil
}

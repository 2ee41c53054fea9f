package staging

import (
	"errors"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/index"
)

// Making a file shorter takes some blocks of the disk: a map, a staging file for one that is not here.
// On a disk that others have filled they come from a file that is kept for that.
const (
	reserveFile = "reserve"
	reserveSize = 1 << 20  // bytes
	reserveStep = 64 << 10 // that are given up at a time: the files of an inode and their folders take less
)

// Reserve returns the name of the file that Open makes in a staging folder to keep some disk. It has no content of anybody.
func Reserve(dir string) string { return filepath.Join(dir, reserveFile) }

// reserve is disk that is kept for what makes room.
type reserve struct {
	mu   sync.Mutex // guards the fields below
	path string
	size int64 // of the file
}

// MakeRoom runs do, which makes a file shorter. On a full disk it is run again, with a part
// of the disk that is kept for that given up each time. Do has to be fit to be repeated.
func (d *Dir) MakeRoom(do func() error) error {
	err := do()
	for isFull(err) && d.reserve.giveUp() {
		err = do()
	}
	d.reserve.fill()
	return err
}

// isFull tells whether an error says that there is no room on the disk.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, index.ErrFull)
}

// open finds the reserve in a staging folder, or makes it.
func (r *reserve) open(dir string) {
	r.path = Reserve(dir)
	if info, err := os.Stat(r.path); err == nil {
		r.size = info.Size()
	}
	r.fill()
}

// giveUp makes a part of the reserve free. It reports false when nothing is left.
func (r *reserve) giveUp() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size == 0 {
		return false
	}
	next := max(0, r.size-reserveStep)
	if os.Truncate(r.path, next) != nil {
		return false
	}
	r.size = next
	return true
}

// fill brings the reserve back to its size, as far as there is room. That there is none, or that the
// file system cannot do it, is no error.
func (r *reserve) fill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size >= reserveSize {
		return
	}
	f, err := openFile(r.path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return
	}
	defer f.Close()
	for r.size < reserveSize {
		n := min(reserveStep, reserveSize-r.size)
		if retry(func() error { return unix.Fallocate(int(f.Fd()), 0, r.size, n) }) != nil {
			_ = f.Truncate(r.size) // what was allocated of it goes back
			return
		}
		r.size += n
	}
}

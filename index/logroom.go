package index

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// logRoom is how many bytes of disk are kept for the log beyond its end. On a
// disk that others have filled some hundred deletions go through with it, and
// make room.
const logRoom = 4 << 20

// keepRoom allocates the log's next bytes, without making it longer, when half
// of what was kept is used up. That there is no room, or that the file system
// cannot do it, is no error. The caller holds mu.
func (db *DB) keepRoom() {
	info, err := os.Stat(db.path + logSuffix)
	if err == nil && info.Size()+logRoom/2 <= db.roomEnd {
		return
	}
	if err == nil {
		err = allocate(db.path+logSuffix, info.Size(), logRoom)
	}
	if err != nil {
		db.log.Debug("no room is kept for the index log", "err", err)
		return
	}
	db.roomEnd = info.Size() + logRoom
}

// allocate reserves n bytes of disk for a file from an offset on.
func allocate(path string, off, n int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, n), f.Close())
}

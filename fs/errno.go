package fs

import (
	"errors"
	"syscall"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// errnos is the only table from errors to what programs see. The first that
// fits counts.
var errnos = []struct {
	err   error
	errno syscall.Errno
}{
	{index.ErrNotExist, syscall.ENOENT},
	{index.ErrExist, syscall.EEXIST},
	{index.ErrNotDir, syscall.ENOTDIR},
	{index.ErrIsDir, syscall.EISDIR},
	{index.ErrNotEmpty, syscall.ENOTEMPTY},
	{index.ErrLoop, syscall.EINVAL},
	{index.ErrName, syscall.EINVAL},
	{index.ErrNameLong, syscall.ENAMETOOLONG},
	{index.ErrLinks, syscall.EMLINK},
	{index.ErrRange, syscall.EINVAL},
	{index.ErrNoAttr, syscall.ENODATA},
	{index.ErrAttrSize, syscall.E2BIG},
	{index.ErrAttrRoom, syscall.ENOSPC}, // Source: setxattr(2)
	{index.ErrFull, syscall.ENOSPC},
	{staging.ErrTooLarge, syscall.EFBIG},
	{ErrNoRoom, syscall.ENOSPC},
	{ErrQuota, syscall.EDQUOT},
	{ErrReadOnly, syscall.EROFS},
	{errInterrupted, syscall.EINTR},
	{errOwn, syscall.EPERM},
	{errPinValue, syscall.EINVAL},
	{errNoSupport, syscall.EOPNOTSUPP},
	{ErrOnlyCopy, syscall.EBUSY},
	{errBackground, syscall.EACCES},

	// What the disk below staging says and programs know how to take.
	{syscall.ENOSPC, syscall.ENOSPC},
	{syscall.EDQUOT, syscall.ENOSPC},
	{syscall.EROFS, syscall.EROFS},
	{syscall.EFBIG, syscall.EFBIG},
	{syscall.ENAMETOOLONG, syscall.ENAMETOOLONG},
	{syscall.EMFILE, syscall.ENFILE}, // ours, not the program's
}

// errno returns what a program sees of an error. What is not in the table is
// EIO, and logged here.
func (fs *FS) errno(op string, ino index.Ino, err error) syscall.Errno {
	if err == nil {
		return 0
	}
	for _, e := range errnos {
		if errors.Is(err, e.err) {
			return e.errno
		}
	}
	fs.log.Error("request failed", "op", op, "ino", uint64(ino), "err", err)
	return syscall.EIO
}

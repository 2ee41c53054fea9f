// Package staging keeps the bytes of a drive that are not certified yet, and
// the clean local copies of those that are.
package staging

import (
	"context"
	"errors"
	"log/slog"

	"github.com/walfs/walfs/index"
)

// BlockSize is the granularity, in bytes, of what staging holds.
const BlockSize = 4096

// The errors that callers branch on.
var (
	ErrBusy     = errors.New("staging file is in use")
	ErrNotExist = errors.New("not in staging")
	ErrCorrupt  = errors.New("block map is damaged")
)

// Config is what Open needs.
type Config struct {
	Dir string
	// MarkDirty raises the version of an inode in the index and returns it. It
	// runs before the first write after the file was opened, and after a Pack.
	MarkDirty func(ctx context.Context, ino index.Ino) (uint64, error)
	// Version returns the live version of an inode. A Pack asks for it when
	// the file was not written since it was opened; nil: it marks the inode.
	Version func(ctx context.Context, ino index.Ino) (uint64, error)
	// Cut makes a state durable, like index.Barrier, before staging gives up
	// bytes that an earlier barrier vouched for. Nil: nothing to do.
	Cut func(ctx context.Context, h index.Held) error
	// NoSync leaves out all syncing to disk, for tests.
	NoSync bool
	Log    *slog.Logger
}

// Dir is the staging folder of a drive.
type Dir struct{}

var errUnfinished = errors.New("not there yet")

// Open opens the folder or creates it.
func Open(c Config) (*Dir, error) { return nil, errUnfinished }

// Close closes what is open. Files that are still in use become unusable.
func (d *Dir) Close() error { return errUnfinished }

// Shape is what the index knows of a file when staging begins to hold it.
type Shape struct {
	Size    int64
	Mtime   int64  // Unix time in nanoseconds
	Base    int64  // length of published content that shows through; 0: none
	Version uint64 // the index marked this version dirty just now; 0: it did not
}

// File opens what staging holds of an inode, or begins to hold it. The caller releases it.
func (d *Dir) File(ctx context.Context, ino index.Ino, s Shape) (*File, error) {
	return nil, errUnfinished
}

// Lookup opens what staging holds of an inode, if anything. The caller releases it.
func (d *Dir) Lookup(ino index.Ino) (*File, bool, error) { return nil, false, errUnfinished }

// Remove deletes what staging holds of an inode. ErrBusy: it is in use.
func (d *Dir) Remove(ino index.Ino) error { return errUnfinished }

// Discard deletes what staging holds of an inode, once it is no longer in use.
func (d *Dir) Discard(ino index.Ino) error { return errUnfinished }

// Shelve moves what staging holds of an inode that nobody knows to lost+found.
func (d *Dir) Shelve(ino index.Ino) error { return errUnfinished }

// Inos returns the inodes of which staging holds something, in ascending order.
func (d *Dir) Inos() []index.Ino { return nil }

// Bytes returns about how much room the files take, clean copies included.
func (d *Dir) Bytes() int64 { return 0 }

// Free returns the room that the disk has left, in bytes.
func (d *Dir) Free() (int64, error) { return 0, errUnfinished }

// Unsynced returns the inodes whose data may not be on stable storage yet.
func (d *Dir) Unsynced() []index.Ino { return nil }

// SyncAll brings the data of the inodes to stable storage.
func (d *Dir) SyncAll(inos []index.Ino) error { return errUnfinished }

// Restrict makes a file be what a barrier wrote down of it, after a reboot.
func (d *Dir) Restrict(h index.Held) error { return errUnfinished }

// Adopt makes a file without published content be what its data is, after a reboot.
func (d *Dir) Adopt(ino index.Ino) error { return errUnfinished }

// PutOutbox keeps the bytes of a sealed segment; they are on stable storage when it returns.
func (d *Dir) PutOutbox(number uint64, b []byte) error { return errUnfinished }

// Outbox returns the bytes of a sealed segment, or ErrNotExist.
func (d *Dir) Outbox(number uint64) ([]byte, error) { return nil, errUnfinished }

// RemoveOutbox deletes a sealed segment; there need not be one.
func (d *Dir) RemoveOutbox(number uint64) error { return errUnfinished }

// ListOutbox returns the numbers of the sealed segments, in ascending order.
func (d *Dir) ListOutbox() ([]uint64, error) { return nil, errUnfinished }

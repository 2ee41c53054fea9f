// Package fs answers the kernel: it serves a drive as a FUSE file system.
package fs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// Blobs reads certified blobs, or such as are on their way.
type Blobs interface {
	// ReadAt reads len(p) bytes of a blob at off. It verifies them against the
	// blob ID, and gives less only together with an error.
	ReadAt(ctx context.Context, blob walrus.BlobID, p []byte, off int64) (int, error)
}

// ErrNoRoom is what Room.Take returns when writing would use up the room that
// draining needs. The writer gets ENOSPC.
var ErrNoRoom = errors.New("no room left")

// Room says how much may be written.
type Room struct {
	Take  func(n int64) error // called before n bytes are staged; nil: as the disk has
	Space func() Space        // for statfs, from memory; nil: the staging disk
}

// Space is what statfs shows, in bytes.
type Space struct {
	Total, Free int64
}

// Config is what New needs. Room, Wake, Log and ReadTimeout may be zero.
type Config struct {
	Index       *index.DB
	Staging     *staging.Dir
	Blobs       Blobs
	Keys        *seal.Keyring
	Wake        func() // a job was queued; must not block
	Room        Room
	Log         *slog.Logger
	ReadTimeout time.Duration // until a read gives up; 0: 30 s
}

// FS is a drive as a file system.
type FS struct{}

// New makes a file system of a drive's parts. Recover comes before Mount.
func New(c Config) (*FS, error) { return nil, errUnfinished }

var errUnfinished = errors.New("not there yet")

// Recovered is what Recover found.
type Recovered struct {
	Queued  int // files with changes that were not packed
	Reaped  int // files that were deleted while open
	Shelved int // staging files that no inode knows, moved to lost+found
	Lost    int // files whose local bytes are gone and were the only ones
}

// Recover brings staging and index together after a stop of any kind. Rebooted
// is what index.Boot said.
func (fs *FS) Recover(ctx context.Context, rebooted bool) (Recovered, error) {
	return Recovered{}, errUnfinished
}

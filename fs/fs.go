// Package fs answers the kernel: it serves a drive as a FUSE file system.
//
// Names and attributes are rows of the index, in which each change is made
// before its reply. Content that is being written lies in staging, content
// that was published in the segments that the index names, and a read puts the
// two together. A request never waits for the network, but for a read (or a
// write of a part of a block) of content that is not here.
//
// A file is found by the call that one looks for: node_dir.go has names,
// node_open.go opens, node_attr.go and node_xattr.go attributes, handle.go
// what is done to an open file, read.go and readahead.go the way to content.
// file.go keeps what is known of a file while somebody uses it.
package fs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
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

// The errors of this package.
var (
	// ErrNoRoom is what Room.Take returns when writing would use up the room
	// that draining needs. The writer gets ENOSPC.
	ErrNoRoom = errors.New("no room left")
	// ErrReadOnly refuses changes after SetReadOnly.
	ErrReadOnly = errors.New("drive is read-only")

	errLost        = errors.New("the only copy is gone")
	errTimeout     = errors.New("content did not arrive in time")
	errInterrupted = errors.New("interrupted")
)

// Room says how much may be written.
type Room struct {
	Take  func(n int64) error // called before n bytes are staged; nil: as the disk has
	Space func() Space        // for statfs, from memory; nil: the staging disk
	Spare func() int64        // how many bytes Take would grant, from memory; nil: what the staging disk has
	Quota int64               // bytes that all files may be long together; 0: no limit
}

// Space is what statfs shows, in bytes.
type Space struct {
	Total, Free int64
}

// Config is what New needs. Wake, Room, Log and all that follow may be zero.
type Config struct {
	Index       *index.DB
	Staging     *staging.Dir
	Blobs       Blobs
	Keys        *seal.Keyring
	Wake        func() // a job was queued; must not block
	Room        Room
	Log         *slog.Logger  // nil means silent
	ReadTimeout time.Duration // until a read gives up; 0: DefaultReadTimeout
	Readahead   int64         // bytes in memory for what is read ahead; 0: DefaultReadahead
	Background  Background    // what thumbnailers and indexers may fetch
}

// DefaultReadTimeout is how long a fetch waits for content that is not here.
// With what the kernel asks again, see patience, a read(2) ends within 30 s.
const DefaultReadTimeout = 28 * time.Second

// FS is a drive as a file system.
type FS struct {
	cfg      Config
	log      *slog.Logger
	readOnly atomic.Bool
	keys     openers
	quota    quota
	windows  chan struct{} // one for each window that may be in memory
	ahead    chan struct{} // one for each window that is being read
	streams  atomic.Int64  // readers who are read ahead of
	turns    turns

	neighbours neighbours
	background background

	kicks  chan struct{} // something changed that no barrier has covered
	kicked atomic.Bool
	synced []index.Held  // that no barrier has taken yet; the flusher's own
	rest   time.Duration // from a change to the flush that follows: flushEvery

	// deadline returns the context of one fetch; stop ends them all.
	deadline func(time.Duration) (context.Context, context.CancelFunc)
	patience patience
	stop     context.CancelFunc

	// certifier is what fsync waits for besides; nil: nothing. Waits for it end
	// with stopCertifying.
	certifier      func(context.Context, index.Ino) error
	untilEnding    func() (context.Context, context.CancelFunc)
	stopCertifying context.CancelFunc

	shown Shown // this and what follows is set before the mount
	hooks Hooks

	counters counters

	fetches sync.WaitGroup
	burials sync.WaitGroup

	ended   ended
	passing passing
	root    atomic.Pointer[node] // of the mount

	mu       sync.RWMutex           // guards the fields below
	inUse    map[index.Ino]*file    // regular files with an open handle
	unlinked map[index.Ino]bool     // no link left, not reaped; true: the kernel has forgotten it
	served   bool                   // to the kernel
	dead     []index.Ino            // inodes to be reaped that gather
	burying  int                    // inodes that are being reaped
	touched  map[index.Ino]struct{} // clean copies that were used
	stuck    []*file                // closed, but not queued
	stopped  bool                   // no more fetches
}

// New makes a file system of a drive's parts. Recover comes before Mount.
func New(c Config) (*FS, error) {
	if c.Index == nil || c.Staging == nil || c.Blobs == nil || c.Keys == nil {
		return nil, fmt.Errorf("new file system: index, staging, blobs and keys are required")
	}
	if c.ReadTimeout == 0 {
		c.ReadTimeout = DefaultReadTimeout
	}
	if c.Readahead == 0 {
		c.Readahead = DefaultReadahead
	}
	if c.Wake == nil {
		c.Wake = func() {}
	}
	fs := &FS{
		cfg: c, log: c.Log,
		windows:  make(chan struct{}, max(1, c.Readahead/windowSize)),
		ahead:    make(chan struct{}, windowsTogether),
		kicks:    make(chan struct{}, 1),
		rest:     flushEvery,
		inUse:    map[index.Ino]*file{},
		unlinked: map[index.Ino]bool{},
		touched:  map[index.Ino]struct{}{},
		passing:  passing{lent: map[*file]struct{}{}, wakes: make(chan struct{}, 1)},
	}
	fs.quota.limit = c.Room.Quota
	fs.background.mode = c.Background
	if fs.log == nil {
		fs.log = slog.New(slog.DiscardHandler)
	}
	base, stop := context.WithCancel(context.Background())
	fs.stop = stop
	mounted, end := context.WithCancel(context.Background())
	fs.stopCertifying = end
	fs.untilEnding = func() (context.Context, context.CancelFunc) { return context.WithCancel(mounted) }
	fs.deadline = func(d time.Duration) (context.Context, context.CancelFunc) { return context.WithTimeout(base, d) }
	return fs, nil
}

// SetReadOnly refuses changes from now on, or allows them again: EROFS. What
// was changed before stays in staging.
func (fs *FS) SetReadOnly(on bool) { fs.readOnly.Store(on) }

// change is called before anything is changed. It makes sure that a barrier
// follows within flushEvery, whoever asks for one or not.
func (fs *FS) change() error {
	if fs.readOnly.Load() {
		return ErrReadOnly
	}
	fs.kick()
	return nil
}

func (fs *FS) kick() {
	if !fs.kicked.CompareAndSwap(false, true) {
		return
	}
	select {
	case fs.kicks <- struct{}{}:
	default:
	}
}

// take asks for room to stage n bytes.
func (fs *FS) take(n int64) error {
	if fs.cfg.Room.Take == nil {
		return nil
	}
	return fs.cfg.Room.Take(n)
}

// spare returns how many bytes may be staged.
func (fs *FS) spare() int64 {
	if fs.cfg.Room.Spare != nil {
		return fs.cfg.Room.Spare()
	}
	free, err := fs.cfg.Staging.Free()
	if err != nil {
		return 0
	}
	return free
}

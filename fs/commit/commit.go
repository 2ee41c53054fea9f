// Package commit turns staged files into certified blobs.
package commit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// The errors that callers branch on.
var (
	// ErrTakenOver reports that another machine writes this drive now. The
	// drive must be served read-only.
	ErrTakenOver = errors.New("another machine has taken over the drive")
	// ErrNoAnchor reports a drive whose anchor is not on the ledger.
	ErrNoAnchor = errors.New("drive has no anchor on the ledger")
	// ErrOutboxLost reports a segment whose sealed bytes are gone or damaged.
	ErrOutboxLost = errors.New("sealed segment is lost")
)

// Config says what a committer works with. All but Policy, Stage and Log are required.
type Config struct {
	Index   *index.DB
	Staging *staging.Dir
	Blobs   *blobstore.Client
	Keys    *seal.Keyring
	Ledger  chain.Ledger
	Policy  Policy
	Stage   func(name string) // called at each stage of a segment, for tests; nil: none
	Log     *slog.Logger      // nil means silent
}

// Policy says when and how segments are made. Zero fields mean the defaults.
type Policy struct {
	Quiet    time.Duration // without changes before a segment is cut
	MaxAge   time.Duration // of the oldest change when a segment is cut
	OpenAge  time.Duration // after which a file that stays open for writing is packed
	Fill     int64         // bytes waiting that make a segment due at once; 0: a full segment
	Epochs   uint32        // of storage to pay for
	Parallel int           // Puts at a time
}

// Committer packs, stores and certifies what is staged. Its methods may be called concurrently.
type Committer struct{}

var errUnfinished = errors.New("not there yet")

// New makes a committer of the drive in cfg.Index. Nothing happens before Recover and Run.
func New(ctx context.Context, cfg Config) (*Committer, error) { return nil, errUnfinished }

// Recover brings outbox and index together after a crash. It needs no
// network; call it once before Run and before files are opened for writing.
func (c *Committer) Recover(ctx context.Context) error { return errUnfinished }

// Reconcile compares the anchor on the ledger with the index and adopts what
// this machine wrote and did not record. ErrTakenOver, ErrNoAnchor. Run does it too.
func (c *Committer) Reconcile(ctx context.Context) error { return errUnfinished }

// Run commits until ctx ends and then returns nil. It returns ErrTakenOver
// when this machine may no longer write.
func (c *Committer) Run(ctx context.Context) error { return errUnfinished }

// Wake tells that something changed in the index.
func (c *Committer) Wake() {}

// Anchor returns how the drive's anchor moves when these blobs are certified,
// or nil. It is what blobstore.Config.Anchor calls.
func (c *Committer) Anchor(ctx context.Context, certifying []walrus.BlobID) (*chain.AnchorUpdate, error) {
	return nil, errUnfinished
}

// CreateAnchor makes the anchor of the drive in db on the ledger, once: it may
// be called again after a failure. chain.ErrNoFunds.
func CreateAnchor(ctx context.Context, ledger chain.Ledger, db *index.DB, keys *seal.Keyring) error {
	return errUnfinished
}

// Progress says how far a Drain has come.
type Progress struct {
	Files, FilesTotal int
	Bytes, BytesTotal int64
}

// PendingError reports what a Drain had to leave behind, and why.
type PendingError struct {
	Count int      // files and names that are not certified
	Paths []string // the first of them
	Err   error
}

func (e *PendingError) Error() string { return fmt.Sprintf("%d not certified: %v", e.Count, e.Err) }

// Unwrap returns the reason.
func (e *PendingError) Unwrap() error { return e.Err }

// Drain waits until all that existed when it was called is certified and the
// anchor names it, files open for writing included. It returns a *PendingError
// when that cannot be reached, or when ctx ends before.
func (c *Committer) Drain(ctx context.Context, progress func(Progress)) error { return errUnfinished }

// Status says what a committer is at.
type Status struct {
	Jobs       int    // files waiting to be packed
	InFlight   int    // segments packed and not certified
	Generation uint64 // named by the anchor
	Dirty      int64  // bytes of files, by state
	Staged     int64
	Storing    int64
	Certified  int64
	LastError  string
	Problems   []string // what needs a person
}

// Status returns what the committer is at.
func (c *Committer) Status(ctx context.Context) (Status, error) { return Status{}, errUnfinished }

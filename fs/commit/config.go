package commit

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// MustStop reports whether an error means that this machine may not write the
// drive any more, until a person does something: ErrTakenOver, ErrRolledBack, ErrCopied.
func MustStop(err error) bool {
	return errors.Is(err, ErrTakenOver) || errors.Is(err, ErrRolledBack) || errors.Is(err, ErrCopied)
}

// The errors that callers branch on.
var (
	// ErrTakenOver reports that another machine writes this drive now. The
	// drive must be served read-only.
	ErrTakenOver = errors.New("another machine has taken over the drive")
	// ErrRolledBack reports a ledger that says less of the drive than this
	// machine has written: it was put back to an earlier state, or it lies. The
	// drive must be served read-only.
	ErrRolledBack = errors.New("the ledger was rolled back: it says less of the drive than this machine has certified")
	// ErrCopied reports a state folder of which there may be another copy that
	// writes the drive. The drive must be served read-only.
	ErrCopied = errors.New("state folder is a copy")
	// ErrNoAnchor reports a drive whose anchor is not on the ledger.
	ErrNoAnchor = errors.New("drive has no anchor on the ledger")
	// ErrOutboxLost reports a segment whose sealed bytes are gone or damaged,
	// and which cannot be made again since staged content is lost too.
	ErrOutboxLost = errors.New("sealed segment is lost")
	// ErrStagingLost reports a file whose staged content is gone.
	ErrStagingLost = errors.New("staged content is lost")
	// ErrStopped reports that Run has returned.
	ErrStopped = errors.New("committer has stopped")
	// ErrTrailerTooLong reports more changed names than an anchor's window can lead to.
	ErrTrailerTooLong = errors.New("trailer spans too many segments")
)

// Config says what a committer works with. All but Policy, Claim, Keep, Stage and Log are required.
type Config struct {
	Index   *index.DB
	Staging *staging.Dir
	Blobs   *blobstore.Client
	Keys    *seal.Keyring
	Ledger  chain.Ledger
	Policy  Policy
	// Claim makes sure, once the ledger has said that this machine is the drive's
	// writer, that no other state folder is this machine too: ErrCopied. Nil: none is.
	Claim func() error
	// Keep takes over files that are certified as clean copies. Nil: all are taken.
	Keep func(ctx context.Context, copies ...index.KeptCopy) error
	// Stage is called before and after each step of a segment, for crash
	// tests: before-outbox, after-outbox, after-commit, and before and after
	// each of register, store, certify and finish. Nil: nothing is called.
	Stage func(name string)
	Log   *slog.Logger // nil means silent
}

// Policy says when and how segments are made. A zero field means its default.
type Policy struct {
	Quiet    time.Duration // without changes until a segment is cut
	MaxAge   time.Duration // of the oldest change when a segment is cut
	OpenAge  time.Duration // after which a file that stays open for writing is packed; see openFor
	Fill     int64         // bytes waiting that make a segment due at once, but see crowdFills; 0: a full segment
	Outbox   int64         // bytes of sealed segments that may wait to be certified and anchored
	Epochs   uint32        // of storage to pay for
	Parallel int           // Puts at a time
	Files    int           // that a segment completes at most; each stays open until it is cut
	// FullAfter is what replaying trailers may cost a restore, in bytes as
	// index.ReplayCost counts, before a full snapshot is stored; 0: what pays.
	FullAfter int64
}

// The defaults of a Policy: those of an embedded drive.
const (
	DefaultQuiet    = time.Second
	DefaultMaxAge   = 30 * time.Second
	DefaultOpenAge  = 5 * time.Minute
	DefaultOutbox   = 256 << 20
	DefaultEpochs   = 26
	DefaultParallel = 2
)

func (p *Policy) setDefaults(capacity int64) {
	for field, value := range map[*time.Duration]time.Duration{
		&p.Quiet: DefaultQuiet, &p.MaxAge: DefaultMaxAge, &p.OpenAge: DefaultOpenAge,
	} {
		if *field <= 0 {
			*field = value
		}
	}
	if p.Fill <= 0 {
		p.Fill = capacity
	}
	if p.Outbox <= 0 {
		p.Outbox = DefaultOutbox
	}
	if p.Epochs == 0 {
		p.Epochs = DefaultEpochs
	}
	if p.Parallel <= 0 {
		p.Parallel = DefaultParallel
	}
	if p.Files <= 0 {
		p.Files = filesAtOnce()
	}
}

// maxFiles is how many files a segment completes where the process may have any number open.
const maxFiles = 16384

// filesAtOnce returns how many files the packer may have open: a quarter of
// what the process may, since programs that use the mount need most of it.
func filesAtOnce() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur/4 > maxFiles {
		return maxFiles
	}
	return max(1, int(limit.Cur/4))
}

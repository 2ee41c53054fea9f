package keep

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// The errors of a restore that callers branch on, besides those of index, blobstore and seal.
var (
	// ErrNoAnchor reports that the wallet holds no anchor of the drive that its key signed.
	ErrNoAnchor = errors.New("no anchor of this drive in the wallet")
	// ErrBusy reports a drive whose writer is at work all the time: stop it first.
	ErrBusy = errors.New("another machine is writing the drive")
	// ErrNoGeneration reports that what was asked for was never there; the error is a *NoGenerationError.
	ErrNoGeneration = errors.New("no generation is that old")
	// ErrCollected reports an older generation of which segments were deleted since.
	ErrCollected = errors.New("what is older was collected as garbage")
	// ErrRolledBack reports a ledger that says less of the drive than it said
	// before: it was restored from a copy, or it lies.
	ErrRolledBack = errors.New("the ledger says less of the drive than it did before")
)

// NoGenerationError is ErrNoGeneration with what is there instead.
type NoGenerationError struct {
	Asked      At
	Generation uint64    // the newest one, if a newer one was asked for, else the oldest one
	Time       time.Time // when that was cut, or, of the newest one, stored
}

func (e *NoGenerationError) Error() string {
	if e.TooNew() {
		return fmt.Sprintf("there is no generation %d", e.Asked.Generation)
	}
	return ErrNoGeneration.Error()
}

// Unwrap returns ErrNoGeneration.
func (e *NoGenerationError) Unwrap() error { return ErrNoGeneration }

// TooNew reports whether a generation was asked for that is yet to come.
func (e *NoGenerationError) TooNew() bool { return e.Asked.Generation > e.Generation }

// RestoreConfig says which drive to restore, and where. Ledger, Blobs, Keys and Path are required.
type RestoreConfig struct {
	Ledger   chain.Ledger
	Blobs    *blobstore.Client
	Keys     *seal.Keyring
	Drive    [16]byte     // its ID; zero: the one whose anchor says most
	Path     string       // of the new index file
	Staging  *staging.Dir // what it holds goes to lost+found; nil: nothing is there
	ReadOnly bool         // leave the drive to its writer: this machine must not write
	At       At           // an older generation; needs ReadOnly
	// TakeOver decides, given who wrote the anchor last, whether this machine becomes the writer; nil: yes, unless ReadOnly.
	TakeOver func(last [16]byte) bool
	Writer   [16]byte // this machine's new ID; zero: a random one
	// AcceptLoss takes the drive over although its newest generations cannot be
	// read, and goes on from an older one: what they said is given up.
	AcceptLoss bool
	Verify     bool           // read all content from the nodes, to find out what is lost
	Seen       Seen           // the most that this machine knows of the drive
	Progress   func(Progress) // called from time to time, by one goroutine; may be nil
	// Stage is called for crash tests, once the ledger names this machine and
	// once the index is in its place: after-take, after-restored. Nil: nothing is called.
	Stage func(name string)
	Log   *slog.Logger // nil means silent
}

// Seen is what the ledger has once said of a drive; the zero value: nothing yet.
type Seen struct {
	Generation uint64
	Head       walrus.BlobID
	Object     walrus.ObjectID // the anchor
	Version    uint64          // of it
	Time       time.Time       // that it says
}

// Progress says how far a restore is.
type Progress struct {
	Step        string // what is done now: StepRead, StepReplay, StepVerify
	Done, Total int    // generations or segments; Total 0: not known
	Bytes       int64  // of trailers, or of segments verified
}

// The steps of a restore, in order.
const (
	StepRead   = "read"   // trailers, downwards
	StepReplay = "replay" // trailers, upwards
	StepVerify = "verify" // segments
)

// At names an older generation; the zero value means the newest.
type At struct {
	Generation uint64    // this one, or the last one before it
	Time       time.Time // the last one that was cut by then, unless Generation is set
}

// Report says what a restore brought back.
type Report struct {
	Drive       [16]byte
	LastWriter  [16]byte  // who wrote the anchor before this
	Generation  uint64    // the newest that was there
	Generations int       // that were read; a full snapshot counts as one
	Time        time.Time // when the newest was cut
	Inodes      int64
	Bytes       int64    // sizes of the files
	Problems    []string // what was refused or made harmless

	Newest     uint64         // the generation that the anchor names
	Writer     bool           // this machine is the drive's writer now
	Before     Seen           // what the ledger said before
	Anchor     Seen           // and says now
	Passed     []Passed       // generations that cannot be read, newest first
	Salvaged   []SalvagedFile // that readable generations above those told of; at most maxSalvaged
	SalvagedIn int            // how many such files there are
	Missed     []string       // paths of which those speak, and what they say is not there; at most maxMissed
	MissedIn   int            // how many such paths there are
	Lost       []LostFile     // files with content that cannot be had any more; at most maxLost
	LostIn     int            // how many such files there are

	older []index.Ino // files that have the version before, under a new number
}

// asStored reports whether the number of a file's version tells what was stored under it.
func (r *Report) asStored(ino index.Ino) bool { return !slices.Contains(r.older, ino) }

// Passed is a generation that a restore passed over.
type Passed struct {
	Generation uint64 // or the number of a segment, where not even that can be told
	Why        string

	err error
}

// LostFile is a file that was restored and cannot be read, or not all of it.
type LostFile struct {
	Path  string
	Bytes int64 // that cannot be read
	Why   string
}

// takeoverTries is how often a restore catches up with a writer that goes on.
const takeoverTries = 10

// Restore builds the index of a drive from the ledger, the nodes and the drive
// key alone: it walks from the anchor down through the trailers, and replays
// them upwards. Unless ReadOnly is set it then makes this machine the drive's
// writer; the ledger refuses the one before from there on.
//
// A generation that cannot be read is passed over, and what stands above it
// says only how the tree differs from the one before. What is restored is the
// newest state of the tree that once was whole, and over it each file and name of
// which younger generations tell all; see Salvaged. Then the drive stays with its
// writer, unless AcceptLoss is set.
//
// Errors: ErrNoAnchor, ErrBusy, ErrRolledBack, ErrNoGeneration, index.ErrExist
// when there is an index at Path, seal.ErrUnknownKey, and when nothing can be
// read index.ErrTrailer or seal.ErrCorrupt for damage, blobstore.ErrUnavailable.
func Restore(ctx context.Context, cfg RestoreConfig) (Report, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Stage == nil {
		cfg.Stage = func(string) {}
	}
	r := &restore{cfg: cfg, signer: signer(cfg.Keys)}
	report, err := r.run(ctx)
	if err != nil {
		return report, fmt.Errorf("restore: %w", err)
	}
	cfg.Log.Info("drive restored", "op", "restore", "generation", report.Generation, "inodes", report.Inodes)
	return report, nil
}

// Look returns what the ledger says of the drive, without reading anything of
// it. Errors: ErrNoAnchor, ErrRolledBack.
func Look(ctx context.Context, cfg RestoreConfig) (Seen, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &restore{cfg: cfg, signer: signer(cfg.Keys)}
	found, err := r.findAnchor(ctx)
	if err == nil {
		err = cfg.Seen.check(found)
	}
	if err != nil {
		return Seen{}, fmt.Errorf("restore: %w", err)
	}
	return found.seen(), nil
}

// restore is one run of Restore.
type restore struct {
	cfg     RestoreConfig
	signer  ed25519.PrivateKey
	writer  [16]byte // this machine's new ID
	drive   index.Drive
	replay  *index.Replay
	up      uint64    // the newest generation that is replayed
	time    time.Time // when that was cut
	passed  []Passed
	alive   bool        // nodes have answered
	older   []index.Ino // files that have the version before, see Settle
	salvage *salvage    // what is told above generations that cannot be read; nil: all can be
}

func (r *restore) run(ctx context.Context) (report Report, err error) {
	if r.cfg.At != (At{}) && !r.cfg.ReadOnly {
		return report, errors.New("an older generation can only be read")
	}
	if r.writer = r.cfg.Writer; r.writer == [16]byte{} {
		if _, err := rand.Read(r.writer[:]); err != nil {
			return report, err
		}
	}
	found, err := r.findAnchor(ctx)
	if err != nil {
		return report, err
	}
	report.Drive, report.LastWriter, report.Before = found.says.Drive, found.says.Writer, found.seen()
	if err := r.cfg.Seen.check(found); err != nil {
		return report, err
	}
	if r.cfg.At.Generation > found.says.Generation {
		return report, &NoGenerationError{Asked: r.cfg.At, Generation: found.says.Generation, Time: written(found.says)}
	}
	if may := r.cfg.TakeOver; may != nil && !may(found.says.Writer) {
		r.cfg.ReadOnly = true
	}
	r.drive = index.Drive{ID: found.says.Drive, Writer: r.writer}
	defer func() {
		if r.replay != nil {
			err = errors.Join(err, r.replay.Abort())
		}
	}()
	state, found, err := r.catchUp(ctx, found)
	if err != nil {
		return report, err
	}
	r.cfg.Stage("after-take")
	report.Generation, report.Time, report.Passed = r.up, r.time, r.passed
	report.Newest, report.Writer, report.Anchor = found.says.Generation, state.Version != 0, found.seen()
	if err := r.place(ctx, found); err != nil {
		return report, err
	}
	if r.older, err = r.replay.Settle(ctx); err != nil {
		return report, err
	}
	if err := r.forgetCollected(ctx); err != nil {
		return report, err
	}
	missing, err := r.missing(ctx)
	if err != nil {
		return report, err
	}
	highest, err := r.shelve()
	if err != nil {
		return report, err
	}
	made, err := r.replay.Close(ctx, state)
	if err != nil {
		return report, err
	}
	r.cfg.Stage("after-restored")
	report.older = r.older
	report.Generations, report.Inodes, report.Bytes, report.Problems = made.Generations, made.Inodes, made.Bytes, made.Problems
	if missing > 0 {
		report.Problems = append(report.Problems, fmt.Sprintf("%d blobs with content of then were collected: reading that fails", missing))
	}
	return report, r.after(ctx, &report, highest)
}

// after does what is left to do once the index is in its place.
func (r *restore) after(ctx context.Context, report *Report, highest index.Ino) (err error) {
	db, err := index.Open(ctx, index.Config{Path: r.cfg.Path, Log: r.cfg.Log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if highest > 0 { // new inodes are numbered above those that staging held
		if err := db.Reserve(ctx, highest); err != nil {
			return err
		}
	}
	if err := errors.Join(r.salvage.report(ctx, db, report), r.reportOlder(ctx, db, report)); err != nil {
		return err
	}
	return r.findLost(ctx, db, report)
}

// tell says how far the restore is.
func (r *restore) tell(p Progress) {
	if r.cfg.Progress != nil {
		r.cfg.Progress(p)
	}
}

// again starts the replay anew.
func (r *restore) again(ctx context.Context) (err error) {
	if r.replay != nil {
		if err := r.replay.Abort(); err != nil {
			return err
		}
	}
	r.up, r.time = 0, time.Time{}
	r.replay, err = index.NewReplay(ctx, r.cfg.Path, r.drive)
	return err
}

// catchUp replays up to the anchor and takes the drive over, again and again
// while the writer before still moves the anchor. It returns what the anchor says then.
func (r *restore) catchUp(ctx context.Context, found anchor) (index.AnchorState, anchor, error) {
	for range takeoverTries {
		if err := r.replayTo(ctx, found); err != nil {
			return index.AnchorState{}, found, err
		}
		state := recorded(found, r.up)
		if r.cfg.ReadOnly || len(r.passed) > 0 && !r.cfg.AcceptLoss {
			state.Version = 0 // this machine did not write it, and finds that out when it mounts the drive
			return state, found, nil
		}
		if len(r.passed) > 0 {
			if err := r.replay.SkipTo(ctx, found.says.Last()); err != nil {
				return state, found, err
			}
		}
		err := r.takeOver(ctx, &state, &found)
		if !errors.Is(err, chain.ErrStaleVersion) {
			return state, found, err
		}
		if found, err = r.findAnchor(ctx); err != nil {
			return state, found, err
		}
		if found.says.Writer == r.writer { // the answer was lost, not the transaction
			return recorded(found, r.up), found, nil
		}
	}
	return index.AnchorState{}, found, ErrBusy
}

// takeOver writes this machine's ID into the anchor, and changes nothing else in it.
func (r *restore) takeOver(ctx context.Context, state *index.AnchorState, found *anchor) error {
	says := found.says
	says.Writer, says.Time = r.writer, time.Now().UnixNano()
	signed, err := says.Attributes(r.signer)
	if err != nil {
		return fmt.Errorf("sign anchor: %w", err)
	}
	update := &chain.AnchorUpdate{Object: found.object, Version: found.version}
	for _, a := range signed {
		update.Attributes = append(update.Attributes, chain.Attribute(a))
	}
	var tx chain.TxID
	if _, err := rand.Read(tx[:]); err != nil {
		return err
	}
	out, err := r.cfg.Ledger.Certify(ctx, tx, nil, update)
	if err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	found.version, found.says = out.AnchorVersion, says
	*state = recorded(*found, r.up)
	return nil
}

// shelve moves what an earlier index left in staging to lost+found: nothing
// tells to which version it belongs.
func (r *restore) shelve() (highest index.Ino, err error) {
	if r.cfg.Staging == nil {
		return 0, nil
	}
	for _, ino := range r.cfg.Staging.Inos() {
		if err := r.cfg.Staging.Shelve(ino); err != nil {
			return 0, fmt.Errorf("shelve inode %d: %w", ino, err)
		}
		highest = max(highest, ino)
	}
	return highest, nil
}

package keep

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/seal"
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
	// ErrNoGeneration reports that nothing as old as asked for is there.
	ErrNoGeneration = errors.New("no generation is that old")
	// ErrCollected reports an older generation of which segments were deleted since.
	ErrCollected = errors.New("what is older was collected as garbage")
)

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
	Writer   [16]byte     // this machine's new ID; zero: a random one
	Log      *slog.Logger // nil means silent
}

// At names an older generation; the zero value means the newest.
type At struct {
	Generation uint64    // this one, or the last one before it
	Time       time.Time // the last one that was cut by then, unless Generation is set
}

// Report says what a restore brought back.
type Report struct {
	Drive       [16]byte
	Writer      [16]byte  // who wrote the anchor before this
	Generation  uint64    // the newest that was there
	Generations int       // that were read; a full snapshot counts as one
	Time        time.Time // when the newest was cut
	Inodes      int64
	Bytes       int64    // sizes of the files
	Problems    []string // what was refused or made harmless
}

// takeoverTries is how often a restore catches up with a writer that goes on.
const takeoverTries = 10

// Restore builds the index of a drive from the ledger, the nodes and the drive
// key alone: it walks from the anchor down through the trailers, and replays
// them upwards. Unless ReadOnly is set it then makes this machine the drive's
// writer; the ledger refuses the one before from there on.
//
// Errors: ErrNoAnchor, ErrBusy, index.ErrExist when there is an index at Path,
// index.ErrTrailer or seal.ErrCorrupt for damage, blobstore.ErrUnavailable.
func Restore(ctx context.Context, cfg RestoreConfig) (Report, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &restore{cfg: cfg, signer: signer(cfg.Keys)}
	report, err := r.run(ctx)
	if err != nil {
		return report, fmt.Errorf("restore: %w", err)
	}
	cfg.Log.Info("drive restored", "op", "restore", "generation", report.Generation, "inodes", report.Inodes)
	return report, nil
}

// restore is one run of Restore.
type restore struct {
	cfg    RestoreConfig
	signer ed25519.PrivateKey
	writer [16]byte // this machine's new ID
	replay *index.Replay
	up     uint64    // the newest generation that is replayed
	time   time.Time // when that was cut
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
	report.Drive, report.Writer = found.says.Drive, found.says.Writer
	if err := r.begin(ctx, found); err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, r.replay.Abort()) }()
	state, err := r.catchUp(ctx, found)
	if err != nil {
		return report, err
	}
	report.Generation, report.Time = r.up, r.time
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
	report.Generations, report.Inodes, report.Bytes, report.Problems = made.Generations, made.Inodes, made.Bytes, made.Problems
	if missing > 0 {
		report.Problems = append(report.Problems, fmt.Sprintf("%d blobs with content of then were collected: reading that fails", missing))
	}
	return report, r.reserve(ctx, highest)
}

// begin starts the replay.
func (r *restore) begin(ctx context.Context, found anchor) (err error) {
	drive := index.Drive{ID: found.says.Drive, Writer: r.writer}
	if found.says.Generation > 0 {
		if drive.Plain, err = r.isPlain(ctx, found); err != nil {
			return err
		}
	}
	r.replay, err = index.NewReplay(ctx, r.cfg.Path, drive)
	return err
}

// catchUp replays up to the anchor and takes the drive over, again and again
// while the writer before still moves the anchor.
func (r *restore) catchUp(ctx context.Context, found anchor) (index.AnchorState, error) {
	for range takeoverTries {
		if err := r.replayTo(ctx, found); err != nil {
			return index.AnchorState{}, err
		}
		state := index.AnchorState{Object: found.object, Version: found.version, Anchor: &found.says}
		if r.up != found.says.Generation {
			state.Anchor = nil // it does not speak of what is here
		}
		if r.cfg.ReadOnly {
			state.Version = 0 // this machine did not write it, and finds that out when it mounts the drive
			return state, nil
		}
		err := r.takeOver(ctx, &state)
		if !errors.Is(err, chain.ErrStaleVersion) {
			return state, err
		}
		if found, err = r.findAnchor(ctx); err != nil {
			return state, err
		}
		if found.says.Writer == r.writer { // the answer was lost, not the transaction
			return index.AnchorState{Object: found.object, Version: found.version, Anchor: &found.says}, nil
		}
	}
	return index.AnchorState{}, ErrBusy
}

// takeOver writes this machine's ID into the anchor, and changes nothing else in it.
func (r *restore) takeOver(ctx context.Context, state *index.AnchorState) error {
	says := *state.Anchor
	says.Writer, says.Time = r.writer, time.Now().UnixNano()
	signed, err := says.Attributes(r.signer)
	if err != nil {
		return fmt.Errorf("sign anchor: %w", err)
	}
	update := &chain.AnchorUpdate{Object: state.Object, Version: state.Version}
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
	state.Version, state.Anchor = out.AnchorVersion, &says
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

// reserve numbers new inodes above those that staging held.
func (r *restore) reserve(ctx context.Context, highest index.Ino) (err error) {
	if highest == 0 {
		return nil
	}
	db, err := index.Open(ctx, index.Config{Path: r.cfg.Path, Log: r.cfg.Log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Reserve(ctx, highest)
}

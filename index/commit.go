package index

import (
	"context"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
)

// Finished is the stage of a segment after Certified: the anchor covers it and
// staging was told.
const Finished walrus.Stage = 5

// MaxInFlight is the number of committed and not certified segments at which
// CutTrailer returns ErrInFlight, so that a window of MaxWindow suffices.
const MaxInFlight = 60

// MaxWindow is the number of segments that an anchor can list.
const MaxWindow = 64

// Job is one version of a regular file that waits to be packed.
type Job struct {
	Ino      Ino
	Version  uint64
	Parent   Ino
	Name     []byte
	Size     int64
	Queued   time.Time
	Tries    int
	Error    string    // of the last try
	Partials []Partial // ranges of this version in segments already committed
}

// Partial is a packed range of a version that is not complete yet.
type Partial struct {
	Ino      Ino
	Version  uint64
	Off, Len int64
	Segment  uint64
	Pos      int64
}

// Op puts a range of a file at a place in a segment's plaintext. Segment 0 makes a hole.
type Op struct {
	Off, Len int64
	Segment  uint64
	Pos      int64
}

// Packed is a version that was packed whole.
type Packed struct {
	Ino     Ino
	Version uint64
	Size    int64
	Mtime   int64
	Base    int64 // published content from here on is not part of the version
	Ops     []Op  // over what is below Base, in order
	Hashes  []RangeHash
}

// SegmentRow is what the index knows of a segment.
type SegmentRow struct {
	Number      uint64
	Generation  uint64 // number of the first segment of its trailer
	Part, Parts int    // of the trailer
	Blob        walrus.BlobID
	Root        [32]byte
	Size        int64    // sealed, in bytes
	Header      [64]byte // of the sealed segment
	Stage       walrus.Stage
	Object      walrus.ObjectID
	EndEpoch    walrus.Epoch
	RegisterTx  [32]byte
	CertifyTx   [32]byte
	Cert        *walrus.Certificate
	Announced   uint64 // generation of the first trailer that lists it; 0: none yet
	Tries       int
	Next        time.Time // not to be tried before
	Error       string
	PackedAt    time.Time
	CertifiedAt time.Time // zero: not certified
}

// SegmentFilter selects segments; the zero value selects all.
type SegmentFilter struct {
	Number uint64       // only this one
	Below  walrus.Stage // only those before this stage
	Due    time.Time    // only those that may be tried at this time
	After  uint64       // only numbers greater than this
	Max    int          // at most so many
}

// Commit is what CommitSegments records.
type Commit struct {
	Trailer  *Trailer     // as CutTrailer returned it
	Segments []SegmentRow // all that carry a part of it, numbers in ascending order
	Packed   []Packed     // as given to CutTrailer
	Partials []Partial    // ranges in these segments of versions not complete yet
}

// Pending says how much waits to be committed.
type Pending struct {
	Jobs         int
	Bytes        int64     // live sizes of the files with a job
	Names        bool      // a cut would publish names or attributes
	Segments     int       // committed and not certified
	OldestQueued time.Time // zero when there is no job
}

// FinishedFile is a file of which a published version is now certified.
type FinishedFile struct {
	Ino   Ino
	Clean bool // that version is also the live one
}

// Claim returns up to max jobs that may be tried now: the oldest ones, sorted
// by parent and name. A job stays until its version was committed, so a
// second Claim returns it again.
func (db *DB) Claim(ctx context.Context, max int, now time.Time) ([]Job, error) {
	return nil, errUnfinished
}

// CutTrailer reads the rows that the next segment's trailer has to carry,
// given the versions that this segment completes, and opens a new generation
// for changes made from now on. Nothing is published until CommitSegments; a
// cut that is not committed is repeated by the next one. ErrInFlight.
func (db *DB) CutTrailer(ctx context.Context, completed []Packed) (*Trailer, error) {
	return nil, errUnfinished
}

// CommitSegments records sealed segments that rest in the outbox and publishes
// what their trailer says, in one FULL transaction. ErrStale: the trailer is
// not the newest cut, or the numbers are not the next ones.
func (db *DB) CommitSegments(ctx context.Context, c Commit) error { return errUnfinished }

// NextSegment returns the number of the next segment to be cut.
func (db *DB) NextSegment(ctx context.Context) (uint64, error) { return 0, errUnfinished }

// Segments returns the selected segments in ascending order.
func (db *DB) Segments(ctx context.Context, f SegmentFilter) ([]SegmentRow, error) {
	return nil, errUnfinished
}

// Checkpoint writes down how far the Put of a segment has come. It is FULL
// when the receipt names a new transaction or says Certified.
func (db *DB) Checkpoint(ctx context.Context, number uint64, r walrus.Receipt) error {
	return errUnfinished
}

// Receipt returns what Checkpoint wrote last, for PutOptions.Resume.
func (db *DB) Receipt(ctx context.Context, number uint64) (walrus.Receipt, error) {
	return walrus.Receipt{}, errUnfinished
}

// AnchorState is what this machine last wrote into the drive's anchor.
type AnchorState struct {
	Object  walrus.ObjectID
	Version uint64  // of the object, after that transaction
	Anchor  *Anchor // nil: the anchor was made and never moved
}

// SetAnchor writes down the drive's anchor object when it was made.
func (db *DB) SetAnchor(ctx context.Context, object walrus.ObjectID, version uint64) error {
	return errUnfinished
}

// NextAnchor returns what the anchor is to say once the given blobs are
// certified too, or nil when it would name no newer generation.
func (db *DB) NextAnchor(ctx context.Context, certifying []walrus.BlobID) (*Anchor, error) {
	return nil, errUnfinished
}

// AnchorMoved records, FULL, that the ledger's anchor says a, at the given
// object version. After a restart the ledger may be ahead of the index: the
// caller then passes what it parsed from the ledger. ErrStale: a is older
// than what is recorded.
func (db *DB) AnchorMoved(ctx context.Context, a Anchor, version uint64) error { return errUnfinished }

// Anchored returns the recorded state of the anchor. ErrNotExist: SetAnchor was never called.
func (db *DB) Anchored(ctx context.Context) (AnchorState, error) {
	return AnchorState{}, errUnfinished
}

// Finish closes, FULL, all generations that the anchor covers: superseded
// extents go, segments become Finished. It returns the files whose packed
// blocks staging may let go of, and the segments whose outbox files may go.
// After a crash it does not return them again: see SegmentFilter and staging's outbox.
func (db *DB) Finish(ctx context.Context) (files []FinishedFile, segments []uint64, err error) {
	return nil, nil, errUnfinished
}

// JobFailed notes why a job failed and when to try it again.
func (db *DB) JobFailed(ctx context.Context, ino Ino, cause error, next time.Time) error {
	return errUnfinished
}

// SegmentFailed notes why the Put of a segment failed and when to try it again.
func (db *DB) SegmentFailed(ctx context.Context, number uint64, cause error, next time.Time) error {
	return errUnfinished
}

// Pending returns how much waits, cheaply.
func (db *DB) Pending(ctx context.Context) (Pending, error) { return Pending{}, errUnfinished }

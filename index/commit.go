package index

import (
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
)

// Finished is the stage of a segment after walrus.Certified: the anchor covers
// it and Finish has told of it.
const Finished walrus.Stage = 5

// MaxWindow is the number of segments that an anchor can list.
const MaxWindow = 64

// MaxInFlight is the number of committed and not certified segments at which
// CutTrailer returns ErrInFlight. It leaves MaxWindow room for the segments of
// the trailer itself.
const MaxInFlight = 60

// Job is one version of a regular file that waits to be packed.
type Job struct {
	Ino      Ino
	Version  uint64 // the live one
	Parent   Ino
	Name     []byte
	Size     int64
	Waited   time.Duration // since it was queued, by the machine's clock
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
	Seq     uint64 // as in Queued
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
	EndBy  walrus.Epoch // only those paid for up to this epoch or less, and not being deleted
	After  uint64       // only numbers greater than this
	Max    int          // at most so many
}

// Commit is what CommitSegments records.
type Commit struct {
	Trailer *Trailer // as CutTrailer returned it
	Encoded []byte   // the trailer as the segments carry it; nil: it is encoded here
	// Segments are all that carry a part of the trailer, in the order of their
	// numbers. Of each, Number, Part, Parts, Size and Header are used, and Blob
	// and Root unless the first Checkpoint is to bring them.
	Segments []SegmentRow
	Packed   []Packed  // as given to CutTrailer
	Partials []Partial // ranges in these segments of versions not complete yet
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

// AnchorState is what this machine last wrote into the drive's anchor.
type AnchorState struct {
	Object  walrus.ObjectID
	Version uint64  // of the object, after that transaction
	Anchor  *Anchor // nil: the anchor was made and never moved
}

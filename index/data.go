package index

import (
	"context"

	"github.com/walfs/walfs/blobstore/walrus"
)

// Queued is what Queue writes down of a file.
type Queued struct {
	Size  int64
	Mtime int64 // Unix time in nanoseconds
}

// Held is what staging holds of a file at a barrier.
type Held struct {
	Ino    Ino
	Size   int64
	Base   int64 // smallest size since the published version was snapshotted
	Mtime  int64
	Blocks []byte // packed bitmap of held 4 KiB blocks, zstd
}

// Extent is a range of a file's published content and where it is stored.
type Extent struct {
	Off, Len   int64
	Segment    uint64
	Pos        int64 // in the segment's plaintext
	Blob       walrus.BlobID
	SealedSize int64
	Header     [64]byte // of the sealed segment
}

// State is how safe a file is.
type State string

// The states of a file, in order.
const (
	StateDirty     State = "dirty"     // written, not synced
	StateStaged    State = "staged"    // safe on this machine
	StateStoring   State = "storing"   // packed
	StateCertified State = "certified" // a fresh machine with the keys gets it back
)

// Status is what State reports of an inode.
type Status struct {
	State    State
	Error    string // of the last try to commit it
	Extents  []Extent
	EndEpoch walrus.Epoch // nearest of its segments; 0 when none is known
}

// MarkDirty raises the version of a regular file and marks it open-dirty. If
// the file has a published version the commit is FULL.
func (db *DB) MarkDirty(ctx context.Context, ino Ino) (version uint64, err error) {
	return 0, errUnfinished
}

// Queue writes size and mtime of a dirty file into its row and adds a job for
// its version. It does nothing for a file that is clean.
func (db *DB) Queue(ctx context.Context, ino Ino, q Queued) error { return errUnfinished }

// Barrier makes everything committed before it, and what staging holds of the
// given files, survive a power cut. It adds jobs for the files like Queue.
// Callers that arrive while a barrier commits share the next one.
func (db *DB) Barrier(ctx context.Context, held []Held) error { return errUnfinished }

// HeldAt returns what the last barrier wrote of a file, or ErrNotExist.
func (db *DB) HeldAt(ctx context.Context, ino Ino) (Held, error) { return Held{}, errUnfinished }

// DropHeld forgets what barriers wrote of a file.
func (db *DB) DropHeld(ctx context.Context, ino Ino) error { return errUnfinished }

// Dirties returns the files that are marked open-dirty.
func (db *DB) Dirties(ctx context.Context) ([]Attr, error) { return nil, errUnfinished }

// Extents returns the published extents in a range, in order, clipped to it.
// What none covers is a hole. A negative n means up to the end.
func (db *DB) Extents(ctx context.Context, ino Ino, off, n int64) ([]Extent, error) {
	return nil, errUnfinished
}

// State returns how safe an inode is and where its published content is.
func (db *DB) State(ctx context.Context, ino Ino) (Status, error) { return Status{}, errUnfinished }

// HashRange is the length in bytes of the ranges that RangeHashes speaks of.
const HashRange = 1 << 20

// RangeHash is the keyed hash of one range of HashRange bytes of published content.
type RangeHash struct {
	Index int64 // the range begins at Index*HashRange; the last may be shorter
	Hash  [32]byte
}

// RangeHashes returns the known hashes of a file's published version, in order.
func (db *DB) RangeHashes(ctx context.Context, ino Ino) ([]RangeHash, error) {
	return nil, errUnfinished
}

// Copy is a clean local copy of a file in staging.
type Copy struct {
	Ino   Ino
	Bytes int64
	Used  int64 // Unix time in nanoseconds
}

// CopyAdd notes that staging keeps a clean copy of a file, or its new length.
func (db *DB) CopyAdd(ctx context.Context, ino Ino, bytes int64) error { return errUnfinished }

// CopyTouch notes that a clean copy was used.
func (db *DB) CopyTouch(ctx context.Context, ino Ino) error { return errUnfinished }

// CopyDrop forgets a clean copy, inside a barrier: the file may go afterwards.
func (db *DB) CopyDrop(ctx context.Context, ino Ino) error { return errUnfinished }

// CopiesOldest returns up to max clean copies, those first that were not used for longest.
func (db *DB) CopiesOldest(ctx context.Context, max int) ([]Copy, error) { return nil, errUnfinished }

// CopiesBytes returns the length of all clean copies together.
func (db *DB) CopiesBytes(ctx context.Context) (int64, error) { return 0, errUnfinished }

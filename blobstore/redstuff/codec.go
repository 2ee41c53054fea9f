// Package redstuff is the encoding of Walrus: it turns a blob into slivers and
// metadata, and slivers back into the blob.
//
// Pad the blob with zeros and lay it out row by row as a matrix of symbols with
// n-2f rows and n-f columns. Extend every row to n symbols and every column to
// n symbols with two Reed-Solomon codes. The first n-f symbols of row i are
// primary sliver i, the first n-2f symbols of column j are secondary sliver j.
// The slivers with the lowest indices are therefore plain data, the source
// slivers; the others are repair slivers. A Merkle tree over all n symbols of a
// row or column gives the hash of its sliver, a tree over the hashes gives the
// root, and root and size give the blob ID.
//
// Start with New, which is expensive, and share the Codec.
package redstuff

import (
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
)

// The errors of this package.
var (
	ErrSliver       = errors.New("sliver does not match the metadata")
	ErrMetadata     = errors.New("metadata is invalid")
	ErrInconsistent = errors.New("blob is not a valid encoding")
	ErrSymbol       = errors.New("symbol does not match the metadata")
	ErrTooFew       = errors.New("too few slivers or symbols")
	ErrRange        = errors.New("range outside of the blob")
)

// TooFewError reports how many slivers or symbols there were. It is an ErrTooFew.
type TooFewError struct{ Have, Need int }

func (e *TooFewError) Error() string { return fmt.Sprintf("%d of %d slivers or symbols", e.Have, e.Need) }

// Is makes errors.Is(err, ErrTooFew) true.
func (e *TooFewError) Is(target error) bool { return target == ErrTooFew }

// Codec encodes and decodes for one geometry. It is safe for concurrent use.
type Codec struct {
	g walrus.Geometry
}

var errStub = errors.New("not written yet")

// New prepares the codes for g. The first call of a process builds tables of
// tens of MiB; a Codec is meant to be made once and shared.
func New(g walrus.Geometry) (*Codec, error) {
	if _, err := walrus.NewGeometry(g.Shards); err != nil {
		return nil, err
	}
	return &Codec{g: g}, nil
}

// Geometry returns the geometry the codec was made for.
func (c *Codec) Geometry() walrus.Geometry { return c.g }

// Encode computes all slivers and the metadata of blob. The result refers to
// blob, which must not change until Release. Encode uses up to GOMAXPROCS
// goroutines and returns walrus.ErrTooLarge or the context's error.
func (c *Codec) Encode(ctx context.Context, blob []byte) (*Encoded, error) { return nil, errStub }

// ComputeMetadata computes the metadata alone, with less memory and work than Encode.
func (c *Codec) ComputeMetadata(ctx context.Context, blob []byte) (*Metadata, error) {
	return nil, errStub
}

// Verify checks the length of a sliver's bytes and its hash against verified
// metadata. It returns ErrSliver if they differ. Only Axis and Index of id are used.
func (c *Codec) Verify(md *Metadata, id walrus.SliverID, data []byte) error { return errStub }

// Span is a range of bytes inside a source primary sliver.
type Span struct {
	Index          int // of the primary sliver
	Offset, Length int // in bytes, within the sliver
}

// Locate returns where the n bytes at offset off of a blob of size bytes lie,
// in order. It returns ErrRange if they are not all inside the blob.
func (c *Codec) Locate(size int64, off int64, n int) ([]Span, error) { return nil, errStub }

// DecodeOptions says what is known of the slivers and how much is to be checked.
type DecodeOptions struct {
	// Verified means that every sliver has passed Verify. Source primary
	// slivers among them are then not hashed again.
	Verified bool
	// Strict re-encodes the decoded blob and compares the whole blob ID,
	// instead of the hashes of the source primary slivers.
	Strict bool
}

// Decode rebuilds the blob from slivers of one axis, by index. SourcePrimary
// primary slivers or SourceSecondary secondary ones are enough; those of a
// wrong length are dropped and those to spare are ignored. It returns a
// TooFewError if not enough remain, and ErrInconsistent if what was decoded
// does not match the metadata, which must have been verified.
func (c *Codec) Decode(ctx context.Context, md *Metadata, axis walrus.Axis, slivers map[int][]byte, o DecodeOptions) ([]byte, error) {
	return nil, errStub
}

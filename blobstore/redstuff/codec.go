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
// Start with New, and share the Codec: its first use is expensive.
package redstuff

import (
	"errors"
	"fmt"
	"sync"

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

func (e *TooFewError) Error() string {
	return fmt.Sprintf("%d of %d slivers or symbols", e.Have, e.Need)
}

// Is makes errors.Is(err, ErrTooFew) true.
func (e *TooFewError) Is(target error) bool { return target == ErrTooFew }

// Codec encodes and decodes for one geometry. It is safe for concurrent use.
type Codec struct {
	g      walrus.Geometry
	codes  func() (codes, error)
	zeros  []node    // n zero nodes
	idle   sync.Pool // of *scratch
	arenas sync.Pool // of *[]byte: the slivers of released Encodeds
}

// New makes the Codec for g. The first use of one in a process builds tables of
// tens of MiB, and that of each its own; a Codec is meant to be made once and shared.
func New(g walrus.Geometry) (*Codec, error) {
	if _, err := walrus.NewGeometry(g.Shards); err != nil {
		return nil, err
	}
	return &Codec{g: g, codes: sync.OnceValues(func() (codes, error) { return newCodes(g) }), zeros: make([]node, g.Shards)}, nil
}

// codes are the two codes of a geometry.
type codes struct {
	rows *code // extends primary slivers from n-f to n symbols
	cols *code // extends secondary slivers from n-2f to n symbols
}

func newCodes(g walrus.Geometry) (c codes, err error) {
	if c.rows, err = newCode(g.SourceSecondary(), g.Faulty()); err != nil {
		return c, err
	}
	c.cols, err = newCode(g.SourcePrimary(), 2*g.Faulty())
	return c, err
}

// Geometry returns the geometry the codec was made for.
func (c *Codec) Geometry() walrus.Geometry { return c.g }

// code returns the code that extends the slivers of an axis.
func (c *Codec) code(axis walrus.Axis) (*code, error) {
	both, err := c.codes()
	if axis == walrus.Primary {
		return both.rows, err
	}
	return both.cols, err
}

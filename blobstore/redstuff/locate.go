package redstuff

import (
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
)

// Span is a range of bytes inside a source primary sliver.
type Span struct {
	Index          int // of the primary sliver
	Offset, Length int // in bytes, within the sliver
}

// Locate returns where the n bytes at offset off of a blob of size bytes lie,
// in order. It returns ErrRange if they are not all inside the blob.
func (c *Codec) Locate(size int64, off int64, n int) ([]Span, error) {
	symbol, err := c.g.SymbolSize(size)
	if err != nil {
		return nil, err
	}
	if off < 0 || n < 0 || off > size || int64(n) > size-off {
		return nil, fmt.Errorf("%d bytes at %d of %d: %w", n, off, size, ErrRange)
	}
	sliver := int64(c.g.SliverSize(walrus.Primary, symbol))
	var spans []Span
	for end := off + int64(n); off < end; {
		start := off % sliver
		length := min(sliver-start, end-off)
		spans = append(spans, Span{Index: int(off / sliver), Offset: int(start), Length: int(length)})
		off += length
	}
	return spans, nil
}

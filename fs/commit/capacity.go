package commit

import (
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
)

// Bounds of the symbols of a full segment, in bytes. Symbols are a multiple of
// 64 bytes long, a cache line, which the encoder is fastest on.
const (
	symbolUnit = 64
	// maxSymbol is the largest multiple of 4 KiB that a symbol may be long.
	maxSymbol = 61440
	// minSymbol is where the slivers of a blob outweigh its metadata, of which
	// every shard stores 64 bytes for each sliver pair.
	minSymbol = 320
	// sealedTarget is how long a full segment is where symbols leave the choice.
	sealedTarget = 8 << 20
)

// Capacity returns the sealed length in bytes of a full segment: it fills the
// matrix of the committee's encoding to the last symbol.
func Capacity(g walrus.Geometry) int64 {
	cells := int64(g.SourcePrimary()) * int64(g.SourceSecondary())
	symbol := sealedTarget / cells / symbolUnit * symbolUnit
	return cells * min(max(symbol, minSymbol), maxSymbol)
}

// plainCapacity returns how many bytes of plaintext fit into a sealed length.
func plainCapacity(sealed int64, plain bool) int64 {
	if plain {
		return sealed - seal.HeaderSize
	}
	for {
		if n, err := seal.PlainSize(sealed); err == nil {
			return n
		}
		sealed-- // a chunk may not be shorter than its tag
	}
}

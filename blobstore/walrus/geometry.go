package walrus

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/blake2b"
)

// MaxSymbolSize is in bytes: the largest even uint16, since symbols are 16-bit words.
// Source: Walrus encoding type RS2.
const MaxSymbolSize = 65534

// Numbers of shards for which both codes exist: below minShards there are no
// repair symbols, above maxShards the points of the field run out.
const (
	minShards = 4
	maxShards = 49155
)

// The errors of a Geometry.
var (
	ErrGeometry = errors.New("number of shards out of range")
	ErrTooLarge = errors.New("blob too large")
)

// Geometry is the shape of the encoding, which follows from the number of
// shards alone. Use NewGeometry: the methods of a Geometry with fewer than
// four shards have no meaning, though none of them panics.
type Geometry struct{ Shards int }

// NewGeometry returns the shape for a number of shards between 4 and 49155, or ErrGeometry.
func NewGeometry(shards int) (Geometry, error) {
	if shards < minShards || shards > maxShards {
		return Geometry{}, fmt.Errorf("%d shards: %w", shards, ErrGeometry)
	}
	return Geometry{Shards: shards}, nil
}

// Faulty returns f, the number of shards that may be faulty.
func (g Geometry) Faulty() int { return (g.Shards - 1) / 3 }

// Quorum returns the weight in shards that makes a certificate, n-f.
func (g Geometry) Quorum() int { return g.Shards - g.Faulty() }

// IsQuorum reports whether weight shards make a certificate.
func (g Geometry) IsQuorum(weight int) bool { return weight >= g.Quorum() }

// IsOneHonest reports whether weight shards include one that is not faulty, by
// the rule of the ledger: for n divisible by three it asks for one shard more
// than Faulty()+1.
func (g Geometry) IsOneHonest(weight int) bool { return 3*weight >= g.Shards+1 }

// SourcePrimary returns the number of source primary slivers, which is the
// number of symbols in a secondary sliver: n-2f.
func (g Geometry) SourcePrimary() int { return g.Shards - 2*g.Faulty() }

// SourceSecondary returns the number of source secondary slivers, which is the
// number of symbols in a primary sliver: n-f.
func (g Geometry) SourceSecondary() int { return g.Shards - g.Faulty() }

// cells returns the number of symbols in the matrix of source symbols.
func (g Geometry) cells() int64 { return int64(g.SourcePrimary()) * int64(g.SourceSecondary()) }

// SymbolSize returns the length in bytes of each symbol of a blob of size bytes.
//
// The blob fills a matrix of SourcePrimary rows and SourceSecondary columns in row order.
// An empty blob counts as one byte. SymbolSize returns ErrTooLarge above MaxBlobSize.
func (g Geometry) SymbolSize(size int64) (int, error) {
	if g.Shards < minShards {
		return 0, fmt.Errorf("%d shards: %w", g.Shards, ErrGeometry)
	}
	if size < 0 || size > g.MaxBlobSize() {
		return 0, fmt.Errorf("%d bytes, at most %d: %w", size, g.MaxBlobSize(), ErrTooLarge)
	}
	cells := g.cells()
	symbol := (max(size, 1) + cells - 1) / cells
	return int(symbol + symbol%2), nil
}

// MaxBlobSize returns the size in bytes of the largest blob.
func (g Geometry) MaxBlobSize() int64 { return g.cells() * MaxSymbolSize }

// SliverSize returns the length in bytes of the slivers of one axis.
func (g Geometry) SliverSize(axis Axis, symbolSize int) int {
	if axis == Primary {
		return g.SourceSecondary() * symbolSize
	}
	return g.SourcePrimary() * symbolSize
}

// EncodedSize returns how many bytes the ledger charges for a blob of size
// bytes: the slivers of all shards, and on each shard the hashes of all pairs
// and the blob ID.
func (g Geometry) EncodedSize(size int64) (uint64, error) {
	symbol, err := g.SymbolSize(size)
	if err != nil {
		return 0, err
	}
	slivers := (g.SourcePrimary() + g.SourceSecondary()) * symbol
	metadata := g.Shards*64 + 32
	return uint64(g.Shards) * uint64(slivers+metadata), nil
}

// rotation returns the blob ID as a big-endian integer modulo the number of shards.
func (g Geometry) rotation(blob BlobID) int {
	if g.Shards <= 0 {
		return 0
	}
	rest := 0
	for _, b := range blob {
		rest = (rest<<8 | int(b)) % g.Shards
	}
	return rest
}

// Shard returns the shard that stores a sliver pair, 0 <= pair < n.
func (g Geometry) Shard(blob BlobID, pair int) int {
	if g.Shards <= 0 {
		return 0
	}
	return (pair + g.rotation(blob)) % g.Shards
}

// Pair returns the sliver pair that a shard stores, 0 <= shard < n.
func (g Geometry) Pair(blob BlobID, shard int) int {
	if g.Shards <= 0 {
		return 0
	}
	return (g.Shards + shard - g.rotation(blob)) % g.Shards
}

// SliverIndex returns the index of the sliver that a pair has on an axis.
// Secondary slivers count backwards.
func (g Geometry) SliverIndex(pair int, axis Axis) int {
	if axis == Primary {
		return pair
	}
	return g.Shards - 1 - pair
}

// PairOf returns the pair to which a sliver belongs. It is the inverse of SliverIndex.
func (g Geometry) PairOf(axis Axis, index int) int { return g.SliverIndex(index, axis) }

// ComputeBlobID returns the name of the blob of size bytes whose metadata has
// the given Merkle root.
func ComputeBlobID(root [32]byte, size int64) BlobID {
	var b [1 + 8 + 32]byte
	b[0] = EncodingRS2
	binary.LittleEndian.PutUint64(b[1:], uint64(size))
	copy(b[9:], root[:])
	return blake2b.Sum256(b[:])
}

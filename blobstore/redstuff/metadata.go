package redstuff

import (
	"encoding/binary"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
)

// PairHash is the hashes of the two slivers of a pair. A zero hash stands for
// the empty node of a Merkle tree.
type PairHash struct{ Primary, Secondary [32]byte }

// Metadata is what every node stores of a blob: its size and the hashes of its slivers.
type Metadata struct {
	Size   int64      // of the unencoded blob, in bytes
	Hashes []PairHash // by pair
}

// PrimaryHash returns the hash of primary sliver i, 0 <= i < n.
func (m *Metadata) PrimaryHash(i int) [32]byte { return m.Hashes[i].Primary }

// SecondaryHash returns the hash of secondary sliver j, 0 <= j < n.
func (m *Metadata) SecondaryHash(j int) [32]byte { return m.Hashes[len(m.Hashes)-1-j].Secondary }

// hash returns the hash of a sliver.
func (m *Metadata) hash(axis walrus.Axis, index int) [32]byte {
	if axis == walrus.Primary {
		return m.PrimaryHash(index)
	}
	return m.SecondaryHash(index)
}

// Root returns the Merkle root over the hashes of all pairs.
func (m *Metadata) Root() [32]byte {
	if len(m.Hashes) == 0 {
		return [32]byte{}
	}
	var h hasher
	leaves := make([]node, len(m.Hashes), len(m.Hashes)+1)
	var pair [64]byte
	for i, p := range m.Hashes {
		copy(pair[:], p.Primary[:])
		copy(pair[32:], p.Secondary[:])
		h.leaf(&leaves[i], pair[:])
	}
	return h.root(leaves)
}

// BlobID returns the name of the blob with this metadata.
func (m *Metadata) BlobID() walrus.BlobID { return walrus.ComputeBlobID(m.Root(), m.Size) }

// check makes sure that the metadata fits a geometry, and returns the symbol size.
func (m *Metadata) check(g walrus.Geometry) (int, error) {
	if len(m.Hashes) != g.Shards {
		return 0, fmt.Errorf("%d hash pairs for %d shards: %w", len(m.Hashes), g.Shards, ErrMetadata)
	}
	size, err := g.SymbolSize(m.Size)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrMetadata, err)
	}
	return size, nil
}

// Verify checks the number of hashes, the size and the blob ID; it returns ErrMetadata if one is wrong.
func (m *Metadata) Verify(g walrus.Geometry, blob walrus.BlobID) error {
	if _, err := m.check(g); err != nil {
		return err
	}
	if got := m.BlobID(); got != blob {
		return fmt.Errorf("blob id is %s, want %s: %w", got, blob, ErrMetadata)
	}
	return nil
}

// The variants of the enums in BCS. Source: Walrus, types BlobMetadata,
// EncodingType and merkle Node.
const (
	metadataV1 = 0
	nodeEmpty  = 0
	nodeDigest = 1
)

// MarshalBinary returns the BCS form of BlobMetadata, without the blob ID.
func (m *Metadata) MarshalBinary() ([]byte, error) {
	if m.Size < 0 {
		return nil, fmt.Errorf("marshal metadata: size %d: %w", m.Size, ErrMetadata)
	}
	b := make([]byte, 0, 2+8+3+66*len(m.Hashes))
	b = append(b, metadataV1, walrus.EncodingRS2)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.Size))
	b = appendLength(b, len(m.Hashes))
	for _, p := range m.Hashes {
		b = appendNode(b, p.Primary)
		b = appendNode(b, p.Secondary)
	}
	return b, nil
}

// ParseMetadata reads the BCS form of BlobMetadata. It returns ErrMetadata for
// bytes that are not exactly one such value, for another number of hashes than
// g has shards and for a size that g cannot encode. It does not know the blob ID: see Verify.
func ParseMetadata(g walrus.Geometry, b []byte) (*Metadata, error) {
	const fixed = 2 + 8
	if len(b) < fixed || b[0] != metadataV1 || b[1] != walrus.EncodingRS2 {
		return nil, fmt.Errorf("parse: version or encoding type: %w", ErrMetadata)
	}
	m := &Metadata{Size: int64(binary.LittleEndian.Uint64(b[2:]))}
	count, rest, ok := readLength(b[fixed:])
	if !ok || count != g.Shards {
		return nil, fmt.Errorf("parse: number of hash pairs: %w", ErrMetadata)
	}
	m.Hashes = make([]PairHash, count)
	for i := range m.Hashes {
		for _, h := range []*node{&m.Hashes[i].Primary, &m.Hashes[i].Secondary} {
			if *h, rest, ok = readNode(rest); !ok {
				return nil, fmt.Errorf("parse: hash pair %d: %w", i, ErrMetadata)
			}
		}
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("parse: %d bytes too many: %w", len(rest), ErrMetadata)
	}
	if _, err := m.check(g); err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	return m, nil
}

package redstuff

import "github.com/walfs/walfs/blobstore/walrus"

// PairHash is the hashes of the two slivers of a pair. A zero hash stands for
// the empty node of a Merkle tree.
type PairHash struct{ Primary, Secondary [32]byte }

// Metadata is what every node stores of a blob: its size and the hashes of its slivers.
type Metadata struct {
	Size   int64      // of the unencoded blob, in bytes
	Hashes []PairHash // by pair
}

// ParseMetadata reads the BCS form of BlobMetadata. It returns ErrMetadata for
// bytes that are not exactly one such value, for another number of hashes than
// g has shards and for a size that g cannot encode. It does not know the blob ID: see Verify.
func ParseMetadata(g walrus.Geometry, b []byte) (*Metadata, error) { return nil, errStub }

// MarshalBinary returns the BCS form of BlobMetadata, without the blob ID.
func (m *Metadata) MarshalBinary() ([]byte, error) { return nil, errStub }

// Verify checks the number of hashes, the size and the blob ID; it returns ErrMetadata if one is wrong.
func (m *Metadata) Verify(g walrus.Geometry, blob walrus.BlobID) error { return errStub }

// Root returns the Merkle root over the hashes of all pairs.
func (m *Metadata) Root() [32]byte { return [32]byte{} }

// BlobID returns the name of the blob with this metadata.
func (m *Metadata) BlobID() walrus.BlobID { return walrus.BlobID{} }

// PrimaryHash returns the hash of primary sliver i, 0 <= i < n.
func (m *Metadata) PrimaryHash(i int) [32]byte { return m.Hashes[i].Primary }

// SecondaryHash returns the hash of secondary sliver j, 0 <= j < n.
func (m *Metadata) SecondaryHash(j int) [32]byte { return m.Hashes[len(m.Hashes)-1-j].Secondary }

package redstuff

import "github.com/walfs/walfs/blobstore/walrus"

// Encoded is all slivers of a blob and its metadata. The slices it hands out
// are borrowed: they end with Release, and nobody may write to them.
type Encoded struct{ md *Metadata }

// Metadata returns the metadata, which stays valid after Release.
func (e *Encoded) Metadata() *Metadata { return e.md }

// Blob returns the blob ID.
func (e *Encoded) Blob() walrus.BlobID { return walrus.BlobID{} }

// SymbolSize returns the length of a symbol in bytes.
func (e *Encoded) SymbolSize() int { return 0 }

// Primary returns primary sliver i, 0 <= i < n. Source slivers may be parts of the blob itself.
func (e *Encoded) Primary(i int) []byte { return nil }

// Secondary returns secondary sliver j, 0 <= j < n.
func (e *Encoded) Secondary(j int) []byte { return nil }

// Slot returns a sliver together with what was computed of its bytes.
func (e *Encoded) Slot(axis walrus.Axis, index int) Slot { return Slot{} }

// Release returns the buffers for use by later calls of Encode. Calling it is
// optional, calling it twice does no harm.
func (e *Encoded) Release() {}

// Slot is a sliver fresh from Encode: its bytes, its Merkle root, and a
// checksum taken of the very bytes that were hashed. Only Encode makes Slots,
// so whoever gets one may check the CRC of the bytes it writes and compare the
// root with the metadata instead of hashing again.
type Slot struct {
	axis  walrus.Axis
	index int
	data  []byte
	root  [32]byte
	crc   uint32
}

// Axis returns the sliver's axis.
func (s Slot) Axis() walrus.Axis { return s.axis }

// Index returns the sliver's own index.
func (s Slot) Index() int { return s.index }

// Data returns the sliver's bytes, borrowed until Encoded.Release.
func (s Slot) Data() []byte { return s.data }

// Root returns the sliver's hash, over all n symbols of its row or column.
func (s Slot) Root() [32]byte { return s.root }

// CRC returns the CRC32C (Castagnoli) of the bytes at the time they were hashed.
func (s Slot) CRC() uint32 { return s.crc }

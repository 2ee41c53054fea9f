package redstuff

import "github.com/walfs/walfs/blobstore/walrus"

// Encoded is all slivers of a blob and its metadata. The slices it hands out
// are borrowed: they end with Release, and nobody may write to them. Its
// methods may be called concurrently, except for Release.
type Encoded struct {
	encoding *encoding // nil after Release
	md       *Metadata
	blob     walrus.BlobID
	arena    []byte
}

// Metadata returns the metadata, which stays valid after Release.
func (e *Encoded) Metadata() *Metadata { return e.md }

// Blob returns the blob ID.
func (e *Encoded) Blob() walrus.BlobID { return e.blob }

// SymbolSize returns the length of a symbol in bytes, 0 after Release.
func (e *Encoded) SymbolSize() int {
	if e.encoding == nil {
		return 0
	}
	return e.encoding.s
}

// Primary returns primary sliver i, 0 <= i < n, nil after Release. Source
// slivers may be parts of the blob itself.
func (e *Encoded) Primary(i int) []byte {
	if e.encoding == nil {
		return nil
	}
	x := e.encoding
	if i < x.kp {
		return x.rows[i]
	}
	length := x.ks * x.s
	start := (i - x.kp) * length
	return x.repair[start : start+length : start+length]
}

// Secondary returns secondary sliver j, 0 <= j < n, nil after Release.
func (e *Encoded) Secondary(j int) []byte {
	if e.encoding == nil {
		return nil
	}
	return e.encoding.column(j)
}

// Slot returns a sliver together with what was computed of its bytes, 0 <= index < n.
// It returns the zero Slot after Release.
func (e *Encoded) Slot(axis walrus.Axis, index int) Slot {
	if e.encoding == nil {
		return Slot{}
	}
	s := Slot{axis: axis, index: index, crc: e.encoding.sum(axis, index)}
	if axis == walrus.Primary {
		s.data, s.root = e.Primary(index), e.encoding.roots[index].Primary
	} else {
		s.data, s.root = e.Secondary(index), e.encoding.roots[index].Secondary
	}
	return s
}

// Release returns the buffers for use by later calls of Encode. Calling it is
// optional, calling it twice does no harm.
func (e *Encoded) Release() {
	if e.encoding == nil {
		return
	}
	c := e.encoding.c
	e.encoding = nil
	c.recycle(e.arena)
	e.arena = nil
}

// Slot is a sliver fresh from Encode, RecoverSlot or VerifySlot: its bytes, its Merkle
// root, and a checksum taken of the very bytes that were hashed. Nobody else
// makes Slots, so whoever gets one may check the CRC of the bytes it writes and compare the
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

// Data returns the sliver's bytes, borrowed until Encoded.Release if it is from Encode.
func (s Slot) Data() []byte { return s.data }

// Root returns the sliver's hash, over all n symbols of its row or column.
func (s Slot) Root() [32]byte { return s.root }

// CRC returns the CRC32C (Castagnoli) of the bytes at the time they were hashed.
func (s Slot) CRC() uint32 { return s.crc }

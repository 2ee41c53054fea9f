package blobstore_test

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// blobFile is a node's file, read by the description of its format alone.
type blobFile struct{ slots []slot }

type slot struct{ offset, length int }

func parseBlobFile(data []byte) (f blobFile) {
	le := binary.LittleEndian
	n, symbol := int(le.Uint32(data[12:])), int(le.Uint32(data[56:]))
	count, metadata := int(le.Uint32(data[60:])), int(le.Uint32(data[64:]))
	faulty := (n - 1) / 3
	at := (80 + 4*count + metadata + 4095) / 4096 * 4096
	for i := range count {
		length := (n - faulty) * symbol
		if data[80+4*i+2] == 1 {
			length = (n - 2*faulty) * symbol
		}
		f.slots = append(f.slots, slot{at, length})
		at = (at + length + 8 + 63) / 64 * 64
	}
	return f
}

// fix makes the checksum fit the bytes.
func (s slot) fix(data []byte) {
	sum := crc32.Checksum(data[s.offset:s.offset+s.length], crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(data[s.offset+s.length+4:], sum)
}

// inconsistent returns metadata and slivers of a malicious writer: two blobs'
// slivers mixed, each matching its hash, so that no blob encodes to them all.
func inconsistent(t *testing.T, codec *redstuff.Codec, blob []byte) (*redstuff.Metadata, map[walrus.Axis][][]byte) {
	t.Helper()
	other := randomBlob(12345, len(blob))
	a, err := codec.Encode(t.Context(), blob)
	if err != nil {
		t.Fatal(err)
	}
	b, err := codec.Encode(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	n := codec.Geometry().Shards
	md := &redstuff.Metadata{Size: int64(len(blob)), Hashes: make([]redstuff.PairHash, n)}
	slivers := map[walrus.Axis][][]byte{}
	for i := range n {
		e := a
		if i%2 == 0 {
			e = b
		}
		md.Hashes[i] = e.Metadata().Hashes[i]
		slivers[walrus.Primary] = append(slivers[walrus.Primary], e.Primary(i))
	}
	slivers[walrus.Secondary] = make([][]byte, n)
	for i := range n {
		e := a
		if i%2 == 0 {
			e = b
		}
		slivers[walrus.Secondary][n-1-i] = e.Secondary(n - 1 - i)
	}
	return md, slivers
}

// rotSlot flips a bit in slot i of a node's file and, if fit is set, makes the checksum fit.
func rotSlot(data []byte, i int, fit bool) {
	s := parseBlobFile(data).slots[i]
	data[s.offset+s.length/3] ^= 0x10
	if fit {
		s.fix(data)
	}
}

package redstuff_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

func TestMetadataBinary(t *testing.T) {
	for _, v := range readVectors(t) {
		if v.MetadataBcsHex == "" {
			continue
		}
		b, err := hex.DecodeString(v.MetadataBcsHex)
		if err != nil {
			t.Fatal(err)
		}
		g := walrus.Geometry{Shards: v.N}
		md, err := redstuff.ParseMetadata(g, b)
		if err != nil {
			t.Fatalf("%s: %v", v.String(), err)
		}
		same(t, "size", md.Size, v.Size)
		blob := md.BlobID()
		same(t, "blob id", hex.EncodeToString(blob[:]), v.BlobID)
		again, err := md.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: marshals to %x, %v", v.String(), again, err)
		}
		if err := md.Verify(g, blob); err != nil {
			t.Errorf("%s: %v", v.String(), err)
		}
	}
}

func TestMetadataVerify(t *testing.T) {
	c := codecFor(t, 10)
	g := c.Geometry()
	e := encode(t, c, noise(100))
	tests := map[string]func(m *redstuff.Metadata){
		"size":      func(m *redstuff.Metadata) { m.Size++ },
		"large":     func(m *redstuff.Metadata) { m.Size = g.MaxBlobSize() + 1 },
		"negative":  func(m *redstuff.Metadata) { m.Size = -1 },
		"primary":   func(m *redstuff.Metadata) { m.Hashes[3].Primary[31] ^= 1 },
		"secondary": func(m *redstuff.Metadata) { m.Hashes[9].Secondary[0] ^= 1 },
		"few":       func(m *redstuff.Metadata) { m.Hashes = m.Hashes[:9] },
		"none":      func(m *redstuff.Metadata) { m.Hashes = nil },
		"order": func(m *redstuff.Metadata) {
			m.Hashes[0], m.Hashes[1] = m.Hashes[1], m.Hashes[0]
		},
	}
	for name, spoil := range tests {
		m := &redstuff.Metadata{Size: e.Metadata().Size, Hashes: bytes2(e.Metadata().Hashes)}
		if err := m.Verify(g, e.Blob()); err != nil {
			t.Fatal(err)
		}
		spoil(m)
		wantErr(t, name, m.Verify(g, e.Blob()), redstuff.ErrMetadata)
	}
}

func bytes2(h []redstuff.PairHash) []redstuff.PairHash { return append([]redstuff.PairHash(nil), h...) }

func TestParseMetadataRefuses(t *testing.T) {
	c := codecFor(t, 4)
	good, err := encode(t, c, noise(100)).Metadata().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	edit := func(at int, with ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return b
	}
	huge := edit(2)
	binary.LittleEndian.PutUint64(huge[2:], uint64(c.Geometry().MaxBlobSize()+1))
	tests := map[string][]byte{
		"empty":       {},
		"version":     edit(0, 1),
		"encoding":    edit(1, 0),
		"size":        huge,
		"size sign":   edit(9, 0x80),
		"count":       edit(10, 5),
		"long count":  append(append(bytes.Clone(good[:10]), 0x84, 0x00), good[11:]...),
		"endless":     append(bytes.Clone(good[:10]), bytes.Repeat([]byte{0xff}, 20)...),
		"variant":     edit(11, 2),
		"empty node":  edit(11, 0),
		"trailing":    append(bytes.Clone(good), 0),
		"other shape": edit(10, 3),
	}
	for name, b := range tests {
		_, err := redstuff.ParseMetadata(c.Geometry(), b)
		wantErr(t, name, err, redstuff.ErrMetadata)
	}
	for i := range good {
		if _, err := redstuff.ParseMetadata(c.Geometry(), good[:i]); err == nil {
			t.Errorf("%d of %d bytes pass", i, len(good))
		}
	}
}

// TestEmptyNode has a pair with an empty node in place of a hash, which the
// format allows and no sliver matches.
func TestEmptyNode(t *testing.T) {
	c := codecFor(t, 4)
	md := encode(t, c, noise(100)).Metadata()
	md.Hashes[1].Secondary = [32]byte{}
	b, err := md.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "length", len(b), 2+8+1+4*66-32)
	got, err := redstuff.ParseMetadata(c.Geometry(), b)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "blob id", got.BlobID(), md.BlobID())
}

func TestMarshalMetadataRefusesNegativeSize(t *testing.T) {
	_, err := (&redstuff.Metadata{Size: -1}).MarshalBinary()
	wantErr(t, "size", err, redstuff.ErrMetadata)
}

func TestSliverBinary(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 70000} {
		data := noise(size)
		b := redstuff.MarshalSliver(65534, 999, data)
		got, symbolSize, index, err := redstuff.ParseSliver(b)
		if err != nil || symbolSize != 65534 || index != 999 || !bytes.Equal(got, data) {
			t.Errorf("size %d: got %d bytes, %d, %d, %v", size, len(got), symbolSize, index, err)
		}
		for _, bad := range [][]byte{b[:len(b)-1], append(bytes.Clone(b), 0), b[1:]} {
			_, _, _, err := redstuff.ParseSliver(bad)
			wantErr(t, "length", err, redstuff.ErrSliver)
		}
	}
	_, _, _, err := redstuff.ParseSliver(redstuff.MarshalSliver(0, 1, []byte{1, 2}))
	wantErr(t, "symbol size", err, redstuff.ErrSliver)
	_, _, _, err = redstuff.ParseSliver([]byte{0x82, 0x00, 1, 2, 2, 0, 0, 0})
	wantErr(t, "long length", err, redstuff.ErrSliver)
}

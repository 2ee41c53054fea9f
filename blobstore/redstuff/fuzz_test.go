package redstuff_test

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// seeds adds bytes of the vectors, in hex, to a fuzz target.
func seeds(f *testing.F, of func(v *vector) string) {
	f.Helper()
	for _, v := range readVectors(f) {
		if text := of(&v); text != "" {
			b, err := hex.DecodeString(text)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
}

func FuzzParseMetadata(f *testing.F) {
	seeds(f, func(v *vector) string { return v.MetadataBcsHex })
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, shards := range []int{4, 7, 10} {
			g := walrus.Geometry{Shards: shards}
			md, err := redstuff.ParseMetadata(g, b)
			if err != nil {
				continue
			}
			if err := md.Verify(g, md.BlobID()); err != nil {
				t.Errorf("parsed metadata does not verify: %v", err)
			}
			again, err := md.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			other, err := redstuff.ParseMetadata(g, again)
			if err != nil || !reflect.DeepEqual(other, md) {
				t.Errorf("does not survive a round trip: %v", err)
			}
		}
	})
}

func FuzzParseSliver(f *testing.F) {
	seeds(f, func(v *vector) string { return v.PrimaryBcs0Hex })
	f.Fuzz(func(t *testing.T, b []byte) {
		data, symbolSize, index, err := redstuff.ParseSliver(b)
		if err != nil {
			return
		}
		if again := redstuff.MarshalSliver(symbolSize, index, data); !bytes.Equal(again, b) {
			t.Errorf("%x comes back as %x", b, again)
		}
	})
}

func FuzzParseProof(f *testing.F) {
	f.Add([]byte{0})
	f.Add(append([]byte{2, 0, 1}, make([]byte, 32)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, rest, err := redstuff.ParseProof(b)
		if err != nil {
			return
		}
		again, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		other, none, err := redstuff.ParseProof(again)
		if err != nil || len(none) != 0 || !reflect.DeepEqual(other, p) || len(rest) > len(b)-len(p) {
			t.Errorf("does not survive a round trip: %v", err)
		}
	})
}

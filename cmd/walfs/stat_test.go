package main

import (
	"bytes"
	"testing"

	"github.com/walfs/walfs/blobstore/seal"
)

// TestSealedOffset finds bytes of a plain segment where sealedOffset says, and for a sealed
// one checks the place of each chunk against the lengths that seal gives.
func TestSealedOffset(t *testing.T) {
	plain := make([]byte, 3*seal.ChunkSize+100)
	for i := range plain {
		plain[i] = byte(i * 7 >> 3)
	}
	ring := seal.NewKeyring(1, seal.Key{1})
	for _, suite := range []seal.Suite{seal.SuitePlain, seal.SuiteAES} {
		blob, err := ring.Seal(plain, seal.Options{Suite: suite})
		if err != nil {
			t.Fatal(err)
		}
		header, err := seal.ParseHeader(blob)
		if err != nil {
			t.Fatal(err)
		}
		for _, pos := range []int64{0, 1, seal.ChunkSize - 1, seal.ChunkSize, 2*seal.ChunkSize + 17, int64(len(plain)) - 1} {
			got := sealedOffset(header, pos)
			if suite == seal.SuitePlain {
				if !bytes.Equal(blob[got:got+1], plain[pos:pos+1]) {
					t.Errorf("%v: position %d: byte %d at %d, want %d", suite, pos, blob[got], got, plain[pos])
				}
				continue
			}
			// All chunks before the one of pos, and pos into its own.
			before := pos / seal.ChunkSize * seal.ChunkSize
			want := int64(seal.HeaderSize)
			if before > 0 {
				want = header.SealedSize(before)
			}
			if want += pos - before; got != want {
				t.Errorf("%v: position %d: got %d, want %d", suite, pos, got, want)
			}
		}
	}
}

package fs

import (
	"testing"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/index"
)

// Segments of a plain drive have the same header, and each its own size.
func TestOpenersOfPlainSegments(t *testing.T) {
	var o openers
	for number, size := range []int{100, 300_000, 200} {
		sealed, err := (*seal.Keyring)(nil).Seal(make([]byte, size), seal.Options{Suite: seal.SuitePlain})
		if err != nil {
			t.Fatal(err)
		}
		e := index.Extent{Segment: uint64(number), SealedSize: int64(len(sealed)), Header: [64]byte(sealed)}
		opener, err := o.open(nil, &e)
		if err != nil || opener.PlainSize() != int64(size) {
			t.Errorf("segment %d of %d bytes: opened as %d, %v", number, size, opener.PlainSize(), err)
		}
	}
}

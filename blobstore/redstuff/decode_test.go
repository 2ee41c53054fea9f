package redstuff_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

var allOptions = []redstuff.DecodeOptions{{}, {Verified: true}, {Strict: true}, {Verified: true, Strict: true}}

// pick returns some slivers of an axis.
func pick(e *redstuff.Encoded, axis walrus.Axis, indices []int) map[int][]byte {
	slivers := map[int][]byte{}
	for _, i := range indices {
		slivers[i] = bytes.Clone(e.Slot(axis, i).Data())
	}
	return slivers
}

func need(c *redstuff.Codec, axis walrus.Axis) int {
	if axis == walrus.Primary {
		return c.Geometry().SourcePrimary()
	}
	return c.Geometry().SourceSecondary()
}

func mustDecode(t *testing.T, c *redstuff.Codec, md *redstuff.Metadata, axis walrus.Axis, slivers map[int][]byte, o redstuff.DecodeOptions, want []byte) {
	t.Helper()
	got, err := c.Decode(context.Background(), md, axis, slivers, o)
	if err != nil {
		t.Errorf("%s %+v: %v", axis, o, err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("%s %+v: wrong bytes", axis, o)
	}
}

// TestDecodeAllSubsets decodes from every set of slivers that is just large enough.
func TestDecodeAllSubsets(t *testing.T) {
	for _, shards := range []int{4, 5, 7, 8} {
		c := codecFor(t, shards)
		blob := noise(shards * 77)
		e := encode(t, c, blob)
		for _, axis := range axes {
			for set := range 1 << shards {
				var indices []int
				for i := range shards {
					if set>>i&1 == 1 {
						indices = append(indices, i)
					}
				}
				if len(indices) == need(c, axis) {
					mustDecode(t, c, e.Metadata(), axis, pick(e, axis, indices), redstuff.DecodeOptions{}, blob)
				}
			}
		}
	}
}

func TestDecode(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, x := range []struct{ shards, size int }{
		{10, 0}, {10, 1}, {10, 56}, {10, 5000}, {10, 28 * 1024}, {10, 200001}, {13, 90000}, {31, 100000}, {52, 3000}, {100, 0}, {100, 500000},
	} {
		c := codecFor(t, x.shards)
		blob := noise(x.size)
		e := encode(t, c, blob)
		for _, axis := range axes {
			for _, o := range allOptions {
				order := rng.Perm(x.shards)
				mustDecode(t, c, e.Metadata(), axis, pick(e, axis, order[:need(c, axis)]), o, blob)
				mustDecode(t, c, e.Metadata(), axis, pick(e, axis, order), o, blob)
			}
		}
	}
}

func TestDecodeDropsWrongLengths(t *testing.T) {
	c := codecFor(t, 10)
	blob := noise(3000)
	e := encode(t, c, blob)
	for _, axis := range axes {
		k := need(c, axis)
		order := rand.New(rand.NewPCG(11, 12)).Perm(10)
		slivers := pick(e, axis, order[:k])
		slivers[order[k]] = []byte("short")
		slivers[-1] = slivers[order[0]]
		slivers[10] = slivers[order[0]]
		mustDecode(t, c, e.Metadata(), axis, slivers, redstuff.DecodeOptions{}, blob)

		delete(slivers, order[0])
		_, err := c.Decode(context.Background(), e.Metadata(), axis, slivers, redstuff.DecodeOptions{})
		var few *redstuff.TooFewError
		if !errors.As(err, &few) || few.Have != k-1 || few.Need != k || !errors.Is(err, redstuff.ErrTooFew) {
			t.Errorf("%s: got %v, want %d of %d", axis, err, k-1, k)
		}
	}
}

// TestDecodeReplacesWrongSlivers has slivers of the right length with wrong bytes among those given.
func TestDecodeReplacesWrongSlivers(t *testing.T) {
	c := codecFor(t, 10)
	blob := noise(3000)
	e := encode(t, c, blob)
	for _, axis := range axes {
		for _, strict := range []bool{false, true} {
			o := redstuff.DecodeOptions{Strict: strict}
			slivers := pick(e, axis, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
			for wrong := range 10 - need(c, axis) {
				slivers[wrong][3] ^= 0x40
				mustDecode(t, c, e.Metadata(), axis, slivers, o, blob)
			}
			slivers[9][0] ^= 1
			_, err := c.Decode(context.Background(), e.Metadata(), axis, slivers, o)
			wantErr(t, "one wrong sliver too many", err, redstuff.ErrTooFew)
		}
	}
}

func TestDecodeRefusesBadArguments(t *testing.T) {
	c := codecFor(t, 10)
	e := encode(t, c, noise(100))
	slivers := pick(e, walrus.Primary, []int{0, 1, 2, 3})
	_, err := c.Decode(context.Background(), e.Metadata(), 2, slivers, redstuff.DecodeOptions{})
	wantErr(t, "axis", err, redstuff.ErrSliver)
	_, err = c.Decode(context.Background(), &redstuff.Metadata{Size: -1, Hashes: e.Metadata().Hashes}, walrus.Primary, slivers, redstuff.DecodeOptions{})
	wantErr(t, "size", err, redstuff.ErrMetadata)
	_, err = c.Decode(context.Background(), &redstuff.Metadata{Size: 100}, walrus.Primary, slivers, redstuff.DecodeOptions{})
	wantErr(t, "hashes", err, redstuff.ErrMetadata)
}

// fraud is a matrix that is no valid encoding, with metadata that fits it: each
// sliver passes Verify unless its own row or column contradicts itself.
func fraud(g walrus.Geometry, blob []byte, tamper func(m [][][]uint16)) (*oracle, *redstuff.Metadata) {
	o := newOracle(g, blob)
	m := make([][][]uint16, g.Shards)
	for r := range m {
		for c := range g.Shards {
			m[r] = append(m[r], elements(o.matrix[r][c]))
		}
	}
	tamper(m)
	bad := hashMatrix(m, len(blob))
	md := &redstuff.Metadata{Size: int64(len(blob)), Hashes: make([]redstuff.PairHash, g.Shards)}
	for i := range md.Hashes {
		md.Hashes[i] = redstuff.PairHash{Primary: bad.primary[i], Secondary: bad.secondary[g.Shards-1-i]}
	}
	return bad, md
}

func take(o *oracle, g walrus.Geometry, axis walrus.Axis, indices ...int) map[int][]byte {
	slivers := map[int][]byte{}
	for _, i := range indices {
		slivers[i] = o.sliver(g, axis, i)
	}
	return slivers
}

// TestDecodeInconsistent gives readers a repair row that belongs to another
// blob. It is consistent in itself, so nobody can tell from the sliver alone.
func TestDecodeInconsistent(t *testing.T) {
	c := codecFor(t, 7) // 3 source rows of 5 symbols
	g := c.Geometry()
	blob, foreign := noise(300), bytes.Repeat([]byte("foreign"), 43)[:300]
	bad, md := fraud(g, blob, func(m [][][]uint16) {
		o := newOracle(g, foreign)
		for j := range m[5] {
			m[5][j] = elements(o.matrix[5][j])
		}
	})
	for i := range 7 {
		if err := c.Verify(md, walrus.SliverID{Index: uint16(i)}, bad.sliver(g, walrus.Primary, i)); err != nil {
			t.Fatalf("row %d should pass: %v", i, err)
		}
	}
	ctx := context.Background()
	for _, o := range allOptions {
		_, err := c.Decode(ctx, md, walrus.Primary, take(bad, g, walrus.Primary, 0, 1, 5), o)
		wantErr(t, fmt.Sprintf("%+v with the foreign row", o), err, redstuff.ErrInconsistent)
		_, err = c.Decode(ctx, md, walrus.Primary, take(bad, g, walrus.Primary, 0, 1, 2), o)
		if o.Strict {
			wantErr(t, "strict without the foreign row", err, redstuff.ErrInconsistent)
		} else if err != nil {
			t.Errorf("the default check looks at source rows only, but: %v", err)
		}
	}
}

// TestDecodePadding has a blob that ends before its bytes do.
func TestDecodePadding(t *testing.T) {
	c := codecFor(t, 10)
	whole := encode(t, c, noise(56))
	md := &redstuff.Metadata{Size: 55, Hashes: whole.Metadata().Hashes}
	for _, axis := range axes {
		for _, o := range allOptions {
			slivers := pick(whole, axis, []int{0, 1, 2, 3, 4, 5, 6})
			_, err := c.Decode(context.Background(), md, axis, slivers, o)
			wantErr(t, fmt.Sprintf("%s %+v", axis, o), err, redstuff.ErrInconsistent)
		}
	}
}

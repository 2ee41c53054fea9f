package redstuff_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

var axes = []walrus.Axis{walrus.Primary, walrus.Secondary}

func encode(t testing.TB, c *redstuff.Codec, blob []byte) *redstuff.Encoded {
	t.Helper()
	e, err := c.Encode(context.Background(), blob)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestOracle compares everything with the slow implementation, for symbol sizes
// around the borders where their handling changes.
func TestOracle(t *testing.T) {
	sizes := map[int][]int{ // symbol sizes by shards
		4: {2, 64, 66, 1022, 1024, 1026, 4160, 8258}, 7: {2, 130, 1090}, 8: {62}, 10: {2, 6, 62, 64, 66, 126, 190, 510, 1022, 1024, 1088, 4100},
		13: {4, 126}, 16: {2, 70}, 21: {2}, 22: {34}, 31: {2, 6}, 48: {2}, 52: {2},
	}
	for _, shards := range []int{4, 7, 8, 10, 13, 16, 21, 22, 31, 48, 52} {
		c := codecFor(t, shards)
		g := c.Geometry()
		for _, symbol := range sizes[shards] {
			for _, less := range []int{0, 1, g.SourceSecondary()*symbol + 1} {
				size := g.SourcePrimary()*g.SourceSecondary()*symbol - less
				t.Run(fmt.Sprintf("n=%d/symbol=%d/size=%d", shards, symbol, size), func(t *testing.T) {
					checkOracle(t, c, noise(size))
				})
			}
		}
	}
}

func checkOracle(t *testing.T, c *redstuff.Codec, blob []byte) {
	o := newOracle(c.Geometry(), blob)
	e := encode(t, c, blob)
	defer e.Release()
	md := e.Metadata()
	same(t, "blob id", e.Blob(), walrus.BlobID(o.id))
	same(t, "blob id of the metadata", md.BlobID(), walrus.BlobID(o.id))
	same(t, "root", md.Root(), o.root)
	for i := range c.Geometry().Shards {
		same(t, fmt.Sprint("primary hash ", i), md.PrimaryHash(i), o.primary[i])
		same(t, fmt.Sprint("secondary hash ", i), md.SecondaryHash(i), o.secondary[i])
		for _, axis := range axes {
			if got, want := e.Slot(axis, i).Data(), o.sliver(c.Geometry(), axis, i); !bytes.Equal(got, want) {
				t.Errorf("%s sliver %d differs", axis, i)
			}
		}
	}
}

func TestSlot(t *testing.T) {
	for _, x := range []struct{ shards, size int }{{4, 0}, {10, 5000}, {10, 300000}, {31, 100000}} {
		c := codecFor(t, x.shards)
		e := encode(t, c, noise(x.size))
		table := crc32.MakeTable(crc32.Castagnoli)
		for _, axis := range axes {
			for i := range x.shards {
				s := e.Slot(axis, i)
				same(t, "axis", s.Axis(), axis)
				same(t, "index", s.Index(), i)
				same(t, "crc", crc32.Checksum(s.Data(), table), s.CRC())
				root := e.Metadata().PrimaryHash(i)
				if axis == walrus.Secondary {
					root = e.Metadata().SecondaryHash(i)
				}
				same(t, "root", s.Root(), root)

				at := i * len(s.Data()) / x.shards
				s.Data()[at] ^= 0x10
				if crc32.Checksum(s.Data(), table) == s.CRC() {
					t.Errorf("%s sliver %d: changing byte %d does not change the CRC", axis, i, at)
				}
				s.Data()[at] ^= 0x10
			}
		}
	}
}

func TestSlotIsIndependentOfMetadata(t *testing.T) {
	e := encode(t, codecFor(t, 7), noise(1000))
	want := e.Slot(walrus.Primary, 2).Root()
	e.Metadata().Hashes[2].Primary[0] ^= 1
	same(t, "root", e.Slot(walrus.Primary, 2).Root(), want)
}

func TestRelease(t *testing.T) {
	c := codecFor(t, 10)
	e := encode(t, c, noise(100000))
	e.Release()
	e.Release()
	if e.Primary(0) != nil || e.Secondary(9) != nil || e.SymbolSize() != 0 || e.Slot(walrus.Primary, 0).Data() != nil {
		t.Error("a released Encoded still hands out slivers")
	}
	if e.Blob().IsZero() || e.Blob() != e.Metadata().BlobID() {
		t.Error("a released Encoded has lost its metadata")
	}
}

// TestBuffersAreClean encodes blobs of many sizes one after the other, so that
// each finds the leavings of others in recycled buffers.
func TestBuffersAreClean(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	c := codecFor(t, 10)
	for range 60 {
		size := rng.IntN(20000)
		blob := noise(size)
		e := encode(t, c, blob)
		fresh, err := codecFor(t, 10).ComputeMetadata(context.Background(), blob)
		if err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("blob id of %d bytes", size), e.Blob(), fresh.BlobID())
		for i := range 10 {
			for _, axis := range axes {
				id := walrus.SliverID{Axis: axis, Index: uint16(i)}
				if err := c.Verify(e.Metadata(), id, e.Slot(axis, i).Data()); err != nil {
					t.Errorf("%d bytes: %v", size, err)
				}
			}
		}
		e.Release()
	}
}

func TestConcurrentUse(t *testing.T) {
	c := codecFor(t, 13)
	blobs := [][]byte{noise(100), noise(20000), noise(300000)}
	var want []walrus.BlobID
	for _, blob := range blobs {
		want = append(want, encode(t, codecFor(t, 13), blob).Blob())
	}
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			blob := blobs[i%len(blobs)]
			e := encode(t, c, blob)
			same(t, "blob id", e.Blob(), want[i%len(blobs)])
			slivers := map[int][]byte{}
			for j := 13 - 1; len(slivers) < 9; j-- {
				slivers[j] = bytes.Clone(e.Secondary(j))
			}
			e.Release()
			got, err := c.Decode(context.Background(), e.Metadata(), walrus.Secondary, slivers, redstuff.DecodeOptions{})
			if err != nil || !bytes.Equal(got, blob) {
				t.Errorf("decode: %d bytes, %v", len(got), err)
			}
		})
	}
	all.Wait()
}

func TestEncodeTooLarge(t *testing.T) {
	c := codecFor(t, 4)
	blob := make([]byte, c.Geometry().MaxBlobSize()+1)
	if _, err := c.Encode(context.Background(), blob); !errors.Is(err, walrus.ErrTooLarge) {
		t.Errorf("encode: got %v, want %v", err, walrus.ErrTooLarge)
	}
	if _, err := c.ComputeMetadata(context.Background(), blob); !errors.Is(err, walrus.ErrTooLarge) {
		t.Errorf("compute metadata: got %v, want %v", err, walrus.ErrTooLarge)
	}
}

func TestCancelled(t *testing.T) {
	c := codecFor(t, 10)
	blob := noise(5000)
	e := encode(t, c, blob)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	slivers := map[int][]byte{}
	for i := range 4 {
		slivers[i] = e.Primary(i)
	}
	if _, err := c.Encode(ctx, blob); !errors.Is(err, context.Canceled) {
		t.Errorf("encode: got %v", err)
	}
	if _, err := c.ComputeMetadata(ctx, blob); !errors.Is(err, context.Canceled) {
		t.Errorf("compute metadata: got %v", err)
	}
	if _, err := c.Decode(ctx, e.Metadata(), walrus.Primary, slivers, redstuff.DecodeOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("decode: got %v", err)
	}
}

func TestNewRefusesGeometry(t *testing.T) {
	for _, shards := range []int{-1, 0, 3, 49156} {
		if _, err := redstuff.New(walrus.Geometry{Shards: shards}); !errors.Is(err, walrus.ErrGeometry) {
			t.Errorf("%d shards: got %v, want %v", shards, err, walrus.ErrGeometry)
		}
	}
}

// TestMemory keeps what one Encode allocates below the limit that callers count on.
func TestMemory(t *testing.T) {
	c := codecFor(t, 100)
	blob := noise(8310144)
	encode(t, c, blob[:1000]) // tables and encoders
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	e := encode(t, c, blob)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 60<<20 {
		t.Errorf("encoding %d bytes allocates %d", len(blob), got)
	}
	e.Release()
}

func TestVerify(t *testing.T) {
	for _, x := range []struct{ shards, size int }{{4, 1}, {10, 1000}, {10, 100000}, {100, 300000}} {
		c := codecFor(t, x.shards)
		e := encode(t, c, noise(x.size))
		md := e.Metadata()
		for _, axis := range axes {
			for _, i := range []int{0, 1, x.shards / 2, x.shards - 1} {
				id := walrus.SliverID{Axis: axis, Index: uint16(i)}
				data := bytes.Clone(e.Slot(axis, i).Data())
				if err := c.Verify(md, id, data); err != nil {
					t.Errorf("n=%d %s %d: %v", x.shards, axis, i, err)
				}
				for _, at := range []int{0, len(data) / 2, len(data) - 1} {
					data[at] ^= 1
					wantErr(t, fmt.Sprintf("n=%d %s %d with byte %d wrong", x.shards, axis, i, at), c.Verify(md, id, data), redstuff.ErrSliver)
					data[at] ^= 1
				}
				wantErr(t, "short", c.Verify(md, id, data[:len(data)-2]), redstuff.ErrSliver)
				wantErr(t, "long", c.Verify(md, id, append(data, 0, 0)), redstuff.ErrSliver)
			}
		}
		data := e.Primary(0)
		wantErr(t, "index", c.Verify(md, walrus.SliverID{Index: uint16(x.shards)}, data), redstuff.ErrSliver)
		wantErr(t, "axis", c.Verify(md, walrus.SliverID{Axis: 2}, data), redstuff.ErrSliver)
		short := &redstuff.Metadata{Size: md.Size, Hashes: md.Hashes[1:]}
		wantErr(t, "metadata", c.Verify(short, walrus.SliverID{}, data), redstuff.ErrMetadata)
	}
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestLocate(t *testing.T) {
	c := codecFor(t, 10) // slivers of 7 symbols, 4 of them source
	const size = 1000    // symbols of 36 bytes, slivers of 252
	tests := []struct {
		off  int64
		n    int
		want []redstuff.Span
	}{
		{0, 0, nil},
		{1000, 0, nil},
		{0, 252, []redstuff.Span{{0, 0, 252}}},
		{251, 2, []redstuff.Span{{0, 251, 1}, {1, 0, 1}}},
		{252, 1, []redstuff.Span{{1, 0, 1}}},
		{100, 900, []redstuff.Span{{0, 100, 152}, {1, 0, 252}, {2, 0, 252}, {3, 0, 244}}},
		{999, 1, []redstuff.Span{{3, 243, 1}}},
	}
	for _, test := range tests {
		got, err := c.Locate(size, test.off, test.n)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%d at %d: got %v, %v, want %v", test.n, test.off, got, err, test.want)
		}
	}
	for _, bad := range [][2]int64{{-1, 1}, {0, -1}, {0, 1001}, {1000, 1}, {1001, 0}, {1 << 62, 1 << 62}} {
		_, err := c.Locate(size, bad[0], int(bad[1]))
		wantErr(t, fmt.Sprint(bad), err, redstuff.ErrRange)
	}
	_, err := c.Locate(c.Geometry().MaxBlobSize()+1, 0, 1)
	wantErr(t, "large", err, walrus.ErrTooLarge)
}

func TestLocateFindsTheBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, shards := range []int{4, 10, 31} {
		c := codecFor(t, shards)
		blob := noise(1 + rng.IntN(50000))
		e := encode(t, c, blob)
		for range 100 {
			off := rng.IntN(len(blob))
			n := rng.IntN(len(blob) - off + 1)
			spans, err := c.Locate(int64(len(blob)), int64(off), n)
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			for _, s := range spans {
				got = append(got, e.Primary(s.Index)[s.Offset:s.Offset+s.Length]...)
			}
			if !bytes.Equal(got, blob[off:off+n]) {
				t.Fatalf("n=%d size=%d: %d bytes at %d differ", shards, len(blob), n, off)
			}
		}
	}
}

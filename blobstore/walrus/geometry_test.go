package walrus_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
)

func TestGeometry(t *testing.T) {
	tests := []struct {
		shards, faulty, primary, secondary int
		largest                            int64
	}{
		{4, 1, 2, 3, 393204},
		{5, 1, 3, 4, 12 * 65534},
		{6, 1, 4, 5, 20 * 65534},
		{7, 2, 3, 5, 983010},
		{10, 3, 4, 7, 1834952},
		{13, 4, 5, 9, 2949030},
		{31, 10, 11, 21, 15138354},
		{100, 33, 34, 67, 149286452},
		{1000, 333, 334, 667, 14599533452},
	}
	for _, test := range tests {
		g, err := walrus.NewGeometry(test.shards)
		if err != nil {
			t.Fatal(err)
		}
		n := fmt.Sprintf("n=%d ", test.shards)
		same(t, n+"faulty", g.Faulty(), test.faulty)
		same(t, n+"source primary", g.SourcePrimary(), test.primary)
		same(t, n+"source secondary", g.SourceSecondary(), test.secondary)
		same(t, n+"quorum", g.Quorum(), test.secondary)
		same(t, n+"largest", g.MaxBlobSize(), test.largest)
		size, err := g.SymbolSize(test.largest)
		same(t, n+"largest symbol", size, walrus.MaxSymbolSize)
		same(t, n+"error", err, nil)
		for _, bad := range []int64{test.largest + 1, -1} {
			if _, err := g.SymbolSize(bad); !errors.Is(err, walrus.ErrTooLarge) {
				t.Errorf("%ssize %d: got %v", n, bad, err)
			}
			if _, err := g.EncodedSize(bad); !errors.Is(err, walrus.ErrTooLarge) {
				t.Errorf("%sencoded size of %d: got %v", n, bad, err)
			}
		}
	}
	for _, bad := range []int{-5, 0, 1, 3, 49156, 1 << 30} {
		if _, err := walrus.NewGeometry(bad); !errors.Is(err, walrus.ErrGeometry) {
			t.Errorf("%d shards: got %v, want %v", bad, err, walrus.ErrGeometry)
		}
	}
	if _, err := walrus.NewGeometry(49155); err != nil {
		t.Error(err)
	}
}

// TestThresholds compares with the rules of the ledger, in shards.
func TestThresholds(t *testing.T) {
	for n := 4; n <= 1000; n++ {
		g := walrus.Geometry{Shards: n}
		for w := range n + 1 {
			if g.IsQuorum(w) != (3*w >= 2*n+1) || g.IsOneHonest(w) != (3*w >= n+1) {
				t.Fatalf("n=%d weight=%d: quorum %t, one honest %t", n, w, g.IsQuorum(w), g.IsOneHonest(w))
			}
		}
	}
}

func TestSymbolSize(t *testing.T) {
	g := walrus.Geometry{Shards: 10} // 28 source symbols
	for size, want := range map[int64]int{0: 2, 1: 2, 28: 2, 56: 2, 57: 4, 112: 4, 113: 6, 1048576: 37450} {
		got, err := g.SymbolSize(size)
		if err != nil || got != want {
			t.Errorf("%d bytes: got %d, %v, want %d", size, got, err, want)
		}
	}
	same(t, "primary sliver", g.SliverSize(walrus.Primary, 6), 42)
	same(t, "secondary sliver", g.SliverSize(walrus.Secondary, 6), 24)
}

func TestEncodedSize(t *testing.T) {
	for _, v := range read[ledger](t, "ledger.json").EncodedSizes {
		got, err := walrus.Geometry{Shards: v.Shards}.EncodedSize(v.Unencoded)
		if err != nil || got != v.Encoded {
			t.Errorf("n=%d, %d bytes: got %d, %v, want %d", v.Shards, v.Unencoded, got, err, v.Encoded)
		}
	}
}

func TestShardMapping(t *testing.T) {
	for _, v := range read[messages](t, "messages.json").ShardMapping {
		g := walrus.Geometry{Shards: v.NShards}
		blob := walrus.BlobID(unhex(t, v.BlobIDHex))
		same(t, "rotation", g.Shard(blob, 0), v.Rotation)
		for _, x := range v.Examples {
			same(t, "shard", g.Shard(blob, x.Pair), x.Shard)
			same(t, "pair", g.Pair(blob, x.Shard), x.Pair)
			same(t, "primary", g.SliverIndex(x.Pair, walrus.Primary), x.PrimarySliver)
			same(t, "secondary", g.SliverIndex(x.Pair, walrus.Secondary), x.SecondarySliver)
		}
		for pair := range v.NShards {
			same(t, "pair of shard", g.Pair(blob, g.Shard(blob, pair)), pair)
			for _, axis := range []walrus.Axis{walrus.Primary, walrus.Secondary} {
				same(t, "pair of sliver", g.PairOf(axis, g.SliverIndex(pair, axis)), pair)
			}
		}
	}
}

// TestZeroGeometry makes sure that a geometry nobody checked does not panic.
func TestZeroGeometry(t *testing.T) {
	var g walrus.Geometry
	if _, err := g.SymbolSize(1); !errors.Is(err, walrus.ErrGeometry) {
		t.Errorf("got %v", err)
	}
	same(t, "shard", g.Shard(walrus.BlobID{1}, 5), 0)
	same(t, "pair", g.Pair(walrus.BlobID{1}, 5), 0)
}

func TestComputeBlobID(t *testing.T) {
	v := read[ledger](t, "ledger.json").BlobID
	got := walrus.ComputeBlobID([32]byte(unhex(t, v.Root)), v.Size)
	same(t, "blob id", got, walrus.BlobID(unhex(t, v.ID)))
	same(t, "text", got.String(), v.Text)
}

package redstuff

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"golang.org/x/crypto/blake2b"
)

func needLanes(t *testing.T) {
	t.Helper()
	if !hasLanes {
		t.Skip("this processor does not hash in lockstep")
	}
}

// randomSymbols returns slices that are followed by other bytes.
func randomSymbols(rng *rand.Rand, n, size int) [][]byte {
	symbols := make([][]byte, n)
	for i := range symbols {
		b := make([]byte, size+200)
		for x := range b {
			b[x] = byte(rng.Uint32())
		}
		symbols[i] = b[:size]
	}
	return symbols
}

func TestLanesLeaves(t *testing.T) {
	needLanes(t)
	rng := rand.New(rand.NewPCG(15, 16))
	sizes := []int{3648, 65534}
	for size := range 520 {
		sizes = append(sizes, size)
	}
	var h hasher
	for _, size := range sizes {
		for n := 1; n <= 17; n++ {
			symbols := randomSymbols(rng, n, size)
			got := make([]node, n)
			h.leaves(got, symbols)
			for i, s := range symbols {
				if want := blake2b.Sum256(append([]byte{0}, s...)); got[i] != want {
					t.Fatalf("size %d, message %d of %d: got %x, want %x", size, i, n, got[i], want)
				}
			}
		}
	}
}

func TestLanesParents(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 18))
	var h hasher
	for n := 1; n <= 20; n++ {
		nodes := make([]node, 2*n)
		left, right, want := make([]node, n), make([]node, n), make([]node, n)
		for i := range n {
			for x := range 32 {
				nodes[2*i][x], nodes[2*i+1][x] = byte(rng.Uint32()), byte(rng.Uint32())
			}
			left[i], right[i] = nodes[2*i], nodes[2*i+1]
			want[i] = blake2b.Sum256(slices.Concat([]byte{1}, left[i][:], right[i][:]))
		}
		h.level(nodes, n)
		if !slices.Equal(nodes[:n], want) {
			t.Errorf("level of %d pairs differs", n)
		}
		h.inner(left, left, right)
		if !slices.Equal(left, want) {
			t.Errorf("parents of %d pairs differ", n)
		}
	}
}

// TestWithoutLanes encodes the way processors without wide registers do.
func TestWithoutLanes(t *testing.T) {
	needLanes(t)
	for _, x := range []struct{ shards, size int }{{4, 100}, {10, 0}, {10, 5000}, {13, 100000}, {100, 200000}} {
		t.Run(fmt.Sprintf("n=%d/size=%d", x.shards, x.size), func(t *testing.T) {
			c, err := New(walrus.Geometry{Shards: x.shards})
			if err != nil {
				t.Fatal(err)
			}
			blob := randomSymbols(rand.New(rand.NewPCG(19, 20)), 1, x.size)[0]
			want, err := c.ComputeMetadata(t.Context(), blob)
			if err != nil {
				t.Fatal(err)
			}
			hasLanes = false
			defer func() { hasLanes = true }()
			got, err := c.ComputeMetadata(t.Context(), blob)
			if err != nil || !slices.Equal(got.Hashes, want.Hashes) {
				t.Errorf("hashes differ, %v", err)
			}
		})
	}
}

package commit_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/walfs/walfs/fs/commit"
)

// TestLayout packs files, and compares with what the layout said before.
func TestLayout(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		const seed = 5
		rng := rand.New(rand.NewPCG(seed, 0))
		r := newRig(t, options{policy: calm, plain: plain})
		segments, sealed := 0, int64(0)
		layout := commit.NewLayout(r.blobs.Geometry(), plain, func(n int64) {
			segments++
			sealed += n
		})
		for i := range 300 {
			size := int(rng.ExpFloat64() * 20_000)
			if i%50 == 0 {
				size = 1_000_000 + rng.IntN(2_000_000)
			}
			name := fmt.Sprintf("file %03d", i)
			r.put(name, random(uint64(i), size))
			layout.File(int64(size), len(name))
		}
		layout.End()
		r.drain()
		rows := r.segments()
		if len(rows) != segments {
			t.Errorf("plain %v: %d segments, want %d", plain, len(rows), segments)
		}
		if got := r.stored(0); got < sealed*99/100 || got > sealed*101/100 {
			t.Errorf("plain %v: %d bytes sealed, want about %d", plain, got, sealed)
		}
	}
}

// TestLayoutNames counts what a trailer takes that is longer than a segment.
func TestLayoutNames(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{idle: true, policy: commit.Policy{Quiet: time.Hour}})
	capacity := commit.Capacity(r.blobs.Geometry())
	var total int64
	layout := commit.NewLayout(r.blobs.Geometry(), false, func(n int64) {
		if n > capacity {
			t.Errorf("segment of %d bytes, at most %d", n, capacity)
		}
		total += n
	})
	layout.End()
	if total != 0 {
		t.Errorf("nothing takes %d bytes", total)
	}
	for range 100_000 {
		layout.Name(20)
	}
	layout.End()
	if total < 2_000_000 || total > 6_000_000 {
		t.Errorf("100,000 names take %d bytes", total)
	}
}

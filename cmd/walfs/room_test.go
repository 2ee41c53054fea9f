package main

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	drivefs "github.com/walfs/walfs/fs"
)

// TestSpare compares what a disk may take with the rule of the design: 4.5 bytes for each
// staged one, the outbox, small segments, a reserve; what can be evicted counts as free.
func TestSpare(t *testing.T) {
	dir := t.TempDir()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	free := int64(st.Bavail) * st.Bsize
	reserve := min(int64(maxReserve), int64(st.Blocks)*st.Bsize/20)
	all := disk{path: dir, share: sliverShare, home: true, cache: true}
	tests := map[string]struct {
		disk  disk
		b     backlog
		spare int64 // times what one byte costs
		cost  float64
	}{
		"nothing staged":      {all, backlog{}, free - reserve, 5.5},
		"staged":              {all, backlog{staged: 1 << 20}, free - reserve - 5.5*(1<<20), 5.5},
		"outbox has a window": {all, backlog{staged: 1 << 30}, free - reserve - 4.5*(1<<30) - outboxWindow, 5.5},
		"segments":            {all, backlog{segments: 8}, free - reserve - 8*smallSegment, 5.5},
		"evictable":           {all, backlog{copies: 1 << 20, cache: 2 << 20}, free - reserve + 3<<20, 5.5},
		"nodes elsewhere":     {disk{path: dir, home: true}, backlog{staged: 1 << 20, cache: 1 << 20}, free - reserve - 1<<20, 1},
		"a third of nodes":    {disk{path: dir, share: 1.5}, backlog{staged: 2 << 20, copies: 1 << 20}, free - reserve - 3<<20, 1.5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, short, err := tt.disk.spare(tt.b)
			if err != nil {
				t.Fatal(err)
			}
			// Other programs write to the same disk meanwhile.
			const slack = 256 << 20
			if want := int64(float64(tt.spare) / tt.cost); got < want-slack || got > want+slack {
				t.Errorf("got %d, want about %d", got, want)
			}
			if short != 0 {
				t.Errorf("%d bytes short on a disk with room", short)
			}
		})
	}
	full := backlog{staged: free, copies: 3 << 20, cache: 4 << 20}
	if left, short, err := all.spare(full); err != nil || left >= 0 || short != 7<<20 {
		t.Errorf("a backlog that does not fit: %d left, %d to evict, %v; want less than nothing, %d", left, short, err, 7<<20)
	}
}

func TestTake(t *testing.T) {
	r := &room{kick: make(chan struct{}, 1), at: time.Now().Add(time.Hour), spare: 100} // never stale
	for _, n := range []int64{60, 40} {
		if err := r.take(n); err != nil {
			t.Fatalf("%d of 100 bytes: %v", n, err)
		}
	}
	if err := r.take(1); !errors.Is(err, drivefs.ErrNoRoom) {
		t.Errorf("one byte more: got %v, want ErrNoRoom", err)
	}
	r.space.Free = 150
	if got := r.get().Free; got != 50 {
		t.Errorf("statfs shows %d bytes free, want 50", got)
	}
}

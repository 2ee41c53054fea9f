package main

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	drivefs "github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// TestSpare compares what a disk may take with the rule of the design: 4.5 bytes for each
// staged one, the outbox, small segments, a reserve; what can be evicted counts as free.
func TestSpare(t *testing.T) {
	const free, total = 100 << 30, 200 << 30
	const reserve = maxReserve
	all := disk{share: sliverShare, home: true, cache: true}
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
		"nodes elsewhere":     {disk{home: true}, backlog{staged: 1 << 20, cache: 1 << 20}, free - reserve - 1<<20, 1},
		"a third of nodes":    {disk{share: 1.5}, backlog{staged: 2 << 20, copies: 1 << 20}, free - reserve - 3<<20, 1.5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, short := tt.disk.spareOf(free, total, tt.b)
			if want := int64(float64(tt.spare) / tt.cost); got != want {
				t.Errorf("got %d, want %d", got, want)
			}
			if short != 0 {
				t.Errorf("%d bytes short on a disk with room", short)
			}
		})
	}
	full := backlog{staged: free, copies: 3 << 20, cache: 4 << 20}
	if left, short := all.spareOf(free, total, full); left >= 0 || short != 7<<20 {
		t.Errorf("a backlog that does not fit: %d left, %d to evict; want less than nothing, %d", left, short, 7<<20)
	}
	if left, _ := all.spareOf(10<<20, 100<<20, backlog{}); left != 5<<21/11 {
		t.Errorf("of a small disk a twentieth is reserved: %d left", left)
	}
}

// TestWritersSlow fills what staging may hold: there is no wait for the first four fifths, then
// each write waits longer than the one before, up to what slowRate says, and what has no room is refused.
func TestWritersSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const write, limit = 1 << 20, 1000 << 20
		r := &room{kick: make(chan struct{}, 1), limit: limit, spare: 1 << 50, at: time.Now().Add(time.Hour)} // it looks at no disk
		most, last := time.Duration(float64(write)/slowRate*float64(time.Second)), time.Duration(0)
		for held := int64(write); held <= limit; held += write {
			start := time.Now()
			if err := r.take(write); err != nil {
				t.Fatalf("%d bytes of %d: %v", held, limit, err)
			}
			took := time.Since(start)
			switch free := float64(held) <= slowFrom*limit; {
			case free && took != 0:
				t.Fatalf("the writer of byte %d waits %s with room", held, took)
			case !free && took <= last:
				t.Fatalf("the writer of byte %d waits %s, the one before it %s", held, took, last)
			}
			last = took
		}
		if last.Round(time.Millisecond) != most {
			t.Errorf("the last one waits %s, want %s", last, most)
		}
		if err := r.take(1); !errors.Is(err, drivefs.ErrNoRoom) {
			t.Errorf("one byte too many: %v", err)
		}
	})
}

// TestBacklog counts what the kernel has written by itself when it is asked, and leaves out
// what never leaves the machine.
func TestBacklog(t *testing.T) {
	a := newApp(io.Discard, io.Discard)
	h := home{dir: t.TempDir()}
	if _, err := a.initDrive(t.Context(), h, initOptions{}); err != nil {
		t.Fatal(err)
	}
	d, err := a.openDrive(t.Context(), h, a.Logger())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	const size = 4 << 20
	grow := func(name string) *staging.File {
		t.Helper()
		attr, err := d.index.Create(t.Context(), index.CreateRequest{Parent: index.Root, Name: []byte(name), Mode: unix.S_IFREG | 0o600})
		if err != nil {
			t.Fatal(err)
		}
		f, err := d.staging.File(t.Context(), attr.Ino, staging.Shape{Version: attr.Version, New: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Lend(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := unix.Fallocate(f.Fd(), 0, 0, size); err != nil {
			t.Fatal(err)
		}
		return f
	}
	want := func(what string, n int64) {
		t.Helper()
		b, err := d.room.backlog(t.Context(), 0)
		if err != nil || b.staged < n || b.staged > n+size/2 || b.busy != (n > 0) {
			t.Errorf("%s: staged %d, busy %v, %v, want about %d", what, b.staged, b.busy, err, n)
		}
	}
	for i, name := range []string{"doc", "other"} {
		defer grow(name).Release()
		want(name, int64(i+1)*size)
	}
	f := grow(".doc.swp")
	defer f.Release()
	if err := d.index.Queue(t.Context(), f.Ino(), f.State()); err != nil {
		t.Fatal(err)
	}
	want("with a file that is ignored", 2*size)
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

// TestRoomBearable lets numbers that cost much be used for longer.
func TestRoomBearable(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: roomStale, time.Millisecond: roomStale, 100 * time.Millisecond: 2 * time.Second, time.Hour: roomOldest,
	} {
		if got := (&room{took: took}).polled(); got != want {
			t.Errorf("a look took %v: %v, want %v", took, got, want)
		}
	}
}

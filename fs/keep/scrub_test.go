package keep_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/fs/keep"
)

// spoilSlot changes a byte of a sliver of a node's only blob.
func (w *world) spoilSlot(dir string) {
	w.Helper()
	var paths []string
	w.must(filepath.WalkDir(filepath.Join(dir, "blobs"), func(p string, de fs.DirEntry, err error) error {
		if err == nil && de.Type().IsRegular() {
			paths = append(paths, p)
		}
		return err
	}))
	if len(paths) != 1 {
		w.Fatalf("blob files %q, want one", paths)
	}
	b, err := os.ReadFile(paths[0])
	w.must(err)
	b[4096+100] ^= 1 // the slots begin there
	w.must(os.WriteFile(paths[0], b, 0o600))
}

// stored waits until every node has all of the blobs, of which there are so many: a Put waits
// for a quorum only, and the healer brings the rest.
func (w *world) stored(healer *blobstore.Healer, blobs int) {
	w.Helper()
	ctx, stop := context.WithCancel(context.Background())
	w.net.Sync(ctx) // before the healer looks: it looks again in a day
	done := make(chan struct{})
	go func() { defer close(done); _ = healer.Run(ctx) }()
	defer func() { stop(); <-done }()
	waitFor(w.TB, "all nodes to have all", func() bool {
		sum, lacking := 0, 0
		for _, n := range w.net.Up() {
			w.must(n.Survey(ctx, node.Checksums, walrus.BlobID{}, func(g node.Gap) error {
				sum++
				if !g.None() {
					lacking++
				}
				return nil
			}))
		}
		return lacking == 0 && sum == blobs*len(w.net.Up())
	})
}

// TestScrubber scrubs every node once in the time between two scrubs, however the clock
// goes, remembers across restarts, and what it finds is healed.
func TestScrubber(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	m.put("file", content(3, 500_000))
	m.drain()
	healer := blobstore.NewHealer(blobstore.HealerConfig{Client: m.blobs, Nodes: w.net.Up})
	w.stored(healer, 1)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "scrub.json")
	fresh := func() *keep.Scrubber {
		return keep.NewScrubber(keep.ScrubConfig{
			Healer: healer, Nodes: w.net.Up, Path: path, Every: 24 * time.Hour, Rate: 1 << 40, Now: func() time.Time { return now },
		})
	}
	// round does what is due and returns the names of the nodes that were scrubbed, each in a process of its own.
	round := func() (names []string) {
		t.Helper()
		for {
			worked, err := fresh().Work(ctx)
			w.must(err)
			if !worked {
				return names
			}
			last := fresh().Status()
			names = append(names, last[len(last)-1].Name)
			if len(names) > 20 {
				t.Fatal("it does not end")
			}
		}
	}
	if got := round(); len(got) != 0 {
		t.Errorf("scrubbed at once: %q", got)
	}
	now = now.Add(23 * time.Hour)
	if got := round(); len(got) != 0 {
		t.Errorf("scrubbed after 23 hours: %q", got)
	}
	w.spoilSlot(w.net.Nodes()[2].Dir)
	now = now.Add(2 * time.Hour)
	if got := round(); len(got) != 4 {
		t.Errorf("scrubbed when all were due: %q", got)
	}
	found := 0
	for _, s := range fresh().Status() {
		found += s.Found
		if !s.Ended.Equal(now) || s.Blobs != 0 && s.Bytes == 0 {
			t.Errorf("%+v", s)
		}
	}
	if found != 1 {
		t.Errorf("found %d damaged slivers, want 1", found)
	}
	healing, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = healer.Run(healing) }()
	waitFor(t, "the node to be healed", func() bool { return w.net.Nodes()[2].Lacking == 0 })
	stop()
	<-done

	now = now.AddDate(-10, 0, 0) // the clock is put back: what was written down lies in the future
	if got := round(); len(got) != 0 {
		t.Errorf("scrubbed at once after the clock was put back: %q", got)
	}
	now = now.Add(25 * time.Hour)
	if got := round(); len(got) != 4 {
		t.Errorf("scrubbed a day after the clock was put back: %q", got)
	}
	w.must(os.WriteFile(path, []byte("{damaged"), 0o600))
	if got := round(); len(got) != 0 {
		t.Errorf("scrubbed at once after the file was damaged: %q", got)
	}
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), "since") {
		t.Errorf("written down: %s, %v", text, err)
	}
}

// TestScrubGoesOn stops a scrub after each portion and goes on behind it.
func TestScrubGoesOn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	for i := range 3 {
		m.put(string(rune('a'+i)), content(byte(i), 100_000))
		m.drain()
	}
	w.net.Sync(ctx)
	healer := blobstore.NewHealer(blobstore.HealerConfig{Client: m.blobs, Nodes: w.net.Up})
	n := w.net.Up()[0]
	var o blobstore.ScrubOptions
	o.Limit = 1
	seen := 0
	for range 10 {
		r, err := healer.Scrub(ctx, n, o)
		w.must(err)
		if seen += r.Blobs; r.Done {
			break
		}
		if r.Blobs != 1 || r.Last.IsZero() {
			t.Fatalf("a portion %+v", r)
		}
		o.After = r.Last
	}
	if seen != 3 {
		t.Errorf("%d blobs, want 3", seen)
	}
}

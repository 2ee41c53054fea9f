package keep_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// destroy removes what all nodes have of a blob.
func (w *world) destroy(blob walrus.BlobID) {
	w.Helper()
	n := 0
	err := filepath.WalkDir(w.dir, func(path string, de fs.DirEntry, err error) error {
		if err == nil && de.Name() == hex.EncodeToString(blob[:]) {
			n++
			return os.Remove(path)
		}
		return err
	})
	w.must(err)
	if n == 0 {
		w.Fatalf("no node has blob %s", blob)
	}
}

// segmentOf returns the segment that carries a generation first.
func (m *machine) segmentOf(g uint64) index.SegmentRow {
	m.Helper()
	rows, err := m.db.Segments(context.Background(), index.SegmentFilter{Number: g})
	m.must(err)
	if len(rows) != 1 {
		m.Fatalf("%d segments with number %d", len(rows), g)
	}
	return rows[0]
}

// restoreLive restores a drive, and wants what it was at a moment.
func (l *live) restoreLive(m moment, change func(*keep.RestoreConfig)) (string, keep.Report) {
	l.Helper()
	dir := l.TempDir()
	report, err := l.restore(dir, change)
	l.must(err)
	if report.Generation != m.generation || len(report.Problems) > 0 {
		l.Errorf("restored generation %d, want %d: %+v", report.Generation, m.generation, report)
	}
	l.wants(dir, m.files)
	return dir, report
}

// grow makes a file and deletes an older one, which always is a new generation, and drains.
func (l *live) grow() {
	l.Helper()
	n := len(l.files) + len(l.moments)
	fresh := content(byte(n), 1+l.rng.IntN(40_000))
	name := fmt.Sprintf("g%d-%d", n, l.rng.Uint64())
	l.put(name, fresh)
	if n%3 == 2 {
		for old := range l.files {
			_, err := l.db.Unlink(context.Background(), index.Root, []byte(old))
			l.must(err)
			delete(l.files, old)
			break
		}
	}
	l.files[name] = fresh
	l.drain()
	s, err := l.c.Status(context.Background())
	l.must(err)
	l.moments = append(l.moments, moment{s.Generation, time.Now(), maps.Clone(l.files)})
}

func passed(r keep.Report) (list []uint64) {
	for _, p := range r.Passed {
		list = append(list, p.Generation)
	}
	return list
}

func readOnly(cfg *keep.RestoreConfig) { cfg.ReadOnly = true }

// TestRestorePassesOver destroys generations, and wants the newest state below
// of which all can be read, and the holes listed.
func TestRestorePassesOver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		full      int64
		destroyed []int // moments, from the newest
		want      int   // moment, from the newest
	}{
		{"the newest", 1 << 30, []int{0}, 1},
		{"the two newest", 1 << 30, []int{0, 1}, 2},
		{"one on the way", 1 << 30, []int{3}, 4},
		{"two apart", 1 << 30, []int{0, 3}, 4},
		{"above full snapshots", 256 << 10, []int{0}, 1},
		{"below full snapshots", 256 << 10, []int{7}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLive(t, tt.full)
			for range 8 {
				l.grow()
			}
			at := func(i int) moment { return l.moments[len(l.moments)-1-i] }
			var holes []uint64
			for _, i := range tt.destroyed {
				l.destroy(l.segmentOf(at(i).generation).Blob)
				if tt.want > 0 {
					holes = append(holes, at(i).generation)
				}
			}
			want := at(tt.want)
			dir := t.TempDir()
			report, err := l.restore(dir, nil)
			l.must(err)
			if report.Generation != want.generation || report.Newest != at(0).generation || !slices.Equal(passed(report), holes) {
				t.Errorf("restored %d of %d without %v, want %d without %v", report.Generation, report.Newest, passed(report), want.generation, holes)
			}
			if report.Writer != (tt.want == 0) {
				t.Errorf("writer: %v", report.Writer)
			}
			if tt.want > 0 {
				l.wants(dir, l.salvagedFrom(len(l.moments)-1-tt.want, holes))
			}
		})
	}
}

// salvagedFrom returns the files of a moment, with what the moments above tell but for those in holes.
func (l *live) salvagedFrom(from int, holes []uint64) map[string][]byte {
	files := maps.Clone(l.moments[from].files)
	for i, m := range l.moments[from+1:] {
		if slices.Contains(holes, m.generation) {
			continue
		}
		before := l.moments[from+i].files
		for name, content := range m.files {
			if before[name] == nil {
				files[name] = content
			}
		}
		for name := range before {
			if m.files[name] == nil {
				delete(files, name) // and if it was there, it is in lost+found
			}
		}
	}
	return files
}

// TestRestoreAcceptsLoss goes on from an older generation: numbers that were
// used are not used again, and the next restore finds its way.
func TestRestoreAcceptsLoss(t *testing.T) {
	t.Parallel()
	for name, full := range map[string]int64{"chain": 1 << 30, "full snapshots": 256 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLive(t, full)
			for range 6 {
				l.grow()
			}
			newest, want := l.moments[5], l.moments[4]
			l.destroy(l.segmentOf(newest.generation).Blob)
			l.restoreLive(want, nil)
			l.grow() // it was not taken over
			newest = l.moments[6]
			l.destroy(l.segmentOf(newest.generation).Blob)

			dir, report := l.restoreLive(want, func(cfg *keep.RestoreConfig) { cfg.AcceptLoss = true })
			if !report.Writer || report.Newest != newest.generation || report.Anchor.Generation != newest.generation {
				t.Errorf("report: %+v", report)
			}
			next := &live{machine: l.machine.machine(dir), rng: l.rng, files: maps.Clone(want.files)}
			for range 4 {
				next.grow()
			}
			if first := next.moments[0].generation; first <= newest.generation {
				t.Errorf("generation %d after %d was there", first, newest.generation)
			}
			for _, m := range next.moments {
				next.restoreLive(m, func(cfg *keep.RestoreConfig) { cfg.ReadOnly, cfg.At = true, keep.At{Generation: m.generation} })
			}
			_, report = next.restoreLive(next.moments[3], nil)
			if len(report.Passed) > 0 {
				t.Errorf("passed over %+v", report.Passed)
			}
		})
	}
}

// TestRestoreWithoutNodes: nodes that are away are no reason to fall back.
func TestRestoreWithoutNodes(t *testing.T) {
	t.Parallel()
	l := newLive(t, 1<<30)
	for range 3 {
		l.grow()
	}
	for _, n := range l.net.Nodes() {
		l.must(l.net.Stop(n.Name))
	}
	var said strings.Builder
	blobs, err := blobstore.New(blobstore.Config{Ledger: l.world.ledger, Dial: l.net.Dial, Codec: l.net.Codec(), ReadTimeout: 2 * time.Second})
	l.must(err)
	defer func() { l.must(blobs.Close()) }()
	_, err = l.restore(t.TempDir(), func(cfg *keep.RestoreConfig) {
		cfg.Blobs, cfg.Log = blobs, slog.New(slog.NewTextHandler(&said, nil))
	})
	if !errors.Is(err, blobstore.ErrUnavailable) || strings.Contains(said.String(), "passed over") {
		t.Errorf("got %v, and %s", err, &said)
	}
	for _, n := range l.net.Nodes() {
		l.must(l.net.Start(context.Background(), n.Name))
	}
	l.restoreLive(l.moments[2], readOnly)
}

// TestRestoreLost: content whose storage was deleted, and content that the
// nodes have lost, is told by path; the rest is there.
func TestRestoreLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fullAfter = 1
	m := w.machine(t.TempDir())
	var blobs []index.SegmentRow
	for i, name := range []string{"deleted", "destroyed", "fine", "newest"} {
		m.put(name, content(byte(i), 5000))
		m.drain()
		state, err := m.db.Anchored(context.Background())
		m.must(err)
		blobs = append(blobs, m.segmentOf(state.Anchor.Generation))
	}
	_, err := w.ledger.Delete(context.Background(), chain.TxID{9}, []walrus.ObjectID{blobs[0].Object})
	w.must(err)
	w.destroy(blobs[1].Blob)
	for _, tt := range []struct {
		verify bool
		want   []string
	}{{false, []string{"/deleted"}}, {true, []string{"/deleted", "/destroyed"}}} {
		dir := t.TempDir()
		report, err := w.restore(dir, func(cfg *keep.RestoreConfig) { cfg.ReadOnly, cfg.Verify = true, tt.verify })
		w.must(err)
		var got []string
		for _, l := range report.Lost {
			got = append(got, l.Path)
			if l.Bytes != 5000 || l.Why == "" {
				t.Errorf("%+v", l)
			}
		}
		if !slices.Equal(got, tt.want) || report.LostIn != len(tt.want) || len(report.Passed) > 0 || report.Inodes != 5 {
			t.Errorf("verify %v: lost %q, want %q: %+v", tt.verify, got, tt.want, report)
		}
		r := w.machine(dir)
		r.same("fine", content(2, 5000))
		for i, name := range []string{"deleted", "destroyed", "fine"} {
			attr, err := r.db.Lookup(context.Background(), index.Root, []byte(name))
			w.must(err)
			state, err := r.db.State(context.Background(), attr.Ino)
			w.must(err)
			if lost := state.State == index.StateLost; lost != (i < len(tt.want)) {
				t.Errorf("verify %v: %s is %s: %s", tt.verify, name, state.State, state.Error)
			}
		}
	}
}

// forge stores a segment that carries a trailer, as a machine with the drive's
// key can make it, and leaves the anchor alone.
func (w *world) forge(t *index.Trailer, writer byte) walrus.Receipt {
	w.Helper()
	encoded, err := index.MarshalTrailer(t)
	w.must(err)
	end, err := index.Footer{
		Drive: t.Drive, Number: t.Generation, Generation: t.Generation, Parts: 1, PartSize: len(encoded),
		Size: len(encoded), Sum: index.TrailerSum(encoded), Writer: [8]byte{writer},
	}.Marshal()
	w.must(err)
	sealed, err := w.keys.Seal(append(encoded, end[:]...), seal.Options{})
	w.must(err)
	c := w.client(nil)
	defer func() { w.must(c.Close()) }()
	receipt, err := c.Put(context.Background(), sealed, blobstore.PutOptions{Epochs: 10, Deletable: true})
	w.must(err)
	return receipt
}

// TestRestoreMixesNoHistories: a machine that had been taken over has certified
// a segment, and its number is one that only a hole tells. What it says is not
// put between what the writer said.
func TestRestoreMixesNoHistories(t *testing.T) {
	t.Parallel()
	for name, keepTrue := range map[string]bool{"beside the true one": true, "alone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLive(t, 1<<30)
			l.grow()
			l.grow()
			fork := l.moments[1]
			dir := t.TempDir()
			_, err := l.restore(dir, nil)
			l.must(err)
			next := &live{machine: l.machine.machine(dir), rng: l.rng, files: maps.Clone(fork.files)}
			for range 3 {
				next.grow()
			}
			// The first writer had packed two generations more, and certified the second.
			stray := next.moments[1].generation
			l.forge(&index.Trailer{
				Drive: id, Generation: stray, Previous: next.moments[0].generation, NextIno: 1 << 20,
				Inodes: []index.InodeRow{{Ino: 1 << 19, Mode: 0o40755, Version: 1}},
				Names:  []index.NameRow{{Parent: index.Root, Name: []byte("stray"), Ino: 1 << 19}},
			}, 1)
			l.destroy(next.segmentOf(next.moments[2].generation).Blob)
			if !keepTrue {
				row := next.segmentOf(stray)
				_, err := l.world.ledger.Delete(context.Background(), chain.TxID{8}, []walrus.ObjectID{row.Object})
				l.must(err)
			}
			_, report := next.restoreLive(next.moments[0], nil)
			if got, want := passed(report), []uint64{next.moments[2].generation, stray}; !slices.Equal(got, want) {
				t.Errorf("passed over %v, want %v: %+v", got, want, report.Passed)
			}
		})
	}
}

package index_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/walfs/walfs/index"
)

// TestModelLater runs random histories, takes some of their trailers away, and
// lays over what can be replayed what the rest tells. Whatever is missing, no file
// is there that was not published once with exactly this content, none is gone
// that a plain replay gives, and all that is known whole is there. Then the drive
// goes on from it, and a replay of that finds the same tree.
func TestModelLater(t *testing.T) {
	seeds, rounds := 6, 12
	if os.Getenv("WALFS_SOAK") != "" {
		seeds, rounds = 200, 40
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, uint64(seed)+1000)
			defer func() { w.expect("close", w.db.Close()) }()
			for range rounds {
				for range 1 + w.rng.IntN(25) {
					w.step()
				}
				w.commit(false)
				if w.rng.IntN(2) == 0 {
					w.certify(false)
				}
			}
			whole := 0
			for range 6 {
				whole += w.salvage()
			}
			t.Logf("%d files whole", whole)
		})
	}
}

// salvage takes trailers away, and checks what becomes of the rest. It returns how many
// files above the first hole were known whole.
func (w *world) salvage() (whole int) {
	if len(w.trailers) < 3 {
		return 0
	}
	missing := map[int]bool{1 + w.rng.IntN(len(w.trailers)-1): true}
	for w.rng.IntN(3) == 0 {
		missing[1+w.rng.IntN(len(w.trailers)-1)] = true
	}
	first := slices.Min(slices.Collect(maps.Keys(missing)))
	path := filepath.Join(w.t.TempDir(), "salvaged")
	drive := index.Drive{ID: [16]byte{1}, Writer: [16]byte{3}}
	r := must(index.NewReplay(ctx, path, drive))
	for _, c := range w.trailers[:first] {
		w.expect("apply", r.Apply(ctx, must(index.UnmarshalTrailer(c.encoded)), c.segments))
	}
	later, last := r.Later(), uint64(0)
	for i, c := range w.trailers {
		last = c.segments[len(c.segments)-1].Number
		if i > first && !missing[i] {
			w.expect("add", later.Add(ctx, must(index.UnmarshalTrailer(c.encoded))))
		}
	}
	bad := map[uint64]bool{} // segments that cannot be read at all
	for i := range missing {
		bad[w.trailers[i].segments[0].Number] = w.rng.IntN(2) == 0
	}
	w.expect("choose", later.Choose(func(op index.Op) (bool, error) { return !bad[op.Segment], nil }))
	var segments []index.SegmentRow
	for _, number := range later.Segments() {
		if number >= w.trailers[first].segments[0].Number && !bad[number] {
			s := index.SegmentRow{Number: number}
			w.expect("resolve", w.resolve(&s))
			segments = append(segments, s)
		}
	}
	before := w.published(w.trailers[first-1])
	w.expect("skip", r.SkipTo(ctx, last))
	placed, err := r.Place(ctx, later, segments)
	w.expect("place", err)
	report, err := r.Close(ctx, index.AnchorState{})
	w.expect("close replay", err)
	if len(report.Problems) > 0 {
		w.t.Fatalf("problems: %q", report.Problems)
	}
	db := must(index.Open(ctx, index.Config{Path: path, Now: w.clock.now}))
	defer func() { w.expect("close", db.Close()) }()
	w.sound(db)
	there := w.onlyPublished(db)
	for _, ino := range before.names {
		if !there[ino] {
			w.t.Fatalf("inode %d is gone: %+v", ino, placed)
		}
	}
	for _, n := range later.Inodes() {
		if n.Content == nil {
			continue
		}
		whole++
		if a, err := db.Get(ctx, n.Ino); err != nil || !there[n.Ino] || a.PubVersion < n.Content.Version {
			w.t.Fatalf("inode %d, of which all is known: %+v, %v; told %+v, content %+v", n.Ino, a, err, n, n.Content)
		}
	}
	w.goesOn(db, drive, first)
	return whole
}

// published returns the tree after a trailer.
func (w *world) published(c carried) published { return w.history[c.segments[0].Number] }

// onlyPublished checks that each file is there as a generation had it, and returns the inodes that the root reaches.
func (w *world) onlyPublished(db *index.DB) map[index.Ino]bool {
	w.t.Helper()
	there := map[index.Ino]bool{}
	var visit func(dir index.Ino)
	visit = func(dir index.Ino) {
		for _, e := range must(db.ReadDir(ctx, dir, 0, 10_000)) {
			there[e.Attr.Ino] = true
			if e.Attr.IsDir() {
				visit(e.Attr.Ino)
			}
			if !e.Attr.IsRegular() {
				continue
			}
			data, known := w.read(must(db.Extents(ctx, e.Attr.Ino, 0, -1)), e.Attr.Size), false
			for _, tree := range w.history {
				if n := tree.inodes[e.Attr.Ino]; n != nil && n.version == e.Attr.Version {
					known = true
					if !bytes.Equal(n.data, data) {
						w.t.Fatalf("inode %d, version %d: %x, was %x", e.Attr.Ino, e.Attr.Version, data, n.data)
					}
				}
			}
			if !known {
				w.t.Fatalf("inode %d was never published as version %d", e.Attr.Ino, e.Attr.Version)
			}
		}
	}
	visit(index.Root)
	return there
}

// goesOn commits what was salvaged, and replays it without what stood above the hole.
func (w *world) goesOn(db *index.DB, drive index.Drive, first int) {
	w.t.Helper()
	number := must(db.NextSegment(ctx))
	t := must(db.CutTrailer(ctx, nil))
	s := segment(number)
	s.Parts = 1
	encoded := must(index.MarshalTrailer(t))
	w.expect("commit", db.CommitSegments(ctx, index.Commit{Trailer: t, Segments: []index.SegmentRow{s}, Encoded: encoded}))
	w.sound(db)
	generation, full, err := db.EncodeFull(ctx)
	if err != nil || generation != number {
		w.t.Fatalf("full snapshot of %d: %v", generation, err)
	}
	want := w.walk(db)
	for _, from := range []string{"trailers", "full snapshot"} {
		path := filepath.Join(w.t.TempDir(), "again")
		r := must(index.NewReplay(ctx, path, drive))
		if from == "full snapshot" {
			w.expect("apply full", r.ApplyFull(ctx, full, func(s *index.SegmentRow) error {
				if s.Number == number {
					*s = segment(number)
					s.Parts = 1
					return nil
				}
				return w.resolve(s)
			}))
		} else {
			for _, c := range w.trailers[:first] {
				w.expect("apply", r.Apply(ctx, must(index.UnmarshalTrailer(c.encoded)), c.segments))
			}
			t := must(index.UnmarshalTrailer(encoded))
			var others []index.SegmentRow
			for _, u := range r.Unknown(t) {
				o := index.SegmentRow{Number: u.Number}
				w.expect("resolve", w.resolve(&o))
				others = append(others, o)
			}
			w.expect("apply", r.Apply(ctx, t, []index.SegmentRow{s}, others...))
		}
		report, err := r.Close(ctx, index.AnchorState{})
		w.expect("close replay", err)
		if len(report.Problems) > 0 {
			w.t.Fatalf("problems: %q", report.Problems)
		}
		again := must(index.Open(ctx, index.Config{Path: path}))
		diff(w.t, "after what was salvaged, from "+from, w.walk(again), want)
		w.sound(again)
		w.expect("close", again.Close())
	}
}

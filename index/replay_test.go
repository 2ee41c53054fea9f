package index_test

import (
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/index"
)

func inodeRow(ino index.Ino, mode uint32) index.InodeRow {
	return index.InodeRow{Ino: ino, Mode: mode, Version: 1}
}

func content(ino index.Ino, size int64, ops ...index.Op) index.ContentRow {
	return index.ContentRow{Ino: ino, Version: 1, Size: size, Ops: ops}
}

func nameRow(parent index.Ino, name string, ino index.Ino) index.NameRow {
	return index.NameRow{Parent: parent, Name: []byte(name), Ino: ino}
}

// TestReplayHostile: what a forged trailer says is refused or made harmless,
// and listed; the rest of it holds.
func TestReplayHostile(t *testing.T) {
	for _, tt := range []struct {
		name     string
		trailer  index.Trailer
		want     string // paths
		problems int
	}{
		{"nothing wrong", index.Trailer{
			Inodes:   []index.InodeRow{inodeRow(2, dirMode), inodeRow(3, fileMode)},
			Contents: []index.ContentRow{content(3, 5, index.Op{Len: 5, Segment: 1})},
			Names:    []index.NameRow{nameRow(1, "d", 2), nameRow(2, "f", 3), nameRow(2, "g", 3)},
		}, "d/ d/f d/g", 0},
		{"bad names", index.Trailer{
			Inodes: []index.InodeRow{inodeRow(2, dirMode)},
			Names: []index.NameRow{nameRow(1, "", 2), nameRow(1, ".", 2), nameRow(1, "..", 2), nameRow(1, "a/b", 2),
				nameRow(1, "a\x00", 2), nameRow(1, strings.Repeat("n", 256), 2), nameRow(1, "ok", 2)},
		}, "ok/", 6},
		{"name of nothing", index.Trailer{
			Names: []index.NameRow{nameRow(1, "a", 7)},
		}, "", 1},
		{"name in nothing", index.Trailer{
			Inodes: []index.InodeRow{inodeRow(2, dirMode)},
			Names:  []index.NameRow{nameRow(7, "a", 2)},
		}, "", 1},
		{"name in a file", index.Trailer{
			Inodes:   []index.InodeRow{inodeRow(2, dirMode), inodeRow(3, fileMode)},
			Contents: []index.ContentRow{content(3, 0)},
			Names:    []index.NameRow{nameRow(1, "f", 3), nameRow(3, "a", 2)},
		}, "f", 1},
		{"name of the root", index.Trailer{
			Names: []index.NameRow{nameRow(1, "root", 1)},
		}, "", 1},
		{"circle apart", index.Trailer{
			Inodes: []index.InodeRow{inodeRow(2, dirMode), inodeRow(3, dirMode)},
			Names:  []index.NameRow{nameRow(2, "a", 3), nameRow(3, "b", 2)},
		}, "", 2},
		{"circle below the root", index.Trailer{
			Inodes: []index.InodeRow{inodeRow(2, dirMode), inodeRow(3, dirMode)},
			Names:  []index.NameRow{nameRow(1, "a", 2), nameRow(2, "b", 3), nameRow(3, "c", 2)},
		}, "a/ a/b/", 1},
		{"directory in itself", index.Trailer{
			Inodes: []index.InodeRow{inodeRow(2, dirMode)},
			Names:  []index.NameRow{nameRow(2, "a", 2)},
		}, "", 1},
		{"directory with two names", index.Trailer{
			Inodes: []index.InodeRow{inodeRow(2, dirMode)},
			Names:  []index.NameRow{nameRow(1, "a", 2), nameRow(1, "b", 2)},
		}, "a/", 1},
		{"file without content", index.Trailer{
			Inodes: []index.InodeRow{{Ino: 2, Mode: fileMode, Version: 1, Size: 1 << 40}},
			Names:  []index.NameRow{nameRow(1, "a", 2)},
		}, "", 1},
		{"content out of a segment", index.Trailer{
			Inodes: []index.InodeRow{inodeRow(2, fileMode), inodeRow(3, fileMode), inodeRow(4, fileMode), inodeRow(5, fileMode)},
			Contents: []index.ContentRow{
				content(2, 5, index.Op{Len: 5, Segment: 2}),
				content(3, 5, index.Op{Len: 5, Segment: 1, Pos: 1 << 20}),
				content(4, 5, index.Op{Off: math.MaxInt64, Len: 5, Segment: 1}),
				content(5, 5, index.Op{Off: 3, Segment: 1}),
			},
			Names: []index.NameRow{nameRow(1, "a", 2), nameRow(1, "b", 3), nameRow(1, "c", 4), nameRow(1, "d", 5)},
		}, "", 8},
		{"content of a directory", index.Trailer{
			Inodes:   []index.InodeRow{inodeRow(2, dirMode)},
			Contents: []index.ContentRow{content(2, 5), content(9, 5)},
			Names:    []index.NameRow{nameRow(1, "a", 2)},
		}, "a/", 2},
		{"odd types", index.Trailer{
			Inodes: []index.InodeRow{inodeRow(0, dirMode), inodeRow(1, fileMode), inodeRow(2, 0o644), inodeRow(3, 1<<20|fileMode),
				inodeRow(4, symlinkMode), {Ino: 5, Mode: dirMode, Target: []byte("t")}, inodeRow(1<<62, dirMode)},
		}, "", 7},
		{"odd attributes", index.Trailer{
			Inodes: []index.InodeRow{{Ino: 2, Mode: dirMode, Xattrs: []index.Xattr{
				{Name: ""}, {Name: "user.\x00"}, {Name: "user.big", Value: make([]byte, index.MaxXattrValue+1)}, {Name: "user.ok"}}}},
			Names: []index.NameRow{nameRow(1, "a", 2)},
		}, "a/", 3},
		{"segment of the future", index.Trailer{
			Segments: []index.TrailerSegment{{Number: 9}},
		}, "", 1},
		{"inode numbers run out", index.Trailer{NextIno: math.MaxInt64}, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.trailer.Generation, tt.trailer.Drive = 1, [16]byte{1}
			db, report := replayReport(t, &tt.trailer)
			defer closeDB(t, db)
			if got := strings.Join(list(t, db), " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if len(report.Problems) != tt.problems {
				t.Errorf("%d problems, want %d: %q", len(report.Problems), tt.problems, report.Problems)
			}
			if problems := must(db.Check(ctx)); len(problems) > 0 {
				t.Errorf("not sound: %q", problems)
			}
			if a := create(t, db, index.Root, "new", fileMode); a.Ino >= 1<<62 {
				t.Errorf("new inode %d", a.Ino)
			}
		})
	}
}

// TestReplayRandom replays trailers of random rows over few inodes and names:
// whatever they say, the index is sound.
func TestReplayRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var trailers []*index.Trailer
		for g := range uint64(1 + rng.IntN(4)) {
			trailers = append(trailers, randomTrailer(rng, g+1))
		}
		db, _ := replayReport(t, trailers...)
		if problems := must(db.Check(ctx)); len(problems) > 0 {
			t.Errorf("seed %d: not sound: %q", seed, problems)
		}
		reached := list(t, db)
		create(t, db, index.Root, "new", fileMode)
		c := &committer{t: t, db: db}
		c.both(c.packed("new", uint64(len(trailers))+1, 1))
		if got := len(list(t, db)); got != len(reached)+1 {
			t.Errorf("seed %d: %d paths, before %d", seed, got, len(reached))
		}
		closeDB(t, db)
	}
}

func randomTrailer(rng *rand.Rand, g uint64) *index.Trailer {
	tr := &index.Trailer{Drive: [16]byte{1}, Generation: g, Previous: g - 1, NextIno: index.Ino(rng.Uint64() >> rng.IntN(64))}
	modes := []uint32{dirMode, dirMode, fileMode, fileMode, symlinkMode, 0o010600, 0, 0o170000}
	ino := func() index.Ino { return index.Ino(rng.IntN(8)) }
	number := func() int64 { return rng.Int64() >> (40 + rng.IntN(24)) }
	for range rng.IntN(8) {
		r := index.InodeRow{Ino: ino(), Mode: modes[rng.IntN(len(modes))], Version: rng.Uint64N(3), Size: number()}
		if r.Mode == symlinkMode {
			r.Target = []byte("t")
		}
		tr.Inodes = append(tr.Inodes, r)
	}
	for range rng.IntN(5) {
		c := index.ContentRow{Ino: ino(), Version: rng.Uint64N(5), Size: number(), Base: number()}
		for range rng.IntN(4) {
			c.Ops = append(c.Ops, index.Op{Off: number(), Len: number(), Segment: rng.Uint64N(4), Pos: number()})
		}
		tr.Contents = append(tr.Contents, c)
	}
	for range rng.IntN(12) {
		tr.Names = append(tr.Names, nameRow(ino(), string(rune('a'+rng.IntN(4))), ino()))
	}
	for range rng.IntN(3) {
		tr.Segments = append(tr.Segments, index.TrailerSegment{Number: rng.Uint64N(4), Blob: blob(rng.Uint64N(4))})
	}
	return tr
}

// TestReplayTypes: an inode keeps its type, and an older version does not come back.
func TestReplayTypes(t *testing.T) {
	first := &index.Trailer{Drive: [16]byte{1}, Generation: 1,
		Inodes:   []index.InodeRow{inodeRow(2, fileMode)},
		Contents: []index.ContentRow{{Ino: 2, Version: 5, Size: 3}},
		Names:    []index.NameRow{nameRow(1, "a", 2)}}
	second := &index.Trailer{Drive: [16]byte{1}, Generation: 2, Previous: 1,
		Inodes:   []index.InodeRow{inodeRow(2, dirMode)},
		Contents: []index.ContentRow{{Ino: 2, Version: 5, Size: 9}}}
	db, report := replayReport(t, first, second)
	defer closeDB(t, db)
	if a := lookup(t, db, "a"); !a.IsRegular() || a.Size != 3 || a.Version != 5 || a.Dirty {
		t.Errorf("got %+v", a)
	}
	if len(report.Problems) != 2 || report.Generations != 2 || report.Inodes != 2 || report.Bytes != 3 {
		t.Errorf("report %+v", report)
	}
}

func TestReplayRefused(t *testing.T) {
	drive := index.Drive{ID: [16]byte{1}}
	good := index.Trailer{Drive: drive.ID, Generation: 1}
	for _, tt := range []struct {
		name     string
		change   func(*index.Trailer)
		segments []index.SegmentRow
		want     error
	}{
		{"other drive", func(t *index.Trailer) { t.Drive[0] = 2 }, []index.SegmentRow{segment(1)}, index.ErrTrailer},
		{"missing before", func(t *index.Trailer) { t.Previous = 7 }, []index.SegmentRow{segment(1)}, index.ErrStale},
		{"no segment", func(*index.Trailer) {}, nil, index.ErrTrailer},
		{"another segment", func(*index.Trailer) {}, []index.SegmentRow{segment(2)}, index.ErrTrailer},
		{"half of it", func(*index.Trailer) {}, []index.SegmentRow{{Number: 1, Parts: 2}}, index.ErrTrailer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "index")
			r := must(index.NewReplay(ctx, path, drive))
			bad := good
			tt.change(&bad)
			if err := r.Apply(ctx, &bad, tt.segments); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if err := r.Apply(ctx, &good, []index.SegmentRow{segment(1)}); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			if err := r.Abort(); err != nil {
				t.Error(err)
			}
			if left := must(os.ReadDir(filepath.Dir(path))); len(left) != 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// TestRestoredDrive goes on with a drive that was replayed: the anchor is
// known, what the window held is announced, numbers go on.
func TestRestoredDrive(t *testing.T) {
	old := open(t)
	c := &committer{t: t, db: old}
	tree(t, old, "d/", "gone")
	gone := lookup(t, old, "gone").Ino
	c.unlink("gone")
	c.both()
	tree(t, old, "d/a")
	c.both(c.packed("d/a", 2, 4))
	certify(t, old, 1)
	certify(t, old, 2)
	if _, err := old.Anchored(ctx); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("no anchor was made: %v", err)
	}
	if err := old.SetAnchor(ctx, walrus.ObjectID{8}, 77); err != nil {
		t.Fatal(err)
	}
	state := must(old.Anchored(ctx))
	if state.Version != 77 || state.Object != (walrus.ObjectID{8}) || state.Anchor == nil || state.Anchor.Generation != 2 {
		t.Errorf("anchor %+v", state)
	}

	path := filepath.Join(t.TempDir(), "index")
	r := must(index.NewReplay(ctx, path, index.Drive{ID: [16]byte{1}, Writer: [16]byte{9}}))
	for _, tr := range c.trailers {
		if err := r.Apply(ctx, tr, []index.SegmentRow{segment(tr.Generation)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Close(ctx, state); err != nil {
		t.Fatal(err)
	}
	if _, err := index.NewReplay(ctx, path, index.Drive{}); !errors.Is(err, index.ErrExist) {
		t.Errorf("replay over an index: %v", err)
	}
	db := openPath(t, path)
	defer closeDB(t, db)
	if got := must(db.Anchored(ctx)); got.Version != 77 || got.Anchor == nil || got.Anchor.Generation != 2 {
		t.Errorf("anchor %+v", got)
	}
	if s := must(db.State(ctx, lookup(t, db, "d/a").Ino)); s.State != index.StateCertified || s.Extents[0].Header[0] != 2 {
		t.Errorf("state %+v", s)
	}
	if p := must(db.Pending(ctx)); p.Names || p.Jobs != 0 || p.Segments != 0 {
		t.Errorf("pending %+v", p)
	}
	if n := must(db.NextSegment(ctx)); n != 3 {
		t.Errorf("next segment %d", n)
	}
	if a := create(t, db, index.Root, "new", fileMode); a.Ino <= gone {
		t.Errorf("new inode %d, %d was in use", a.Ino, gone)
	}
	tr := must(db.CutTrailer(ctx, nil))
	if tr.Generation != 3 || tr.Previous != 2 || len(tr.Segments) == 0 || tr.Segments[len(tr.Segments)-1].Number != 2 {
		t.Errorf("next trailer %+v", tr)
	}
}

// TestReplaySkips: numbers of segments that cannot be read any more are left
// out, by the one who skips them and by those who replay what came after.
func TestReplaySkips(t *testing.T) {
	drive := index.Drive{ID: [16]byte{1}}
	one := &index.Trailer{Drive: drive.ID, Generation: 1}
	path := filepath.Join(t.TempDir(), "index")
	r := must(index.NewReplay(ctx, path, drive))
	if err := errors.Join(r.Apply(ctx, one, []index.SegmentRow{segment(1)}), r.SkipTo(ctx, 7), r.SkipTo(ctx, 5)); err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(ctx, &index.Trailer{Drive: drive.ID, Generation: 7, Previous: 1}, []index.SegmentRow{segment(7)}); !errors.Is(err, index.ErrStale) {
		t.Errorf("a number that was used is used again: %v", err)
	}
	must(r.Close(ctx, index.AnchorState{}))
	db := openPath(t, path)
	create(t, db, index.Root, "d", dirMode)
	trailer := must(db.CutTrailer(ctx, nil))
	if trailer.Generation != 8 || trailer.Previous != 1 {
		t.Errorf("cut generation %d after %d, want 8 after 1", trailer.Generation, trailer.Previous)
	}
	closeDB(t, db)
	after, report := replayWith(t, map[uint64]*index.Trailer{1: one, 8: trailer})
	defer closeDB(t, after)
	if got := strings.Join(list(t, after), " "); got != "d/" || len(report.Problems) > 0 {
		t.Errorf("got %q, %q", got, report.Problems)
	}
}

// replayWith replays trailers under their own numbers.
func replayWith(t *testing.T, trailers map[uint64]*index.Trailer) (*index.DB, index.ReplayReport) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "index")
	r := must(index.NewReplay(ctx, path, index.Drive{ID: [16]byte{1}}))
	for _, g := range slices.Sorted(maps.Keys(trailers)) {
		if err := r.Apply(ctx, trailers[g], []index.SegmentRow{segment(g)}); err != nil {
			t.Fatal(err)
		}
	}
	report := must(r.Close(ctx, index.AnchorState{}))
	return openPath(t, path), report
}

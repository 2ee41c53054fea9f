package index_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/walfs/walfs/index"
)

// TestReplayGaps replays versions that show gaps of segment 2, and settles: what
// newer versions cover is theirs, else the last whole version stands.
func TestReplayGaps(t *testing.T) {
	ctx := context.Background()
	op := func(segment uint64, off, n, pos int64) index.Op {
		return index.Op{Off: off, Len: n, Segment: segment, Pos: pos}
	}
	version := func(ino index.Ino, v uint64, size, base int64, ops ...index.Op) index.ContentRow {
		return index.ContentRow{Ino: ino, Version: v, Size: size, Base: base, Mtime: int64(v), Ops: ops}
	}
	trailers := []*index.Trailer{
		{Generation: 1, NextIno: 10, Contents: []index.ContentRow{
			version(2, 1, 100, 0, op(1, 0, 100, 0)), version(3, 1, 100, 0, op(1, 0, 100, 100)), version(4, 1, 100, 0, op(1, 0, 100, 200)),
		}},
		{Generation: 2, Previous: 1, NextIno: 10, Contents: []index.ContentRow{
			version(2, 2, 100, 100, op(2, 20, 10, 0)), version(3, 2, 100, 100, op(2, 20, 10, 10)),
			version(4, 2, 50, 50, op(2, 0, 10, 30)), version(5, 1, 40, 0, op(2, 0, 40, 40)),
		}},
		{Generation: 3, Previous: 2, NextIno: 10, Contents: []index.ContentRow{
			version(2, 3, 100, 100, op(3, 15, 20, 0)), version(3, 3, 100, 100, op(3, 0, 20, 20)),
		}},
	}
	for ino := index.Ino(2); ino <= 5; ino++ {
		g := trailers[min(int(ino)/5, 1)]
		g.Inodes = append(g.Inodes, inodeRow(ino, 0o100644))
		g.Names = append(g.Names, nameRow(index.Root, string(rune('a'+ino)), ino))
	}
	path := filepath.Join(t.TempDir(), "index.db")
	r, err := index.NewReplay(ctx, path, index.Drive{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range trailers {
		if tr.Generation == 2 {
			if err := r.Gaps(ctx, 2, []index.Gap{{Pos: 5, Len: 10}, {Pos: 35, Len: 2}, {Pos: 79, Len: 1}}); err != nil {
				t.Fatal(err)
			}
		}
		s := index.SegmentRow{Number: tr.Generation, Generation: tr.Generation, Parts: 1, Size: 1000}
		if err := r.Apply(ctx, tr, []index.SegmentRow{s}); err != nil {
			t.Fatal(err)
		}
	}
	older, err := r.Settle(ctx)
	if err != nil || !slices.Equal(older, []index.Ino{3, 4}) {
		t.Errorf("older: %v, %v", older, err)
	}
	report, err := r.Close(ctx, index.AnchorState{})
	if err != nil || len(report.Problems) > 0 {
		t.Fatalf("close: %q, %v", report.Problems, err)
	}
	db, err := index.Open(ctx, index.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, want := range []struct {
		ino     index.Ino
		version uint64
		size    int64
		in      []uint64 // segments, in order of the file
	}{{2, 3, 100, []uint64{1, 3, 1}}, {3, 4, 100, []uint64{1}}, {4, 3, 100, []uint64{1}}, {5, 1, 40, []uint64{2}}} {
		a, err := db.Get(ctx, want.ino)
		if err != nil || a.PubVersion != want.version || a.Size != want.size || a.PubSize != want.size {
			t.Errorf("inode %d: %+v, %v, want version %d of %d bytes", want.ino, a, err, want.version, want.size)
		}
		list, err := db.Extents(ctx, want.ino, 0, -1)
		var in []uint64
		for _, e := range list {
			in = append(in, e.Segment)
		}
		if err != nil || !slices.Equal(in, want.in) {
			t.Errorf("inode %d lies in %v, %v, want %v", want.ino, in, err, want.in)
		}
	}
	lost, n, err := db.LostFiles(ctx, 10)
	if err != nil || n != 1 || lost[0].Ino != 5 || lost[0].Bytes != 1 || lost[0].Why == "" {
		t.Errorf("lost: %+v, %v", lost, err)
	}
	if problems, err := db.Check(ctx); err != nil || len(problems) > 0 {
		t.Errorf("check: %q, %v", problems, err)
	}
}

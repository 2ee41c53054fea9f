package index_test

import (
	"testing"

	"github.com/walfs/walfs/index"
)

// TestHold writes down what staging holds of a file without a barrier only as long
// as nothing of it is published, and before anything of it can be.
func TestHold(t *testing.T) {
	db := open(t)
	db.Unhurried()
	a := create(t, db, index.Root, "a", fileMode)
	must(db.Usage(ctx)) // commits
	before, barriers := db.Commits(), db.Barriers()
	held := index.Held{Ino: a.Ino, Size: 9, Mtime: 5, Blocks: []byte{1}, Seq: 3}
	if err := db.Hold(ctx, held); err != nil {
		t.Fatal(err)
	}
	if n := db.Commits() - before; n > 0 {
		t.Errorf("%d transactions", n)
	}
	packed := []index.Packed{{Ino: a.Ino, Version: a.Version, Size: 4}}
	trailer := must(db.CutTrailer(ctx, packed))
	if err := db.CommitSegments(ctx, index.Commit{Trailer: trailer, Segments: []index.SegmentRow{segment(1)}, Packed: packed}); err != nil {
		t.Fatal(err)
	}
	if got := must(db.HeldAt(ctx, a.Ino)); got.Size != 9 || got.Mtime != 5 || len(got.Blocks) != 1 {
		t.Errorf("held %+v", got)
	}
	if db.Barriers() != barriers {
		t.Errorf("%d barriers for a file that is not published", db.Barriers()-barriers)
	}
	if _, err := db.MarkDirty(ctx, a.Ino, 4); err != nil {
		t.Fatal(err)
	}
	held.Seq = 5
	if err := db.Hold(ctx, held); err != nil {
		t.Fatal(err)
	}
	if db.Barriers() != barriers+1 {
		t.Errorf("%d barriers for a file that is published", db.Barriers()-barriers)
	}
	if err := db.Hold(ctx, index.Held{Ino: 999, Seq: 6}); err != nil {
		t.Errorf("a file that is gone: %v", err)
	}
}

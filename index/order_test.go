package index_test

import (
	"errors"
	"testing"

	"github.com/walfs/walfs/index"
)

// TestOvertaken tells the index of older states of a file after newer ones, as
// a flusher does that waited for the disk.
func TestOvertaken(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	a := create(t, db, index.Root, "a", fileMode)
	held := func(size int64, seq uint64) {
		t.Helper()
		if err := db.Barrier(ctx, []index.Held{{Ino: a.Ino, Size: size, Mtime: size, Seq: seq}}); err != nil {
			t.Fatal(err)
		}
	}
	queue := func(size int64, seq uint64) {
		t.Helper()
		if err := db.Queue(ctx, a.Ino, index.Queued{Size: size, Mtime: size, Seq: seq}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, row, atBarrier int64) {
		t.Helper()
		got, err := db.HeldAt(ctx, a.Ino)
		if err != nil && (atBarrier >= 0 || !errors.Is(err, index.ErrNotExist)) {
			t.Fatalf("%s: %v", what, err)
		}
		if err == nil && got.Size != atBarrier {
			t.Errorf("%s: held %d, want %d", what, got.Size, atBarrier)
		}
		if live := must(db.Get(ctx, a.Ino)); live.Size != row || live.Mtime != row {
			t.Errorf("%s: row has size %d, mtime %d, want %d", what, live.Size, live.Mtime, row)
		}
	}
	held(100, 3)
	held(0, 2)
	want("an older barrier", 100, 100)
	queue(50, 1)
	want("an older state", 100, 100)
	queue(200, 6)
	held(150, 5)
	want("a barrier of what is older than the row", 200, 150)
	if _, err := db.SetAttr(ctx, a.Ino, index.Change{Mtime: new(int64(200)), Seq: 8}); err != nil {
		t.Fatal(err)
	}
	queue(170, 7)
	want("a state before the time was set", 200, 150)

	p := c.packed("a", 1, 200)
	p.Seq = 10
	trailer := c.cut(p)
	held(0, 9)
	want("a barrier of what is older than the pack", 200, 0)
	c.commit(trailer, p)
	want("published: what was held before is behind", 200, -1)
	held(0, 9)
	queue(0, 9)
	want("older states of a clean file", 200, -1)

	v := must(db.MarkDirty(ctx, a.Ino, 0))
	held(250, 12)
	want("the next version", 250, 250)
	p = c.packed("a", 2, 250)
	if p.Version != v {
		t.Fatalf("version %d, want %d", p.Version, v)
	}
	p.Seq = 11
	c.both(p)
	want("held after it was packed", 250, 250)
	must(db.MarkDirty(ctx, a.Ino, 14))
	want("written again", 250, -1)
	held(0, 13)
	queue(0, 13)
	want("a barrier of what is older than the mark", 250, -1)

	queue(260, 15)
	p = c.packed("a", 3, 260)
	p.Seq = 17
	trailer = c.cut(p)
	must(db.MarkDirty(ctx, a.Ino, 18))
	c.commit(trailer, p)
	held(270, 16)
	want("a barrier of what is older than the pack of a file written since", 260, -1)
	held(280, 19)
	want("and a newer one", 280, 280)
}

// TestOvertakenUndone lets a transaction fail after it told something newer.
func TestOvertakenUndone(t *testing.T) {
	db := open(t)
	a := create(t, db, index.Root, "a", fileMode)
	c := &committer{t: t, db: db}
	create(t, db, index.Root, "b", fileMode)
	good, bad := c.packed("a", 1, 10), c.packed("b", 1, -5)
	good.Seq = 9
	if _, err := db.CutTrailer(ctx, []index.Packed{good, bad}); err == nil {
		t.Fatal("a negative size was cut")
	}
	if err := db.Queue(ctx, a.Ino, index.Queued{Size: 7, Mtime: 7, Seq: 5}); err != nil {
		t.Fatal(err)
	}
	if live := must(db.Get(ctx, a.Ino)); live.Size != 7 {
		t.Errorf("size %d, want 7", live.Size)
	}
}

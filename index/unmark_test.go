package index_test

import (
	"errors"
	"testing"

	"github.com/walfs/walfs/index"
)

// TestUnmark takes marks back: of a file that is published as it is, and of one
// that is on its way. A mark that is not the newest, or without either, stays.
func TestUnmark(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	a := create(t, db, index.Root, "a", fileMode)
	unmark := func(version uint64, packing, want bool) {
		t.Helper()
		if got := must(db.Unmark(ctx, a.Ino, version, packing)); got != want {
			t.Errorf("unmark version %d: %v", version, got)
		}
	}
	is := func(version uint64, dirty bool, jobs int) {
		t.Helper()
		got := must(db.Get(ctx, a.Ino))
		if n := len(must(db.Claim(ctx, 10, true))); got.Version != version || got.Dirty != dirty || n != jobs {
			t.Errorf("version %d, dirty %t, %d jobs", got.Version, got.Dirty, n)
		}
	}
	v := must(db.MarkDirty(ctx, a.Ino, 0))
	unmark(v, false, false) // the version before was never published
	c.both(c.packed("a", 1, 1))
	is(v, false, 0)
	unmark(v, false, false) // it is clean

	must(db.MarkDirty(ctx, a.Ino, 0))
	if err := db.Barrier(ctx, []index.Held{{Ino: a.Ino, Size: 1}}); err != nil {
		t.Fatal(err)
	}
	is(v+1, true, 1)
	unmark(v, false, false)
	unmark(v+1, false, true)
	is(v, false, 0)
	if _, err := db.HeldAt(ctx, a.Ino); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("held: %v", err)
	}

	must(db.MarkDirty(ctx, a.Ino, 0))
	if _, err := db.Link(ctx, a.Ino, index.Root, []byte("b")); err != nil {
		t.Fatal(err)
	}
	unmark(v+1, false, true)
	c.both()
	if n := must(db.NamesWaiting(ctx, db.Changing())); n != 0 {
		t.Errorf("%d names wait for a version that was taken back", n)
	}

	must(db.MarkDirty(ctx, a.Ino, 0)) // is packed
	must(db.MarkDirty(ctx, a.Ino, 0)) // was lent meanwhile
	if err := db.Queue(ctx, a.Ino, index.Queued{Size: 1, Mtime: 5}); err != nil {
		t.Fatal(err)
	}
	unmark(v+2, false, false)
	unmark(v+2, true, true)
	is(v+1, true, 1)
	c.both(c.packed("a", 2, 1))
	is(v+1, false, 0)
}

// TestRest takes back the job of a file that differs from what is published in its
// mark alone. A newer state that was told of it, or a name that waits, keeps the job.
func TestRest(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	a := create(t, db, index.Root, "a", fileMode)
	rest := func(what string, version, seq uint64, want bool, jobs int) {
		t.Helper()
		got := must(db.Rest(ctx, a.Ino, version, seq))
		attr, n := must(db.Get(ctx, a.Ino)), len(must(db.Claim(ctx, 10, true)))
		if got != want || n != jobs || !attr.Dirty {
			t.Errorf("%s: %t, %d jobs, dirty %t", what, got, n, attr.Dirty)
		}
	}
	queue := func(seq uint64) {
		t.Helper()
		if err := db.Queue(ctx, a.Ino, index.Queued{Size: 1, Mtime: 5, Seq: seq}); err != nil {
			t.Fatal(err)
		}
	}
	v := must(db.MarkDirty(ctx, a.Ino, 1))
	queue(2)
	rest("never published", v, 3, false, 1)
	c.both(c.packed("a", 1, 1))

	v = must(db.MarkDirty(ctx, a.Ino, 10))
	queue(11)
	rest("another version", v-1, 12, false, 1)
	rest("a newer state", v, 10, false, 1)
	rest("nothing written", v, 12, true, 0)
	queue(13)
	rest("told of once more", v, 14, true, 0)
	queue(15)
	if _, err := db.Link(ctx, a.Ino, index.Root, []byte("b")); err != nil {
		t.Fatal(err)
	}
	rest("a name that waits", v, 16, false, 1)
	if done := must(db.Unmark(ctx, a.Ino, v, false)); !done {
		t.Error("the mark stays for good")
	}
}

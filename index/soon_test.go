package index_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/walfs/walfs/index"
)

// TestQueueSoon has everybody see at once what is queued with the next transaction.
func TestQueueSoon(t *testing.T) {
	db := open(t)
	dir := create(t, db, index.Root, "dir", dirMode).Ino
	a := create(t, db, dir, "a", fileMode)
	must(db.Usage(ctx)) // commits
	before := db.Commits()
	if err := db.QueueSoon(ctx, a.Ino, index.Queued{Size: 7, Mtime: 9, Seq: 1}); err != nil {
		t.Fatal(err)
	}
	see := func(where string, got index.Attr) {
		t.Helper()
		if got.Size != 7 || got.Mtime != 9 || got.Ctime < a.Ctime {
			t.Errorf("%s: %+v", where, got)
		}
	}
	got := must(db.Get(ctx, a.Ino))
	see("Get", got)
	see("Lookup", must(db.Lookup(ctx, dir, []byte("a"))))
	see("ReadDir", must(db.ReadDir(ctx, dir, 0, 10))[0].Attr)
	if n := db.Commits() - before; n > 1 { // the timer's
		t.Errorf("%d transactions", n)
	}
	create(t, db, dir, "b", fileMode)
	if n := db.Commits() - before; n > 2 {
		t.Errorf("%d transactions", n)
	}
	if now := must(db.Get(ctx, a.Ino)); now != got {
		t.Errorf("attributes changed by themselves from %+v to %+v", got, now)
	}
	if err := db.QueueSoon(ctx, a.Ino, index.Queued{Size: 8, Mtime: 9, Seq: 2}); err != nil {
		t.Fatal(err)
	}
	jobs := must(db.Claim(ctx, 10, true))
	if len(jobs) != 1 || jobs[0].Size != 8 {
		t.Errorf("jobs %+v", jobs)
	}
	waitFor(t, func() bool { return db.Soon() == 0 })
}

// TestQueueSoonThenChange changes a file right after it was queued: the answer knows what was.
func TestQueueSoonThenChange(t *testing.T) {
	mode := uint32(0o600)
	for name, change := range map[string]func(db *index.DB, ino index.Ino) (index.Attr, error){
		"link": func(db *index.DB, ino index.Ino) (index.Attr, error) {
			return db.Link(ctx, ino, index.Root, []byte("b"))
		},
		"chmod": func(db *index.DB, ino index.Ino) (index.Attr, error) {
			return db.SetAttr(ctx, ino, index.Change{Mode: &mode})
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			a := create(t, db, index.Root, "a", fileMode)
			must(db.Usage(ctx)) // commits, so that what follows is answered ahead
			if err := db.QueueSoon(ctx, a.Ino, index.Queued{Size: 7, Mtime: 9, Seq: 1}); err != nil {
				t.Fatal(err)
			}
			if got := must(change(db, a.Ino)); got.Size != 7 || got.Mtime != 9 {
				t.Errorf("size %d, mtime %d, want 7 and 9", got.Size, got.Mtime)
			}
		})
	}
}

// TestQueueSoonAlone has a transaction of its own come soon when no other does.
func TestQueueSoonAlone(t *testing.T) {
	db := open(t)
	a := create(t, db, index.Root, "a", fileMode)
	before := db.Commits()
	if err := db.QueueSoon(ctx, a.Ino, index.Queued{Size: 7, Mtime: 9, Seq: 1}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return db.Commits() > before && db.Soon() == 0 })
}

// TestQueueSoonFullDisk has no room for what is queued: deletions go through, a
// change that would go before it does not, and all of it is made up for.
func TestQueueSoonFullDisk(t *testing.T) {
	db := open(t)
	gone := create(t, db, index.Root, "gone", fileMode)
	if err := db.LimitPages(80); err != nil {
		t.Fatal(err)
	}
	var inos []index.Ino
	for i := 0; ; i++ {
		a, err := db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: fmt.Append(nil, "a rather long name ", i), Mode: fileMode})
		if errors.Is(err, index.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		inos = append(inos, a.Ino)
	}
	for _, ino := range inos {
		if err := db.QueueSoon(ctx, ino, index.Queued{Size: 1 << 40, Mtime: 1, Seq: 1}); err != nil && !errors.Is(err, index.ErrFull) {
			t.Fatal(err)
		}
	}
	waitFor(t, db.SoonFailed)
	mtime, waiting := int64(5), index.Ino(0)
	for _, ino := range inos {
		if got := must(db.Get(ctx, ino)); got.Size != 1<<40 { // it was refused
			continue
		}
		if _, err := db.SetAttr(ctx, ino, index.Change{Mtime: &mtime, Seq: 2}); errors.Is(err, index.ErrFull) {
			waiting = ino
		}
	}
	if waiting == 0 {
		t.Error("every change went before what is queued")
	}
	if _, err := db.Unlink(ctx, index.Root, []byte("gone")); err != nil {
		t.Error(err)
	}
	if _, err := db.Reap(ctx, gone.Ino); err != nil {
		t.Error(err)
	}
	if err := db.LimitPages(10_000); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return db.Soon() == 0 })
	if _, err := db.SetAttr(ctx, waiting, index.Change{Mtime: &mtime, Seq: 2}); err != nil {
		t.Error(err)
	}
	if got := must(db.Get(ctx, waiting)); got.Size != 1<<40 || got.Mtime != mtime {
		t.Errorf("%+v", got)
	}
}

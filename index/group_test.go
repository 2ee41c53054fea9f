package index_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/walfs/walfs/index"
)

// together runs calls while the writer is held, so that they gather, and
// returns their errors and how many transactions they took.
func together(t *testing.T, db *index.DB, calls ...func() error) (errs []error, transactions uint64) {
	t.Helper()
	before := db.Commits()
	release := db.HoldWriter()
	errs = make([]error, len(calls))
	var done sync.WaitGroup
	for i, call := range calls {
		done.Go(func() { errs[i] = call() })
	}
	waitFor(t, func() bool { return db.Gathered() == len(calls) })
	release()
	done.Wait()
	return errs, db.Commits() - before
}

// TestChangesShare lets ordinary changes gather behind a running transaction:
// they share the next one, and one that fails harms no other.
func TestChangesShare(t *testing.T) {
	db := open(t)
	a := create(t, db, index.Root, "a", fileMode)
	put := func(name string) func() error {
		return func() error { return db.SetXattr(ctx, a.Ino, name, []byte("value"), index.XattrCreate) }
	}
	if err := put("user.taken")(); err != nil {
		t.Fatal(err)
	}
	calls := []func() error{put("user.taken")}
	for i := range 9 {
		calls = append(calls, put(fmt.Sprint("user.new", i)))
	}
	errs, n := together(t, db, calls...)
	if n != 1 {
		t.Errorf("%d transactions", n)
	}
	if !errors.Is(errs[0], index.ErrExist) {
		t.Errorf("an attribute that is there: %v", errs[0])
	}
	if err := errors.Join(errs[1:]...); err != nil {
		t.Error(err)
	}
	if names := must(db.ListXattr(ctx, a.Ino)); len(names) != 10 {
		t.Errorf("%d attributes, want 10", len(names))
	}
}

// TestChangesShareFullDisk has one change in a group that there is no room for:
// the others get theirs.
func TestChangesShareFullDisk(t *testing.T) {
	db := open(t)
	a, b := create(t, db, index.Root, "a", fileMode), create(t, db, index.Root, "b", fileMode)
	if err := db.LimitPages(1); err != nil { // no more than there are
		t.Fatal(err)
	}
	errs, _ := together(t, db,
		func() error { return db.SetXattr(ctx, a.Ino, "user.big", bytes.Repeat([]byte("x"), 60_000), 0) },
		func() error { return db.SetXattr(ctx, b.Ino, "user.small", []byte("x"), 0) },
		func() error { return db.Vanish(ctx, a.Ino) },
	)
	if !errors.Is(errs[0], index.ErrFull) {
		t.Errorf("60,000 bytes: %v", errs[0])
	}
	if err := errors.Join(errs[1:]...); err != nil {
		t.Error(err)
	}
	if got := must(db.GetXattr(ctx, b.Ino, "user.small")); string(got) != "x" {
		t.Errorf("attribute %q", got)
	}
	if _, err := db.Lookup(ctx, index.Root, []byte("a")); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("unlinked: %v", err)
	}
}

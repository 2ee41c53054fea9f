package index_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/walfs/walfs/index"
)

// TestPins pins files and folders: what is nearest on the way up counts.
func TestPins(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	tree(t, db, "d/", "d/e/", "d/e/f", "d/g", "o/", "o/p", "o/linked=d/g")
	ino := func(path string) index.Ino { return lookup(t, db, path).Ino }
	set := func(path string, on bool) {
		t.Helper()
		if err := db.SetPin(ctx, ino(path), on); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, pinned ...string) {
		t.Helper()
		for _, path := range []string{"/", "d", "d/e", "d/e/f", "d/g", "o", "o/p"} {
			if got := must(db.Pinned(ctx, ino(path))); got != slices.Contains(pinned, path) {
				t.Errorf("%s: %s pinned %v", what, path, got)
			}
		}
	}
	want("nothing")
	set("d/e/f", true)
	want("a file", "d/e/f")
	set("d/e/f", false)
	want("no more")
	set("d", true)
	want("below a folder, but for what is unpinned", "d", "d/e", "d/g")
	set("d/e", false)
	if err := db.ClearPin(ctx, ino("d/e/f")); err != nil {
		t.Fatal(err)
	}
	want("an unpinned folder below", "d", "d/g")
	if err := db.ClearPin(ctx, ino("d/e")); err != nil {
		t.Fatal(err)
	}
	want("inherited again", "d", "d/e", "d/e/f", "d/g")
	if err := db.ClearPin(ctx, ino("d/e")); !errors.Is(err, index.ErrNoAttr) {
		t.Errorf("nothing to clear: %v", err)
	}
	must(db.Unlink(ctx, ino("d"), []byte("g")))
	if must(db.Pinned(ctx, ino("o/linked"))) {
		t.Error("pinned by a name that is gone")
	}
	must(db.Rename(ctx, index.RenameRequest{OldParent: ino("o"), OldName: []byte("p"), NewParent: ino("d"), NewName: []byte("g")}))
	want0 := ino("d/g")
	if !must(db.Pinned(ctx, want0)) {
		t.Error("what moves below a pin is not pinned")
	}

	if list := must(db.PinnedAbsent(ctx, 0, 10)); len(list) != 0 {
		t.Errorf("not stored, and absent: %+v", list)
	}
	c.both(c.packed("d/e/f", 1, 10), c.packed("d/g", 1, 20), c.packed("o/linked", 1, 30))
	absent := func() (list []index.Ino) {
		for _, a := range must(db.PinnedAbsent(ctx, 0, 10)) {
			list = append(list, a.Ino)
		}
		return list
	}
	if got, want := absent(), []index.Ino{ino("d/e/f"), ino("d/g")}; !slices.Equal(got, want) {
		t.Errorf("absent %d, want %d", got, want)
	}
	if list := must(db.PinnedAbsent(ctx, ino("d/e/f"), 10)); len(list) != 1 || list[0].Ino != ino("d/g") {
		t.Errorf("behind the first: %+v", list)
	}
	if err := db.CopyAdd(ctx, ino("d/e/f"), 9); err != nil || len(absent()) != 2 {
		t.Fatalf("a part of a copy counts as one: %v", err)
	}
	if err := db.CopyAdd(ctx, ino("d/e/f"), 10); err != nil {
		t.Fatal(err)
	}
	set("d/g", false)
	set("o", true)
	if got, want := absent(), []index.Ino{ino("o/linked")}; !slices.Equal(got, want) {
		t.Errorf("absent %d, want %d", got, want)
	}

	if err := db.SetPin(ctx, 1<<40, true); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("a pin of nothing: %v", err)
	}
}

// TestPinGoes: the pin of an inode goes with it.
func TestPinGoes(t *testing.T) {
	db := open(t)
	a := create(t, db, index.Root, "a", fileMode)
	if err := db.SetPin(ctx, a.Ino, true); err != nil {
		t.Fatal(err)
	}
	must(db.Unlink(ctx, index.Root, []byte("a")))
	if len(must(db.Reap(ctx, a.Ino))) != 1 {
		t.Fatal("not reaped")
	}
	if err := db.ClearPin(ctx, a.Ino); !errors.Is(err, index.ErrNoAttr) {
		t.Errorf("its pin is there: %v", err)
	}
}

// TestMigratePins opens an index of version 2, which has no pins.
func TestMigratePins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := must(index.OpenMigrating(index.Config{Path: path}, index.Migrations[:1]))
	a := create(t, db, index.Root, "a", fileMode)
	closeDB(t, db)
	if err := execute(path, fmt.Sprintf(`INSERT INTO jobs (ino, version, queued, tries, next) VALUES (%d, 1, 1, 0, 0)`, a.Ino)); err != nil {
		t.Fatal(err)
	}
	db = openPath(t, path)
	defer closeDB(t, db)
	if err := db.SetPin(ctx, a.Ino, true); err != nil || !must(db.Pinned(ctx, a.Ino)) {
		t.Errorf("pinned %v, %v", must(db.Pinned(ctx, a.Ino)), err)
	}
	if jobs := must(db.Claim(ctx, 10, false)); len(jobs) != 1 {
		t.Errorf("%d jobs", len(jobs))
	}
	closeDB(t, openPath(t, path+".v2"))
}

// TestMigrateCopies opens an index of version 3, which did not count its copies.
func TestMigrateCopies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := must(index.OpenMigrating(index.Config{Path: path}, index.Migrations[:2]))
	a := create(t, db, index.Root, "a", fileMode)
	closeDB(t, db)
	if err := execute(path, fmt.Sprintf("INSERT INTO copies (ino, bytes, used) VALUES (%d, 10, 1)", a.Ino)); err != nil {
		t.Fatal(err)
	}
	db = openPath(t, path)
	defer closeDB(t, db)
	if sum := db.CopiesSum(); sum != (index.CopiesSum{Files: 1, Bytes: 10}) {
		t.Errorf("sum %+v", sum)
	}
}

package index_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/index"
)

// ignoring opens an index at a path with a list of names to ignore.
func ignoring(t testing.TB, path string, patterns ...string) *index.DB {
	t.Helper()
	db := must(index.Open(ctx, index.Config{Path: path, Now: new(clock).now, Ignore: patterns, Trash: true}))
	if _, err := db.Drive(ctx); errors.Is(err, index.ErrNoDrive) {
		if err := db.Init(ctx, index.Drive{ID: [16]byte{1}, Writer: [16]byte{2}}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !errors.Is(err, index.ErrClosed) {
			t.Error(err)
		}
	})
	return db
}

// written makes a file and queues it.
func written(t testing.TB, db *index.DB, name string) index.Ino {
	t.Helper()
	a := create(t, db, index.Root, name, fileMode)
	if err := db.Queue(ctx, a.Ino, index.Queued{Size: 10, Mtime: 5}); err != nil {
		t.Fatal(err)
	}
	return a.Ino
}

// waits tells which files are to be packed: their names, in order.
func waits(t testing.TB, db *index.DB) (names string) {
	t.Helper()
	for _, j := range must(db.Claim(ctx, 100, true)) {
		names += string(j.Name) + " "
	}
	if p := must(db.Pending(ctx)); (p.Jobs == 0) != (names == "") {
		t.Errorf("%d jobs wait, claimed %q", p.Jobs, names)
	}
	if problems := must(db.Check(ctx)); len(problems) > 0 {
		t.Errorf("problems %q", problems)
	}
	return names
}

func rename(t testing.TB, db *index.DB, from, to string, exchange bool) {
	t.Helper()
	must(db.Rename(ctx, index.RenameRequest{OldParent: index.Root, OldName: []byte(from),
		NewParent: index.Root, NewName: []byte(to), Exchange: exchange}))
}

// TestIgnore gives a file names that are on the list and others: it waits to be
// packed whenever it has one that is not.
func TestIgnore(t *testing.T) {
	db := ignoring(t, filepath.Join(t.TempDir(), "index"), "*.swp", "4?13")
	want := func(what, names string, count int64, s index.State, path string) {
		t.Helper()
		if got := waits(t, db); got != names {
			t.Errorf("%s: %q wait, want %q", what, got, names)
		}
		u := must(db.Usage(ctx))
		if u.IgnoredFiles != count || u.Ignored != 10*count || u.Ignored+u.Staged+u.Dirty+u.Certified+u.Storing != u.Bytes {
			t.Errorf("%s: usage %+v, want %d ignored", what, u, count)
		}
		if got := state(t, db, path); got != s {
			t.Errorf("%s: %s is %s, want %s", what, path, got, s)
		}
	}
	ino := written(t, db, "a.swp")
	want("made", "", 1, index.StateLocal, "a.swp")
	if n := must(db.NamesWaiting(ctx, db.Changing())); n != 0 {
		t.Errorf("%d names wait", n)
	}
	must(db.Link(ctx, ino, index.Root, []byte("4x13")))
	want("linked to a name on the list", "", 1, index.StateLocal, "4x13")
	must(db.Link(ctx, ino, index.Root, []byte("doc")))
	if got := must(db.Claim(ctx, 9, true)); len(got) != 1 || must(db.NamesWaiting(ctx, db.Changing())) != 3 {
		t.Errorf("linked to another name: %+v", got)
	}
	must(db.Unlink(ctx, index.Root, []byte("doc")))
	must(db.Unlink(ctx, index.Root, []byte("4x13")))
	want("that name removed", "", 1, index.StateLocal, "a.swp")
	must(db.MarkDirty(ctx, ino, 0))
	want("written", "", 1, index.StateDirty, "a.swp")
	if err := db.Queue(ctx, ino, index.Queued{Size: 10, Mtime: 6}); err != nil {
		t.Fatal(err)
	}
	want("queued again", "", 1, index.StateLocal, "a.swp")
	rename(t, db, "a.swp", "a", false)
	want("renamed", "a ", 0, index.StateStaged, "a")
	rename(t, db, "a", "b.swp", false)
	want("renamed back", "", 1, index.StateLocal, "b.swp")
	written(t, db, "c")
	rename(t, db, "c", "b.swp", true)
	want("exchanged", "c ", 1, index.StateLocal, "b.swp")
	rename(t, db, "b.swp", "c", false)
	want("replaced", "c ", 0, index.StateStaged, "c")

	// What was published stays so under any name, and while it is renamed on its way too.
	c := &committer{t: t, db: db}
	p := c.packed("c", 1, 10)
	cut := c.cut(p)
	rename(t, db, "c", "d.swp", false)
	must(db.MarkDirty(ctx, p.Ino, 0))
	if err := db.Queue(ctx, p.Ino, index.Queued{Size: 10, Mtime: 7}); err != nil {
		t.Fatal(err)
	}
	c.commit(cut, p)
	want("published", "d.swp ", 0, index.StateStaged, "d.swp")
	c.both(c.packed("d.swp", 2, 10))
	if got := c.restored(); got != "d.swp:xxxxxxxxxx" {
		t.Errorf("restored %s", got)
	}
	// A name under which another file is published would stay that one's.
	n := written(t, db, "e.swp")
	rename(t, db, "e.swp", "d.swp", false)
	want("over what is published", "d.swp ", 0, index.StateStaged, "d.swp")
	must(db.MarkDirty(ctx, n, 0))
	if err := db.Queue(ctx, n, index.Queued{Size: 10, Mtime: 8}); err != nil {
		t.Fatal(err)
	}
	c.both(c.packed("d.swp", 3, 10))
	want("published in its place", "", 0, index.StateStoring, "d.swp")
}

// TestIgnoreDisplaced gives a name on the list to a new file while another one is
// about to be published under it: the new one has to follow.
func TestIgnoreDisplaced(t *testing.T) {
	db := ignoring(t, filepath.Join(t.TempDir(), "index"), "*.swp")
	c := &committer{t: t, db: db}
	written(t, db, "a")
	c.both(c.packed("a", 1, 10))
	rename(t, db, "a", "a.swp", false)
	cut := c.cut()
	must(db.Unlink(ctx, index.Root, []byte("a.swp")))
	written(t, db, "a.swp")
	if got := waits(t, db); got != "" {
		t.Fatalf("%q wait before the commit", got)
	}
	c.commit(cut)
	if got := waits(t, db); got != "a.swp " {
		t.Errorf("%q wait after the commit", got)
	}
	c.both(c.packed("a.swp", 3, 10))
	if n := must(db.NamesWaiting(ctx, db.Changing())); n != 0 {
		t.Errorf("%d names wait for good", n)
	}
}

// TestIgnoreList opens an index with other lists, and with none to be used.
func TestIgnoreList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	again := func(db *index.DB, patterns ...string) *index.DB {
		t.Helper()
		if err := db.Kill(); err != nil {
			t.Fatal(err)
		}
		return ignoring(t, path, patterns...)
	}
	db := ignoring(t, path, "*.swp")
	written(t, db, "a.swp")
	written(t, db, "b.tmp")
	for _, step := range []struct {
		list []string
		want string
	}{
		{[]string{"*.swp"}, "b.tmp "}, {nil, "b.tmp "}, {[]string{"*.tmp"}, "a.swp "},
		{[]string{"*.tmp", "*.swp"}, ""}, {[]string{}, "a.swp b.tmp "},
	} {
		db = again(db, step.list...)
		if got := waits(t, db); got != step.want {
			t.Errorf("with %q %q wait, want %q", step.list, got, step.want)
		}
	}
	for _, bad := range []string{"", "a/b", "[a"} {
		if _, err := index.Open(ctx, index.Config{Path: path, Ignore: []string{bad}}); err == nil {
			t.Errorf("%q was taken for a pattern", bad)
		}
	}
}

// TestIgnoreReplay leaves out what is ignored, and its names.
func TestIgnoreReplay(t *testing.T) {
	db := ignoring(t, filepath.Join(t.TempDir(), "index"), "*.swp")
	c := &committer{t: t, db: db}
	written(t, db, "a")
	ino := written(t, db, ".a.swp")
	c.both(c.packed("a", 1, 10))
	if got := c.restored(); got != "a:xxxxxxxxxx" {
		t.Errorf("restored %s", got)
	}
	if a := must(db.Unlink(ctx, index.Root, []byte(".a.swp"))); a.Ino != ino || db.TrashSum().Files != 0 {
		t.Errorf("the trash has %+v of what was never stored", db.TrashSum())
	}
	if u := must(db.Usage(ctx)); u.IgnoredFiles != 0 {
		t.Errorf("a deleted file is ignored: %+v", u)
	}
}

package index_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/walfs/walfs/index"
)

// openTrash opens a fresh index that keeps what is deleted.
func openTrash(t testing.TB) *index.DB {
	t.Helper()
	db := must(index.Open(ctx, index.Config{Path: filepath.Join(t.TempDir(), "index"), Now: new(clock).now, Trash: true}))
	t.Cleanup(func() { closeDB(t, db) })
	if err := db.Init(ctx, index.Drive{ID: [16]byte{1}, Writer: [16]byte{2}}); err != nil {
		t.Fatal(err)
	}
	return db
}

// inTrash returns the paths in the trash, the oldest first; ">" stands before what was replaced.
func inTrash(db *index.DB) (paths []string) {
	for _, t := range must(db.Trash(ctx, index.TrashQuery{})) {
		path := string(t.Path)
		if t.Replaced {
			path = ">" + path
		}
		paths = append(paths, path)
	}
	slices.Reverse(paths)
	return paths
}

// TestTrashKeeps goes through what loses a name, and what of it is kept.
func TestTrashKeeps(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(c *committer)
		want []string
	}{
		{"a file that was never stored is gone", func(c *committer) {
			c.unlink("d/new")
		}, nil},
		{"a stored file is kept", func(c *committer) {
			c.unlink("d/e/f")
		}, []string{"d/e/f"}},
		{"so is an empty one", func(c *committer) {
			c.unlink("empty")
		}, []string{"empty"}},
		{"of a file that was written since the stored version is kept", func(c *committer) {
			must(c.db.MarkDirty(ctx, lookup(c.t, c.db, "a").Ino, 0))
			c.unlink("a")
		}, []string{"a"}},
		{"each name that was stored counts", func(c *committer) {
			if _, err := c.db.Link(ctx, lookup(c.t, c.db, "hard").Ino, index.Root, []byte("never stored")); err != nil {
				c.t.Fatal(err)
			}
			c.unlink("never stored")
			c.unlink("hard")
			c.unlink("d/hard")
		}, []string{"hard", "d/hard"}},
		{"what is replaced is kept too", func(c *committer) {
			c.rename("d/new", "a")
			c.rename("d/e/f", "a")
		}, []string{">a"}},
		{"but not while it has another name", func(c *committer) {
			c.rename("a", "hard")
			c.rename("hard", "d/hard")
		}, []string{">d/hard"}},
		{"an exchange displaces nothing", func(c *committer) {
			must(c.db.Rename(ctx, index.RenameRequest{OldParent: index.Root, OldName: []byte("a"), NewParent: index.Root,
				NewName: []byte("hard"), Exchange: true}))
		}, nil},
		{"the path is that of the moment", func(c *committer) {
			c.unlink("d/e/g")
			c.rename("d", "moved")
			c.unlink("moved/e/f")
			c.rename("moved/e", "e")
			c.unlink("e/h")
		}, []string{"d/e/g", "moved/e/f", "e/h"}},
		{"a link that was stored is kept, and no other", func(c *committer) {
			create(c.t, c.db, index.Root, "lock", symlinkMode)
			c.unlink("lock")
			c.rename("link", "renamed")
			c.unlink("renamed")
		}, []string{"renamed"}},
		{"all names that vanish are one deletion", func(c *committer) {
			if err := c.db.Vanish(ctx, lookup(c.t, c.db, "d/hard").Ino); err != nil {
				c.t.Fatal(err)
			}
		}, []string{"hard"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := openTrash(t)
			c := &committer{t: t, db: db}
			tree(t, db, "a", "empty", "d/", "d/e/", "d/e/f", "d/e/g", "d/e/h", "d/hard", "hard=d/hard")
			create(t, db, index.Root, "link", symlinkMode)
			empty := lookup(t, db, "empty")
			packed := []index.Packed{{Ino: empty.Ino, Version: 1, Mtime: 7}}
			for _, path := range []string{"a", "d/e/f", "d/e/g", "d/e/h", "hard"} {
				packed = append(packed, c.packed(path, 1, 10))
			}
			c.both(packed...)
			tree(t, db, "d/new")
			tt.run(c)
			if got := inTrash(db); !slices.Equal(got, tt.want) {
				t.Errorf("in the trash %q, want %q", got, tt.want)
			}
		})
	}
}

// TestTrashOff keeps nothing.
func TestTrashOff(t *testing.T) {
	c := &committer{t: t, db: open(t)}
	tree(t, c.db, "a")
	c.both(c.packed("a", 1, 1))
	c.unlink("a")
	if got := inTrash(c.db); len(got) > 0 {
		t.Errorf("in the trash %q", got)
	}
}

// trashed makes an index with one stored and deleted file in a certified segment.
func trashed(t *testing.T) (*committer, index.Trashed) {
	t.Helper()
	c := &committer{t: t, db: openTrash(t)}
	tree(t, c.db, "d/", "d/a")
	c.both(c.packed("d/a", 1, 5))
	c.unlink("d/a")
	must(c.db.Rmdir(ctx, index.Root, []byte("d")))
	return c, must(c.db.Trash(ctx, index.TrashQuery{}))[0]
}

// untrash restores a file and returns the error.
func (c *committer) untrash(id int64, path string) error {
	c.t.Helper()
	return must(c.db.Untrash(ctx, []index.UntrashRequest{{ID: id, Path: []byte(path)}}))[0].Err
}

func TestUntrashErrors(t *testing.T) {
	c, file := trashed(t)
	if err := c.untrash(file.ID, "d/a"); !errors.Is(err, index.ErrStoring) {
		t.Errorf("before the segment is certified: %v", err)
	}
	certify(t, c.db, 1)
	tree(t, c.db, "f")
	for path, want := range map[string]error{
		"f": index.ErrExist, "f/a": index.ErrNotDir, "": index.ErrName, "d/": index.ErrName, "../a": index.ErrName, "x//a": index.ErrName,
	} {
		if err := c.untrash(file.ID, path); !errors.Is(err, want) {
			t.Errorf("to %q: %v, want %v", path, err, want)
		}
	}
	if err := c.untrash(99, "a"); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("no such ID: %v", err)
	}
	if got := list(t, c.db); !slices.Equal(got, []string{"f"}) {
		t.Errorf("failures left %q", got)
	}
}

// TestUntrashTwice makes two files of one; both are in the next trailer, whole.
func TestUntrashTwice(t *testing.T) {
	c, file := trashed(t)
	certify(t, c.db, 1)
	before := must(c.db.Usage(ctx))
	for _, path := range []string{"d/a", "d/e/b"} {
		if err := c.untrash(file.ID, path); err != nil {
			t.Fatal(err)
		}
	}
	if a := lookup(t, c.db, "d"); a.Mode != 0o040700 || a.UID != 1000 || a.GID != 100 {
		t.Errorf("folder that was made is %+v", a)
	}
	if u := must(c.db.Usage(ctx)); u.Storing != before.Storing+10 || u.Bytes != before.Bytes+10 {
		t.Errorf("usage %+v", u)
	}
	if p := must(c.db.Pending(ctx)); !p.Names {
		t.Error("no cut would be made")
	}
	c.cut() // never committed
	c.both()
	c.expect("d/ d/a:xxxxx d/e/ d/e/b:xxxxx")
	certify(t, c.db, 2)
	for _, path := range []string{"d/a", "d/e/b"} {
		if s := must(c.db.State(ctx, lookup(t, c.db, path).Ino)); s.State != index.StateCertified {
			t.Errorf("%s is %s", path, s.State)
		}
	}
	c.both()
	if last := c.trailers[len(c.trailers)-1]; len(last.Contents) != 0 {
		t.Errorf("content goes out again: %+v", last.Contents)
	}
}

// TestUntrashLinks gets names of files back that have others: of the same file,
// unless it has other content by now.
func TestUntrashLinks(t *testing.T) {
	db := openTrash(t)
	c := &committer{t: t, db: db}
	tree(t, db, "d/", "d/a", "d/b=d/a", "keep=d/a", "d/x", "d/y=d/x", "d/z=d/x")
	c.both(c.packed("keep", 1, 10), c.packed("d/x", 1, 5))
	certify(t, db, 1)
	file := lookup(t, db, "keep").Ino
	for _, path := range []string{"d/a", "d/b", "d/x", "d/y", "d/z"} {
		c.unlink(path)
	}
	restore := func(want ...string) {
		t.Helper()
		for _, row := range must(db.Trash(ctx, index.TrashQuery{})) {
			if slices.Contains(want, string(row.Path)) {
				if err := c.untrash(row.ID, string(row.Path)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	restore("d/a")
	if a := lookup(t, db, "d/a"); a.Ino != file || a.Nlink != 2 {
		t.Errorf("d/a is inode %d with %d links, want %d with 2", a.Ino, a.Nlink, file)
	}
	restore("d/x", "d/y", "d/z") // none of their names was left
	x := lookup(t, db, "d/x")
	for _, path := range []string{"d/y", "d/z"} {
		if a := lookup(t, db, path); a.Ino != x.Ino || a.Nlink != 3 || a.Size != 5 {
			t.Errorf("%s is inode %d with %d links, want %d with 3", path, a.Ino, a.Nlink, x.Ino)
		}
	}
	must(db.MarkDirty(ctx, file, 0))
	restore("d/b") // of which the content is the one of then
	if b := lookup(t, db, "d/b"); b.Ino == file || b.Nlink != 1 || b.Size != 10 {
		t.Errorf("d/b is %+v", b)
	}
	if problems := must(db.Check(ctx)); len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
	c.both(c.packed("keep", 2, 11))
	c.expect("d/ d/a:xxxxxxxxxxx d/b:xxxxxxxxxx d/x:xxxxx d/y:xxxxx d/z:xxxxx keep:xxxxxxxxxxx")
}

// TestUntrashCondemned takes the mark off a segment that is needed again.
func TestUntrashCondemned(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := must(index.Open(ctx, index.Config{Path: path, Trash: true}))
	defer closeDB(t, db)
	if err := db.Init(ctx, index.Drive{ID: [16]byte{1}}); err != nil {
		t.Fatal(err)
	}
	c := &committer{t: t, db: db}
	tree(t, db, "a", "b")
	c.both(c.packed("a", 1, 5))
	c.both(c.packed("b", 2, 5))
	certify(t, db, 1, 2)
	c.unlink("a")
	raw := must(sql.Open("sqlite3", "file:"+path))
	defer raw.Close()
	must(raw.Exec(`UPDATE segments SET condemned = 5`))
	if err := c.untrash(1, "a"); err != nil {
		t.Fatal(err)
	}
	var marks string
	if err := raw.QueryRow(`SELECT group_concat(ifnull(condemned, '-')) FROM segments`).Scan(&marks); err != nil || marks != "-,5" {
		t.Errorf("marks %s, %v", marks, err)
	}
}

// TestExpireTrash gives up what is old by the trash's own clock.
func TestExpireTrash(t *testing.T) {
	db := openTrash(t)
	c := &committer{t: t, db: db}
	tree(t, db, "a", "b", "c")
	c.both(c.packed("a", 1, 1), c.packed("b", 1, 2), c.packed("c", 1, 4))
	now := index.TrashClock{Wall: time.Unix(5, 0), Boot: "first"}
	pass := func(d time.Duration, limit int) index.TrashSum {
		now.Passed += d
		now.Uptime += d
		return must(db.ExpireTrash(ctx, now, 10*time.Hour, limit))
	}
	c.unlink("a")
	pass(4*time.Hour, 9)
	c.unlink("b")
	c.unlink("c")
	if gone := pass(6*time.Hour, 9); gone.Files != 0 {
		t.Errorf("after ten hours %+v goes", gone)
	}
	if gone := pass(time.Hour, 9); gone != (index.TrashSum{Files: 1, Bytes: 1}) {
		t.Errorf("after eleven hours %+v goes", gone)
	}
	if got := must(db.TrashClock(ctx)); !got.Wall.Equal(now.Wall) || got.Passed != now.Passed || got.Boot != "first" || got.Uptime != now.Uptime {
		t.Errorf("clock %+v, want %+v", got, now)
	}
	if left := must(db.Trash(ctx, index.TrashQuery{})); len(left) != 2 || left[0].Age != 7*time.Hour {
		t.Errorf("left %+v", left)
	}
	now.Passed -= 5 * time.Hour
	pass(0, 9)
	if got := must(db.TrashClock(ctx)); got.Passed != 11*time.Hour {
		t.Errorf("the clock went back to %s", got.Passed)
	}
	now.Passed = 11 * time.Hour
	if gone := pass(9*time.Hour, 1); gone.Files != 1 || db.TrashSum() != (index.TrashSum{Files: 1, Bytes: 4}) {
		t.Errorf("one at a time: %+v goes, %+v stays", gone, db.TrashSum())
	}
}

// TestTrashQuery finds what lay below a path, and pages.
func TestTrashQuery(t *testing.T) {
	db := openTrash(t)
	c := &committer{t: t, db: db}
	paths := []string{"d/a", "d/b/c", "d.txt", "d0", "x"}
	tree(t, db, "d/", "d/b/")
	var packed []index.Packed
	for _, path := range paths {
		tree(t, db, path)
		packed = append(packed, c.packed(path, 1, 1))
	}
	c.both(packed...)
	for _, path := range paths {
		c.unlink(path)
	}
	for _, tt := range []struct {
		q    index.TrashQuery
		want []int64
	}{
		{index.TrashQuery{}, []int64{5, 4, 3, 2, 1}},
		{index.TrashQuery{Path: []byte("d")}, []int64{2, 1}},
		{index.TrashQuery{Path: []byte("d/b/c")}, []int64{2}},
		{index.TrashQuery{Path: []byte("x")}, []int64{5}},
		{index.TrashQuery{ID: 3}, []int64{3}},
		{index.TrashQuery{Before: 4, Max: 2}, []int64{3, 2}},
	} {
		var got []int64
		for _, f := range must(db.Trash(ctx, tt.q)) {
			got = append(got, f.ID)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%+v finds %v, want %v", tt.q, got, tt.want)
		}
	}
}

// TestTrashFull deletes on a full disk: for the trash there is no room then,
// and the file goes without.
func TestTrashFull(t *testing.T) {
	db := openTrash(t)
	c := &committer{t: t, db: db}
	dir := create(t, db, index.Root, "dir", dirMode)
	const files = 2000
	var packed []index.Packed
	for i := range files {
		a := create(t, db, dir.Ino, fmt.Sprintf("%0200d", i), fileMode)
		packed = append(packed, index.Packed{Ino: a.Ino, Version: 1, Size: 9, Mtime: 5, Ops: []index.Op{{Len: 9, Segment: 1}}})
	}
	c.both(packed...)
	if err := db.LimitPages(1); err != nil { // it grows no more
		t.Fatal(err)
	}
	for i := range files {
		if _, err := db.Unlink(ctx, dir.Ino, fmt.Appendf(nil, "%0200d", i)); err != nil {
			t.Fatalf("file %d cannot be deleted: %v", i, err)
		}
	}
	kept := db.TrashSum().Files
	t.Logf("%d of %d files are in the trash", kept, files)
	if kept == files {
		t.Error("the disk was not full")
	}
	if problems := must(db.Check(ctx)); len(problems) > 0 {
		t.Errorf("not sound: %q", problems)
	}
}

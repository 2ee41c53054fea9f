package index_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/walfs/walfs/index"
)

func openPath(t testing.TB, path string) *index.DB {
	t.Helper()
	db, err := index.Open(ctx, index.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func closeDB(t testing.TB, db *index.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a ?%#index")
	db := openPath(t, path)
	root := must(db.Get(ctx, index.Root))
	if root.Mode != dirMode || root.Nlink != 2 || root.UID != uint32(os.Getuid()) || db.Unclean() {
		t.Errorf("root %+v, unclean %v", root, db.Unclean())
	}
	if info := must(os.Stat(path)); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode())
	}
	if _, err := db.Drive(ctx); !errors.Is(err, index.ErrNoDrive) {
		t.Errorf("no drive yet: %v", err)
	}
	d := index.Drive{ID: [16]byte{1, 2}, Writer: [16]byte{3}, Plain: true}
	if err := db.Init(ctx, d); err != nil {
		t.Fatal(err)
	}
	if err := db.Init(ctx, d); !errors.Is(err, index.ErrExist) {
		t.Errorf("second init: %v", err)
	}
	tree(t, db, "d/", "d/a")
	size := int64(77)
	must(db.SetAttr(ctx, lookup(t, db, "d/a").Ino, index.Change{Size: &size}))
	closeDB(t, db)
	if err := db.Close(); !errors.Is(err, index.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	if _, err := db.Get(ctx, index.Root); !errors.Is(err, index.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if err := db.Barrier(ctx, nil); !errors.Is(err, index.ErrClosed) {
		t.Errorf("barrier after close: %v", err)
	}
	db = openPath(t, path)
	defer closeDB(t, db)
	if got := must(db.Drive(ctx)); got != d {
		t.Errorf("drive %+v", got)
	}
	if u := must(db.Usage(ctx)); u.Inodes != 3 || u.Bytes != 77 || db.Unclean() {
		t.Errorf("usage %+v, unclean %v", u, db.Unclean())
	}
}

// TestKill opens an index that was not closed: nothing committed is lost, and
// no number is used twice.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	var last index.Ino
	var cookie uint64
	for round := range 3 {
		db := openPath(t, path)
		if db.Unclean() != (round > 0) {
			t.Errorf("round %d: unclean %v", round, db.Unclean())
		}
		for i := range 3 {
			a := create(t, db, index.Root, fmt.Sprint(round, i), fileMode)
			if a.Ino <= last {
				t.Errorf("inode %d after %d", a.Ino, last)
			}
			last = a.Ino
		}
		size := int64(10)
		must(db.SetAttr(ctx, last, index.Change{Size: &size}))
		must(db.Unlink(ctx, index.Root, []byte(fmt.Sprint(round, 0))))
		entries := must(db.ReadDir(ctx, index.Root, cookie, 10))
		if len(entries) != 2 {
			t.Errorf("round %d: %d new entries", round, len(entries))
		}
		cookie = entries[len(entries)-1].Cookie
		if u := must(db.Usage(ctx)); u.Inodes != int64(1+3*(round+1)) || u.Bytes != int64(10*(round+1)) {
			t.Errorf("round %d: usage %+v", round, u)
		}
		if err := db.Kill(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReserve(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := openPath(t, path)
	if err := db.Reserve(ctx, 1_000_000); err != nil {
		t.Fatal(err)
	}
	if err := db.Kill(); err != nil {
		t.Fatal(err)
	}
	db = openPath(t, path)
	defer closeDB(t, db)
	if a := create(t, db, index.Root, "a", fileMode); a.Ino <= 1_000_000 {
		t.Errorf("inode %d", a.Ino)
	}
	if err := db.Reserve(ctx, 1<<62); !errors.Is(err, index.ErrRange) {
		t.Errorf("absurd number: %v", err)
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(path string) error
		want error
	}{
		{"newer", func(path string) error { return execute(path, "PRAGMA user_version = 1000") }, index.ErrNewer},
		{"not a database", func(path string) error {
			return os.WriteFile(path, []byte("something else, much longer than a header of sixteen bytes"), 0o600)
		}, index.ErrCorrupt},
		{"another program's", func(path string) error { return execute(path, "PRAGMA application_id = 7") }, index.ErrCorrupt},
		{"tables of something else", func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return execute(path, "CREATE TABLE t (x)")
		}, index.ErrCorrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "index")
			closeDB(t, openPath(t, path))
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			before := must(os.ReadFile(path))
			if _, err := index.Open(ctx, index.Config{Path: path}); !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if tt.want == index.ErrNewer && string(must(os.ReadFile(path))) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

// execute runs a statement on a database file. The checksums of its pages go, as
// those of a file that an older version wrote.
func execute(path, statement string) error {
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		return err
	}
	_, err = db.Exec(statement)
	return errors.Join(err, db.Close(), os.RemoveAll(path+".sums"))
}

// TestMigration brings an index of version 1 to a version that is newer than ours, and keeps a copy of it.
func TestMigration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := must(index.OpenMigrating(index.Config{Path: path}, nil))
	tree(t, db, "a", "b")
	last := lookup(t, db, "b").Ino
	closeDB(t, db)
	c := index.Config{Path: path}
	if _, err := index.OpenMigrating(c, []string{"CREATE TABLE one (x)", "CREATE TABLE one (x)"}); err == nil {
		t.Fatal("a migration that fails was not noticed")
	}
	for range 2 {
		steps := []string{"CREATE TABLE one (x)", "CREATE TABLE two (x); INSERT INTO two VALUES (1)"}
		db = must(index.OpenMigrating(c, append(slices.Clone(index.Migrations), steps...)))
		if paths := list(t, db); len(paths) != 2 {
			t.Errorf("paths %q", paths)
		}
		closeDB(t, db)
	}
	if err := execute(path, "INSERT INTO two SELECT x FROM one"); err != nil {
		t.Error(err)
	}
	if _, err := index.Open(ctx, c); !errors.Is(err, index.ErrNewer) {
		t.Errorf("a newer version: %v", err)
	}
	old := openPath(t, path+".v1")
	defer closeDB(t, old)
	if a := create(t, old, index.Root, "c", fileMode); a.Ino <= last || len(list(t, old)) != 3 {
		t.Errorf("the copy gives inode %d after %d", a.Ino, last)
	}
}

// TestDamage flips bytes of the file: an index that opens at all says so.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := openPath(t, path)
	for i := range 200 {
		create(t, db, index.Root, fmt.Sprintf("a name that takes some room %d", i), fileMode)
	}
	closeDB(t, db)
	whole := must(os.ReadFile(path))
	noticed := 0
	const pages = 10
	for page := range pages {
		damaged := append([]byte(nil), whole...)
		for i := range 64 {
			damaged[(page+1)*4096+i] ^= 0xff
		}
		other := fmt.Sprintf("%s.%d", path, page)
		if err := os.WriteFile(other, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := index.Open(ctx, index.Config{Path: other})
		if errors.Is(err, index.ErrCorrupt) {
			noticed++
			continue
		}
		if err != nil {
			t.Fatalf("page %d: %v", page, err)
		}
		problems, err := db.Check(ctx)
		if len(problems) > 0 || errors.Is(err, index.ErrCorrupt) {
			noticed++
		}
		if err := db.Kill(); err != nil {
			t.Log(err)
		}
	}
	if noticed != pages {
		t.Errorf("%d of %d damaged files were noticed", noticed, pages)
	}
}

// TestNoRoom fills the disk: what fails leaves no trace, what was there is
// readable, and once there is room all goes on.
func TestNoRoom(t *testing.T) {
	db := open(t)
	if err := db.LimitPages(80); err != nil {
		t.Fatal(err)
	}
	var err error
	made := 0
	for ; err == nil && made < 10_000; made++ {
		_, err = db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte(fmt.Sprint("a rather long name ", made)), Mode: fileMode})
	}
	if !errors.Is(err, index.ErrFull) {
		t.Fatalf("after %d files: %v", made, err)
	}
	made--
	release := db.HoldWriter()
	var done sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		done.Go(func() {
			errs[i] = db.Barrier(ctx, []index.Held{{Ino: index.Ino(2 + i), Blocks: make([]byte, 1<<20)}})
		})
	}
	waitFor(t, func() bool { return db.Waiting() == len(errs) })
	release()
	done.Wait()
	for _, err := range errs {
		if !errors.Is(err, index.ErrFull) {
			t.Errorf("barrier: %v", err)
		}
	}
	if n := len(must(db.ReadDir(ctx, index.Root, 0, 20_000))); n != made {
		t.Errorf("%d files, made %d", n, made)
	}
	if u := must(db.Usage(ctx)); u.Inodes != int64(made)+1 {
		t.Errorf("usage %+v", u)
	}
	if problems := must(db.Check(ctx)); len(problems) > 0 {
		t.Errorf("not sound: %q", problems)
	}
	if err := db.LimitPages(10_000); err != nil {
		t.Fatal(err)
	}
	create(t, db, index.Root, "more", fileMode)
	if err := db.Barrier(ctx, nil); err != nil {
		t.Error(err)
	}
}

// waitFor waits for a condition, at most ten seconds.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

// TestConcurrent uses an index from many goroutines, for the race detector.
func TestConcurrent(t *testing.T) {
	db := open(t)
	var done sync.WaitGroup
	for g := range 6 {
		dir := create(t, db, index.Root, fmt.Sprint("dir", g), dirMode).Ino
		done.Go(func() {
			for i := range 50 {
				name := []byte(fmt.Sprint(i))
				a, err := db.Create(ctx, index.CreateRequest{Parent: dir, Name: name, Mode: fileMode})
				if err == nil {
					err = db.Queue(ctx, a.Ino, index.Queued{Size: 1})
				}
				if err == nil && i%5 == 0 {
					err = db.Barrier(ctx, nil)
				}
				if err == nil {
					_, err = db.Rename(ctx, index.RenameRequest{OldParent: dir, OldName: name, NewParent: dir, NewName: []byte("x"), Full: i%7 == 0})
				}
				if err == nil {
					_, err = db.ReadDir(ctx, dir, 0, 10)
				}
				if err == nil {
					_, err = db.Usage(ctx)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done.Wait()
	if problems := must(db.Check(ctx)); len(problems) > 0 {
		t.Errorf("not sound: %q", problems)
	}
	if n := len(must(db.Orphans(ctx))); n != 6*49 {
		t.Errorf("%d orphans", n)
	}
}

// TestNoStatistics: with the statistics of a small drive SQLite would read whole tables for a lookup.
func TestNoStatistics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := must(index.Open(ctx, index.Config{Path: path}))
	lookup(t, db, "/")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw := must(sql.Open("sqlite3", "file:"+path+"?mode=ro"))
	defer raw.Close()
	var n int
	if err := raw.QueryRow(`SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlite\_stat%' ESCAPE '\'`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d tables of statistics, %v", n, err)
	}
}

package index_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/walfs/walfs/index"
)

// kill returns what kill -9 leaves of an index, as a copy of it.
func kill(t *testing.T, db *index.DB, path string) (killed string) {
	t.Helper()
	killed = filepath.Join(t.TempDir(), "index")
	release := db.HoldWriter()
	copyIndex(t, killed, path)
	release()
	return killed
}

// firstNames returns how many names the root folder has, which have to be the first
// that were made.
func firstNames(t *testing.T, path string) int {
	t.Helper()
	db, err := index.Open(ctx, index.Config{Path: path, Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	defer closeDB(t, db)
	entries := must(db.ReadDir(ctx, index.Root, 0, 1000))
	for i, e := range entries {
		if want := fmt.Sprint(i); string(e.Name) != want {
			t.Errorf("name %s in the place of %s", e.Name, want)
		}
	}
	if problems := must(db.Check(ctx)); len(problems) > 0 {
		t.Error(problems)
	}
	return len(entries)
}

// TestAheadKilled ends the process with changes of each kind that were answered
// and not committed: all are there, with the numbers and times that were answered.
func TestAheadKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := openPath(t, path)
	defer closeDB(t, db)
	db.Unhurried()
	tree(t, db, "gone/", "gone/a", "old")
	must(db.Usage(ctx)) // commits
	before := db.Commits()
	mode, uid, gid, atime, mtime := uint32(0o4711), uint32(7), uint32(8), int64(-5), int64(1<<62)
	dir := must(db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte("dir"), Mode: dirMode | 0o2000, UID: 1, GID: 5}))
	file := must(db.Create(ctx, index.CreateRequest{Parent: dir.Ino, Name: []byte("\xff\x01"), Mode: fileMode | 0o666, Umask: 0o027, UID: 1, GID: 2}))
	must(db.Create(ctx, index.CreateRequest{Parent: dir.Ino, Name: []byte("link"), Mode: symlinkMode, Target: []byte("target")}))
	must(db.Create(ctx, index.CreateRequest{Parent: dir.Ino, Name: []byte("device"), Mode: 0o020600, Rdev: 0xfff01}))
	must(db.Link(ctx, file.Ino, index.Root, []byte("other")))
	must(db.SetAttr(ctx, file.Ino, index.Change{Mode: &mode, UID: &uid, GID: &gid, Atime: &atime, Mtime: &mtime}))
	must(db.Rename(ctx, index.RenameRequest{OldParent: index.Root, OldName: []byte("old"), NewParent: dir.Ino, NewName: []byte("new")}))
	gone := must(db.Lookup(ctx, index.Root, []byte("gone"))).Ino
	must(db.Unlink(ctx, gone, []byte("a")))
	must(db.Rmdir(ctx, index.Root, []byte("gone")))
	if _, err := db.Create(ctx, index.CreateRequest{Parent: dir.Ino, Name: []byte("new"), Mode: fileMode}); !errors.Is(err, index.ErrExist) {
		t.Errorf("a name that is there: %v", err)
	}
	killed := kill(t, db, path)
	if n := db.Commits() - before; n > 0 {
		t.Errorf("%d transactions for what was answered", n)
	}
	again := openPath(t, killed)
	defer closeDB(t, again)
	if got, want := fmt.Sprint(list(t, again)), fmt.Sprint(list(t, db)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, ino := range []index.Ino{index.Root, dir.Ino, dir.Ino + 1, dir.Ino + 2, dir.Ino + 3} {
		if got, want := must(again.Get(ctx, ino)), must(db.Get(ctx, ino)); got != want {
			t.Errorf("inode %d: got %+v, want %+v", ino, got, want)
		}
	}
	if target := must(again.Readlink(ctx, dir.Ino+2)); string(target) != "target" {
		t.Errorf("target %q", target)
	}
	if a := create(t, again, index.Root, "next", fileMode); a.Ino <= dir.Ino+3 {
		t.Errorf("inode %d is used twice", a.Ino)
	}
	if problems := must(again.Check(ctx)); len(problems) > 0 {
		t.Error(problems)
	}
}

// TestAheadDamaged opens what kill -9 left with any byte of the notes changed, or
// with their end cut off: what is there is the first of the changes, in order.
func TestAheadDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := openPath(t, path)
	defer closeDB(t, db)
	db.Unhurried()
	const files = 20
	for i := range files {
		create(t, db, index.Root, fmt.Sprint(i), fileMode)
	}
	killed := kill(t, db, path)
	notes := must(os.ReadFile(killed + ".ahead"))
	if got := firstNames(t, kill(t, db, killed)); got != files {
		t.Fatalf("%d names, want %d", got, files)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	fewer := 0
	for range 25 {
		damaged := append([]byte(nil), notes...)
		if at := rng.IntN(1500); rng.IntN(3) == 0 {
			damaged = damaged[:at]
		} else {
			damaged[at] ^= 1 << rng.IntN(8)
		}
		path := kill(t, db, killed)
		if err := os.WriteFile(path+".ahead", damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if firstNames(t, path) < files {
			fewer++
		}
	}
	if fewer == 0 {
		t.Error("no damage had an effect")
	}
}

// TestAheadStale has notes that were committed, or before which something else came
// that is lost, or of another run, beside an index: none is made.
func TestAheadStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := openPath(t, path)
	defer closeDB(t, db)
	db.Unhurried()
	create(t, db, index.Root, "0", fileMode)
	must(db.Usage(ctx)) // commits
	older := kill(t, db, path)
	if got := firstNames(t, kill(t, db, path)); got != 1 {
		t.Errorf("%d names, want 1", got)
	}
	if err := db.Barrier(ctx, nil); err != nil { // which older lacks
		t.Fatal(err)
	}
	create(t, db, index.Root, "1", fileMode)
	killed := kill(t, db, path)
	if got := firstNames(t, kill(t, db, killed)); got != 2 {
		t.Errorf("%d names, want 2", got)
	}
	notes := must(os.ReadFile(killed + ".ahead"))
	if err := os.WriteFile(older+".ahead", notes, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := firstNames(t, older); got != 1 {
		t.Errorf("behind a transaction that is lost: %d names, want 1", got)
	}
	closeDB(t, openPath(t, killed)) // another run
	if err := os.WriteFile(killed+".ahead", notes, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := firstNames(t, killed); got != 2 {
		t.Errorf("notes of another run: %d names, want 2", got)
	}
}

// TestAheadNoRoom cannot commit what was answered: it stays to be seen, what comes
// behind is refused, and all is committed, or found by the next process, once there is room.
func TestAheadNoRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := openPath(t, path)
	create(t, db, index.Root, "0", fileMode)
	db.Break(errors.New("broken"))
	if err := db.Barrier(ctx, nil); err == nil {
		t.Error("a barrier before what was answered")
	}
	if _, err := db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte("1"), Mode: fileMode}); err == nil {
		t.Error("a change that cannot be committed is answered")
	}
	if _, err := db.Usage(ctx); err == nil {
		t.Error("a look past what was answered")
	}
	if n := len(must(db.ReadDir(ctx, index.Root, 0, 10))); n != 1 {
		t.Errorf("%d names, want 1", n)
	}
	if got := firstNames(t, kill(t, db, path)); got != 1 {
		t.Errorf("killed: %d names, want 1", got)
	}
	db.Break(nil)
	must(db.Usage(ctx))
	create(t, db, index.Root, "1", fileMode)
	closeDB(t, db)
	if got := firstNames(t, path); got != 2 {
		t.Errorf("%d names, want 2", got)
	}
	if _, err := os.Stat(path + ".ahead"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the notes stay: %v", err)
	}
}

// TestAheadTogether commits many changes at once, and while they are answered
// everybody sees them.
func TestAheadTogether(t *testing.T) {
	db := open(t)
	db.Unhurried()
	before := db.Commits()
	const files = 1000
	for i := range files {
		a := create(t, db, index.Root, fmt.Sprint(i), fileMode)
		if got := must(db.Lookup(ctx, index.Root, []byte(fmt.Sprint(i)))); got != a {
			t.Fatalf("got %+v, want %+v", got, a)
		}
	}
	if u := must(db.Usage(ctx)); u.Inodes != files+1 {
		t.Errorf("%d inodes", u.Inodes)
	}
	if n := db.Commits() - before; n > files/4 {
		t.Errorf("%d transactions for %d files", n, files)
	}
}

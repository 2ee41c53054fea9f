package index_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/walfs/walfs/index"
)

// copyIndex copies the files of an index as they are, as kill -9 leaves them.
func copyIndex(t *testing.T, to, from string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", ".sums", ".ahead"} {
		in, err := os.Open(from + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		out := must(os.Create(to + suffix))
		must(io.Copy(out, in))
		if err := errors.Join(in.Close(), out.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// names counts the names in the root.
func names(t *testing.T, db *index.DB) int {
	t.Helper()
	return len(must(db.ReadDir(ctx, index.Root, 0, 1<<20)))
}

func flip(t *testing.T, path string, off int64, bit int) {
	t.Helper()
	f := must(os.OpenFile(path, os.O_RDWR, 0))
	defer f.Close()
	b := make([]byte, 1)
	must(f.ReadAt(b, off))
	b[0] ^= 1 << bit
	must(f.WriteAt(b, off))
}

// TestSumsFlips flips bits anywhere in an index that was closed, and in one that was
// killed: it is refused, and the names in it stay what they were, where the flip hit
// nothing that counts.
func TestSumsFlips(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	path := filepath.Join(dir, "index")
	db := openPath(t, path)
	for i := range 300 {
		tree(t, db, fmt.Sprintf("file-%04d", i))
	}
	closeDB(t, db)
	for i := range 60 {
		hit := filepath.Join(dir, fmt.Sprint("closed-", i))
		copyIndex(t, hit, path)
		size := must(os.Stat(hit)).Size()
		off := 100 + rng.Int64N(size-100) // behind the header, of which a part does not count
		flip(t, hit, off, rng.IntN(8))
		if _, err := index.Open(ctx, index.Config{Path: hit, Strict: true}); !errors.Is(err, index.ErrCorrupt) {
			t.Errorf("a bit of byte %d of %d: %v", off, size, err)
		}
	}

	db = openPath(t, path)
	for i := range 200 {
		tree(t, db, fmt.Sprintf("more-%04d", i))
	}
	want := names(t, db)
	killed := filepath.Join(dir, "killed")
	copyIndex(t, killed, path)
	closeDB(t, db)
	log := must(os.Stat(killed + "-wal")).Size()
	for i := range 60 {
		hit := filepath.Join(dir, fmt.Sprint("killed-", i))
		copyIndex(t, hit, killed)
		off := rng.Int64N(log - 3*(4096+24)) // the last commit may be one that kill -9 cut off
		flip(t, hit+"-wal", off, rng.IntN(8))
		db, err := index.Open(ctx, index.Config{Path: hit, Strict: true})
		switch {
		case errors.Is(err, index.ErrCorrupt):
		case err != nil:
			t.Errorf("a bit of byte %d of %d of the log: %v", off, log, err)
		default:
			if got := names(t, db); got != want {
				t.Errorf("a bit of byte %d of %d of the log: %d names, want %d", off, log, got, want)
			}
			closeDB(t, db)
		}
	}
}

// TestSumsLost loses the checksums, or a block of them, of an index that is closed: the next start writes them down again.
func TestSumsLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(path string){
		"all":   func(path string) { must(0, os.Remove(path+".sums")) },
		"block": func(path string) { flip(t, path+".sums", 8, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "index")
			db := openPath(t, path)
			for i := range 300 {
				tree(t, db, fmt.Sprintf("file-%04d", i))
			}
			closeDB(t, db)
			lose(path)
			closeDB(t, openPath(t, path))
			flip(t, path, must(os.Stat(path)).Size()/2, 3)
			if _, err := index.Open(ctx, index.Config{Path: path, Strict: true}); !errors.Is(err, index.ErrCorrupt) {
				t.Errorf("a page that rotted after the checksums were made again: %v", err)
			}
		})
	}
}

// TestLogGone removes the log of an index that was killed, and lets another
// program copy it into the file.
func TestLogGone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "index")
	db := openPath(t, path)
	tree(t, db, "a", "b", "c")
	removed, looked := filepath.Join(dir, "removed"), filepath.Join(dir, "looked")
	must(db.Usage(ctx)) // commits
	copyIndex(t, removed, path)
	copyIndex(t, looked, path)
	closeDB(t, db)
	if err := os.Remove(removed + "-wal"); err != nil {
		t.Fatal(err)
	}
	if _, err := index.Open(ctx, index.Config{Path: removed, Strict: true}); !errors.Is(err, index.ErrCorrupt) {
		t.Errorf("without its log: %v", err)
	}
	other := must(sql.Open("sqlite3", looked))
	n := 0
	if err := errors.Join(other.QueryRow("SELECT count(*) FROM dirents").Scan(&n), other.Close()); err != nil || n != 3 {
		t.Fatalf("%d names, %v", n, err)
	}
	db = must(index.Open(ctx, index.Config{Path: looked, Strict: true}))
	if names(t, db) != 3 {
		t.Errorf("%d names", names(t, db))
	}
	closeDB(t, db)
	closeDB(t, openPath(t, looked))
}

// TestSumsKilled opens what kill -9 leaves at any moment, while the log is copied into the
// file again and again: nothing is ever taken for damage.
func TestSumsKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "index")
	db := openPath(t, path)
	db.CheckpointAt(40)
	n := 0
	for i := range 40 {
		for range 50 {
			tree(t, db, fmt.Sprintf("file-%05d", n))
			n++
		}
		killed := filepath.Join(dir, fmt.Sprint("killed-", i))
		release := db.HoldWriter()
		copyIndex(t, killed, path)
		release()
		again, err := index.Open(ctx, index.Config{Path: killed, Strict: true})
		if err != nil {
			t.Fatalf("after %d files: %v", n, err)
		}
		if got := names(t, again); got != n {
			t.Errorf("%d names, want %d", got, n)
		}
		problems, err := again.Check(ctx)
		if err != nil || len(problems) > 0 {
			t.Errorf("after %d files: %q, %v", n, problems, err)
		}
		closeDB(t, again)
		closeDB(t, openPath(t, killed))
	}
	if problems, err := db.Check(ctx); err != nil || len(problems) > 0 {
		t.Errorf("%q, %v", problems, err)
	}
	closeDB(t, db)
	// The checksums themselves may be lost, or damaged.
	for _, spoil := range []func(){
		func() { flip(t, path+".sums", 17, 3) },
		func() { _ = os.Truncate(path+".sums", 100) },
		func() { _ = os.Remove(path + ".sums") },
	} {
		spoil()
		db := openPath(t, path)
		if got := names(t, db); got != n {
			t.Errorf("%d names, want %d", got, n)
		}
		closeDB(t, db)
	}
}

// TestSumsNotWritten closes an index while its checksums cannot be written, as when
// a process has too many files open: the database file may not get ahead of them.
func TestSumsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := openPath(t, path)
	for i := range 300 {
		tree(t, db, fmt.Sprintf("file-%04d", i))
	}
	aside := path + ".aside"
	if err := errors.Join(os.Rename(path+".sums", aside), os.Mkdir(path+".sums", 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err == nil {
		t.Error("closed, although the checksums were not written")
	}
	if err := errors.Join(os.Remove(path+".sums"), os.Rename(aside, path+".sums")); err != nil {
		t.Fatal(err)
	}
	again, err := index.Open(ctx, index.Config{Path: path, Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, again); got != 300 {
		t.Errorf("%d names, want 300", got)
	}
	closeDB(t, again)
}

// TestSumsFailedCommit puts behind the log what a commit leaves whose sync fails, and
// commits more: what failed is never taken for what the database has.
func TestSumsFailedCommit(t *testing.T) {
	for _, told := range []bool{false, true} {
		dir := t.TempDir()
		path := filepath.Join(dir, "index")
		db := openPath(t, path)
		for i := range 100 {
			tree(t, db, fmt.Sprintf("file-%04d", i))
			must(db.Usage(ctx)) // commits
		}
		log := must(os.ReadFile(path + "-wal"))
		f := must(os.OpenFile(path+"-wal", os.O_WRONLY|os.O_APPEND, 0))
		must(f.Write(log[32:])) // older frames of this round, commits among them
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if told {
			db.Failed()
		}
		tree(t, db, "behind")
		must(db.Usage(ctx))
		if told {
			killed := filepath.Join(dir, "killed")
			copyIndex(t, killed, path)
			again, err := index.Open(ctx, index.Config{Path: killed, Strict: true})
			if err != nil {
				t.Fatalf("killed: %v", err)
			}
			if got := names(t, again); got != 101 {
				t.Errorf("killed: %d names, want 101", got)
			}
			closeDB(t, again)
		}
		if problems, err := db.Check(ctx); err != nil || len(problems) > 0 {
			t.Errorf("%q, %v", problems, err)
		}
		closeDB(t, db)
		again, err := index.Open(ctx, index.Config{Path: path, Strict: true})
		if err != nil {
			t.Fatalf("closed: %v", err)
		}
		if got := names(t, again); got != 101 {
			t.Errorf("closed: %d names, want 101", got)
		}
		closeDB(t, again)
	}
}

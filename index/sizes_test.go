package index_test

import (
	"database/sql"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/index"
)

// TestLog lets a reader keep the write-ahead log from starting over: Finish empties it.
func TestLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "index")
	db := openPath(t, path)
	defer closeDB(t, db)
	reader := must(sql.Open("sqlite3", path))
	defer reader.Close()
	tx := must(reader.Begin())
	var n int
	if err := tx.QueryRow("SELECT count(*) FROM inodes").Scan(&n); err != nil {
		t.Fatal(err)
	}
	size := func() int64 { return must(os.Stat(path + "-wal")).Size() }
	value := make([]byte, index.MaxXattrValue)
	for i := 0; size() < 80<<20; i++ {
		value[0] = byte(i)
		if err := db.SetXattr(ctx, index.Root, "user.x", value, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	if got := size(); got != 0 {
		t.Errorf("the log has %d bytes", got)
	}
}

func TestBackup(t *testing.T) {
	db := open(t)
	tree(t, db, "d/", "d/a")
	path := filepath.Join(t.TempDir(), "copy")
	for i := range 2 {
		create(t, db, index.Root, fmt.Sprint(i), fileMode)
		if err := db.Backup(ctx, path); err != nil {
			t.Fatal(err)
		}
	}
	copied := openPath(t, path)
	defer closeDB(t, copied)
	if got, want := fmt.Sprint(list(t, copied)), "[0 1 d/ d/a]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if must(copied.Drive(ctx)) != must(db.Drive(ctx)) {
		t.Error("the drive is another one")
	}
	if left := must(os.ReadDir(filepath.Dir(path))); len(left) > 4 { // copy, checksums, log and its index
		t.Errorf("left %v", left)
	}
}

func TestStored(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	for range 3 {
		c.both()
	}
	if s := must(db.Stored(ctx)); s != (index.Stored{Segments: 3, Bytes: 3 << 20}) {
		t.Errorf("stored %+v", s)
	}
	certify(t, db, 1, 2, 3) // the end epoch of each is its number
	if s := must(db.Stored(ctx)); s.NearestEnd != 1 {
		t.Errorf("stored %+v", s)
	}
	ending := func(by walrus.Epoch) int { return len(must(db.Segments(ctx, index.SegmentFilter{EndBy: by}))) }
	if ending(2) != 2 || ending(9) != 3 {
		t.Errorf("%d end by 2, %d by 9", ending(2), ending(9))
	}
	if err := db.Renewed(ctx, []uint64{1, 2}, 30); err != nil {
		t.Fatal(err)
	}
	if s := must(db.Stored(ctx)); s.NearestEnd != 3 || ending(9) != 1 {
		t.Errorf("renewed: %+v, %d end by 9", s, ending(9))
	}
}

// TestHugeFiles: the sizes of two sparse files may add up to more than a
// number holds. Nothing that adds them up fails, least of all opening the index.
func TestHugeFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := openPath(t, path)
	for _, name := range []string{"a", "b"} {
		a := create(t, db, index.Root, name, fileMode)
		must(db.MarkDirty(ctx, a.Ino, 1))
		if err := db.Queue(ctx, a.Ino, index.Queued{Size: math.MaxInt64, Seq: 2}); err != nil {
			t.Fatal(err)
		}
	}
	must(db.Usage(ctx))
	must(db.Pending(ctx))
	if err := db.Kill(); err != nil {
		t.Fatal(err)
	}
	closeDB(t, openPath(t, path))
}

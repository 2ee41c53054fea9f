package index_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/index"
)

// TestLocksStay wants the locks of SQLite to hold while an index is open, whatever else reads its files:
// another program that opens it is then not the only one, and neither empties the shared memory
// nor takes the log away when it closes it.
func TestLocksStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	db := must(index.Open(ctx, index.Config{Path: path}))
	if err := db.Init(ctx, index.Drive{ID: [16]byte{1}, Writer: [16]byte{2}}); err != nil {
		t.Fatal(err)
	}
	// Where an open database is locked. Source: SQLite, os_unix.c, UNIX_SHM_DMS and SHARED_FIRST.
	const shared, memory = 0x40000000 + 2, (22+8)*4 + 8
	look := func(when string) {
		t.Helper()
		for suffix, at := range map[string]int64{"": shared, "-shm": memory} {
			f, err := os.OpenFile(path+suffix, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			lock := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
			if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
				t.Fatal(err)
			}
			if lock.Type == unix.F_UNLCK {
				t.Errorf("%s nobody has index%s locked", when, suffix)
			}
			t.Cleanup(func() { f.Close() }) // not before the index, whose locks would go with it
		}
	}
	look("opened,")
	for i := range 3 {
		must(db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte{'a' + byte(i)}, Mode: 0o100644}))
		if err := db.Barrier(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	look("written,")
	if problems := must(db.Check(ctx)); len(problems) > 0 {
		t.Error(problems)
	}
	if err := db.Backup(ctx, path+".copy"); err != nil {
		t.Fatal(err)
	}
	must(index.Verify(ctx, path+".copy"))
	look("checked and copied,")
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

package index_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/index"
)

// TestXattrUsed brings attributes in on all ways that there are. Who asks for one
// finds it, and names that nobody has are known as such.
func TestXattrUsed(t *testing.T) {
	const name = "user.seldom"
	set := func(t *testing.T, db *index.DB, ino index.Ino, name string) {
		t.Helper()
		if err := db.SetXattr(ctx, ino, name, []byte("value"), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		way   string
		bring func(t *testing.T, path string) (*index.DB, index.Ino)
		all   bool // every name counts as used
	}{
		{"set", func(t *testing.T, path string) (*index.DB, index.Ino) {
			db := openPath(t, path)
			set(t, db, index.Root, name)
			return db, index.Root
		}, false},
		{"there when the index is opened", func(t *testing.T, path string) (*index.DB, index.Ino) {
			db := openPath(t, path)
			set(t, db, index.Root, name)
			closeDB(t, db)
			return openPath(t, path), index.Root
		}, false},
		{"there among more than are looked at", func(t *testing.T, path string) (*index.DB, index.Ino) {
			db := openPath(t, path)
			const each = 64
			for i := range index.AttrNamesLook / each {
				a := create(t, db, index.Root, fmt.Sprint(i), fileMode)
				for k := range each {
					set(t, db, a.Ino, fmt.Sprint("user.", k))
				}
			}
			a := create(t, db, index.Root, "last", fileMode)
			set(t, db, a.Ino, name)
			closeDB(t, db)
			return openPath(t, path), a.Ino
		}, true},
		{"from the trash", func(t *testing.T, path string) (*index.DB, index.Ino) {
			c := &committer{t: t, db: must(index.Open(ctx, index.Config{Path: path, Trash: true}))}
			must(0, c.db.Init(ctx, index.Drive{ID: [16]byte{1}, Writer: [16]byte{2}}))
			a := create(t, c.db, index.Root, "a", fileMode)
			set(t, c.db, a.Ino, name)
			c.both(c.packed("a", 1, 1))
			certify(t, c.db, 1)
			c.unlink("a")
			c.both()
			certify(t, c.db, 2)
			file := must(c.db.Trash(ctx, index.TrashQuery{}))[0]
			closeDB(t, c.db)
			c.db = openPath(t, path)
			if err := c.untrash(file.ID, "a"); err != nil {
				t.Fatal(err)
			}
			return c.db, lookup(t, c.db, "a").Ino
		}, false},
	} {
		t.Run(tt.way, func(t *testing.T) {
			t.Parallel()
			db, ino := tt.bring(t, filepath.Join(t.TempDir(), "index"))
			defer closeDB(t, db)
			if value, err := db.GetXattr(ctx, ino, name); string(value) != "value" {
				t.Errorf("value %q, %v", value, err)
			}
			if names := must(db.ListXattr(ctx, ino)); len(names) == 0 {
				t.Error("it is not listed")
			}
			if !db.XattrUsed(name) {
				t.Error("it is not used")
			}
			if db.XattrUsed("security.selinux") != tt.all {
				t.Errorf("one that nobody has: used %v", !tt.all)
			}
		})
	}
}

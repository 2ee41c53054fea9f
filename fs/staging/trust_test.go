package staging

import (
	"slices"
	"testing"

	"github.com/walfs/walfs/index"
)

// TestTrust opens a folder again: only what the anchor does not cover has to
// reach the disk, and what is opened and written does whatever was said before.
func TestTrust(t *testing.T) {
	dir := t.TempDir()
	d := newDir(t, dir)
	for ino := range index.Ino(3) {
		f := d.mustFile(t, ino+1, Shape{New: true})
		_, err := f.WriteAt(ctx, []byte("content"), 0, nil)
		must(t, err)
		f.Release()
	}
	must(t, d.Close())
	d = newDir(t, dir)
	if size, _, ok := d.Plain(1); size != 7 || !ok {
		t.Errorf("size %d, %v", size, ok)
	}
	d.Trust(index.Local{Ino: 1, Known: true, Published: true, Settled: true})
	d.Trust(index.Local{Ino: 2, Known: true, Published: true})
	d.Trust(index.Local{Ino: 3, Known: true})
	unsynced := func(want ...index.Ino) {
		t.Helper()
		got := d.Unsynced()
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("unsynced %v, want %v", got, want)
		}
	}
	unsynced(2, 3)
	held, err := d.SyncAll(ctx, d.Unsynced())
	must(t, err)
	if len(held) != 2 { // of few each is told, also of a fresh one that was just synced
		t.Errorf("%d files told of", len(held))
	}
	unsynced()
	f := d.mustFile(t, 1, Shape{})
	_, err = f.WriteAt(ctx, []byte("changed"), 0, nil)
	must(t, err)
	if _, _, ok := d.Plain(1); ok {
		t.Error("a file that was written is as it was found")
	}
	unsynced(1)
	d.Trust(index.Local{Ino: 1, Known: true, Published: true, Settled: true})
	unsynced(1)
	f.Release()
	must(t, d.Close())
}

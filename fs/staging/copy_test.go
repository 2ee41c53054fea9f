package staging

import (
	"bytes"
	"os"
	"testing"

	"github.com/walfs/walfs/index"
)

// TestCopyOldMap opens a clean copy that is known to be whole, beside which a power
// cut has left a map of before: of a start in which it was not opened there is no trace.
func TestCopyOldMap(t *testing.T) {
	dir := t.TempDir()
	d := newDir(t, dir)
	want := bytes.Repeat([]byte("w"), 3*BlockSize)
	f := d.mustFile(t, 1, Shape{Size: int64(len(want)), Base: BlockSize})
	old, err := os.ReadFile(d.mapPath(1)) // of a time when nothing was here
	must(t, err)
	_, err = f.WriteAt(ctx, want, 0, nil)
	must(t, err)
	f.Release()
	must(t, d.Close())
	must(t, os.WriteFile(d.mapPath(1), old, 0o600))

	d = newDir(t, dir)
	d.Trust(index.Local{Ino: 1, Size: int64(len(want)), Known: true, Published: true, Settled: true, Synced: true})
	f, ok, err := d.Lookup(1)
	if !ok || err != nil {
		t.Fatalf("lookup: %t, %v", ok, err)
	}
	defer f.Release()
	if !f.Complete() || f.Base() != int64(len(want)) || f.Dirty() {
		t.Errorf("complete %t, base %d, dirty %t", f.Complete(), f.Base(), f.Dirty())
	}
}

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

// TestSee opens a folder again: a file counts once somebody has looked at it, and a copy as the
// index says until it is opened.
func TestSee(t *testing.T) {
	dir := t.TempDir()
	d := newDir(t, dir)
	for ino := range index.Ino(4) {
		f := d.mustFile(t, ino+1, Shape{New: true})
		_, err := f.WriteAt(ctx, make([]byte, BlockSize), 0, nil)
		must(t, err)
		_, err = f.Sync(ctx)
		must(t, err)
		f.Release()
	}
	each := d.Bytes() / 4
	if each < BlockSize {
		t.Fatalf("a file takes %d bytes", each)
	}
	must(t, d.Close())
	d = newDir(t, dir)
	counted := func(when string, want int64) {
		t.Helper()
		if got := d.Bytes(); got != want {
			t.Errorf("%s: %d bytes, want %d", when, got, want)
		}
	}
	counted("not looked at", 0)
	d.Trust(index.Local{Ino: 1, Bytes: 3 * each, Known: true, Published: true, Settled: true})
	counted("one told of", 3*each)
	d.Trust(index.Local{Ino: 2, Bytes: 3 * each, Known: true, Published: true, Dirty: true})
	counted("one that has changed since", 3*each)
	if n, ok := d.Allocated(2); n != each || !ok {
		t.Errorf("allocated %d, %v", n, ok)
	}
	counted("asked of one", 4*each)
	must(t, d.Remove(3))
	counted("one removed that nobody saw", 4*each)
	must(t, d.See())
	counted("all looked at", 5*each)
	must(t, d.See())
	counted("again", 5*each)
	if _, _, ok := d.Plain(1); ok {
		t.Error("what nobody looked at is known")
	}
	if size, _, ok := d.Plain(4); size != BlockSize || !ok {
		t.Errorf("size %d, %v", size, ok)
	}
	d.mustFile(t, 1, Shape{}).Release()
	counted("opened", 3*each)
	must(t, d.Remove(1))
	counted("removed", 2*each)
	must(t, d.Close())
}

package staging

import (
	"bytes"
	"context"
	"os"
	"testing"
	"testing/synctest"

	"github.com/walfs/walfs/index"
)

// lentFile returns a new file with content that is lent to the kernel, and the
// data file as the kernel has it.
func lentFile(t *testing.T, d *Dir, content []byte) (*File, *os.File) {
	t.Helper()
	f := d.mustFile(t, 1, Shape{New: true})
	t.Cleanup(f.Release)
	_, err := f.WriteAt(ctx, content, 0, nil)
	must(t, err)
	must(t, f.Lend(ctx, nil))
	kernel, err := os.OpenFile(d.dataPath(1), os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { kernel.Close() })
	return f, kernel
}

// aged gives back a time of the data file that is so old that nobody can be
// about to write a page for it.
func aged(t *testing.T, p *Pack) {
	t.Helper()
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	p.f.proof.good = true
}

// TestTakeBackWhilePackEnds takes a file back whose Pack ends in that moment.
func TestTakeBackWhilePackEnds(t *testing.T) {
	for name, end := range map[string]func(*Pack) error{
		"commit": (*Pack).Commit,
		"abort":  func(p *Pack) error { p.Abort(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDir(t, t.TempDir())
			want := bytes.Repeat([]byte("w"), 3*BlockSize)
			f, kernel := lentFile(t, d, want)
			p, err := f.Pack(ctx, true)
			must(t, err)
			aged(t, p)
			d.c.Unmark = func(_ context.Context, _ index.Ino, version uint64, packing bool) (bool, error) {
				if version != p.Version+1 || !packing {
					t.Errorf("unmark version %d, packing %t", version, packing)
				}
				return true, end(p)
			}
			must(t, kernel.Close())
			if done, err := f.TakeBack(ctx); !done || err != nil {
				t.Fatalf("take back: %t, %v", done, err)
			}
			if committed := name == "commit"; f.Dirty() == committed {
				t.Errorf("dirty %t", f.Dirty())
			}
			next, err := f.Pack(ctx, false)
			must(t, err)
			defer next.Abort()
			if next.Version != p.Version {
				t.Errorf("version %d after it was taken back, want %d", next.Version, p.Version)
			}
		})
	}
}

// TestLendWhilePacking lends a file while a copy of it is made: what is written
// from then on belongs to a version of its own.
func TestLendWhilePacking(t *testing.T) {
	d := newDir(t, t.TempDir())
	f := d.mustFile(t, 1, Shape{New: true})
	defer f.Release()
	_, err := f.WriteAt(ctx, bytes.Repeat([]byte("w"), 3*BlockSize), 0, nil)
	must(t, err)
	copying := false
	d.disk.fault = func(op string) error {
		if copying || op != "pwrite" {
			return nil
		}
		copying = true
		return f.Lend(ctx, nil)
	}
	p, err := f.Pack(ctx, true)
	must(t, err)
	d.disk.fault = nil
	if !copying {
		t.Skip("the file system clones files, so that nothing is copied")
	}
	if f.mu.RLock(); !f.marked || f.version <= p.Version {
		t.Errorf("the kernel writes version %d, marked %t, and version %d is packed", f.version, f.marked, p.Version)
	}
	f.mu.RUnlock()
	must(t, p.Commit())
	if !f.Dirty() {
		t.Error("clean, while the kernel may write it")
	}
}

// TestTakeBackFault packs a file in the middle of a page fault: the file has its
// new time, and not its new content yet.
// The clock of the bubble is behind that of the disk: the time is new, however slow the machine is.
func TestTakeBackFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t, t.TempDir())
		d.fineTimes.Store(true)
		unmarked := false
		d.c.Unmark = func(context.Context, index.Ino, uint64, bool) (bool, error) {
			unmarked = true
			return true, nil
		}
		f, kernel := lentFile(t, d, bytes.Repeat([]byte("w"), 3*BlockSize))
		p, err := f.Pack(ctx, true)
		must(t, err)
		must(t, p.Commit())
		must(t, kernel.Close())
		if done, err := f.TakeBack(ctx); !done || err != nil {
			t.Fatalf("take back: %t, %v", done, err)
		}
		if unmarked || !f.Dirty() {
			t.Errorf("what was packed just after its time had changed counts as packed whole")
		}
	})
}

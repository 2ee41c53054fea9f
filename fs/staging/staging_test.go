package staging

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/index"
)

var ctx = context.Background()

// newDir opens a folder whose inodes are marked by counting.
func newDir(t *testing.T, dir string) *Dir {
	t.Helper()
	var version atomic.Uint64
	d, err := Open(Config{Dir: dir, MarkDirty: func(context.Context, index.Ino, uint64) (uint64, error) { return version.Add(1), nil }})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// published is content that the index would give.
type published []byte

func (b published) fill(_ context.Context, p []byte, off int64) error {
	clear(p)
	if off < int64(len(b)) {
		copy(p, b[off:])
	}
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (d *Dir) mustFile(t *testing.T, ino index.Ino, s Shape) *File {
	t.Helper()
	f, err := d.File(ctx, ino, s)
	must(t, err)
	return f
}

// TestMapGolden pins the bytes of a block map. Those in testdata were written
// by this code and checked by hand against the package comment.
func TestMapGolden(t *testing.T) {
	d := newDir(t, t.TempDir())
	f := d.mustFile(t, 0x1234, Shape{Size: 100000, Base: 100000, Under: 9})
	content := published(bytes.Repeat([]byte("p"), 100000))
	for _, off := range []int64{0, 3 * BlockSize, 4*BlockSize + 100, 20 * BlockSize} {
		_, err := f.WriteAt(ctx, []byte("written"), off, content.fill)
		must(t, err)
	}
	must(t, f.Truncate(ctx, 90000))
	f.Release()
	got, err := os.ReadFile(d.mapPath(0x1234))
	must(t, err)
	want, err := os.ReadFile(filepath.Join("testdata", "map.hex"))
	must(t, err)
	if hex.EncodeToString(got) != string(bytes.TrimSpace(want)) {
		t.Errorf("block map is\n%x, want\n%s", got, want)
	}
}

// TestCompact wants a new file to cost one file on disk, and a huge sparse one next to nothing.
func TestCompact(t *testing.T) {
	d := newDir(t, t.TempDir())
	f := d.mustFile(t, 1, Shape{})
	must(t, f.Truncate(ctx, 1<<40))
	for _, off := range []int64{0, 1 << 39, 1<<40 - 10} {
		_, err := f.WriteAt(ctx, []byte("0123456789"), off, nil)
		must(t, err)
	}
	p, err := f.Pack(ctx, false)
	must(t, err)
	if n := size(p.Ranges()); n > 3*65536 {
		t.Errorf("%d bytes to store, %v", n, p.Ranges())
	}
	must(t, p.Commit())
	_, err = f.WriteAt(ctx, []byte("x"), 1<<30, published{}.fill)
	must(t, err)
	if pages := len(f.blocks.pages); pages > 4 {
		t.Errorf("%d pages of the map in memory", pages)
	}
	if n, err := f.Allocated(); err != nil || n > 1<<20 {
		t.Errorf("%d bytes on disk, %v", n, err)
	}
	f.Release()
	f, _, err = d.Lookup(1)
	must(t, err)
	defer f.Release()
	if !f.Complete() || f.Size() != 1<<40 {
		t.Errorf("complete %t, size %d", f.Complete(), f.Size())
	}
	plain := d.mustFile(t, 2, Shape{})
	_, err = plain.WriteAt(ctx, []byte("small"), 0, nil)
	must(t, err)
	plain.Release()
	if _, err := os.Stat(d.mapPath(2)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a new file has a block map: %v", err)
	}
}

// TestFillWithoutLock reads and writes other blocks of a file while a fill
// waits for the network.
func TestFillWithoutLock(t *testing.T) {
	d := newDir(t, t.TempDir())
	f := d.mustFile(t, 1, Shape{Size: 100000, Base: 100000})
	defer f.Release()
	waiting, arrives, done := make(chan struct{}), make(chan struct{}), make(chan error)
	var once sync.Once // what it waited for may be out of date: it asks again
	go func() {
		_, err := f.WriteAt(ctx, []byte("new"), 10, func(_ context.Context, p []byte, _ int64) error {
			once.Do(func() { close(waiting) })
			<-arrives
			copy(p, bytes.Repeat([]byte("p"), len(p)))
			return nil
		})
		done <- err
	}()
	<-waiting
	_, err := f.WriteAt(ctx, bytes.Repeat([]byte("o"), BlockSize), BlockSize, nil)
	must(t, err)
	got := make([]byte, BlockSize)
	if _, err := f.ReadAt(got, BlockSize); err != nil || got[0] != 'o' {
		t.Errorf("read %q, %v", got[:1], err)
	}
	must(t, f.Truncate(ctx, 50000))
	close(arrives)
	must(t, <-done)
	if _, err := f.ReadAt(got, 0); err != nil || string(got[8:15]) != "ppnewpp" {
		t.Errorf("read %q, %v", got[8:15], err)
	}
}

// TestFillFails leaves a file as it was.
func TestFillFails(t *testing.T) {
	d := newDir(t, t.TempDir())
	f := d.mustFile(t, 1, Shape{Size: 100000, Base: 100000})
	defer f.Release()
	no := errors.New("no network")
	_, err := f.WriteAt(ctx, []byte("new"), 10, func(context.Context, []byte, int64) error { return no })
	if !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	if held := f.Held(0, 100000); len(held) != 1 || held[0].Held {
		t.Errorf("held: %v", held)
	}
}

// TestPackGate packs a file again and again while it is rewritten as a whole:
// a snapshot is never of two versions, unless it says that it moved.
func TestPackGate(t *testing.T) {
	d := newDir(t, t.TempDir())
	f := d.mustFile(t, 1, Shape{})
	defer f.Release()
	const length = 300 << 10
	_, err := f.WriteAt(ctx, make([]byte, length), 0, nil)
	must(t, err)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for v := byte(1); ; v++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := f.WriteAt(ctx, bytes.Repeat([]byte{v}, length), 0, nil); err != nil {
				t.Error(err)
				return
			}
		}
	})
	last, whole := uint64(0), 0
	for i := 0; i < 60; {
		p, err := f.Pack(ctx, i%2 == 0)
		must(t, err)
		got := make([]byte, length)
		if len(p.Ranges()) == 0 { // no write since the last one
			p.Abort()
			runtime.Gosched()
			continue
		}
		if n := size(p.Ranges()); n != length {
			t.Fatalf("pack %d: %d bytes changed", i, n)
		}
		if _, err := p.ReadAt(got, 0); err != nil {
			t.Fatal(err)
		}
		uniform := bytes.Equal(got, bytes.Repeat(got[:1], length))
		if !uniform && !p.Moved() {
			t.Fatalf("pack %d, copy %t: two versions in one snapshot", i, i%2 == 0)
		}
		if i%2 == 0 && p.Moved() {
			t.Fatalf("pack %d: a copy moved", i)
		}
		if p.Version < last {
			t.Fatalf("pack %d: version %d after %d", i, p.Version, last)
		}
		if last = p.Version; !p.Moved() {
			whole++
			must(t, p.Commit())
		} else {
			p.Abort()
		}
		i++
	}
	close(stop)
	writer.Wait()
	if whole < 5 {
		t.Errorf("%d snapshots were good", whole)
	}
	if entries, err := os.ReadDir(filepath.Join(d.c.Dir, dirSnap)); err != nil || len(entries) > 0 {
		t.Errorf("%d snapshots are left, %v", len(entries), err)
	}
}

// TestCopyWhileCut writes, cuts and grows a file while it is being copied. The
// copy is what the file was at one moment, the last.
func TestCopyWhileCut(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	cuts := 0
	for round := range 60 {
		d := newDir(t, t.TempDir())
		base := published(nil)
		if round%2 == 1 {
			base = bytes.Repeat([]byte("p"), 3<<20)
		}
		f := d.mustFile(t, 1, Shape{Size: int64(len(base)), Base: int64(len(base))})
		model := bytes.Clone(base)
		write := func(p []byte, off int) {
			t.Helper()
			_, err := f.WriteAt(ctx, p, int64(off), base.fill)
			must(t, err)
			model = append(model, make([]byte, max(0, off+len(p)-len(model)))...)
			copy(model[off:], p)
		}
		truncate := func(size int) {
			t.Helper()
			must(t, f.Truncate(ctx, int64(size)))
			model = append(model[:min(size, len(model))], make([]byte, max(0, size-len(model)))...)
		}
		write(bytes.Repeat([]byte{1}, 3<<20+rng.IntN(9000)), rng.IntN(100000))
		inside, left := false, 12
		d.disk.fault = func(op string) error {
			if inside || left == 0 || op != "pwrite" && op != "punch" || !f.mu.TryLock() {
				return nil
			}
			f.mu.Unlock()
			inside = true
			for range rng.IntN(4) {
				left = max(0, left-1)
				switch rng.IntN(3) {
				case 0:
					write(bytes.Repeat([]byte{byte(2 + left)}, 1+rng.IntN(2<<20)), rng.IntN(1<<20))
				case 1:
					truncate(rng.IntN(len(model) + 1))
					cuts++
				default:
					truncate(len(model) + rng.IntN(1<<20))
				}
			}
			inside = false
			return nil
		}
		p, err := f.Pack(ctx, true)
		must(t, err)
		d.disk.fault = nil
		got := make([]byte, p.Size)
		copy(got[:min(p.Base, p.Size)], base)
		for _, r := range p.Ranges() {
			clear(got[r.Off : r.Off+r.Len])
			if !r.Hole {
				_, err := p.ReadAt(got[r.Off:r.Off+r.Len], r.Off)
				must(t, err)
			}
		}
		if !bytes.Equal(got, model) {
			t.Fatalf("round %d: %d bytes, want %d; other content", round, len(got), len(model))
		}
		p.Abort()
		f.Release()
		must(t, d.Close())
	}
	if cuts == 0 {
		t.Skip("the file system clones files, so that nothing is copied")
	}
}

func TestPackBusy(t *testing.T) {
	d := newDir(t, t.TempDir())
	f := d.mustFile(t, 1, Shape{})
	p, err := f.Pack(ctx, false)
	must(t, err)
	if _, err := f.Pack(ctx, false); !errors.Is(err, ErrBusy) {
		t.Errorf("second pack: %v", err)
	}
	f.Release()
	if err := d.Remove(1); !errors.Is(err, ErrBusy) {
		t.Errorf("remove what is being packed: %v", err)
	}
	p.Abort()
	p.Abort()
	must(t, d.Remove(1))
}

// TestRemove wants nothing removed that was written and not packed, whatever
// the caller believes, and what is deleted removed once nobody uses it.
func TestRemove(t *testing.T) {
	d := newDir(t, t.TempDir())
	f := d.mustFile(t, 1, Shape{})
	_, err := f.WriteAt(ctx, []byte("only here"), 0, nil)
	must(t, err)
	f.Release()
	for range 2 {
		if err := d.Remove(1); !errors.Is(err, ErrBusy) {
			t.Errorf("remove what was just written: %v", err)
		}
		f, _, err = d.Lookup(1)
		must(t, err)
		f.Release()
	}
	f, _, err = d.Lookup(1)
	must(t, err)
	p, err := f.Pack(ctx, false)
	must(t, err)
	must(t, p.Commit())
	must(t, d.Discard(1))
	if got := d.Inos(); !slices.Equal(got, []index.Ino{1}) {
		t.Errorf("discarded while in use: %v", got)
	}
	f.Release()
	if got := d.Inos(); len(got) != 0 {
		t.Errorf("discarded: %v", got)
	}
	if n := d.Bytes(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
}

// TestRemoveIdle wants nothing removed that was written and packed since somebody looked whether it may go,
// not even when all of it went in between, and came again.
func TestRemoveIdle(t *testing.T) {
	d := newDir(t, t.TempDir())
	write := func() {
		f := d.mustFile(t, 1, Shape{})
		defer f.Release()
		_, err := f.WriteAt(ctx, []byte("packed, and certified nowhere"), 0, nil)
		must(t, err)
		p, err := f.Pack(ctx, false)
		must(t, err)
		must(t, p.Commit())
	}
	none := d.Idle([]index.Ino{1})
	for name, before := range map[string]func(){"written again": func() {}, "gone between": func() { must(t, d.Remove(1)) }, "new": func() { must(t, d.Remove(1)) }} {
		write()
		idle := d.Idle([]index.Ino{1})
		if name == "new" {
			idle = none
		}
		before()
		write()
		if err := d.RemoveIdle(1, idle[1]); !errors.Is(err, ErrBusy) || !d.Has(1) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := d.mustFile(t, 1, Shape{})
	if idle := d.Idle([]index.Ino{1, 2}); len(idle) != 1 || idle[2] != 0 {
		t.Errorf("idle while one is open: %v", idle)
	}
	f.Release()
	must(t, d.RemoveIdle(1, d.Idle([]index.Ino{1})[1]))
	must(t, d.RemoveIdle(2, 0))
	if d.Has(1) {
		t.Error("nobody used it, and it is still there")
	}
}

// TestRemoveAborted gives up a pack of a file that was closed meanwhile.
func TestRemoveAborted(t *testing.T) {
	d := newDir(t, t.TempDir())
	f := d.mustFile(t, 1, Shape{})
	_, err := f.WriteAt(ctx, []byte("only here"), 0, nil)
	must(t, err)
	p, err := f.Pack(ctx, false)
	must(t, err)
	f.Release()
	p.Abort()
	if err := d.Remove(1); !errors.Is(err, ErrBusy) {
		t.Errorf("remove of the only copy: %v", err)
	}
}

// mustPart makes a file with 100,000 bytes of published content, of which staging has the second
// block, changed and synced.
func (d *Dir) mustPart(t *testing.T, content published) (*File, index.Held) {
	t.Helper()
	f := d.mustFile(t, 1, Shape{Size: 100000, Base: 100000})
	_, err := f.WriteAt(ctx, []byte("synced"), 5000, content.fill)
	must(t, err)
	held, err := f.Sync(ctx)
	must(t, err)
	return f, held
}

// TestRestrict goes back to what a barrier wrote down, whatever became of the map.
func TestRestrict(t *testing.T) {
	content := published(bytes.Repeat([]byte("p"), 100000))
	for name, damage := range map[string]func(path string) error{
		"intact":  func(string) error { return nil },
		"gone":    os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"garbage": func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte{0xff}, 200), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := newDir(t, dir)
			f, held := d.mustPart(t, content)
			_, err := f.WriteAt(ctx, []byte("not synced"), 50000, content.fill)
			must(t, err)
			_, err = f.WriteAt(ctx, []byte("not synced"), 100000, content.fill)
			must(t, err)
			f.Release()
			must(t, damage(d.mapPath(1)))

			d = newDir(t, dir)
			must(t, d.Restrict(held))
			f, ok, err := d.Lookup(1)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			defer f.Release()
			if f.Size() != 100000 || f.Base() != 100000 {
				t.Errorf("size %d, base %d", f.Size(), f.Base())
			}
			want := []Range{{Off: 0, Len: BlockSize}, {BlockSize, BlockSize, true}, {Off: 2 * BlockSize, Len: 100000 - 2*BlockSize}}
			if got := f.Held(0, 200000); !slices.Equal(got, want) {
				t.Errorf("held %v, want %v", got, want)
			}
			got := make([]byte, 6)
			if _, err := f.ReadAt(got, 5000); err != nil || string(got) != "synced" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestRestrictAlone asks for a file while it goes back to what a barrier wrote down: it is given when
// that is done. Without its map it looks whole, and what is not here would be packed as holes.
func TestRestrictAlone(t *testing.T) {
	content := published(bytes.Repeat([]byte("p"), 100000))
	dir := t.TempDir()
	d := newDir(t, dir)
	f, held := d.mustPart(t, content)
	f.Release()
	must(t, os.Truncate(d.mapPath(1), 0))
	synctest.Test(t, func(t *testing.T) {
		d := newDir(t, dir)
		var err error
		var given atomic.Bool
		var asked sync.Once
		var others sync.WaitGroup
		d.disk.fault = func(op string) error {
			if op != "punch" {
				return nil
			}
			asked.Do(func() {
				others.Go(func() {
					var ok bool
					if f, ok, err = d.Lookup(1); err != nil || !ok {
						t.Error(ok, err)
					}
					given.Store(true)
				})
				synctest.Wait()
				if given.Load() {
					t.Error("the file was given away before it was right")
				}
			})
			return nil
		}
		must(t, d.Restrict(held))
		others.Wait()
		if !given.Load() || f.Base() != 100000 {
			t.Errorf("it was given: %t, base %d", given.Load(), f.Base())
		}
		f.Release()
	})
}

// TestCut wants a barrier before published content is cut off, and none otherwise.
func TestCut(t *testing.T) {
	d := newDir(t, t.TempDir())
	var cuts []index.Held
	no := errors.New("no barrier")
	var fail error
	d.c.Cut = func(_ context.Context, h index.Held) error {
		cuts = append(cuts, h)
		return fail
	}
	f := d.mustFile(t, 1, Shape{Size: 100000, Base: 100000})
	defer f.Release()
	must(t, f.Truncate(ctx, 200000))
	must(t, f.Truncate(ctx, 150000))
	if len(cuts) != 0 {
		t.Errorf("cut %v", cuts)
	}
	fail = no
	if err := f.Truncate(ctx, 50000); !errors.Is(err, no) || f.Size() != 150000 {
		t.Errorf("without a barrier: %v, size %d", err, f.Size())
	}
	fail = nil
	must(t, f.Truncate(ctx, 50000))
	must(t, f.Truncate(ctx, 60000))
	must(t, f.Truncate(ctx, 50001))
	if len(cuts) != 2 || cuts[1].Size != 50000 || cuts[1].Base != 50000 {
		t.Errorf("cut %v", cuts)
	}
}

// TestSyncs counts syncs: none that is not needed, and none left out.
func TestSyncs(t *testing.T) {
	dir := t.TempDir()
	d := newDir(t, dir)
	if d.disk.off {
		t.Skip("built without syncs")
	}
	ops := map[string]int{}
	var mu sync.Mutex
	count := func(op string) error {
		mu.Lock()
		defer mu.Unlock()
		ops[op]++
		return nil
	}
	d.disk.fault = count
	expect := func(when string, data, folders, all int) {
		t.Helper()
		if ops["sync"]+ops["syncWithTime"] != data || ops["syncDir"] != folders || ops["syncFS"] != all {
			t.Errorf("%s: %v, want %d of data, %d of folders, %d of all", when, ops, data, folders, all)
		}
		clear(ops)
	}
	f := d.mustFile(t, 1, Shape{})
	write := func() {
		t.Helper()
		_, err := f.WriteAt(ctx, []byte("x"), 0, nil)
		must(t, err)
	}
	sync := func() {
		t.Helper()
		_, err := f.Sync(ctx)
		must(t, err)
	}
	write()
	sync()
	expect("new file", 1, 1, 0)
	sync()
	expect("nothing written", 0, 0, 0)
	must(t, f.SetMtime(5))
	sync()
	if ops["syncWithTime"] != 1 {
		t.Errorf("a time that was set is not on stable storage: %v", ops)
	}
	expect("time set", 1, 0, 0)
	write()
	f.Release()
	f, _, err := d.Lookup(1)
	must(t, err)
	sync()
	expect("written, closed and opened", 1, 0, 0)
	f.Release()
	d = newDir(t, dir)
	d.disk.fault = count
	f, _, err = d.Lookup(1)
	must(t, err)
	sync()
	expect("opened by another process", 1, 1, 0)
	f.Release()
	many := func(from index.Ino, s Shape, then func(*File)) []index.Held {
		t.Helper()
		for ino := range index.Ino(40) {
			f := d.mustFile(t, from+ino, s)
			_, err := f.WriteAt(ctx, []byte("x"), 0, nil)
			must(t, err)
			then(f)
			f.Release()
		}
		held, err := d.SyncAll(ctx, d.Unsynced())
		must(t, err)
		expect("many files", 0, 0, 1)
		if len(d.Unsynced()) != 0 {
			t.Errorf("%d not synced", len(d.Unsynced()))
		}
		return held
	}
	if held := many(100, Shape{New: true}, func(*File) {}); len(held) != 0 {
		t.Errorf("%d held of what is new", len(held))
	}
	for i, h := range many(200, Shape{}, func(*File) {}) {
		if h.Ino < 200 || h.Size != 1 {
			t.Errorf("held %d of what was published: %+v", i, h)
		}
	}
	held := many(300, Shape{New: true}, func(f *File) {
		p, err := f.Pack(ctx, false)
		must(t, err)
		p.Abort()
	})
	if len(held) != 40 {
		t.Errorf("%d held of what may be published", len(held))
	}
	must(t, d.PutOutbox(1, []byte("sealed")))
	expect("outbox", 1, 1, 0)
}

// TestSyncFails wants a failed sync to be tried again.
func TestSyncFails(t *testing.T) {
	d := newDir(t, t.TempDir())
	f := d.mustFile(t, 1, Shape{})
	_, err := f.WriteAt(ctx, []byte("x"), 0, nil)
	must(t, err)
	d.disk.fault = func(op string) error {
		if op == "syncWithTime" {
			return unix.EIO
		}
		return nil
	}
	if _, err := f.Sync(ctx); !errors.Is(err, unix.EIO) {
		t.Errorf("got %v", err)
	}
	f.Release()
	if got := d.Unsynced(); !slices.Equal(got, []index.Ino{1}) {
		t.Errorf("not synced: %v", got)
	}
}

func TestOutbox(t *testing.T) {
	dir := t.TempDir()
	d := newDir(t, dir)
	for _, n := range []uint64{3, 1, 20} {
		must(t, d.PutOutbox(n, fmt.Appendf(nil, "segment %d", n)))
	}
	must(t, os.WriteFile(d.boxPath(5)+".tmp", []byte("half"), 0o600))
	d.disk.fault = func(op string) error {
		if op == "pwrite" {
			return unix.ENOSPC
		}
		return nil
	}
	if err := d.PutOutbox(4, []byte("no room")); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("on a full disk: %v", err)
	}
	d = newDir(t, dir)
	if list, err := d.ListOutbox(); err != nil || !slices.Equal(list, []uint64{1, 3, 20}) {
		t.Errorf("list %v, %v", list, err)
	}
	if b, err := d.Outbox(20); err != nil || string(b) != "segment 20" {
		t.Errorf("got %q, %v", b, err)
	}
	p := make([]byte, 3)
	if n, err := d.ReadOutbox(3, p, 2); n != 3 || err != nil || string(p) != "gme" {
		t.Errorf("got %q, %v", p[:n], err)
	}
	must(t, d.RemoveOutbox(3))
	must(t, d.RemoveOutbox(3))
	for _, err := range []error{func() error { _, err := d.Outbox(3); return err }(), func() error { _, err := d.ReadOutbox(3, p, 0); return err }()} {
		if !errors.Is(err, ErrNotExist) {
			t.Errorf("removed: %v", err)
		}
	}
}

func TestDecodeRuns(t *testing.T) {
	spans := []span{{0, 3}, {10, 11}, {1 << 30, 1<<30 + 5}}
	b := encodeRuns(spans)
	if got, err := decodeRuns(b, lastBlock); err != nil || !slices.Equal(got, spans) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := decodeRuns(b, 10); err != nil || !slices.Equal(got, spans[:1]) {
		t.Errorf("limited: %v, %v", got, err)
	}
	for _, bad := range [][]byte{{1}, {0x80}, {1, 0x80}, bytes.Repeat([]byte{0xff}, 20)} {
		if got, err := decodeRuns(bad, 100); err == nil {
			t.Errorf("%x: %v", bad, got)
		}
	}
}

func FuzzDecodeRuns(f *testing.F) {
	f.Add(encodeRuns([]span{{0, 3}, {10, 11}}), int64(50))
	f.Add([]byte{0xff, 0xff, 0xff}, int64(1))
	f.Fuzz(func(t *testing.T, b []byte, limit int64) {
		spans, err := decodeRuns(b, limit)
		if err != nil {
			return
		}
		at := int64(0)
		for _, s := range spans {
			if s.from < at || s.to <= s.from || s.to > limit {
				t.Fatalf("%v within %d", spans, limit)
			}
			at = s.to
		}
	})
}

// TestLoadMap wants a map that was not written by us refused.
func TestLoadMap(t *testing.T) {
	for name, change := range map[string]func(b []byte){
		"magic":   func(b []byte) { b[0] = 'X' },
		"version": func(b []byte) { b[4] = 9 },
		"inode":   func(b []byte) { b[8]++ },
		"base":    func(b []byte) { b[23] = 0xff },
		"sum":     func(b []byte) { b[63]++ },
	} {
		dir := t.TempDir()
		d := newDir(t, dir)
		f := d.mustFile(t, 1, Shape{Size: 5000, Base: 5000})
		f.Release()
		b, err := os.ReadFile(d.mapPath(1))
		must(t, err)
		change(b)
		must(t, os.WriteFile(d.mapPath(1), b, 0o600))
		if _, _, err := newDir(t, dir).Lookup(1); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCutVouches wants data to be on stable storage before a cut lets the index
// vouch for it, though nobody asked for a sync.
func TestCutVouches(t *testing.T) {
	synced, cut := 0, 0
	d, err := Open(Config{
		Dir:       t.TempDir(),
		MarkDirty: func(context.Context, index.Ino, uint64) (uint64, error) { return 1, nil },
		Cut: func(context.Context, index.Held) error {
			if cut++; synced != 2 { // data, and the name of the file
				t.Errorf("%d syncs before the index vouches", synced)
			}
			return nil
		},
	})
	must(t, err)
	d.disk.fault = func(op string) error {
		if op == "sync" || op == "syncDir" {
			synced++
		}
		return nil
	}
	f := d.mustFile(t, 1, Shape{Size: 100000, Base: 100000})
	defer f.Release()
	_, err = f.WriteAt(ctx, make([]byte, BlockSize), 0, nil)
	must(t, err)
	must(t, f.Truncate(ctx, 50000))
	if cut != 1 {
		t.Errorf("%d cuts, want 1", cut)
	}
}

// TestMapStays ends what is done about a damaged map, or a file that is put aside, after each of its steps: a file
// of which a part is not here never looks whole then.
func TestMapStays(t *testing.T) {
	errCrash := errors.New("crashed")
	content := published(bytes.Repeat([]byte("p"), 100000))
	for name, tt := range map[string]struct {
		damaged bool
		do      func(*Dir, index.Held) error
	}{
		"restrict": {true, func(d *Dir, h index.Held) error { return d.Restrict(h) }},
		"shelve":   {false, func(d *Dir, h index.Held) error { return d.Shelve(h.Ino) }},
		"remove":   {false, func(d *Dir, h index.Held) error { return d.Remove(h.Ino) }},
		"discard":  {false, func(d *Dir, h index.Held) error { return d.Discard(h.Ino) }},
	} {
		t.Run(name, func(t *testing.T) {
			steps := 0
			for ended := false; !ended; steps++ {
				dir := t.TempDir()
				d := newDir(t, dir)
				f, held := d.mustPart(t, content)
				p, err := f.Pack(ctx, false)
				must(t, err)
				must(t, p.Commit())
				must(t, f.Finished())
				f.Release()
				if tt.damaged {
					must(t, os.Truncate(d.mapPath(1), 0))
				}

				d = newDir(t, dir)
				left := steps
				d.disk.fault = func(string) error {
					if left--; left < 0 {
						return errCrash
					}
					return nil
				}
				err = tt.do(d, held)
				if ended = err == nil; !ended && !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				d = newDir(t, dir)
				f, ok, err := d.Lookup(1)
				if !ok || errors.Is(err, ErrCorrupt) && tt.damaged && !ended {
					continue
				}
				must(t, err)
				if f.Complete() || f.Base() != 100000 {
					t.Errorf("ended after %d steps: base %d, complete %v", steps, f.Base(), f.Complete())
				}
				f.Release()
			}
			if steps < 2 {
				t.Error("nothing was ended on its way")
			}
		})
	}
}

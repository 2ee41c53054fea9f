package keep_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cache"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// copiesOf waits until the drive has so many clean copies.
func (m *machine) copiesOf(n int) []index.Copy {
	m.Helper()
	var list []index.Copy
	waitFor(m, fmt.Sprintf("%d clean copies", n), func() bool {
		var err error
		list, err = m.db.CopiesOldest(context.Background(), 1000)
		m.must(err)
		return len(list) == n
	})
	return list
}

// slivers opens a cache that shares its budget with the clean copies, and their keeper.
func (m *machine) slivers(budget int64) (*cache.Cache, *keep.Copies) {
	m.Helper()
	var c *keep.Copies
	slivers, err := cache.Open(cache.Config{
		Dir: m.TempDir(), Budget: budget, MinFree: -1,
		Held:  func() int64 { return m.db.CopiesSum().Bytes },
		Short: func() { c.Wake() },
	})
	m.must(err)
	m.Cleanup(func() { m.must(slivers.Close()) })
	c = keep.NewCopies(keep.CopiesConfig{Index: m.db, Staging: m.stage, Cache: slivers})
	return slivers, c
}

func TestTrim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	ctx := context.Background()
	inos := make([]index.Ino, 10)
	for i := range inos {
		inos[i] = m.put(fmt.Sprintf("f%d", i), content(byte(i), 100_000))
	}
	m.drain()
	size := m.copiesOf(10)[0].Bytes
	if size < 100_000 || size > 110_000 {
		t.Fatalf("a copy counts %d bytes", size)
	}
	slivers, c := m.slivers(20 * size)
	freed, err := c.Trim(ctx)
	w.must(err)
	if freed != 0 {
		t.Errorf("within the budget: freed %d", freed)
	}

	// Not evicted: what is in use, what was written since, and what was used last.
	inUse, ok, err := m.stage.Lookup(inos[0])
	if err != nil || !ok {
		t.Fatalf("lookup: %v, %v", ok, err)
	}
	defer inUse.Release()
	dirty, ok, err := m.stage.Lookup(inos[1])
	if err != nil || !ok {
		t.Fatalf("lookup: %v, %v", ok, err)
	}
	w.must(dirty.Clean())
	_, err = dirty.WriteAt(ctx, content(77, 10), 5, nil)
	w.must(err)
	dirty.Release()
	w.must(m.db.CopiesTouch(ctx, []index.Ino{inos[2]}))

	slivers.SetBudget(2*size + size/2)
	freed, err = c.Trim(ctx)
	w.must(err)
	if freed != 7*size {
		t.Errorf("freed %d, want %d", freed, 7*size)
	}
	for i, ino := range inos {
		if want := i < 3; m.stage.Has(ino) != want {
			t.Errorf("file %d in staging: %v, want %v", i, !want, want)
		}
	}
	m.same("f5", content(5, 100_000))
	list := m.copiesOf(2)
	if list[0].Ino == inos[1] || list[1].Ino == inos[1] {
		t.Errorf("a dirty file is listed as a clean copy")
	}

	// What slivers want comes off the share of the copies, up to half.
	for i := range 8 {
		w.must(slivers.Put(t.Context(), walrus.SliverID{Index: uint16(i)}, content(1, 90_000)))
	}
	freed, err = c.Trim(ctx)
	w.must(err)
	if freed != size || !m.stage.Has(inos[0]) || m.stage.Has(inos[2]) {
		t.Errorf("freed %d, file in use is there: %v", freed, m.stage.Has(inos[0]))
	}
	w.must(slivers.Put(t.Context(), walrus.SliverID{Index: 9}, content(1, 90_000)))
	if sum := m.db.CopiesSum().Bytes; slivers.Used() == 0 || slivers.Used()+sum > slivers.Budget() {
		t.Errorf("slivers have %d and copies %d of %d", slivers.Used(), sum, slivers.Budget())
	}
}

// TestTrimFiles evicts what was not used for longest when too many files have a copy.
func TestTrimFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	inos := make([]index.Ino, 30)
	for i := range inos {
		inos[i] = m.put(fmt.Sprintf("f%d", i), content(byte(i), 1000))
	}
	m.drain()
	m.copiesOf(30)
	w.must(m.db.CopiesTouch(context.Background(), inos[:5]))
	slivers, _ := m.slivers(1 << 30)
	c := keep.NewCopies(keep.CopiesConfig{Index: m.db, Staging: m.stage, Cache: slivers, Files: 20})
	freed, err := c.Trim(context.Background())
	w.must(err)
	if sum := m.db.CopiesSum(); freed == 0 || sum.Files != 19 {
		t.Errorf("freed %d bytes, %d copies are left", freed, sum.Files)
	}
	for _, ino := range inos[:5] {
		if !m.stage.Has(ino) {
			t.Errorf("inode %d was used, and is gone", ino)
		}
	}
	if freed, err := c.Trim(context.Background()); err != nil || freed != 0 {
		t.Errorf("again: freed %d, %v", freed, err)
	}
}

// TestTrimBusy wants a file that is dirty forgotten as a copy also when the one before it was written just now.
func TestTrimBusy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	ctx := context.Background()
	inos := []index.Ino{m.put("busy", content(1, 1000)), m.put("dirty", content(2, 1000))}
	m.drain()
	m.copiesOf(2)
	for i, ino := range inos {
		f, ok, err := m.stage.Lookup(ino)
		w.must(err)
		if !ok {
			t.Fatalf("inode %d is not here", ino)
		}
		_, err = f.WriteAt(ctx, []byte("new"), 0, nil)
		w.must(err)
		f.Release()
		if attr, err := m.db.Get(ctx, ino); err != nil {
			t.Fatal(err)
		} else if i == 0 { // the index has not heard of it
			_, err = m.db.Unmark(ctx, ino, attr.Version, false)
			w.must(err)
		}
		w.must(m.db.CopyAdd(ctx, ino, 4096))
	}
	slivers, _ := m.slivers(1 << 30)
	c := keep.NewCopies(keep.CopiesConfig{Index: m.db, Staging: m.stage, Cache: slivers, Files: 1})
	freed, err := c.Trim(ctx)
	w.must(err)
	if got, err := m.db.CopyInos(ctx); err != nil || freed != 0 || !slices.Equal(got, inos[:1]) {
		t.Errorf("freed %d bytes, copies of %v are left, want %v; %v", freed, got, inos[:1], err)
	}
	for _, ino := range inos {
		if !m.stage.Has(ino) {
			t.Errorf("inode %d is gone, and was written", ino)
		}
	}
}

// TestScannedCopies keeps what was used over what came once and came later.
func TestScannedCopies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	ctx := context.Background()
	used := m.put("used", content(1, 50_000))
	m.drain()
	size := m.copiesOf(1)[0].Bytes
	w.must(m.db.CopiesTouch(ctx, []index.Ino{used}))
	for i := range 6 {
		m.put(fmt.Sprintf("once%d", i), content(byte(i), 50_000))
	}
	m.drain()
	m.copiesOf(7)
	slivers, c := m.slivers(4 * size)
	_, err := c.Trim(ctx)
	w.must(err)
	if !m.stage.Has(used) {
		t.Error("what came once pushed out what is used")
	}
	// What has not been used for long gives way when too much was used.
	for _, copy := range m.copiesOf(3) {
		w.must(m.db.CopiesTouch(ctx, []index.Ino{copy.Ino}))
	}
	slivers.SetBudget(3*size + size/4)
	_, err = c.Trim(ctx)
	w.must(err)
	if sum := m.db.CopiesSum(); sum.Hot >= sum.Bytes {
		t.Errorf("all copies are protected: %+v", sum)
	}
}

// TestKeepWithinBudget certifies far more than fits: what is counted never
// exceeds the budget, and in the end nothing is left on the disk beside it.
func TestKeepWithinBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	const budget = 600_000
	slivers, c := m.slivers(budget)
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	m.copies.Store(c)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for ctx.Err() == nil {
			sum, used := m.db.CopiesSum().Bytes, slivers.Used()
			if sum+used > budget && sum == m.db.CopiesSum().Bytes && used == slivers.Used() {
				t.Errorf("copies have %d and slivers %d of %d", sum, used, budget)
				return
			}
		}
	}()
	var inos []index.Ino
	for i := range 30 {
		inos = append(inos, m.put(fmt.Sprintf("f%d", i), content(byte(i), 50_000)))
		w.must(slivers.Put(t.Context(), walrus.SliverID{Index: uint16(i)}, content(1, 40_000)))
		if i%7 == 0 {
			m.drain()
		}
	}
	m.drain()
	waitFor(t, "all to fit", func() bool {
		local := int64(0)
		for _, ino := range inos {
			n, _ := m.stage.Allocated(ino)
			local += n
		}
		return local > 0 && local+slivers.Used() <= budget
	})
	stop()
	w.must(<-ran)
	<-watched
	for i := range inos {
		m.same(fmt.Sprintf("f%d", i), content(byte(i), 50_000))
	}
}

func TestCopiesRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	_, c := m.slivers(1)
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	ino := m.put("f", content(1, 1000))
	m.drain()
	c.Wake()
	waitFor(t, "the copy to go", func() bool { return !m.stage.Has(ino) })
	stop()
	w.must(<-ran)
	m.same("f", content(1, 1000))
}

// TestSettle tells copies that are on stable storage from others.
func TestSettle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	ctx := context.Background()
	_, c := m.slivers(1 << 30)
	kept, changed := m.put("kept", content(1, 5000)), m.put("changed", content(2, 5000))
	m.drain()
	m.copiesOf(2)
	synced := func() (inos []index.Ino) {
		w.must(m.db.Locals(ctx, m.stage.Inos(), func(l index.Local) error {
			if l.Synced {
				inos = append(inos, l.Ino)
			}
			return nil
		}))
		return inos
	}
	if list := synced(); list != nil {
		t.Errorf("before they are synced: %v", list)
	}
	w.must(c.Settle(ctx))
	if list := synced(); !slices.Equal(list, []index.Ino{kept, changed}) {
		t.Errorf("synced: %v", list)
	}
	f, err := m.stage.File(ctx, changed, staging.Shape{Size: 5000, Base: 5000})
	w.must(err)
	_, err = f.WriteAt(ctx, content(3, 100), 0, nil)
	w.must(err)
	w.must(m.db.Queue(ctx, changed, index.Queued{Size: f.Size(), Mtime: f.Mtime()}))
	f.Release()
	if list := synced(); !slices.Equal(list, []index.Ino{kept}) {
		t.Errorf("after a change: %v", list)
	}
	m.c.Wake()
	m.drain()
	waitFor(t, "the new copy", func() bool {
		versions, err := m.db.CopiesUnsynced(ctx, 10)
		w.must(err)
		return len(versions) == 1 && versions[changed] > 0
	})
	if list := synced(); !slices.Equal(list, []index.Ino{kept}) {
		t.Errorf("certified again and not synced: %v", list)
	}
}

// TestPinnedCopies keeps what is pinned although the budget is far too small.
func TestPinnedCopies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	ctx := context.Background()
	slivers, c := m.slivers(100_000)
	m.copies.Store(c)
	var pinned []index.Ino
	for i := range 4 {
		ino := m.put(fmt.Sprintf("p%d", i), content(byte(i), 50_000))
		w.must(m.db.SetPin(ctx, ino, true))
		pinned = append(pinned, ino)
	}
	other := m.put("other", content(9, 50_000))
	m.drain()
	waitFor(t, "the other to go", func() bool {
		_, err := c.Trim(ctx)
		w.must(err)
		return !m.stage.Has(other)
	})
	if freed, err := c.Evict(ctx, 1<<30); err != nil || freed != 0 {
		t.Errorf("freed %d bytes of what is pinned, %v", freed, err)
	}
	for _, ino := range pinned {
		if !m.stage.Has(ino) {
			t.Errorf("pinned inode %d is evicted", ino)
		}
	}
	m.copiesOf(4)
	w.must(slivers.Put(t.Context(), walrus.SliverID{Index: 1}, content(1, 5000)))
	if slivers.Used() != 0 {
		t.Errorf("slivers have %d bytes although pinned files take more than the budget", slivers.Used())
	}
	w.must(m.db.ClearPin(ctx, pinned[0]))
	_, err := c.Trim(ctx)
	w.must(err)
	if m.stage.Has(pinned[0]) {
		t.Error("what is no longer pinned stays")
	}
}

package keep_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cache"
	"github.com/walfs/walfs/fs/keep"
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

func TestTrim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	ctx := context.Background()
	slivers, err := cache.Open(cache.Config{Dir: t.TempDir(), Budget: 1 << 20})
	w.must(err)
	t.Cleanup(func() { w.must(slivers.Close()) })

	const size = 100_000
	inos := make([]index.Ino, 10)
	for i := range inos {
		inos[i] = m.put(fmt.Sprintf("f%d", i), content(byte(i), size))
	}
	m.drain()
	m.copiesOf(10)
	c := keep.NewCopies(keep.CopiesConfig{Index: m.db, Staging: m.stage, Cache: slivers, Budget: 20 * size})
	freed, err := c.Trim(ctx)
	w.must(err)
	if freed != 0 || slivers.Budget() != 10*size {
		t.Errorf("within the budget: freed %d, cache has %d", freed, slivers.Budget())
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
	w.must(m.db.CopyTouch(ctx, inos[2]))

	c.SetBudget(2 * size)
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
	m.same("f5", content(5, size))
	list := m.copiesOf(2)
	if list[0].Ino == inos[1] || list[1].Ino == inos[1] {
		t.Errorf("a dirty file is listed as a clean copy")
	}
	if slivers.Budget() != 0 {
		t.Errorf("cache has %d", slivers.Budget())
	}

	// What the cache uses comes off the share of the copies, up to half.
	c.SetBudget(10 * size)
	_, err = c.Trim(ctx)
	w.must(err)
	if slivers.Budget() != 8*size {
		t.Errorf("cache has %d", slivers.Budget())
	}
	for i := range 8 {
		w.must(slivers.Put(walrus.SliverID{Index: uint16(i)}, content(1, size-8192)))
	}
	c.SetBudget(2 * size)
	freed, err = c.Trim(ctx) // the file in use counts as the one that was used last
	w.must(err)
	if freed != size || !m.stage.Has(inos[0]) || m.stage.Has(inos[2]) {
		t.Errorf("freed %d, file in use is there: %v", freed, m.stage.Has(inos[0]))
	}
	if slivers.Budget() != size || slivers.Used() > size {
		t.Errorf("cache has %d and uses %d", slivers.Budget(), slivers.Used())
	}
}

func TestCopiesRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	slivers, err := cache.Open(cache.Config{Dir: t.TempDir(), Budget: 1 << 20})
	w.must(err)
	t.Cleanup(func() { w.must(slivers.Close()) })
	c := keep.NewCopies(keep.CopiesConfig{Index: m.db, Staging: m.stage, Cache: slivers, Budget: 1})
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

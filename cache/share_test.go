package cache_test

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/walfs/walfs/cache"
)

// TestHold shares the budget with somebody else: slivers have a half for
// themselves, and together they never have more than all of it.
func TestHold(t *testing.T) {
	var others atomic.Int64
	short := 0
	c := open(t, cache.Config{Budget: 20 * block, Held: others.Load, Short: func() { short++ }})
	hold := func(n int64) bool {
		ok := c.Hold(n * block)
		if ok {
			others.Add(n * block)
			c.Settle(n * block)
		}
		return ok
	}
	for i := range 30 {
		put(t, c, i, 100)
	}
	if c.Used() != 20*block {
		t.Fatalf("alone: %d bytes", c.Used())
	}
	if !hold(10) || c.Used() != 10*block {
		t.Errorf("a half: slivers have %d bytes", c.Used())
	}
	if hold(1) || c.Used() != 10*block || short != 0 {
		t.Errorf("more than a half: slivers have %d bytes", c.Used())
	}
	if err := c.Clear(); err != nil {
		t.Fatal(err)
	}
	if !hold(9) || hold(2) {
		t.Error("what slivers do not need is not given, or too much is")
	}
	put(t, c, 0, 100)
	put(t, c, 1, 100)
	if c.Used() != block || !c.Has(sliverID(1)) || short != 1 || c.Wanted() != 2*block || c.Wanted() != block {
		t.Errorf("others have all but a bit: %d bytes used, told %d times", c.Used(), short)
	}
	others.Store(20 * block)
	put(t, c, 2, 100)
	if c.Used() > block || c.Has(sliverID(2)) {
		t.Errorf("others have all: %d bytes used", c.Used())
	}
}

// blocks returns what the regular files below dir take on the disk, in bytes.
// Files come and go meanwhile.
func blocks(dir string) (n int64) {
	folders, _ := os.ReadDir(dir)
	for _, folder := range folders {
		files, _ := os.ReadDir(filepath.Join(dir, folder.Name()))
		for _, f := range files {
			var st syscall.Stat_t
			if syscall.Lstat(filepath.Join(dir, folder.Name(), f.Name()), &st) == nil {
				n += st.Blocks * 512
			}
		}
	}
	return n
}

// least returns how many bytes are on the disk, at most. A listing takes a
// while, and sees what went meanwhile, what came instead, and the same file
// before and after its renaming: one that says more than it may is made again.
func least(dir string, most int64) int64 {
	used := blocks(dir)
	for tries := 1; used > most && tries < 10; tries++ {
		used = min(used, blocks(dir))
	}
	return used
}

// TestBudgetWhileHammered looks at the disk, again and again, while slivers are
// stored and others take and give back.
func TestBudgetWhileHammered(t *testing.T) {
	dir := t.TempDir()
	const budget = 64 * block
	var others atomic.Int64
	c := open(t, cache.Config{Dir: dir, Budget: budget, Held: others.Load})
	var group sync.WaitGroup
	stop := make(chan struct{})
	running := func() bool {
		select {
		case <-stop:
			return false
		default:
			return true
		}
	}
	for w := range 4 {
		group.Go(func() {
			for i := w; running(); i += 4 {
				_ = c.Put(t.Context(), sliverID(i), sliver(i, 100+i*997%(6*block)))
			}
		})
	}
	group.Go(func() {
		for i := int64(1); running(); i++ {
			n := i % 30 * block
			if !c.Hold(n) {
				continue
			}
			others.Add(n)
			c.Settle(n)
			if used := least(dir, budget-n); used+n > budget {
				t.Errorf("%d bytes on the disk while others have %d of %d", used, n, budget)
				break
			}
			others.Add(-n)
		}
	})
	begun := time.Now()
	for time.Since(begun) < time.Second || c.Stats().Evicted < 100 && time.Since(begun) < time.Minute {
		if used := least(dir, budget); used > budget {
			t.Errorf("%d bytes on the disk, budget %d", used, budget)
			break
		}
	}
	close(stop)
	group.Wait()
	if c.Stats().Evicted < 100 {
		t.Errorf("%d evicted: this tests nothing", c.Stats().Evicted)
	}
}

// TestOrderKeepsProtection opens a cache again with less budget: what was used
// twice before stays, although other slivers came after it.
func TestOrderKeepsProtection(t *testing.T) {
	dir := t.TempDir()
	c := open(t, cache.Config{Dir: dir, Budget: 1 << 20})
	use := func(i int) {
		if _, err := c.Get(t.Context(), sliverID(i), noFill(t)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		put(t, c, i, 100)
		if i < 5 {
			use(i)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, cache.Config{Dir: dir, Budget: 7 * block})
	for i := range 20 {
		if want := i < 5 || i >= 18; c.Has(sliverID(i)) != want {
			t.Errorf("sliver %d: %v, want %v", i, !want, want)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "order"), []byte("WSLO, and nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = open(t, cache.Config{Dir: dir, Budget: 1 << 20})
	if c.Used() != 7*block || !c.Has(sliverID(0)) {
		t.Errorf("with a damaged order %d bytes are kept", c.Used())
	}
}

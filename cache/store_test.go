package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
)

// TestChangeDuringWrite clears the cache, or takes its budget, while a file is
// half written: the file must not appear after that, nor be counted.
func TestChangeDuringWrite(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(c *Cache) error
		kept   bool
	}{
		"nothing": {func(*Cache) error { return nil }, true},
		"clear":   {(*Cache).Clear, false},
		"budget":  {func(c *Cache) error { c.SetBudget(blockSize - 1); return nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c, err := Open(Config{Dir: dir, Budget: 10 * blockSize, MinFree: -1})
			if err != nil {
				t.Fatal(err)
			}
			id := walrus.SliverID{Index: 1}
			era, ok, err := c.reserve(id, blockSize)
			if !ok || err != nil || c.Used() != blockSize {
				t.Fatalf("reserve: %v, %v, used %d", ok, err, c.Used())
			}
			if err := c.Put(t.Context(), id, []byte("x")); err != nil || c.Has(id) {
				t.Errorf("second writer of one sliver: %v, has %v", err, c.Has(id))
			}
			tmp := dirOf(id) + "/" + tempPrefix + "test"
			err = c.writeTemp(id, tmp, []byte("x"))
			if err := tc.change(c); err != nil {
				t.Fatal(err)
			}
			if err := c.settle(id, tmp, blockSize, era, err); err != nil {
				t.Errorf("settle: %v", err)
			}
			found, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
			if c.Has(id) != tc.kept || (c.Used() > 0) != tc.kept || (len(found) > 0) != tc.kept {
				t.Errorf("has %v, used %d, files %v, want kept %v", c.Has(id), c.Used(), found, tc.kept)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFileThatStays makes a file that cannot be removed: it goes on to count.
func TestFileThatStays(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(Config{Dir: dir, Budget: 10 * blockSize, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	id := walrus.SliverID{Index: 1}
	if err := c.Put(t.Context(), id, []byte("x")); err != nil {
		t.Fatal(err)
	}
	// A folder that is not empty, in place of the file, resists even root.
	path := filepath.Join(dir, pathOf(id))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.Clear(); err == nil {
		t.Error("Clear said nothing of a file that stays")
	}
	if c.Has(id) || c.Used() != blockSize {
		t.Errorf("has %v, used %d, want it to count", c.Has(id), c.Used())
	}
}

// TestPutGivesUp ends the wait for other writers: Put returns, and nothing is kept.
func TestPutGivesUp(t *testing.T) {
	c, err := Open(Config{Dir: t.TempDir(), Budget: 10 * blockSize, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	for range cap(c.writers) {
		c.writers <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	id := walrus.SliverID{Index: 1}
	if err := c.Put(ctx, id, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put with an ended context: %v", err)
	}
	if err := c.Close(); err != nil { // waits for nobody
		t.Error(err)
	}
	if c.Has(id) || c.Used() != 0 {
		t.Errorf("has %v, used %d", c.Has(id), c.Used())
	}
}

package cache

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
)

// TestBacklog fetches while nothing can be written: only so much is fetched, what
// is here can be read, and what was fetched is kept in the end.
func TestBacklog(t *testing.T) {
	c, err := Open(Config{Dir: t.TempDir(), Budget: 1 << 30, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	const size = 1 << 20
	id := func(i int) walrus.SliverID { return walrus.SliverID{Index: uint16(i)} }
	fills := 0 // one call at a time, each done before Get returns
	fill := func(context.Context) ([]byte, error) {
		fills++
		return make([]byte, size), nil
	}
	here := id(1000)
	if err := c.Put(t.Context(), here, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	for range cap(c.writers) {
		c.writers <- struct{}{}
	}
	const most = mostUnwritten / size
	for i := range most {
		if _, err := c.Get(t.Context(), id(i), fill); err != nil {
			t.Fatal(err)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Get(short, id(most), fill); !errors.Is(err, context.DeadlineExceeded) || fills != most {
		t.Errorf("%d fetched with %d to be written: %v", fills, most, err)
	}
	if _, err := c.Get(t.Context(), here, fill); err != nil || fills != most {
		t.Errorf("a sliver that is here: %v, %d fetched", err, fills)
	}
	for range cap(c.writers) {
		<-c.writers
	}
	if _, err := c.Get(t.Context(), id(most), fill); err != nil || fills != most+1 {
		t.Errorf("after the writes: %v, %d fetched", err, fills)
	}
	c.work.Wait()
	for i := range most + 1 {
		if !c.Has(id(i)) {
			t.Errorf("sliver %d was not kept", i)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

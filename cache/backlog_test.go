package cache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
)

// TestBacklog fetches while nothing can be written: only so much is fetched, what
// is here can be read, and what was fetched is kept in the end.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
	})
}

// TestStalledBacklog fetches while the disk hangs: after a while what is fetched is
// not kept, and nobody waits; once the disk works, things are kept again.
func TestStalledBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := Open(Config{Dir: t.TempDir(), Budget: 1 << 30, MinFree: -1})
		if err != nil {
			t.Fatal(err)
		}
		const size = 1 << 20
		const most = mostUnwritten / size
		next := 0
		get := func() (id walrus.SliverID) {
			t.Helper()
			id = walrus.SliverID{Index: uint16(next)}
			next++
			data, err := c.Get(t.Context(), id, func(context.Context) ([]byte, error) { return make([]byte, size), nil })
			if err != nil || len(data) != size {
				t.Fatalf("%d bytes, %v", len(data), err)
			}
			return id
		}
		for range cap(c.writers) {
			c.writers <- struct{}{}
		}
		var kept, dropped []walrus.SliverID
		for range most {
			kept = append(kept, get())
			time.Sleep(stallsAfter / 4)
		}
		for i, want := range []time.Duration{stallsAfter - stallsAfter/4, 0, 0} {
			began := time.Now()
			dropped = append(dropped, get())
			if took := time.Since(began); took != want {
				t.Errorf("fetch %d beyond the backlog took %s, want %s", i, took, want)
			}
		}
		for range cap(c.writers) {
			<-c.writers
		}
		synctest.Wait()
		kept = append(kept, get())
		synctest.Wait()
		for _, id := range kept {
			if !c.Has(id) {
				t.Errorf("sliver %d was not kept", id.Index)
			}
		}
		for _, id := range dropped {
			if c.Has(id) {
				t.Errorf("sliver %d was kept", id.Index)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

package cache

import (
	"context"

	"github.com/walfs/walfs/blobstore/walrus"
)

// flight is one running fill and those who wait for it.
type flight struct {
	cancel  context.CancelFunc
	waiters int           // guarded by Cache.mu
	done    chan struct{} // closed when data and err are set
	data    []byte
	err     error
}

// join returns the flight for id, which it starts if there is none.
func (c *Cache) join(ctx context.Context, id walrus.SliverID, fill func(context.Context) ([]byte, error)) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	c.stats.Misses++
	if f := c.flights[id]; f != nil {
		f.waiters++
		return f, nil
	}
	// The caller may give up while others wait, so its context does not reach
	// the fill; leave and Close end it.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{cancel: cancel, waiters: 1, done: make(chan struct{})}
	c.flights[id] = f
	c.work.Go(func() { c.fly(own, id, f, fill) })
	return f, nil
}

// fly runs fill and hands the result to the waiters. Good bytes are kept after
// that, so that nobody waits for the disk; who comes meanwhile gets them too.
func (c *Cache) fly(ctx context.Context, id walrus.SliverID, f *flight, fill func(context.Context) ([]byte, error)) {
	defer f.cancel()
	keep, err := c.unwritten.wait(ctx)
	if f.err = err; err == nil {
		f.data, f.err = fill(ctx)
	}
	if f.err != nil && ctx.Err() != nil {
		f.err = ErrClosed // or all have given up, and nobody reads it
	}
	if f.err != nil || !keep {
		c.land(id, f) // first, so that who comes now tries again
		close(f.done)
		return
	}
	c.unwritten.add(len(f.data))
	defer c.unwritten.add(-len(f.data))
	close(f.done)
	_ = c.store(context.WithoutCancel(ctx), id, f.data) // logged there; the reader has its bytes
	c.land(id, f)
}

// land ends the flight f for id, unless another took its place.
func (c *Cache) land(id walrus.SliverID, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[id] == f {
		delete(c.flights, id)
	}
}

// leave takes one waiter from f, and cancels f when it was the last.
func (c *Cache) leave(id walrus.SliverID, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.waiters--
	if f.waiters > 0 {
		return
	}
	f.cancel()
	if c.flights[id] == f { // who comes now starts anew
		delete(c.flights, id)
	}
}

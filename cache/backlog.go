package cache

import (
	"context"
	"sync"
)

// mostUnwritten is how many bytes may wait to be written before no more are
// fetched: a network that is faster than the disk would fill the memory.
const mostUnwritten = 16 << 20

// backlog counts the bytes that were fetched and are not written yet.
type backlog struct {
	mu    sync.Mutex // guards the fields below
	bytes int64
	less  chan struct{} // closed when bytes become less; nil: nobody waits
}

// wait returns when there is room for more, or ctx ends.
func (b *backlog) wait(ctx context.Context) error {
	for {
		less := b.full()
		if less == nil {
			return nil
		}
		select {
		case <-less:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// full returns nil, or what is closed when it is to be asked again.
func (b *backlog) full() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes < mostUnwritten {
		return nil
	}
	if b.less == nil {
		b.less = make(chan struct{})
	}
	return b.less
}

// add counts n bytes more, or less.
func (b *backlog) add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes += int64(n)
	if n < 0 && b.less != nil {
		close(b.less)
		b.less = nil
	}
}

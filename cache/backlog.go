package cache

import (
	"context"
	"sync"
	"time"
)

// mostUnwritten is how many bytes may wait to be written before no more are
// fetched: a network that is faster than the disk would fill the memory.
const mostUnwritten = 16 << 20

// stallsAfter is how long nothing may be written while so much waits: then the disk
// is taken to hang, and what is fetched is not kept.
const stallsAfter = 2 * time.Second

// backlog counts the bytes that were fetched and are not written yet.
type backlog struct {
	mu    sync.Mutex // guards the fields below
	bytes int64
	since time.Time     // when bytes became too many, or less
	less  chan struct{} // closed when bytes become less; nil: nobody waits
}

// wait returns when there is room for more, or ctx ends, or the disk takes
// nothing: then it says no.
func (b *backlog) wait(ctx context.Context) (ok bool, err error) {
	for {
		less, stalls := b.full()
		if less == nil {
			return true, nil
		}
		if stalls <= 0 {
			return false, nil
		}
		stalled := time.NewTimer(stalls)
		select {
		case <-less:
		case <-stalled.C:
		case <-ctx.Done():
		}
		stalled.Stop()
		if err := ctx.Err(); err != nil {
			return false, err
		}
	}
}

// full returns nil, or what is closed when it is to be asked again, and in what
// time the disk stalls.
func (b *backlog) full() (less <-chan struct{}, stalls time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes < mostUnwritten {
		return nil, 0
	}
	if b.less == nil {
		b.less = make(chan struct{})
	}
	return b.less, time.Until(b.since.Add(stallsAfter))
}

// add counts n bytes more, or less.
func (b *backlog) add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n < 0 || b.bytes < mostUnwritten {
		b.since = time.Now()
	}
	b.bytes += int64(n)
	if n < 0 && b.less != nil {
		close(b.less)
		b.less = nil
	}
}

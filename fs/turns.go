package fs

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// Content on its way takes memory: what was asked for, as much that is still sealed, and
// slivers. Many readers do not take more of it than a few: fetches wait for their turn.
const (
	// fetchMemory is how many bytes are fetched at a time for those who wait for them.
	fetchMemory = 16 << 20
	// leastFetch is what a fetch counts at least, since it takes more than it was asked for.
	leastFetch = 64 << 10
	// stallsAfter is how long no fetch may come to its end while others wait: then all that are
	// under way are taken to wait for nodes that may never answer, and hold up nobody any more.
	stallsAfter = 2 * time.Second
)

// turns shares memory out among fetches, to who came first. The zero value is ready for
// use. Its methods may be called concurrently.
type turns struct {
	mu    sync.Mutex // guards the fields below
	used  int64
	era   uint64      // counts stalls: what was taken before the last one is not in used
	queue list.List   // of *turn, the oldest first
	stall *time.Timer // runs while somebody waits
}

// turn is one who waits.
type turn struct {
	bytes int64
	era   uint64        // in which it came
	come  chan struct{} // closed when it is his turn
}

// take waits for n bytes of memory, until ctx ends, and returns what gives them back.
func (t *turns) take(ctx context.Context, n int64) (done func()) {
	own := &turn{bytes: min(max(n, leastFetch), fetchMemory), come: make(chan struct{})}
	t.mu.Lock()
	place := t.queue.PushBack(own)
	t.advance()
	if t.queue.Len() == 1 { // the first who waits
		t.watch()
	}
	t.mu.Unlock()
	select {
	case <-own.come:
		return sync.OnceFunc(func() { t.give(own) })
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-own.come: // at the same moment
		return sync.OnceFunc(func() { t.give(own) })
	default:
	}
	t.queue.Remove(place)
	t.advance() // a smaller one behind may fit
	return func() {}
}

// give gives back what was taken: a fetch has come to its end.
func (t *turns) give(own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.era == t.era {
		t.used -= own.bytes
	}
	t.advance()
	t.watch()
}

// advance lets those go who come next. The caller holds mu.
func (t *turns) advance() {
	for front := t.queue.Front(); front != nil; front = t.queue.Front() {
		next := front.Value.(*turn)
		if t.used+next.bytes > fetchMemory {
			return
		}
		t.used += next.bytes
		next.era = t.era
		t.queue.Remove(front)
		close(next.come)
	}
}

// watch begins to wait for a stall anew, as long as somebody waits. The caller holds mu.
func (t *turns) watch() {
	switch {
	case t.queue.Len() == 0 && t.stall != nil:
		t.stall.Stop()
	case t.queue.Len() == 0:
	case t.stall == nil:
		t.stall = time.AfterFunc(stallsAfter, t.stalled)
	default:
		t.stall.Reset(stallsAfter)
	}
}

// stalled lets others go although nothing was given back.
func (t *turns) stalled() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queue.Len() == 0 {
		return
	}
	t.used = 0
	t.era++
	t.advance()
	t.watch()
}

// windowTurn waits until a window of n bytes may be read, and returns what to call at the end.
// Windows are read a few at a time, in the order in which they were begun. Once somebody waits
// for one it is wanted, and a fetch like others: those before it may be late.
func (fs *FS) windowTurn(ctx context.Context, wanted <-chan struct{}, n int64) (done func()) {
	select {
	case fs.ahead <- struct{}{}:
		return func() { <-fs.ahead }
	case <-wanted:
		return fs.turns.take(ctx, n)
	case <-ctx.Done():
		return func() {}
	}
}

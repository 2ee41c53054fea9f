package commit

import (
	"context"
	"fmt"
	"time"
)

// What failed and may heal by itself is tried again after a pause, see backoff. The pause ends
// when somebody asks for a try: a Drain that begins, or Retry. While a Drain waits no pause is
// longer than drainPause, since nobody tells when what is far away is back.

// drainPause bounds the pauses between tries while a Drain waits.
const drainPause = 5 * time.Second

// Retry has all that waits out a failure tried again at once. It is for who knows that
// what was in the way may be gone: nodes came back, or there is room again.
func (c *Committer) Retry() {
	c.retry()
	if c.trouble.packing() {
		c.clock.again()
	}
}

// retry is Retry but for files that cannot be packed. Tries that begin after the time
// returned know of it.
func (c *Committer) retry() time.Time {
	asked := c.flights.retry()
	c.asked.raise()
	return asked
}

// longest returns how long a pause may be now.
func (c *Committer) longest() time.Duration {
	if c.drains.any() {
		return drainPause
	}
	return maxPause
}

// chore is something that goes on and on, and stands still while it fails.
type chore int

const (
	packing chore = iota
	finishing
	comparing // of anchor and index
	looking   // for changes that nobody told of
	chores    // how many there are
)

// String says what stands still.
func (k chore) String() string {
	return [chores]string{"packing stands still", "finishing what is certified stands still", "the anchor cannot be looked up",
		"changes that wait cannot be looked up"}[k]
}

// halt is why a chore stands still. The zero value: it goes on.
type halt struct {
	err   error
	tries int
	next  time.Time // the next try
}

// rest waits until a chore that failed is to be tried again, or asked is closed. Who takes
// c.asked before the try misses nobody who asks.
func (c *Committer) rest(ctx context.Context, k chore, err error, asked <-chan struct{}) error {
	wait := c.trouble.halted(k, err, c.longest())
	c.changed.raise() // who waits is told why
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-asked:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// halted notes that a chore failed, and returns how long it rests, longest at most.
func (t *trouble) halted(k chore, err error, longest time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = err
	h := &t.halts[k]
	wait := min(longest, backoff(h.tries))
	h.err, h.next = err, time.Now().Add(wait)
	h.tries++
	return wait
}

// goes notes that a chore goes on.
func (t *trouble) goes(k chore) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.halts[k] = halt{}
}

// goesOn reports whether a chore does not stand still.
func (t *trouble) goesOn(k chore) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.halts[k].err == nil
}

// packing reports whether something cannot be packed.
func (t *trouble) packing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.halts[packing].err != nil || len(t.files) > 0
}

// standing says which chores stand still, and when the next of them, or of the files
// that cannot be packed, is tried again; zero: none is.
func (t *trouble) standing() (list []string, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, h := range t.halts {
		if h.err == nil {
			continue
		}
		next = earlier(next, h.next)
		if t.anchor != nil && chore(k) != packing {
			continue // that is told apart
		}
		list = append(list, fmt.Sprintf("%s: %v (tried %s)", chore(k), h.err, plural(h.tries, "time", "times")))
	}
	for _, h := range t.files {
		next = earlier(next, h.next)
	}
	return list, next
}

// earlier returns the first of two times, of which a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// failing returns why something stands still that is tried again: a chore, or else the
// lowest segment that failed; "" when nothing does.
func (c *Committer) failing() string {
	c.trouble.mu.Lock()
	defer c.trouble.mu.Unlock()
	for k, h := range c.trouble.halts {
		if h.err != nil {
			return fmt.Sprintf("%s: %v", chore(k), h.err)
		}
	}
	return c.flights.failing()
}

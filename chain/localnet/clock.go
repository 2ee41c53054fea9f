package localnet

import (
	"sync"
	"time"
)

// clock is the ledger's own time. It runs while the ledger is open and stands
// still otherwise: it goes on from the time that was written last.
type clock struct {
	now func() time.Time

	mu     sync.Mutex // guards the fields below
	baseMS uint64     // the ledger's time at from
	from   time.Time  // a reading of now
}

// newClock returns a clock that goes on from a time.
func newClock(now func() time.Time, baseMS uint64) *clock {
	return &clock{now: now, baseMS: baseMS, from: now()}
}

// timeMS returns the ledger's time, which never goes back.
func (c *clock) timeMS() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read()
}

func (c *clock) read() uint64 {
	now := c.now()
	passed := now.Sub(c.from)
	if passed < 0 {
		c.from = now // the clock below was set back: go on from here
		return c.baseMS
	}
	if ms := passed.Milliseconds(); ms > 0 {
		c.baseMS += uint64(ms)
		c.from = c.from.Add(time.Duration(ms) * time.Millisecond)
	}
	return c.baseMS
}

// advanceTo moves the ledger's time on to ms, unless it is past that.
func (c *clock) advanceTo(ms uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.baseMS = max(c.read(), ms)
}

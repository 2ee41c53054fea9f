package commit

import (
	"context"
	"time"

	"github.com/walfs/walfs/index"
)

// Resting reports whether no segment is being put, or is due.
func (c *Committer) Resting() bool {
	f := &c.flights
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fl := range f.open {
		if fl.flying || !fl.next.After(time.Now()) {
			return false
		}
	}
	return true
}

// Due reports whether a pass of the packer is due, once the bytes that wait are counted.
func (c *Committer) Due(ctx context.Context) bool {
	c.clock.mu.Lock()
	c.clock.nextPoll = time.Time{}
	c.clock.mu.Unlock()
	wait, _ := c.dueIn(ctx)
	return wait <= 0
}

// CrowdFills is how many segments have to be full while files come in quickly.
const CrowdFills = crowdFills

// Aims returns the newest version of a file that a Drain waits for, or 0.
func (c *Committer) Aims(ino index.Ino) (version uint64) {
	c.drains.mu.Lock()
	defer c.drains.mu.Unlock()
	for d := range c.drains.open {
		if t := d.targets[ino]; t != nil {
			version = max(version, t.version)
		}
	}
	return version
}

// OpenFor is openFor.
var OpenFor = openFor

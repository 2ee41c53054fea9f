package commit

import (
	"context"
	"sync"
	"time"

	"github.com/walfs/walfs/index"
)

const (
	// pollEvery is how often the bytes that wait are counted while changes come
	// in, unless that takes more than a pollShare of the time: it reads a row for each file.
	pollEvery = 100 * time.Millisecond
	pollShare = 50
	// passEvery is the least time between passes that nobody waits for.
	passEvery = time.Second
	// lookEvery is how often changes that nobody told of are looked for, while the
	// index changes or something is left to do.
	lookEvery = time.Second
	// restFor is how long there is nothing to look at.
	restFor = time.Hour
)

// clock knows when the next pass of the packer is due.
type clock struct {
	kick  chan struct{} // the first change after a rest
	hurry chan struct{} // a Drain has come

	mu          sync.Mutex // guards the fields below
	first, last time.Time  // changes since the last pass began; zero: none
	urgent      bool       // do not wait for quiet
	all         bool       // the next pass tries what waits out a failure too
	began       time.Time  // the last pass
	left        leftover   // by it
	begun, done uint64     // passes
	nextPoll    time.Time  // of the bytes that wait
	told        int        // changes since it was looked how quickly they come
	toldSince   time.Time  // when that was
	stirred     bool       // the index changed since it was looked at
}

// init makes what may wait from an earlier run due after the usual quiet.
func (k *clock) init() {
	k.kick, k.hurry = make(chan struct{}, 1), make(chan struct{}, 1)
	k.first = time.Now()
	k.last, k.stirred = k.first, true
}

// Wake tells that something changed in the index.
func (c *Committer) Wake() { c.clock.touch(time.Now()) }

func (k *clock) touch(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = now
	k.told++
	if k.first.IsZero() {
		k.first = now
		poke(k.kick)
	}
}

// demand asks for a pass at once and returns the number of the one that will
// have seen everything there is now.
func (k *clock) demand() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.urgent = true
	poke(k.hurry)
	return k.begun + 1
}

// again asks for a pass at once that tries what waits out a failure, too.
func (k *clock) again() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.urgent, k.all = true, true
	poke(k.hurry)
}

// poke wakes the one goroutine that listens on ch.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// begin notes that a pass begins, and reports whether it was asked for, and whether it is
// to try what waits out a failure.
func (k *clock) begin() (urgent, all bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	urgent, all = k.urgent, k.all
	k.first, k.last, k.left.retry = time.Time{}, time.Time{}, time.Time{}
	k.urgent, k.all = false, false
	k.began = time.Now()
	k.begun++
	return urgent, all
}

// end notes what the pass left behind.
func (k *clock) end(l leftover, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left = l
	if ok {
		k.done = k.begun
	}
	k.urgent = k.urgent || !ok // the packer pauses before it asks again
}

func (k *clock) passes() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.done
}

// leftover is what a pass could not take.
type leftover struct {
	jobs  int
	bytes int64
	retry time.Time // the earliest time at which that may change; zero: nothing was left
}

func (l *leftover) add(bytes int64, retry time.Time) {
	l.jobs++
	l.bytes += bytes
	if l.retry.IsZero() || retry.Before(l.retry) {
		l.retry = retry
	}
}

// waitDue waits until a pass is due, and reports whether a Drain waits for it, and whether
// what waits out a failure is to be tried.
func (c *Committer) waitDue(ctx context.Context) (draining, all bool, err error) {
	for {
		wait, resting := c.dueIn(ctx)
		if wait <= 0 {
			urgent, all := c.clock.begin()
			return urgent && c.drains.any(), all, nil
		}
		var kick, changed <-chan struct{} // changes make no difference unless it is the first
		if resting {
			kick = c.clock.kick
			if wait > lookEvery {
				changed = c.cfg.Index.Changed()
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-kick:
		case <-changed:
			c.clock.stir(true)
		case <-c.clock.hurry:
		case <-timer.C:
			if resting {
				c.clock.stir(false)
				c.look(ctx)
			}
		case <-ctx.Done():
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return false, false, err
		}
	}
}

// dueIn returns how long to wait before the next pass, or before asking again.
// Resting means that nothing changed since the last one.
func (c *Committer) dueIn(ctx context.Context) (wait time.Duration, resting bool) {
	k, policy := &c.clock, &c.cfg.Policy
	k.mu.Lock()
	first, last, began, left, urgent, nextPoll, stirred := k.first, k.last, k.began, k.left, k.urgent, k.nextPoll, k.stirred
	k.mu.Unlock()
	if urgent {
		return 0, false
	}
	wait = min(lookEvery, policy.MaxAge)
	if first.IsZero() && left.retry.IsZero() && !stirred {
		wait = restFor
	}
	if !left.retry.IsZero() {
		wait = min(wait, time.Until(left.retry))
	}
	if first.IsZero() {
		return wait, true
	}
	wait = min(wait, pollEvery, time.Until(last.Add(policy.Quiet)), time.Until(first.Add(policy.MaxAge)))
	if now := time.Now(); now.Sub(began) >= min(passEvery, policy.Quiet) && !now.Before(nextPoll) {
		defer k.polled(now)
		enough := policy.Fill
		if k.crowded(now) {
			enough *= crowdFills
		}
		if waiting, ok := c.pending(ctx); ok && waiting.Bytes-left.bytes >= enough {
			return 0, false
		}
	}
	return wait, false
}

// Who copies many small files has the processors and the disk for that first: while
// files come in so quickly a pass waits until more segments can be filled, or MaxAge is over.
const (
	crowdRate  = 100 // files in a second
	crowdLeast = 10  // files
	crowdFills = 32
)

// crowded reports whether files came in quickly since it was asked last.
func (k *clock) crowded(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	least := crowdRate * now.Sub(k.toldSince).Seconds()
	crowded := k.told >= crowdLeast && float64(k.told) >= least
	k.told, k.toldSince = 0, now
	return crowded
}

// stir notes whether the index changed since it was looked at.
func (k *clock) stir(changed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stirred = changed
}

// polled notes that the bytes that wait were counted.
func (k *clock) polled(began time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.nextPoll = now.Add(pollShare * now.Sub(began))
}

// look finds changes that nobody told of, names above all. When the index does not tell, it is
// asked again soon.
func (c *Committer) look(ctx context.Context) {
	waiting, ok := c.pending(ctx)
	if ctx.Err() != nil {
		return
	}
	k := &c.clock
	if !ok {
		k.stir(true)
		return
	}
	k.mu.Lock()
	known := waiting.Jobs <= k.left.jobs && time.Since(k.began) < c.cfg.Policy.MaxAge
	k.mu.Unlock()
	if waiting.Names || waiting.Jobs > 0 && !known {
		c.Wake()
	}
}

// pending asks the index what waits. That it does not tell is shown as what stands still.
func (c *Committer) pending(ctx context.Context) (waiting index.Pending, ok bool) {
	waiting, err := c.cfg.Index.Pending(ctx)
	if err == nil {
		c.trouble.goes(looking)
		return waiting, true
	}
	if ctx.Err() != nil {
		return waiting, false
	}
	if c.trouble.goesOn(looking) {
		c.log.Warn("changes are not looked for", "err", err)
	}
	c.trouble.halted(looking, err, lookEvery)
	c.changed.raise() // who waits is told why
	return waiting, false
}

// passed notes how a pass of the packer ended.
func (c *Committer) passed(p *packer, err error) {
	c.clock.end(p.left, err == nil)
	c.changed.raise()
}

// queueAll makes sure that a file that stays open and is never synced is packed too, now and then.
func (c *Committer) queueAll(ctx context.Context) error {
	for {
		if err := pause(ctx, c.cfg.Policy.OpenAge); err != nil {
			return err
		}
		dirty, err := c.queueOpen(ctx)
		if err != nil {
			c.log.Warn("open files are not queued", "err", err)
		}
		if len(dirty) > 0 {
			c.Wake()
		}
	}
}

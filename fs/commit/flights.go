package commit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

const (
	// minOutbox is how many full segments the outbox holds at least.
	minOutbox = 4
	// refusedPause is how long a segment rests that was refused for good. Only
	// a person can change that: who then syncs need not wait for it.
	refusedPause = 10 * time.Minute
)

// flight is a segment between commit and certificate.
type flight struct {
	number, generation uint64
	size               int64
	tries              int
	next               time.Time // not to be tried before
	flying             bool
	began              time.Time // the last try
	err                error     // of it
	refused            bool      // trying again alone will not help
}

// flights are the segments that are committed and not certified, and the room
// that the outbox takes until the anchor covers them.
type flights struct {
	changed signal

	mu     sync.Mutex // guards the fields below
	open   map[uint64]*flight
	outbox map[uint64]int64 // sizes
	bytes  int64            // in the outbox
	limit  int64
	newest uint64    // generation
	asked  time.Time // when retry was called last
	away   away      // whether the ledger is
	speed  speed
}

func (f *flights) init(limit int64) {
	f.open, f.outbox, f.limit = map[uint64]*flight{}, map[uint64]int64{}, limit
}

// loadFlights takes up what the index knows to be on its way, and reports
// whether there is anything.
func (c *Committer) loadFlights(ctx context.Context) (any bool, err error) {
	next, err := c.cfg.Index.NextSegment(ctx)
	if err != nil {
		return false, fmt.Errorf("number of the next segment: %w", err)
	}
	rows, err := c.cfg.Index.Segments(ctx, index.SegmentFilter{Below: index.Finished})
	if err != nil {
		return false, fmt.Errorf("segments on their way: %w", err)
	}
	underway := len(rows) > 0
	if next > 1 && !underway {
		if rows, err = c.cfg.Index.Segments(ctx, index.SegmentFilter{Number: next - 1}); err != nil {
			return false, fmt.Errorf("newest segment: %w", err)
		}
	}
	c.flights.launch(rows)
	return underway, nil
}

// launch takes segments up. Those that are finished only tell the newest generation.
func (f *flights) launch(rows []index.SegmentRow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range rows {
		f.newest = max(f.newest, r.Generation)
		if r.Stage >= index.Finished {
			continue
		}
		f.outbox[r.Number] = r.Size
		f.bytes += r.Size
		if r.Stage < walrus.Certified {
			f.open[r.Number] = &flight{number: r.Number, generation: r.Generation, size: r.Size}
		}
	}
	f.changed.raise()
}

// finished gives the room of a segment in the outbox back.
func (f *flights) finished(number uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes -= f.outbox[number]
	delete(f.outbox, number)
	f.changed.raise()
}

// next waits for the lowest segment that may be tried, and takes it.
func (f *flights) next(ctx context.Context) (flight, error) {
	for {
		changed := f.changed.wait()
		f.mu.Lock()
		best, wait := f.due(time.Now())
		if best != nil {
			best.flying, best.began = true, time.Now()
			f.away.ask(best.number)
			taken := *best
			f.mu.Unlock()
			return taken, nil
		}
		f.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return flight{}, err
		}
	}
}

// due returns the lowest segment that may be tried now, or how long to wait.
func (f *flights) due(now time.Time) (best *flight, wait time.Duration) {
	if wait = f.away.rest(now); wait > 0 {
		return nil, wait
	}
	wait = maxPause
	for _, fl := range f.open {
		switch {
		case fl.flying:
		case fl.next.After(now):
			wait = min(wait, fl.next.Sub(now))
		case best == nil || fl.number < best.number:
			best = fl
		}
	}
	return best, wait
}

// count returns the number of segments in flight.
func (f *flights) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.open)
}

// oldest returns the lowest generation in flight, if there is one.
func (f *flights) oldest() (generation uint64, any bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fl := range f.open {
		if !any || fl.generation < generation {
			generation, any = fl.generation, true
		}
	}
	return generation, any
}

// until waits until ok, which is called under the lock.
func (f *flights) until(ctx context.Context, ok func() bool) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		changed := f.changed.wait()
		f.mu.Lock()
		done := ok()
		f.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// room waits until another segment may be made.
func (f *flights) room(ctx context.Context) error {
	return f.until(ctx, func() bool { return len(f.open) < index.MaxInFlight && f.bytes < f.limit })
}

// below waits until fewer than n segments are in flight.
func (f *flights) below(ctx context.Context, n int) error {
	return f.until(ctx, func() bool { return len(f.open) < n })
}

// landed notes how a Put ended. Only the loss of the drive to another machine is returned.
func (c *Committer) landed(ctx context.Context, fl flight, err error) error {
	if err == nil {
		c.flights.certified(fl.number)
		if _, err := c.held(ctx); err != nil {
			c.log.Warn("what holds the anchor back is not known", "err", err)
		}
		c.changed.raise()
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, chain.ErrStaleVersion) {
		if err := c.reconcile(ctx); MustStop(err) {
			return err
		}
	}
	refused := isRefused(err)
	longest := c.longest()
	next := time.Now().Add(min(longest, backoff(fl.tries)))
	switch {
	case refused:
		next = time.Now().Add(refusedPause)
	case errors.Is(err, blobstore.ErrLedger):
		next = time.Now() // all of them rest together, see away
	}
	c.flights.fail(fl.number, err, refused, next, longest)
	c.trouble.note(err)
	c.log.Warn("segment is not certified", "op", "put", "segment", fl.number, "refused", refused, "err", err)
	if err := c.cfg.Index.SegmentFailed(ctx, fl.number, err, next); err != nil {
		c.log.Warn("failure is not noted", "segment", fl.number, "err", err)
	}
	c.changed.raise()
	return nil
}

// isRefused tells the errors that trying again does not heal.
func isRefused(err error) bool {
	var abort *chain.AbortError
	if errors.As(err, &abort) {
		return true
	}
	for _, e := range []error{chain.ErrNoFunds, blobstore.ErrResume, walrus.ErrTooLarge, ErrOutboxLost, ErrNoAnchor} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// heard notes that the ledger has answered for a segment that is being put: the others
// need not wait until it is certified.
func (f *flights) heard(number uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away.asking == number {
		f.away = away{}
		f.changed.raise()
	}
}

func (f *flights) certified(number uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.open[number]; fl != nil {
		f.speed.add(landing{began: fl.began, ended: time.Now(), bytes: fl.size})
	}
	delete(f.open, number)
	f.away.answered(number, nil, time.Now(), maxAway)
	f.changed.raise()
}

func (f *flights) fail(number uint64, err error, refused bool, next time.Time, longest time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away.answered(number, err, time.Now(), longest)
	if fl := f.open[number]; fl != nil {
		fl.flying, fl.tries, fl.next = false, fl.tries+1, next
		fl.err, fl.refused = err, refused
		if fl.began.Before(f.asked) {
			fl.next = time.Time{} // who asked meanwhile wants a try of their own
			f.away.next = time.Time{}
		}
	}
	f.changed.raise()
}

// retry lets segments that wait out a failure go at once. Tries that begin
// after the time returned know of it.
func (f *flights) retry() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = time.Now()
	f.away.next = time.Time{}
	for _, fl := range f.open {
		fl.next = time.Time{}
	}
	f.changed.raise()
	return f.asked
}

// refusedSince returns why a segment of a generation up to the given one was
// refused in a try that began after a point in time, or nil.
func (f *flights) refusedSince(t time.Time, generation uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var first *flight
	for _, fl := range f.open {
		if fl.refused && !fl.flying && fl.began.After(t) && fl.generation <= generation && (first == nil || fl.number < first.number) {
			first = fl
		}
	}
	if first == nil {
		return nil
	}
	return first.err
}

// last returns the newest committed generation.
func (f *flights) last() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newest
}

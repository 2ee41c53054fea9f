package keep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/walfs/walfs/cache"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// CopiesConfig says whose clean copies to keep. All but Files and Log are required. The
// cache counts them, by index.CopiesSum as its Config.Held.
type CopiesConfig struct {
	Index   *index.DB
	Staging *staging.Dir
	Cache   *cache.Cache // has the budget for both
	Files   int64        // how many may have a copy; 0: MostCopies
	Log     *slog.Logger // nil means silent
}

// Copies keeps the clean local copies of files and the sliver cache within one
// budget. Dirty files do not count: they are never evicted. A file that was
// certified counts from when it is taken over as a copy, for which there has to
// be room first. Its methods may be called concurrently.
type Copies struct {
	cfg  CopiesConfig
	kick chan struct{}

	trimming sync.Mutex // one Trim at a time

	mu      sync.Mutex       // guards the field below
	waiting []index.KeptCopy // files that are certified and wait for room
}

// MostCopies is how many files have a copy at most. Each is looked at when the
// drive is opened, for about 10 µs, and takes some memory while it is open.
const MostCopies = 100_000

const (
	// evictTogether is how many copies are evicted at a time.
	evictTogether = 256
	// hotShare is the part of the copies, in percent, that may be those that
	// were used. Source: as protectedShare of the cache.
	hotShare = 80
	// fillShare is how full the copies' part is, in percent, once some had to go.
	fillShare = 95
	// busyAfter is when it is tried again to evict files that were in use.
	busyAfter = 10 * time.Second
	// settleAfter is how long new copies may wait to be brought to stable
	// storage. By then that has mostly happened anyway.
	settleAfter = 6 * time.Second
	// unsettledAgain is when those are looked at again that could not be.
	unsettledAgain = 20 * time.Second
)

// NewCopies makes the keeper of clean copies.
func NewCopies(cfg CopiesConfig) *Copies {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Files == 0 {
		cfg.Files = MostCopies
	}
	return &Copies{cfg: cfg, kick: make(chan struct{}, 1)}
}

// Wake tells that the budget has changed, or that the cache is short.
func (c *Copies) Wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// Run trims whenever Wake or Keep was called, and brings new copies to stable
// storage some time later, until ctx ends. It sleeps while nothing happens.
func (c *Copies) Run(ctx context.Context) error {
	if err := errors.Join(c.dropDoubted(ctx), c.dropAbsent(ctx)); err != nil && ctx.Err() == nil {
		c.cfg.Log.Warn("copies that are not there are counted", "op", "trim", "err", err)
	}
	settle := time.NewTimer(settleAfter)
	defer settle.Stop()
	armed := true
	for {
		if _, err := c.Trim(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("clean copies are not trimmed", "op", "trim", "err", err)
		}
		var again <-chan time.Time
		if c.Waiting() > 0 {
			again = time.After(busyAfter)
		}
		select {
		case <-c.kick:
			if !armed {
				settle.Reset(settleAfter)
				armed = true
			}
		case <-settle.C:
			armed = false
			if err := c.Settle(ctx); err != nil && ctx.Err() == nil {
				c.cfg.Log.Warn("clean copies are not synced", "op", "trim", "err", err)
			}
			if left, err := c.cfg.Index.CopiesUnsettled(ctx); err != nil || left { // of files that were written, or lent, just now
				settle.Reset(unsettledAgain)
				armed = true
			}
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}

// Keep takes over files that are certified as clean copies: those for which there
// is room now, and the others once some are evicted.
func (c *Copies) Keep(ctx context.Context, copies ...index.KeptCopy) error {
	left, err := c.take(ctx, copies)
	c.wait(left)
	c.Wake()
	return err
}

// take makes those files copies for which there is room, and returns the others; all of them when the index fails.
func (c *Copies) take(ctx context.Context, copies []index.KeptCopy) (left []index.KeptCopy, err error) {
	var fit []index.KeptCopy
	held := int64(0)
	for _, k := range copies {
		if c.cfg.Cache.Hold(k.Bytes) {
			fit = append(fit, k)
			held += k.Bytes
		} else {
			left = append(left, k)
		}
	}
	defer c.cfg.Cache.Settle(held)
	if len(fit) == 0 {
		return left, nil
	}
	if err := c.cfg.Index.CopyKeep(ctx, fit...); err != nil {
		return copies, fmt.Errorf("%d clean copies: %w", len(fit), err)
	}
	return left, nil
}

// Waiting returns how many bytes of files that are certified wait for room.
func (c *Copies) Waiting() (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.waiting {
		n += k.Bytes
	}
	return n
}

// Trim evicts the clean copies that are over the budget, those first that were
// not used for longest, and takes over the files that wait for room. Slivers and
// copies may each have half; what one does not need the other may use. It
// returns how many bytes went.
func (c *Copies) Trim(ctx context.Context) (freed int64, err error) {
	c.trimming.Lock()
	defer c.trimming.Unlock()
	budget := c.cfg.Cache.Budget()
	limit := budget - min(c.cfg.Cache.Wanted(), budget/2)
	c.mu.Lock()
	waiting := c.waiting
	c.waiting = nil
	c.mu.Unlock()
	// Those that came last are taken; who does not fit beside them goes.
	wanted, first := int64(0), len(waiting)
	for first > 0 && wanted+waiting[first-1].Bytes <= limit {
		first--
		wanted += waiting[first].Bytes
	}
	if freed, err = c.trimTo(ctx, limit, wanted); err != nil {
		c.wait(waiting)
		return freed, fmt.Errorf("trim: %w", err)
	}
	left, err := c.take(ctx, waiting[first:]) // of which some do not fit when too much of what could go is in use
	left = slices.Concat(waiting[:first], left)
	if err != nil {
		c.wait(left)
		return freed, fmt.Errorf("trim: %w", err)
	}
	gone, err := c.refuse(ctx, left)
	if err != nil {
		return freed + gone, fmt.Errorf("trim: %w", err)
	}
	return freed + gone, nil
}

// wait lets files wait for room.
func (c *Copies) wait(copies []index.KeptCopy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, copies...)
}

// trimTo evicts copies until wanted bytes more fit below limit, and there are not too many.
func (c *Copies) trimTo(ctx context.Context, limit, wanted int64) (freed int64, err error) {
	sum := c.cfg.Index.CopiesSum()
	if hot := limit / 100 * hotShare; sum.Hot > hot {
		if err := c.cfg.Index.CopiesCool(ctx, sum.Hot-hot); err != nil {
			return 0, err
		}
	}
	target, files := sum.Bytes, sum.Files // what may stay
	if sum.Bytes+wanted > limit {
		target = min(limit-wanted, limit/100*fillShare)
	}
	if sum.Files > c.cfg.Files {
		files = c.cfg.Files * fillShare / 100
	}
	gone, err := c.evict(ctx, func(e evicted) bool {
		return sum.Bytes-e.freed-e.dropped > target || sum.Files-e.files > files
	})
	return gone.freed, err
}

// Evict gives up clean copies of at least n bytes, or all that are not in use.
// It returns how many bytes went.
func (c *Copies) Evict(ctx context.Context, n int64) (freed int64, err error) {
	gone, err := c.evict(ctx, func(e evicted) bool { return e.freed < n })
	if err != nil {
		return gone.freed, fmt.Errorf("evict: %w", err)
	}
	return gone.freed, nil
}

// evicted is bytes of copies that are gone.
type evicted struct {
	freed   int64 // from the disk
	dropped int64 // from the list only: the files are dirty
	files   int64 // how many both are
}

// evict lets copies go, those first that were not used for longest, as long as
// more is wanted of what has gone.
func (c *Copies) evict(ctx context.Context, more func(evicted) bool) (gone evicted, err error) {
	passed := map[index.Ino]bool{} // they stay
	for more(gone) && ctx.Err() == nil {
		oldest, err := c.cfg.Index.CopiesOldest(ctx, len(passed)+evictTogether)
		if err != nil {
			return gone, err
		}
		some := map[index.Ino]int64{}
		for expected := gone; len(oldest) > 0 && len(some) < evictTogether && more(expected); oldest = oldest[1:] {
			if copy := oldest[0]; !passed[copy.Ino] {
				passed[copy.Ino] = true
				some[copy.Ino] = copy.Bytes
				expected.freed += copy.Bytes
				expected.files++
			}
		}
		if len(some) == 0 {
			return gone, nil
		}
		e, err := c.evictSome(ctx, some)
		gone.freed += e.freed
		gone.dropped += e.dropped
		gone.files += e.files
		if err != nil {
			return gone, err
		}
	}
	return gone, nil
}

// evictSome removes what staging holds of files, with their sizes, but for
// those that are in use, not all certified, pinned, or the only copy.
func (c *Copies) evictSome(ctx context.Context, copies map[index.Ino]int64) (e evicted, err error) {
	may, err := c.cfg.Index.Evictable(ctx, slices.Sorted(maps.Keys(copies)))
	if err != nil {
		return e, err
	}
	busy, err := c.remove(ctx, may, func(ino index.Ino, gone bool) {
		e.files++
		if gone {
			e.freed += copies[ino]
		} else {
			e.dropped += copies[ino]
		}
	})
	for _, ino := range busy {
		err = errors.Join(err, c.cfg.Index.CopyAdd(ctx, ino, copies[ino]))
	}
	return e, err
}

// remove lets the bytes of files go that nobody uses: after a barrier in which the index forgets
// the copies, and if the index knows then of nothing that is not certified. Files that
// are not clean are no copies any more either, until they are certified again. It tells of each
// whether its bytes are gone, and returns those that somebody began to use meanwhile.
func (c *Copies) remove(ctx context.Context, inos []index.Ino, told func(ino index.Ino, gone bool)) (busy []index.Ino, err error) {
	idle := c.cfg.Staging.Idle(inos)
	inos = slices.Sorted(maps.Keys(idle))
	if len(inos) == 0 {
		return nil, ctx.Err()
	}
	if err := c.cfg.Index.CopyDrop(ctx, inos...); err != nil {
		return nil, fmt.Errorf("drop %d copies: %w", len(inos), err)
	}
	clean, err := c.cfg.Index.Clean(ctx, inos)
	if err != nil {
		return nil, err
	}
	for _, ino := range inos {
		var err error
		_, gone := slices.BinarySearch(clean, ino)
		if gone {
			err = c.cfg.Staging.RemoveIdle(ino, idle[ino])
		}
		switch {
		case errors.Is(err, staging.ErrBusy):
			busy = append(busy, ino)
		case err != nil:
			return busy, fmt.Errorf("evict inode %d: %w", ino, err)
		default:
			told(ino, gone)
		}
	}
	return busy, nil
}

// refuse gives up files that are certified and for which there is no room.
// Those in use wait on; what is never evicted is kept all the same.
func (c *Copies) refuse(ctx context.Context, copies []index.KeptCopy) (freed int64, err error) {
	if len(copies) == 0 {
		return 0, nil
	}
	byIno := map[index.Ino]index.KeptCopy{}
	for _, k := range copies {
		byIno[k.Ino] = k
	}
	may, err := c.cfg.Index.Evictable(ctx, slices.Sorted(maps.Keys(byIno)))
	if err != nil {
		c.wait(copies)
		return 0, err
	}
	left := maps.Clone(byIno)
	for _, ino := range may {
		delete(left, ino)
	}
	if len(left) > 0 {
		if err := c.cfg.Index.CopyKeep(ctx, slices.Collect(maps.Values(left))...); err != nil {
			c.wait(copies)
			return 0, err
		}
	}
	waits := map[index.Ino]index.KeptCopy{}
	for _, ino := range may {
		waits[ino] = byIno[ino]
	}
	_, err = c.remove(ctx, may, func(ino index.Ino, gone bool) {
		delete(waits, ino)
		if gone {
			freed += byIno[ino].Bytes
		}
	})
	c.wait(slices.Collect(maps.Values(waits)))
	return freed, err
}

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

	mu      sync.Mutex // guards the field below
	waiting []offer    // files that are certified and wait for room
}

// offer is a file that is certified.
type offer struct {
	ino   index.Ino
	bytes int64
	whole bool
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

// Keep takes over a file that is certified as a clean copy, if there is room
// for it now, and else once others are evicted.
func (c *Copies) Keep(ctx context.Context, ino index.Ino, bytes int64, whole bool) error {
	kept, err := c.take(ctx, offer{ino, bytes, whole})
	if !kept && err == nil {
		c.wait([]offer{{ino, bytes, whole}})
	}
	c.Wake()
	return err
}

// take makes a file a copy if there is room.
func (c *Copies) take(ctx context.Context, o offer) (bool, error) {
	if !c.cfg.Cache.Hold(o.bytes) {
		return false, nil
	}
	defer c.cfg.Cache.Settle(o.bytes)
	err := c.cfg.Index.CopyKeep(ctx, o.ino, o.bytes, o.whole)
	if errors.Is(err, index.ErrNotExist) {
		return true, nil // removed meanwhile
	}
	if err != nil {
		return true, fmt.Errorf("clean copy of inode %d: %w", o.ino, err)
	}
	return true, nil
}

// Waiting returns how many bytes of files that are certified wait for room.
func (c *Copies) Waiting() (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.waiting {
		n += o.bytes
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
	for first > 0 && wanted+waiting[first-1].bytes <= limit {
		first--
		wanted += waiting[first].bytes
	}
	if freed, err = c.trimTo(ctx, limit, wanted); err != nil {
		c.wait(waiting)
		return freed, fmt.Errorf("trim: %w", err)
	}
	refused := slices.Clone(waiting[:first])
	for _, o := range waiting[first:] {
		kept, terr := c.take(ctx, o)
		err = errors.Join(err, terr)
		if !kept { // too much of what could go is in use
			refused = append(refused, o)
		}
	}
	gone, gerr := c.refuse(ctx, refused)
	if err = errors.Join(err, gerr); err != nil {
		return freed + gone, fmt.Errorf("trim: %w", err)
	}
	return freed + gone, nil
}

// wait lets files wait for room.
func (c *Copies) wait(offers []offer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, offers...)
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
// those that are in use, not all certified, pinned, or the only copy. The index forgets
// the copies for good before the bytes go.
func (c *Copies) evictSome(ctx context.Context, copies map[index.Ino]int64) (e evicted, err error) {
	var inos []index.Ino
	for ino := range copies {
		if stays, err := c.stays(ctx, ino); err != nil {
			return e, err
		} else if !stays && !c.cfg.Staging.InUse(ino) {
			inos = append(inos, ino)
		}
	}
	if len(inos) == 0 {
		return e, ctx.Err()
	}
	if err := c.cfg.Index.CopyDrop(ctx, inos...); err != nil {
		return e, fmt.Errorf("drop %d copies: %w", len(inos), err)
	}
	for _, ino := range inos {
		gone, err := c.remove(ctx, ino)
		switch {
		case errors.Is(err, staging.ErrBusy): // since just now
			err = c.cfg.Index.CopyAdd(ctx, ino, copies[ino])
		case gone:
			e.freed += copies[ino]
			e.files++
		default:
			e.dropped += copies[ino]
			e.files++
		}
		if err != nil {
			return e, fmt.Errorf("evict inode %d: %w", ino, err)
		}
	}
	return e, nil
}

// remove lets the bytes of a file go that the index does not count as a copy,
// after a barrier. It reports no for one that is not clean: it will be a copy
// when it is certified again. ErrBusy: it is in use.
func (c *Copies) remove(ctx context.Context, ino index.Ino) (bool, error) {
	clean, err := c.isClean(ctx, ino)
	if err != nil || !clean {
		return false, err
	}
	return true, c.cfg.Staging.Remove(ino)
}

// refuse gives up files that are certified and for which there is no room.
// Those in use wait on; what is never evicted is kept all the same.
func (c *Copies) refuse(ctx context.Context, offers []offer) (freed int64, err error) {
	sizes := map[index.Ino]offer{}
	for _, o := range offers {
		stays, err := c.stays(ctx, o.ino)
		switch {
		case err != nil:
			return 0, err
		case stays:
			if err := c.cfg.Index.CopyKeep(ctx, o.ino, o.bytes, o.whole); err != nil && !errors.Is(err, index.ErrNotExist) {
				return 0, err
			}
		case c.cfg.Staging.InUse(o.ino):
			c.wait([]offer{o})
		default:
			sizes[o.ino] = o
		}
	}
	if len(sizes) == 0 {
		return 0, nil
	}
	if err := c.cfg.Index.CopyDrop(ctx, slices.Collect(maps.Keys(sizes))...); err != nil {
		return 0, fmt.Errorf("drop %d copies: %w", len(sizes), err)
	}
	for ino, o := range sizes {
		gone, err := c.remove(ctx, ino)
		if errors.Is(err, staging.ErrBusy) { // since just now
			c.wait([]offer{o})
			continue
		}
		if err != nil {
			return freed, fmt.Errorf("evict inode %d: %w", ino, err)
		}
		if gone {
			freed += o.bytes
		}
	}
	return freed, nil
}

// stays reports whether a copy is never evicted: it is pinned, or nobody else has it.
func (c *Copies) stays(ctx context.Context, ino index.Ino) (bool, error) {
	if pinned, err := c.cfg.Index.Pinned(ctx, ino); pinned || err != nil {
		return pinned, err
	}
	return c.cfg.Index.HasEnded(ctx, ino)
}

// isClean reports whether all of a file is certified and nothing newer is here.
func (c *Copies) isClean(ctx context.Context, ino index.Ino) (bool, error) {
	status, err := c.cfg.Index.State(ctx, ino)
	if errors.Is(err, index.ErrNotExist) {
		return false, nil // what is left of it goes with the orphans
	}
	if err != nil {
		return false, fmt.Errorf("state of inode %d: %w", ino, err)
	}
	return status.State.Anchored() && status.State != index.StateLost, nil
}

package keep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/walfs/walfs/cache"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// CopiesConfig says which clean copies to keep within which budget. All but Log are required.
type CopiesConfig struct {
	Index   *index.DB
	Staging *staging.Dir
	Cache   *cache.Cache
	Budget  int64        // bytes for clean copies and cache together
	Log     *slog.Logger // nil means silent
}

// Copies keeps the clean local copies of files and the sliver cache within one
// budget. Dirty files do not count: they are never evicted. Its methods may be
// called concurrently.
type Copies struct {
	cfg    CopiesConfig
	budget atomic.Int64
	kick   chan struct{}
}

const (
	// evictBatch is how many copies are looked at at a time.
	evictBatch = 256
	// evictTogether is how many copies are evicted at a time.
	evictTogether = 32
	// trimEvery is how often the budget is looked at although nobody called.
	trimEvery = 10 * time.Second
)

// NewCopies makes the keeper of clean copies.
func NewCopies(cfg CopiesConfig) *Copies {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Copies{cfg: cfg, kick: make(chan struct{}, 1)}
	c.budget.Store(cfg.Budget)
	return c
}

// SetBudget changes the budget; the next Trim obeys it.
func (c *Copies) SetBudget(bytes int64) { c.budget.Store(bytes) }

// Wake tells that there are new clean copies.
func (c *Copies) Wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// Run trims whenever Wake was called, and now and then, until ctx ends.
func (c *Copies) Run(ctx context.Context) error {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		if _, err := c.Trim(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("clean copies are not trimmed", "op", "trim", "err", err)
		}
		select {
		case <-c.kick:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Trim evicts the clean copies that are over the budget, those first that were
// not used for longest, and gives the cache the rest of the budget. Each may
// have half; what one does not need the other may use. It returns how many
// bytes went.
func (c *Copies) Trim(ctx context.Context) (freed int64, err error) {
	budget := c.budget.Load()
	copies, err := c.cfg.Index.CopiesBytes(ctx)
	if err != nil {
		return 0, fmt.Errorf("trim: %w", err)
	}
	limit := budget - min(c.cfg.Cache.Used(), budget/2)
	gone, err := c.evict(ctx, func(e evicted) bool { return copies-e.freed-e.dropped > limit })
	copies -= gone.freed + gone.dropped
	c.cfg.Cache.SetBudget(max(0, budget-copies))
	if err != nil {
		return gone.freed, fmt.Errorf("trim: %w", err)
	}
	return gone.freed, nil
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
}

// evict lets copies go, those first that were not used for longest, as long as more is wanted.
func (c *Copies) evict(ctx context.Context, more func(evicted) bool) (gone evicted, err error) {
	seen := map[index.Ino]bool{}
	for more(gone) {
		oldest, err := c.cfg.Index.CopiesOldest(ctx, len(seen)+evictBatch)
		if err != nil {
			return gone, err
		}
		var some []index.Copy
		for expected := gone; len(oldest) > 0 && more(expected); oldest = oldest[1:] {
			if copy := oldest[0]; !seen[copy.Ino] {
				seen[copy.Ino] = true
				some = append(some, copy)
				expected.freed += copy.Bytes
			}
		}
		if len(some) == 0 {
			return gone, nil
		}
		e, err := c.evictSome(ctx, some)
		gone.freed += e.freed
		gone.dropped += e.dropped
		if err != nil {
			return gone, err
		}
	}
	return gone, nil
}

// evictSome evicts copies side by side, so that they share barriers.
func (c *Copies) evictSome(ctx context.Context, list []index.Copy) (evicted, error) {
	var freed, dropped atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(evictTogether)
	for _, copy := range list {
		group.Go(func() error {
			what, err := c.evictOne(ctx, copy)
			freed.Add(what.freed)
			dropped.Add(what.dropped)
			return err
		})
	}
	err := group.Wait()
	return evicted{freed.Load(), dropped.Load()}, err
}

// evictOne removes what staging holds of a file, unless it is in use, not all
// certified, or the only copy. The index forgets the copy for good before the
// bytes go.
func (c *Copies) evictOne(ctx context.Context, copy index.Copy) (evicted, error) {
	if err := ctx.Err(); err != nil {
		return evicted{}, err
	}
	if only, err := c.cfg.Index.HasEnded(ctx, copy.Ino); only || err != nil {
		return evicted{}, err
	}
	if err := c.cfg.Index.CopyDrop(ctx, copy.Ino); err != nil {
		return evicted{}, fmt.Errorf("drop copy of inode %d: %w", copy.Ino, err)
	}
	clean, err := c.isClean(ctx, copy.Ino)
	if err != nil || !clean { // it will be a copy again when it is certified again
		return evicted{dropped: copy.Bytes}, err
	}
	err = c.cfg.Staging.Remove(copy.Ino)
	if errors.Is(err, staging.ErrBusy) {
		return evicted{}, c.cfg.Index.CopyAdd(ctx, copy.Ino, copy.Bytes)
	}
	if err != nil {
		return evicted{dropped: copy.Bytes}, fmt.Errorf("evict inode %d: %w", copy.Ino, err)
	}
	return evicted{freed: copy.Bytes}, nil
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

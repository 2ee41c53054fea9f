package keep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	trimEvery = time.Minute
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
	if limit := budget - min(c.cfg.Cache.Used(), budget/2); copies > limit {
		freed, err = c.Evict(ctx, copies-limit)
		if err != nil {
			return freed, fmt.Errorf("trim: %w", err)
		}
		if copies, err = c.cfg.Index.CopiesBytes(ctx); err != nil {
			return freed, fmt.Errorf("trim: %w", err)
		}
	}
	c.cfg.Cache.SetBudget(max(0, budget-copies))
	return freed, nil
}

// Evict gives up clean copies of at least n bytes, or all that are not in use.
// It returns how many bytes went.
func (c *Copies) Evict(ctx context.Context, n int64) (freed int64, err error) {
	seen := map[index.Ino]bool{}
	for freed < n {
		oldest, err := c.cfg.Index.CopiesOldest(ctx, len(seen)+evictBatch)
		if err != nil {
			return freed, fmt.Errorf("evict: %w", err)
		}
		oldest = slices.DeleteFunc(oldest, func(copy index.Copy) bool { return seen[copy.Ino] })
		if len(oldest) == 0 {
			return freed, nil
		}
		var some []index.Copy
		for sum := freed; sum < n && len(some) < len(oldest); {
			copy := oldest[len(some)]
			some = append(some, copy)
			seen[copy.Ino] = true
			sum += copy.Bytes
		}
		bytes, err := c.evictSome(ctx, some)
		freed += bytes
		if err != nil {
			return freed, fmt.Errorf("evict: %w", err)
		}
	}
	return freed, nil
}

// evictSome evicts copies side by side, so that they share barriers.
func (c *Copies) evictSome(ctx context.Context, list []index.Copy) (int64, error) {
	var freed atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(evictTogether)
	for _, copy := range list {
		group.Go(func() error {
			gone, err := c.evictOne(ctx, copy)
			if gone {
				freed.Add(copy.Bytes)
			}
			return err
		})
	}
	err := group.Wait()
	return freed.Load(), err
}

// evictOne removes what staging holds of a file, unless it is in use or not
// all certified. The index forgets the copy for good before the bytes go.
func (c *Copies) evictOne(ctx context.Context, copy index.Copy) (gone bool, err error) {
	ino := copy.Ino
	if err := ctx.Err(); err != nil {
		return false, err
	}
	clean, err := c.isClean(ctx, ino)
	if err != nil {
		return false, err
	}
	if err := c.cfg.Index.CopyDrop(ctx, ino); err != nil {
		return false, fmt.Errorf("drop copy of inode %d: %w", ino, err)
	}
	if !clean {
		return false, nil // it is a copy no more, and will be one again
	}
	if clean, err = c.isClean(ctx, ino); err != nil || !clean {
		return false, err
	}
	err = c.cfg.Staging.Remove(ino)
	if errors.Is(err, staging.ErrBusy) {
		return false, c.cfg.Index.CopyAdd(ctx, ino, copy.Bytes)
	}
	if err != nil {
		return false, fmt.Errorf("evict inode %d: %w", ino, err)
	}
	return true, nil
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
	return status.State == index.StateCertified, nil
}

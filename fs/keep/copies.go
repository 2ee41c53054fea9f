package keep

import (
	"context"
	"log/slog"

	"github.com/walfs/walfs/cache"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// CopiesConfig says which clean copies to keep within which budget.
type CopiesConfig struct {
	Index   *index.DB
	Staging *staging.Dir
	Cache   *cache.Cache
	Budget  int64 // bytes for clean copies and cache together
	Log     *slog.Logger
}

// Copies keeps the clean local copies of files and the sliver cache within one budget.
type Copies struct{}

// NewCopies makes the keeper of clean copies.
func NewCopies(cfg CopiesConfig) *Copies { return nil }

// Trim evicts the clean copies that are over the budget, those first that were
// not used for longest, and gives the cache the rest of the budget. It returns
// how many bytes went.
func (c *Copies) Trim(ctx context.Context) (freed int64, err error) { return 0, errUnfinished }

// SetBudget changes the budget; the next Trim obeys it.
func (c *Copies) SetBudget(bytes int64) {}

// Run trims whenever Wake was called, and now and then, until ctx ends.
func (c *Copies) Run(ctx context.Context) error { return errUnfinished }

// Wake tells that there are new clean copies.
func (c *Copies) Wake() {}

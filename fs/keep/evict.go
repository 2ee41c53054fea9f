package keep

import (
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/index"
)

// The reasons of EvictFile.
var (
	// ErrPinned refuses to evict what is pinned.
	ErrPinned = errors.New("it is pinned")
	// ErrInUse refuses to evict what somebody has open.
	ErrInUse = errors.New("it is in use")
	// ErrOnlyCopy refuses to evict what is not certified.
	ErrOnlyCopy = errors.New("it is not certified")
)

// EvictFile drops the clean local copy of one file, if there is one, and returns
// how many bytes went. ErrPinned, ErrInUse, ErrOnlyCopy; index.ErrNotExist.
func (c *Copies) EvictFile(ctx context.Context, ino index.Ino) (freed int64, err error) {
	status, err := c.cfg.Index.State(ctx, ino)
	if err != nil {
		return 0, fmt.Errorf("evict inode %d: %w", ino, err)
	}
	pinned, err := c.cfg.Index.Pinned(ctx, ino)
	if err != nil {
		return 0, fmt.Errorf("evict inode %d: %w", ino, err)
	}
	ended, err := c.cfg.Index.HasEnded(ctx, ino)
	switch {
	case err != nil:
		return 0, fmt.Errorf("evict inode %d: %w", ino, err)
	case pinned:
		return 0, fmt.Errorf("evict inode %d: %w", ino, ErrPinned)
	case ended, !status.State.Anchored(), status.State == index.StateLost:
		return 0, fmt.Errorf("evict inode %d: %w", ino, ErrOnlyCopy)
	case !c.cfg.Staging.Has(ino):
		return 0, nil
	}
	bytes, _ := c.cfg.Staging.Allocated(ino)
	gone, err := c.evictSome(ctx, map[index.Ino]int64{ino: bytes})
	if err != nil {
		return 0, err
	}
	if c.cfg.Staging.Has(ino) {
		return 0, fmt.Errorf("evict inode %d: %w", ino, ErrInUse)
	}
	return gone.freed, nil
}

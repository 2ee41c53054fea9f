package keep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/walfs/walfs/index"
)

// Copies that were on stable storage when the machine stopped are good after
// it. Those that may not have been are not read any more, and go in batches.

// settleTogether is how many copies are brought to stable storage, or dropped, at a time.
const settleTogether = 4096

// Settle brings new copies to stable storage and notes it.
func (c *Copies) Settle(ctx context.Context) error {
	for {
		versions, err := c.cfg.Index.CopiesUnsynced(ctx, settleTogether)
		if err != nil || len(versions) == 0 {
			return err
		}
		inos := make([]index.Ino, 0, len(versions))
		for ino := range versions {
			inos = append(inos, ino)
		}
		there, err := c.cfg.Staging.SyncCopies(ctx, inos)
		if err != nil {
			return err
		}
		synced := make(map[index.Ino]uint64, len(there))
		for _, ino := range there {
			synced[ino] = versions[ino]
			delete(versions, ino)
		}
		if err := c.cfg.Index.CopiesSynced(ctx, synced); err != nil {
			return fmt.Errorf("note synced copies: %w", err)
		}
		if len(versions) > 0 { // rows without files
			if err := c.forget(ctx, slices.Collect(maps.Keys(versions))); err != nil {
				return err
			}
		}
	}
}

// forget drops the rows of those of some copies that are not there: a power cut
// can take the name of a file and leave the row.
func (c *Copies) forget(ctx context.Context, inos []index.Ino) error {
	gone := slices.DeleteFunc(inos, c.cfg.Staging.Has)
	if len(gone) == 0 {
		return nil
	}
	return c.cfg.Index.CopyDrop(ctx, gone...)
}

// dropAbsent drops the rows of all copies that are not there.
func (c *Copies) dropAbsent(ctx context.Context) error {
	all, err := c.cfg.Index.CopyInos(ctx)
	if err != nil {
		return err
	}
	for inos := range slices.Chunk(all, settleTogether) {
		if err := errors.Join(ctx.Err(), c.forget(ctx, inos)); err != nil {
			return err
		}
	}
	return nil
}

// dropDoubted removes the copies that a reboot may have damaged.
func (c *Copies) dropDoubted(ctx context.Context) error {
	for ctx.Err() == nil {
		inos := c.cfg.Staging.Doubted(settleTogether)
		if len(inos) == 0 {
			return nil
		}
		if err := c.cfg.Staging.DropDoubted(inos); err != nil {
			return err
		}
		if err := c.cfg.Index.CopiesGone(ctx, inos); err != nil {
			return fmt.Errorf("forget dropped copies: %w", err)
		}
	}
	return nil
}

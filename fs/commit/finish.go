package commit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// finishFile tells staging that what it packed of a file is certified. A file
// without newer changes becomes a clean copy, which may be evicted.
func (c *Committer) finishFile(ctx context.Context, f index.FinishedFile) {
	file, ok, err := c.cfg.Staging.Lookup(f.Ino)
	if err == nil && ok {
		err = file.Finished()
		if err == nil && f.Clean {
			err = c.copied(ctx, file)
		}
		file.Release()
	}
	if err != nil {
		c.log.Warn("staging file is not told", "op", "finish", "ino", f.Ino, "err", err)
	}
}

// finishSegment removes a segment from the outbox.
func (c *Committer) finishSegment(number uint64) {
	if err := c.cfg.Staging.RemoveOutbox(number); err != nil {
		c.log.Warn("outbox file is left behind", "op", "finish", "segment", number, "err", err)
	}
	c.flights.finished(number)
}

// copied hands the clean copy of a file over.
func (c *Committer) copied(ctx context.Context, file *staging.File) error {
	bytes, err := file.Footprint()
	if err != nil {
		return err
	}
	keep := c.cfg.Keep
	if keep == nil {
		keep = c.cfg.Index.CopyKeep
	}
	err = keep(ctx, file.Ino(), bytes, file.Complete())
	if err != nil && !errors.Is(err, index.ErrNotExist) { // removed meanwhile
		return fmt.Errorf("clean copy of inode %d: %w", file.Ino(), err)
	}
	return nil
}

// Recover brings outbox and index together after a crash. It needs no network;
// call it once, before Run.
func (c *Committer) Recover(ctx context.Context) error {
	rows, err := c.cfg.Index.Segments(ctx, index.SegmentFilter{Below: index.Finished})
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	kept, err := c.cfg.Staging.ListOutbox()
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	for _, number := range kept {
		needed := slices.ContainsFunc(rows, func(r index.SegmentRow) bool { return r.Number == number })
		if needed {
			continue
		}
		// It is finished, or no row ever named it: then it was never registered.
		if err := c.cfg.Staging.RemoveOutbox(number); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		c.log.Info("outbox file removed", "op", "recover", "segment", number)
	}
	return nil
}

// settleAll looks for files that a crash kept from being told that they are
// published or certified. It runs beside everything else. Without segments on
// their way that can only be files that are no clean copies.
func (c *Committer) settleAll(ctx context.Context, underway bool) error {
	var settled []index.Ino
	if !underway {
		var err error
		if settled, err = c.cfg.Index.CopyInos(ctx); err != nil {
			c.log.Warn("clean copies are not known", "err", err)
			return nil
		}
	}
	for _, ino := range c.cfg.Staging.Inos() {
		if _, ok := slices.BinarySearch(settled, ino); ok {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.settle(ctx, ino); err != nil {
			c.log.Warn("staging file is not settled", "ino", ino, "err", err)
		}
	}
	return nil
}

// settle tells staging of one file what the index says of it.
func (c *Committer) settle(ctx context.Context, ino index.Ino) error {
	attr, err := c.cfg.Index.Get(ctx, ino)
	if errors.Is(err, index.ErrNotExist) || err == nil && (attr.Dirty || attr.Version != attr.PubVersion) {
		return nil
	}
	if err != nil {
		return err
	}
	file, ok, err := c.cfg.Staging.Lookup(ino)
	if err != nil || !ok {
		return err
	}
	defer file.Release()
	if file.Dirty() {
		if err := settleDirty(ctx, file, attr); err != nil {
			return err
		}
	}
	status, err := c.cfg.Index.State(ctx, ino)
	if err != nil {
		return err
	}
	if !status.State.Anchored() {
		c.drains.found(ino, attr.PubSize, c.flights.last())
		return nil
	}
	if err := file.Finished(); err != nil {
		return err
	}
	return c.copied(ctx, file)
}

// settleDirty repeats the end of a Pack that a crash cut off after the index
// had published it: if nothing was written since, the snapshot is that version.
func settleDirty(ctx context.Context, file *staging.File, attr index.Attr) error {
	pack, err := file.Pack(ctx, false)
	if errors.Is(err, staging.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	if pack.Version != attr.PubVersion {
		pack.Abort()
		return nil
	}
	return pack.Commit()
}

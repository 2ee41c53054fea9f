package commit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// finishTogether is how many files become clean copies at a time.
const finishTogether = 64

// finishFiles tells staging that what it packed of files is certified. Those
// without newer changes become clean copies, which may be evicted.
func (c *Committer) finishFiles(ctx context.Context, files []index.FinishedFile) {
	for some := range slices.Chunk(files, finishTogether) {
		var copies []index.KeptCopy
		for _, f := range some {
			k, err := c.finishFile(f)
			if err != nil {
				c.log.Warn("staging file is not told", "op", "finish", "ino", f.Ino, "err", err)
			} else if k.Ino != 0 {
				copies = append(copies, k)
			}
		}
		if err := c.keepCopies(ctx, copies...); err != nil {
			c.log.Warn("clean copies are not counted", "op", "finish", "files", len(copies), "err", err)
		}
	}
}

// finishFile tells staging of one file, and returns the copy that it is now; inode 0: none.
func (c *Committer) finishFile(f index.FinishedFile) (index.KeptCopy, error) {
	file, ok, err := c.cfg.Staging.Lookup(f.Ino)
	if err != nil || !ok {
		return index.KeptCopy{}, err
	}
	defer file.Release()
	if err := file.Finished(); err != nil || !f.Clean {
		return index.KeptCopy{}, err
	}
	return copyOf(file)
}

// finishSegment removes a segment from the outbox.
func (c *Committer) finishSegment(number uint64) {
	if err := c.cfg.Staging.RemoveOutbox(number); err != nil {
		c.log.Warn("outbox file is left behind", "op", "finish", "segment", number, "err", err)
	}
	c.flights.finished(number)
}

// copyOf is the clean copy that a file is.
func copyOf(file *staging.File) (index.KeptCopy, error) {
	bytes, err := file.Footprint()
	return index.KeptCopy{Ino: file.Ino(), Bytes: bytes, Whole: file.Complete()}, err
}

// keepCopies hands clean copies over.
func (c *Committer) keepCopies(ctx context.Context, copies ...index.KeptCopy) error {
	switch {
	case len(copies) == 0:
		return nil
	case c.cfg.Keep != nil:
		return c.cfg.Keep(ctx, copies...)
	}
	return c.cfg.Index.CopyKeep(ctx, copies...)
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
	k, err := copyOf(file)
	if err != nil {
		return err
	}
	return c.keepCopies(ctx, k)
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

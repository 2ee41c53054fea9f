package commit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/walfs/walfs/index"
)

// ErrStalled reports that nothing was certified for too long.
var ErrStalled = errors.New("nothing gets certified")

// Certify waits until a file is certified as it was when it was called, in a
// generation that the anchor names: content, attributes, names, and those of the
// folders on the way to it. It does not wait for other files. A file without a name is not waited for.
//
// An ignored file is not waited for either: what was synced of it is staged.
//
// ErrStalled: the drive got nothing certified for the given time. What only a
// person can put right ends it at once. Run must be running.
func (c *Committer) Certify(ctx context.Context, ino index.Ino, patience time.Duration) error {
	attr, err := c.cfg.Index.Get(ctx, ino)
	if err != nil || attr.Nlink == 0 {
		return ignoreGone(err)
	}
	if done, err := c.isDone(ctx, ino); err != nil || done {
		return ignoreGone(err)
	}
	d := &drain{targets: map[index.Ino]*target{}}
	changed := c.cfg.Index.Changing()
	if attr.Dirty {
		d.targets[ino] = &target{version: attr.Version, size: attr.Size}
	}
	c.drains.add(d) // before it asks, so that what fails from then on knows of it
	defer c.drains.remove(d)
	d.started = c.retry()
	waiting, end := context.WithCancelCause(ctx)
	defer end(nil)
	watch := c.watchProgress(d, patience, func() { end(fmt.Errorf("%w for %s", ErrStalled, patience)) })
	defer watch.stop()
	err = c.packTargets(waiting, d, watch.look)
	if err == nil {
		err = c.packNamesOf(waiting, d, ino, changed, watch.look)
	}
	if err == nil {
		err = c.awaitAnchor(waiting, d, c.flights.last(), watch.look)
	}
	if err == nil {
		err = c.drains.failure(d)
	}
	if waiting.Err() != nil && err != nil {
		err = context.Cause(waiting)
	}
	if err != nil {
		return fmt.Errorf("certify inode %d: %w", ino, err)
	}
	return nil
}

// isDone reports whether a fresh machine finds a file as it is, where it is, or is never to.
func (c *Committer) isDone(ctx context.Context, ino index.Ino) (bool, error) {
	status, err := c.cfg.Index.State(ctx, ino)
	if err == nil && status.State == index.StateLocal {
		return true, nil
	}
	if err != nil || status.State != index.StateCertified {
		return false, err
	}
	return c.cfg.Index.WayAnchored(ctx, ino)
}

func ignoreGone(err error) error {
	if errors.Is(err, index.ErrNotExist) {
		return nil
	}
	return err
}

// packNamesOf waits until the names on the ways to a file that changed up to a generation
// are published, or are gone.
func (c *Committer) packNamesOf(ctx context.Context, d *drain, ino index.Ino, changed uint64, look func(Progress)) error {
	for tries := 1; ; tries++ {
		n, err := c.cfg.Index.NamesWaitingOf(ctx, ino, changed)
		if err != nil || n == 0 || c.drains.failure(d) != nil {
			return err
		}
		if tries > giveUp {
			return fmt.Errorf("%d of them: %w", n, errNamesWait)
		}
		if err := c.awaitPass(ctx, d, look); err != nil {
			return err
		}
		if err := pause(ctx, min(time.Duration(tries)*againAfter, time.Second)); err != nil {
			return err
		}
	}
}

// progressWatch notices when nothing goes on any more.
type progressWatch struct {
	look func(Progress)
	stop func() bool
}

// watchProgress calls stalled when neither the bytes of the drain nor the
// anchor have moved for a while.
func (c *Committer) watchProgress(d *drain, patience time.Duration, stalled func()) progressWatch {
	timer := time.AfterFunc(patience, stalled)
	bytes, closed := int64(0), c.moving.closedAt()
	return progressWatch{stop: timer.Stop, look: func(p Progress) {
		if now := c.moving.closedAt(); p.Bytes != bytes || now != closed {
			bytes, closed = p.Bytes, now
			timer.Reset(patience)
		}
	}}
}

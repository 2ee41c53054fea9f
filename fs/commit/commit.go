// Package commit turns staged files into certified blobs.
//
// One goroutine packs. It claims jobs from the index in directory order, takes
// a snapshot of each file from staging and lays its changed ranges into a
// segment. When the segment is full, or the changes have rested for a while,
// it cuts: the index says which rows go into the trailer, the segment is sealed
// and rests in the outbox, and one index transaction publishes it. From there on
// nothing of it changes: any number of crashes and retries send the same bytes.
//
// Other goroutines put segments: register, store, certify. A certifying
// transaction also moves the drive's anchor over the contiguous run of
// generations that are then certified, whatever order the nodes answer in. What
// the anchor covers is finished: staging lets go of it, and only of it.
//
//	claim → pack → cut → seal → outbox → commit → put → certify and anchor → finish
//
// This file is that story; each step has a file of its own.
package commit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/index"
)

// Committer packs, stores and certifies what is staged. Its methods may be called concurrently.
type Committer struct {
	cfg      Config
	log      *slog.Logger
	drive    index.Drive
	signer   ed25519.PrivateKey // of the anchor
	ranges   seal.Key           // of the hashes that find unchanged ranges
	suite    seal.Suite
	capacity int64 // plaintext bytes of a full segment

	changed  signal  // something was packed, put, anchored or finished, or failed
	asked    signal  // somebody wants what failed to be tried again
	clock    clock   // when the next segment is due
	flights  flights // segments between commit and finish
	moving   moving  // the anchor on its way
	drains   drains
	rebuilds rebuilds
	trouble  trouble
	waiting  freight     // what is to be moved from other segments
	wantFull atomic.Bool // a full snapshot is asked for
}

// New makes a committer of the drive in cfg.Index. Nothing happens before Recover and Run.
func New(ctx context.Context, cfg Config) (*Committer, error) {
	drive, err := cfg.Index.Drive(ctx)
	if err != nil {
		return nil, fmt.Errorf("new committer: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	sealed := Capacity(cfg.Blobs.Geometry())
	c := &Committer{
		cfg: cfg, log: cfg.Log, drive: drive,
		signer: signer(cfg.Keys), ranges: cfg.Keys.Derive(labelRanges),
		capacity: plainCapacity(sealed, drive.Plain),
	}
	if drive.Plain {
		c.suite = seal.SuitePlain
	}
	c.cfg.Policy.setDefaults(c.capacity)
	c.flights.init(max(c.cfg.Policy.Outbox, minOutbox*sealed))
	c.clock.init()
	return c, nil
}

// Run commits until ctx ends and then returns nil. It returns ErrTakenOver
// or ErrRolledBack when this machine may no longer write. Trouble with nodes, ledger or disk
// does not end it: see Status.
func (c *Committer) Run(ctx context.Context) error {
	underway, err := c.loadFlights(ctx)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return c.packAll(running) })
	group.Go(func() error { return c.queueAll(running) })
	group.Go(func() error { return c.putAll(running) })
	group.Go(func() error { return c.finishAll(running) })
	group.Go(func() error { return c.settleAll(running, underway) })
	group.Go(func() error { return c.awaitFunds(running) })
	err = group.Wait()
	c.stopped(err)
	if ctx.Err() != nil && !MustStop(err) {
		return nil
	}
	return err
}

// packAll makes segments whenever they are due.
func (c *Committer) packAll(ctx context.Context) error {
	for {
		asked := c.asked.wait()
		draining, again, err := c.waitDue(ctx)
		if err != nil {
			return err
		}
		held, err := c.held(ctx)
		if err != nil {
			c.log.Warn("what holds the anchor back is not known", "err", err)
		}
		p := newPacker(c, draining || held, again)
		err = p.pass(ctx)
		c.passed(p, err)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil || errors.Is(err, errRebuilt) {
			c.trouble.goes(packing)
			continue
		}
		c.log.Warn("packing failed", "err", err)
		if err := c.rest(ctx, packing, err, asked); err != nil {
			return err
		}
	}
}

// pass packs what waits now into as many segments as it takes. The last one is
// cut although it is not full.
func (p *packer) pass(ctx context.Context) error {
	defer p.abandon()
	for more := true; more; {
		var jobs []index.Job
		var err error
		if jobs, more, err = p.claim(ctx); err != nil {
			return err
		}
		for _, job := range jobs {
			if err := p.take(ctx, job); err != nil {
				return err
			}
		}
	}
	if err := p.loadCargo(ctx); err != nil {
		return err
	}
	if err := p.cut(ctx); err != nil {
		return err
	}
	p.delivered()
	return nil
}

// take packs one file, or leaves it for later.
func (p *packer) take(ctx context.Context, job index.Job) error {
	par, err := p.load(ctx, job)
	if err == nil && par != nil {
		err = p.fill(ctx, par)
	}
	if err != nil {
		return p.putBack(ctx, job, err)
	}
	if len(p.done) >= p.c.cfg.Policy.Files {
		return p.cut(ctx)
	}
	return nil
}

// cut ends the open segment: the trailer is cut, all is sealed, rests in the
// outbox and is committed. A segment that would publish nothing is not made.
func (p *packer) cut(ctx context.Context) error {
	if p.open != nil && p.open.moved() {
		return errMoved
	}
	trailer, encoded, err := p.cutTrailer(ctx)
	if err != nil || trailer == nil {
		return err
	}
	segments, err := p.seal(trailer, encoded)
	if err != nil {
		return err
	}
	return p.commit(ctx, trailer, encoded, segments)
}

// putAll puts segments, several at a time. A segment that fails holds back the
// anchor, and not the storing of later ones.
func (c *Committer) putAll(ctx context.Context) error {
	if err := c.reconcileFirst(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for range c.cfg.Policy.Parallel {
		group.Go(func() error {
			for {
				f, err := c.flights.next(ctx)
				if err != nil {
					return err
				}
				err = c.put(ctx, f)
				if err = c.landed(ctx, f, err); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// put brings one segment from the outbox to certified. Every stage is written
// down before the next one begins, so that a Put after a crash goes on where
// this one stopped. Sealed bytes that are lost before the nodes have them are
// made again, and begin anew.
func (c *Committer) put(ctx context.Context, f flight) error {
	receipt, err := c.receipt(ctx, f.number)
	if err != nil {
		return err
	}
	sealed, err := c.outbox(ctx, f, receipt)
	if errors.Is(err, ErrOutboxLost) && receipt.Stage < walrus.Stored {
		receipt = walrus.Receipt{}
		sealed, err = c.rebuild(ctx, f.number, err)
	}
	if err != nil {
		return err
	}
	_, err = c.cfg.Blobs.Put(ctx, sealed, blobstore.PutOptions{
		Epochs:     c.cfg.Policy.Epochs,
		Deletable:  true,
		Resume:     receipt,
		Checkpoint: c.checkpoint(ctx, f.number, receipt),
	})
	if err != nil {
		return fmt.Errorf("segment %d: %w", f.number, err)
	}
	return nil
}

// finishAll closes generations, in their order, whenever the anchor has moved.
func (c *Committer) finishAll(ctx context.Context) error {
	for {
		moved, asked := c.changed.wait(), c.asked.wait()
		err := c.finish(ctx)
		switch {
		case MustStop(err):
			return err
		case err != nil && ctx.Err() == nil:
			c.log.Warn("finishing failed", "err", err)
			if err := c.rest(ctx, finishing, err, asked); err != nil {
				return err
			}
			continue
		}
		c.trouble.goes(finishing)
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// finish records what the anchor covers and lets go of it: first the index,
// for good, then staging and outbox. The index tells of everything once; what
// goes wrong then is made good at the next start.
func (c *Committer) finish(ctx context.Context) error {
	generation, due, err := c.anchored(ctx)
	if err != nil || !due {
		return err
	}
	c.stage("before-finish")
	files, segments, err := c.cfg.Index.Finish(ctx)
	if err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	c.stage("after-finish")
	c.finishFiles(ctx, files)
	for _, number := range segments {
		c.finishSegment(number)
	}
	c.log.Debug("segments finished", "op", "finish", "segments", len(segments), "files", len(files))
	c.drains.finished(generation)
	c.moving.finished(generation)
	c.trouble.note(nil)
	c.changed.raise()
	return nil
}

func (c *Committer) stage(name string) {
	if c.cfg.Stage != nil {
		c.cfg.Stage(name)
	}
}

package keep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// Committer is the part of fs/commit's that a Collector works with.
type Committer interface {
	// Reconcile fails unless this machine is the drive's writer.
	Reconcile(ctx context.Context) error
	// StoreFull stores a full snapshot and returns when the anchor covers it.
	StoreFull(ctx context.Context) error
	// Move packs published ranges, whose bytes data holds, into new segments.
	Move(ctx context.Context, moves []index.Move, data []byte) error
	// Settle returns when the anchor covers all that is committed.
	Settle(ctx context.Context) error
	// Capacity is how many bytes a full segment takes.
	Capacity() int64
}

// CollectConfig says what a Collector works with. Index, Ledger, Blobs, Keys and Committer are required.
type CollectConfig struct {
	Index     *index.DB
	Ledger    chain.Ledger
	Blobs     *blobstore.Client
	Keys      *seal.Keyring
	Committer Committer
	Grace     time.Duration // of the ledger's time between condemned and deleted; 0: DefaultGrace
	May       func() bool   // whether this machine may delete now; nil: always
	Room      func() int64  // bytes that may still be staged; nil: as many as one likes
	// Stage is called at each step, for crash tests: after-condemn,
	// before-delete, after-delete, after-forget and after-move.
	Stage func(name string)
	Log   *slog.Logger // nil means silent
}

// DefaultGrace is how long what was deleted can be had back from older generations.
const DefaultGrace = 7 * 24 * time.Hour

// How often a Collector looks: some time after its start, then a few times a
// day, and sooner when a round failed.
const (
	firstLook = 5 * time.Minute
	collectIn = 4 * time.Hour
	retryIn   = 15 * time.Minute
)

// looks are such times.
type looks struct{ first, every, retry time.Duration }

// Collector frees what nothing needs: it deletes segments on the ledger, and
// rewrites what is left of those that are mostly garbage. Its methods may be
// called concurrently.
//
// Time is the ledger's. That of the embedded ledger runs while the drive is
// open and knows nothing of this machine's calendar, so that a clock that jumps
// deletes nothing early.
type Collector struct {
	cfg   CollectConfig
	stage func(string)
	looks looks

	round sync.Mutex // held during a Collect
	mu    sync.Mutex // guards the fields below
	err   error      // of the last round
	rest  func()     // ends the round that Run does, if it does one
}

// Collected says what a round did, or would do, and what is left. Payload is in
// bytes of sealed segments, stored in bytes on the nodes.
type Collected struct {
	Condemned Garbage   `json:"condemned"` // by this round
	Acquitted int       `json:"acquitted"` // condemned segments that are needed again
	Deleted   Garbage   `json:"deleted"`
	Compacted Garbage   `json:"compacted"`         // segments whose content was moved elsewhere
	Moved     int64     `json:"moved_bytes"`       // that content
	Snapshot  bool      `json:"snapshot"`          // a full snapshot was stored, or would be
	Waiting   Garbage   `json:"waiting"`           // condemned, until the grace period is over
	Trash     Garbage   `json:"trash"`             // condemned, and kept by the trash
	Trailers  Garbage   `json:"trailers"`          // without content, kept until the next full snapshot
	Dead      Garbage   `json:"dead"`              // more than half garbage: what compaction would free
	First     time.Time `json:"first,omitzero"`    // when the first of Waiting can go, if the drive stays open
	All       time.Time `json:"all,omitzero"`      // when the last can
	Hindered  string    `json:"hindered,omitzero"` // why there was no compaction
}

// Garbage is segments and what they take.
type Garbage struct {
	Segments int   `json:"segments"`
	Payload  int64 `json:"bytes"`
	Stored   int64 `json:"stored_bytes"`
}

// CollectOptions say how a round differs from those that a Collector does by itself.
type CollectOptions struct {
	DryRun  bool           // change nothing
	Grace   *time.Duration // nil: as configured
	Compact bool           // compact whatever is worth it, now
	Asked   bool           // somebody waits: store a full snapshot when it frees anything
	// Progress is told how many segments of how many are done. Nil: nobody listens.
	Progress func(step string, done, total int)
}

// NewCollector makes a Collector.
func NewCollector(cfg CollectConfig) *Collector {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	c := &Collector{cfg: cfg, stage: cfg.Stage, looks: looks{firstLook, collectIn, retryIn}}
	if c.stage == nil {
		c.stage = func(string) {}
	}
	return c
}

// Run collects what is due, again and again, until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	for wait := c.looks.first; ; {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		wait = c.looks.every
		if c.cfg.May != nil && !c.cfg.May() {
			continue
		}
		if err := c.alone(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("garbage is not collected", "op", "gc", "err", err)
			wait = c.looks.retry
		}
	}
}

// alone does a round that ends when somebody asks for one.
func (c *Collector) alone(ctx context.Context) error {
	inner, rest := context.WithCancel(ctx)
	defer rest()
	c.mu.Lock()
	c.rest = rest
	c.mu.Unlock()
	_, err := c.Collect(inner, CollectOptions{})
	if inner.Err() != nil {
		return ctx.Err()
	}
	return err
}

// giveWay ends a round that nobody waits for, for one that somebody does.
func (c *Collector) giveWay(o CollectOptions) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.Asked && c.rest != nil {
		c.rest()
	}
}

// ErrNotWriter reports a machine that may only read the drive.
var ErrNotWriter = errors.New("this machine may only read the drive")

// Collect does a round: it condemns what nothing needs, deletes what has been
// condemned for the grace period, and compacts. It may be stopped anywhere; the
// next round goes on. Errors: ErrNotWriter, those of the ledger and the committer.
func (c *Collector) Collect(ctx context.Context, o CollectOptions) (Collected, error) {
	if !o.DryRun {
		c.giveWay(o)
		c.round.Lock()
		defer c.round.Unlock()
	}
	r := round{c: c, o: o, grace: c.cfg.Grace}
	if o.Grace != nil {
		r.grace = *o.Grace
	}
	if o.Progress == nil {
		r.o.Progress = func(string, int, int) {}
	}
	err := r.all(ctx)
	if err != nil {
		err = fmt.Errorf("collect garbage: %w", err)
	}
	if ctx.Err() == nil && !o.DryRun {
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
	}
	if r.done.Deleted.Segments+r.done.Compacted.Segments > 0 {
		c.cfg.Log.Info("garbage collected", "op", "gc", "deleted", r.done.Deleted.Segments, "compacted", r.done.Compacted.Segments, "size", r.done.Deleted.Stored)
	}
	return r.done, err
}

// Problems tells in a sentence what of the last round a person has to know.
func (c *Collector) Problems() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil || errors.Is(c.err, ErrNotWriter) {
		return nil
	}
	return []string{fmt.Sprintf("garbage is not freed: %v", c.err)}
}

// round is one run of Collect.
type round struct {
	c     *Collector
	o     CollectOptions
	grace time.Duration
	now   time.Time // of the ledger
	epoch walrus.Epoch
	done  Collected

	refused error // deletions that a contract refused
}

func (r *round) all(ctx context.Context) error {
	if err := r.hear(ctx); err != nil {
		return err
	}
	if r.o.DryRun {
		return r.foresee(ctx)
	}
	if err := r.permitted(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{r.finish, r.condemn, r.snapshot, r.delete, r.compact} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if r.done.Compacted.Segments > 0 {
		if err := r.condemn(ctx); err != nil {
			return err
		}
		if err := r.delete(ctx); err != nil {
			return err
		}
	}
	return errors.Join(r.remaining(ctx), r.refused)
}

// permitted makes sure that this machine is the drive's writer.
func (r *round) permitted(ctx context.Context) error {
	if r.c.cfg.May != nil && !r.c.cfg.May() {
		return ErrNotWriter
	}
	return r.c.cfg.Committer.Reconcile(ctx)
}

// hear asks the ledger for its time.
func (r *round) hear(ctx context.Context) error {
	state, err := r.c.cfg.Ledger.State(ctx)
	if err != nil {
		return fmt.Errorf("ask the ledger for its time: %w", err)
	}
	r.now, r.epoch = state.Now, state.Epoch
	return nil
}

// condemn notes what nothing needs any more.
func (r *round) condemn(ctx context.Context) error {
	before, err := r.c.cfg.Index.Condemned(ctx)
	if err != nil {
		return err
	}
	_, acquitted, err := r.c.cfg.Index.Condemn(ctx, r.now)
	if err != nil {
		return err
	}
	r.c.stage("after-condemn")
	after, err := r.c.cfg.Index.Condemned(ctx)
	if err != nil {
		return err
	}
	r.done.Acquitted += acquitted
	for number, s := range after {
		if _, ok := before[number]; !ok {
			r.add(&r.done.Condemned, s.Size)
		}
	}
	return nil
}

// add counts a segment of some sealed size.
func (r *round) add(g *Garbage, size int64) {
	g.Segments++
	g.Payload += size
	g.Stored += r.encoded(size)
}

// encoded returns what a blob of a size takes on the nodes, in bytes.
func (r *round) encoded(size int64) int64 {
	n, err := r.c.cfg.Blobs.Geometry().EncodedSize(size)
	if err != nil {
		return size
	}
	return int64(n)
}

// snapshot asks for a full snapshot if the trailers that it stands for hold much
// garbage: what is freed must be worth its price, several times over unless
// somebody waits for it.
func (r *round) snapshot(ctx context.Context) error {
	worth, err := r.worthSnapshot(ctx)
	if err != nil || !worth {
		return err
	}
	r.o.Progress("snapshot", 0, 1)
	if err := r.c.cfg.Committer.StoreFull(ctx); err != nil {
		return err
	}
	r.o.Progress("snapshot", 1, 1)
	r.done.Snapshot = true
	if err := r.hear(ctx); err != nil {
		return err
	}
	return r.condemn(ctx)
}

// How many times its own price a full snapshot has to free, and which part of
// all that is stored when nobody asked.
const (
	snapshotGain  = 2
	snapshotShare = 10
)

func (r *round) worthSnapshot(ctx context.Context) (bool, error) {
	uses, err := r.c.cfg.Index.SegmentUses(ctx)
	if err != nil {
		return false, err
	}
	cost, err := r.c.cfg.Index.ReplayCost(ctx)
	if err != nil {
		return false, err
	}
	gain, all := int64(0), int64(0)
	for _, u := range uses {
		all += r.encoded(u.Size)
		if !u.Trailer || u.Held {
			continue
		}
		u.Trailer = false
		switch {
		case u.Live == 0:
			gain += r.encoded(u.Size)
		case r.sparse(&u) && (r.o.Compact || !r.o.Asked):
			gain += r.encoded(u.Size) - r.packed(u.Live)
		}
	}
	least := snapshotGain * r.encoded(cost.Snapshot+trailerRoom/16)
	if !r.o.Asked {
		least = max(snapshotGain*least, all/snapshotShare)
	}
	return gain > least, nil
}

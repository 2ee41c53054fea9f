package commit

import (
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/index"
)

// full is the newest full snapshot that was made, until a trailer carries it.
type full struct {
	generation uint64 // that it shows
	snapshot   []byte
}

// encode returns a trailer as segments carry it: with a full snapshot behind
// it when a restore gains by one. Nothing is published meanwhile, since only
// the packer does that, so that the snapshot shows the generation before.
func (p *packer) encode(ctx context.Context, trailer *index.Trailer) ([]byte, error) {
	snapshot, err := p.fullOf(ctx, trailer.Previous)
	if err != nil {
		return nil, err
	}
	if snapshot != nil {
		encoded, err := index.MarshalFull(trailer, snapshot)
		if err == nil && p.parts(len(encoded)) <= index.MaxWindow {
			return encoded, nil
		}
		if err != nil && !errors.Is(err, index.ErrRange) {
			return nil, err
		}
		trailer.Full = 0
		p.c.wantFull.Store(false)
		p.c.log.Warn("full snapshot is too long for the trailer", "op", "commit", "size", len(snapshot), "err", err)
	}
	return index.MarshalTrailer(trailer)
}

// fullOf returns a full snapshot of the newest committed generation, nil if none is due.
func (p *packer) fullOf(ctx context.Context, newest uint64) ([]byte, error) {
	if newest == 0 {
		return nil, nil
	}
	cost, err := p.c.cfg.Index.ReplayCost(ctx)
	if err != nil {
		return nil, err
	}
	due := cost.Due()
	if after := p.c.cfg.Policy.FullAfter; after > 0 {
		due = cost.Trailers > after
	}
	if !due && !p.c.wantFull.Load() {
		p.full = full{}
		return nil, nil
	}
	if p.full.generation == newest {
		return p.full.snapshot, nil
	}
	generation, snapshot, err := p.c.cfg.Index.EncodeFull(ctx)
	if err != nil {
		return nil, err
	}
	if generation != newest {
		return nil, fmt.Errorf("full snapshot of generation %d, want %d: %w", generation, newest, index.ErrStale)
	}
	p.full = full{generation, snapshot}
	p.c.log.Info("full snapshot of the index", "op", "commit", "generation", generation, "size", len(snapshot), "instead", cost.Trailers)
	return snapshot, nil
}

// StoreFull stores a full snapshot of the index, although a restore gains
// little by it, and waits until the anchor covers it: what it stands for is
// not needed any more then. Run must be running.
func (c *Committer) StoreFull(ctx context.Context) error {
	d := &drain{started: c.retry()}
	c.wantFull.Store(true)
	if err := c.awaitPass(ctx, d, nil); err != nil {
		return fmt.Errorf("store full snapshot: %w", err)
	}
	if err := c.awaitAnchor(ctx, d, c.flights.last(), nil); err != nil {
		return fmt.Errorf("store full snapshot: %w", err)
	}
	return nil
}

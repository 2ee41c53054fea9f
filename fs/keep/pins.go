package keep

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/walfs/walfs/index"
)

// PinsConfig says how pinned files come to this machine. Index and Hold are required.
type PinsConfig struct {
	Index *index.DB
	Hold  func(context.Context, index.Ino) error // fetches what is not here of a file
	Log   *slog.Logger                           // nil means silent
}

// Pins fetches what is pinned and not here, one file after the other.
type Pins struct {
	cfg  PinsConfig
	kick chan struct{}
}

const (
	// lookEvery is how often it is looked for pinned files that are not here
	// although nobody called: files move below pinned folders, and nodes come back.
	lookEvery = time.Minute
	// pinsTogether is how many files are looked up at a time.
	pinsTogether = 256
)

// NewPins makes the keeper of pinned files.
func NewPins(cfg PinsConfig) *Pins {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Pins{cfg: cfg, kick: make(chan struct{}, 1)}
}

// Wake tells that something was pinned.
func (p *Pins) Wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// Run fetches whenever Wake was called, some time after the index changed, and now and then what could
// not be had, until ctx ends. It sleeps while nothing changes.
func (p *Pins) Run(ctx context.Context) error {
	for {
		changed := p.cfg.Index.NextChange()
		_, err := p.Fetch(ctx)
		if err != nil && ctx.Err() == nil {
			p.cfg.Log.Warn("pinned files are not all here", "op", "pin", "err", err)
		}
		if err == nil {
			select {
			case <-p.kick:
				continue
			case <-changed:
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-p.kick:
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

// Fetch fetches all that is pinned and not here, and returns how many files
// came. What cannot be had now is left for the next time.
func (p *Pins) Fetch(ctx context.Context) (fetched int, err error) {
	var failed error
	for after := index.Ino(0); ; {
		list, err := p.cfg.Index.PinnedAbsent(ctx, after, pinsTogether)
		if err != nil || len(list) == 0 {
			return fetched, errors.Join(failed, err)
		}
		for _, a := range list {
			if err := ctx.Err(); err != nil {
				return fetched, err
			}
			if err := p.cfg.Hold(ctx, a.Ino); err != nil && !errors.Is(err, index.ErrNotExist) {
				failed = err // of many the last one tells as much
				continue
			}
			fetched++
		}
		after = list[len(list)-1].Ino
	}
}

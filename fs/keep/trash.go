package keep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/index"
)

// TrashConfig says for how long deleted files are kept. Index, Keep and Boot are required.
type TrashConfig struct {
	Index *index.DB
	Keep  time.Duration
	Boot  string // names this boot of the machine
	Log   *slog.Logger

	// Clocks of the machine; nil means the real ones.
	Wall   func() time.Time
	Uptime func() (time.Duration, error) // since the boot, sleep included
}

// Trash gives deleted files up when their time is over. That time is counted by
// a clock of its own, since the machine's may jump by years and be put right
// later: within a boot it goes by what the machine was up, which nobody can
// set, and over a restart it goes on by maxAway at most.
type Trash struct {
	cfg TrashConfig
}

const (
	// maxAway is how much of the time between two boots counts. A machine that
	// was off for longer keeps its trash for longer.
	maxAway = 24 * time.Hour
	// trashEvery is how often the trash is looked at. Files are kept for that
	// much longer, since what is deleted gets the time of the last look.
	trashEvery = 10 * time.Minute
	// expireBatch is how many files one transaction gives up.
	expireBatch = 1000
)

// NewTrash makes the keeper of the trash.
func NewTrash(cfg TrashConfig) *Trash {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Wall == nil {
		cfg.Wall = time.Now
	}
	if cfg.Uptime == nil {
		cfg.Uptime = uptime
	}
	return &Trash{cfg: cfg}
}

// uptime asks the kernel how long ago it was booted.
func uptime() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0, fmt.Errorf("uptime: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// Run gives up what has expired, now and then, until ctx ends.
func (t *Trash) Run(ctx context.Context) error {
	tick := time.NewTicker(trashEvery)
	defer tick.Stop()
	for {
		if _, err := t.Expire(ctx); err != nil && ctx.Err() == nil {
			t.cfg.Log.Warn("trash is not looked at", "op", "expire", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Expire sets the trash's clock and gives up what has expired. It is called
// before files are deleted too, so that they do not get an old time.
func (t *Trash) Expire(ctx context.Context) (gone index.TrashSum, err error) {
	now, err := t.now(ctx)
	if err != nil {
		return gone, fmt.Errorf("expire: %w", err)
	}
	for {
		some, err := t.cfg.Index.ExpireTrash(ctx, now, t.cfg.Keep+trashEvery, expireBatch)
		gone.Files += some.Files
		gone.Bytes += some.Bytes
		if err = errors.Join(err, ctx.Err()); err != nil {
			return gone, fmt.Errorf("expire: %w", err)
		}
		if some.Files < expireBatch {
			break
		}
	}
	if gone.Files > 0 {
		t.cfg.Log.Info("deleted files are given up", "op", "expire", "files", gone.Files, "bytes", gone.Bytes)
	}
	return gone, nil
}

// now returns the trash's clock as it is now.
func (t *Trash) now(ctx context.Context) (now index.TrashClock, err error) {
	before, err := t.cfg.Index.TrashClock(ctx)
	if err != nil {
		return now, err
	}
	now = index.TrashClock{Passed: before.Passed, Wall: t.cfg.Wall(), Boot: t.cfg.Boot}
	if now.Uptime, err = t.cfg.Uptime(); err != nil {
		return now, err
	}
	switch before.Boot {
	case "":
	case now.Boot:
		now.Passed += max(0, now.Uptime-before.Uptime)
	default:
		now.Passed += min(max(0, now.Wall.Sub(before.Wall)), maxAway)
	}
	return now, nil
}

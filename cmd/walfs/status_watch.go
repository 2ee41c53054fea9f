package main

import (
	"context"
	"fmt"
	"time"

	"github.com/walfs/walfs/cmd/internal/ui"
)

func (a *app) askStatus(ctx context.Context) (s status, err error) {
	return s, a.ask(ctx, opStatus, nothing{}, &s)
}

// watchEvery is how often status --watch looks unless it is told.
const watchEvery = 2 * time.Second

// watchStatus shows the status again and again. That it is interrupted is how it ends.
func (a *app) watchStatus(ctx context.Context, every time.Duration) error {
	if every <= 0 {
		return usagef("--watch=%s: want a time above 0", every)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		s, err := a.askStatus(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := a.result("status", s, func() error { return a.Redraw(a.statusText(s)) }); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// tellingRate is a speed, in bytes a second, from which on it tells how long the rest takes: what was
// stored more slowly of late was little, and most of its time was waiting.
const tellingRate = 32 << 10

// secondsLeft returns how long left bytes take at rate bytes a second, nil where that cannot be told.
func secondsLeft(left, rate int64) *int64 {
	if rate <= 0 || rate < tellingRate && rate < left/256 {
		return nil
	}
	seconds := (left + rate - 1) / rate
	return &seconds
}

// pace says how fast things are stored and how long it takes still, while they are.
func (s *status) pace() string {
	if s.NextRetry != "" || s.BytesPerSecond == 0 || s.SecondsLeft == nil || s.StagedBytes+s.StoringBytes+s.DirtyBytes == 0 {
		return ""
	}
	return fmt.Sprintf(", %s/s, about %s left", ui.Size(s.BytesPerSecond), ui.Duration(time.Duration(*s.SecondsLeft)*time.Second))
}

// sinceText says when something began, for a person.
func sinceText(t time.Time) string {
	if d := time.Since(t); d >= 0 && d < 24*time.Hour {
		return ui.Duration(d) + " ago"
	}
	return t.Format(time.RFC3339)
}

package commit

import (
	"context"
	"fmt"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/index"
)

// speedOver is how far back the rate of storing looks.
const speedOver = 30 * time.Second

// speed remembers which segments were certified of late. The caller guards it.
type speed struct {
	landed []landing // the oldest first
}

// landing is a segment that was certified.
type landing struct {
	began, ended time.Time // of its last try
	bytes        int64
}

func (s *speed) add(l landing) { s.landed = append(s.recent(l.ended), l) }

// recent forgets what was certified too long ago, and returns the rest.
func (s *speed) recent(now time.Time) []landing {
	for len(s.landed) > 0 && now.Sub(s.landed[0].ended) > speedOver {
		s.landed = s.landed[1:]
	}
	return s.landed
}

// rate returns how many bytes were certified in a second, over the last speedOver or
// since storing began; 0 when nothing was.
func (s *speed) rate(now time.Time) int64 {
	list := s.recent(now)
	if len(list) == 0 {
		return 0
	}
	began, bytes := list[0].began, int64(0)
	for _, l := range list {
		bytes += l.bytes
		if l.began.Before(began) {
			began = l.began
		}
	}
	return int64(float64(bytes) / min(speedOver, max(time.Second, now.Sub(began))).Seconds())
}

// rate returns how many bytes of segments are certified in a second.
func (f *flights) rate(now time.Time) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.speed.rate(now)
}

// retries returns when the next segment that failed is tried again; zero when none waits.
func (f *flights) retries(now time.Time) (next time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rest := f.away.rest(now)
	for _, fl := range f.open {
		if fl.err == nil || fl.flying {
			continue
		}
		at := fl.next
		if wake := now.Add(rest); rest > 0 && at.Before(wake) {
			at = wake
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// failing returns why the lowest segment that failed, and is to be tried again, did; "" when none has.
func (f *flights) failing() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lowest *flight
	for _, fl := range f.open {
		if fl.err != nil && (lowest == nil || fl.number < lowest.number) {
			lowest = fl
		}
	}
	if lowest == nil {
		return ""
	}
	return lowest.err.Error()
}

// oldestUnsent returns since when the oldest of what is staged or being stored waits; zero: nothing does.
func (c *Committer) oldestUnsent(ctx context.Context, waiting index.Pending) (oldest time.Time, err error) {
	oldest = waiting.OldestQueued
	rows, err := c.cfg.Index.Segments(ctx, index.SegmentFilter{Below: walrus.Certified})
	if err != nil {
		return oldest, fmt.Errorf("segments on their way: %w", err)
	}
	for _, r := range rows {
		if oldest.IsZero() || r.PackedAt.Before(oldest) {
			oldest = r.PackedAt
		}
	}
	return oldest, nil
}

package commit

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// signal wakes all who wait for something to change.
type signal struct {
	mu sync.Mutex // guards ch
	ch chan struct{}
}

// wait returns a channel that the next raise closes. Whoever takes it before
// looking at the state misses nothing.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// The pauses between tries of what may heal by itself.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 5 * time.Minute
)

// backoff returns the pause after a number of failed tries: it doubles, and
// varies by a quarter so that many waiters do not come at once.
func backoff(tries int) time.Duration {
	d := maxPause
	if tries < 10 {
		d = min(maxPause, firstPause<<tries)
	}
	return d*3/4 + rand.N(d/2)
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

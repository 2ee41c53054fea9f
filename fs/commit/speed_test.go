package commit

import (
	"testing"
	"time"
)

// TestSpeed: the rate is that of the last half minute, or since storing began.
func TestSpeed(t *testing.T) {
	start := time.Now()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	var s speed
	if got := s.rate(start); got != 0 {
		t.Errorf("%d before anything was stored", got)
	}
	s.add(landing{began: start, ended: at(4), bytes: 400})
	if got := s.rate(at(4)); got != 100 {
		t.Errorf("%d after 400 bytes in 4 s, want 100", got)
	}
	s.add(landing{began: at(2), ended: at(10), bytes: 600})
	for _, tt := range []struct {
		after int
		want  int64
	}{{10, 100}, {20, 50}, {33, 33}, {38, 20}, {41, 0}} {
		if got := s.rate(at(tt.after)); got != tt.want {
			t.Errorf("%d after %d s, want %d", got, tt.after, tt.want)
		}
	}
	s.add(landing{began: at(60), ended: at(60), bytes: 7})
	if got := s.rate(at(60)); got != 7 {
		t.Errorf("%d for a moment, want 7: a second at least", got)
	}
}

package ui

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// rateOver is how far back the rate looks.
const rateOver = 15 * time.Second

// sample is what was done at a moment.
type sample struct {
	when time.Time
	done Count
}

// state is one look at a Progress, and the object of type "progress" in JSON.
type state struct {
	Name       string `json:"name"`
	ItemsDone  int64  `json:"items_done"`
	ItemsTotal int64  `json:"items_total"`
	BytesDone  int64  `json:"bytes_done"`
	BytesTotal int64  `json:"bytes_total"`
	ItemRate   int64  `json:"items_per_second"`
	ByteRate   int64  `json:"bytes_per_second"`
	// SecondsLeft is missing while it cannot be told.
	SecondsLeft *int64 `json:"seconds_left,omitempty"`

	unit string
}

// state returns the state of now and remembers it for the rate.
func (p *Progress) state(now time.Time) state {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := state{
		Name: p.name, unit: p.unit,
		ItemsDone: p.done.Items, ItemsTotal: p.total.Items,
		BytesDone: p.done.Bytes, BytesTotal: p.total.Bytes,
	}
	for len(p.history) > 1 && now.Sub(p.history[1].when) >= rateOver {
		p.history = p.history[1:]
	}
	if past := p.history[0]; now.After(past.when) {
		seconds := now.Sub(past.when).Seconds()
		items := max(0, float64(p.done.Items-past.done.Items)/seconds)
		bytes := max(0, float64(p.done.Bytes-past.done.Bytes)/seconds)
		s.ItemRate, s.ByteRate = int64(math.Round(items)), int64(math.Round(bytes))
		s.SecondsLeft = secondsLeft(p.done, p.total, items, bytes)
	}
	// Two samples a second are enough, however often the line is drawn.
	if last := p.history[len(p.history)-1]; now.Sub(last.when) >= time.Second/2 {
		p.history = append(p.history, sample{now, p.done})
	}
	return s
}

// secondsLeft returns how long the rest takes at rates a second, by bytes where
// their total is known, or nil when it cannot be told.
func secondsLeft(done, total Count, items, bytes float64) *int64 {
	left, rate := total.Bytes-done.Bytes, bytes
	if total.Bytes == 0 {
		left, rate = total.Items-done.Items, items
	}
	if total == (Count{}) || left > 0 && rate <= 0 {
		return nil
	}
	seconds := int64(0)
	if left > 0 {
		s := math.Ceil(float64(left) / rate)
		if s > float64(math.MaxInt32) {
			return nil // decades
		}
		seconds = int64(s)
	}
	return &seconds
}

// line returns s in words: "commit  12/40 files  1.3/4.0 GiB  38 MiB/s  1m12s".
func (s state) line() string {
	parts := []string{s.Name}
	switch {
	case s.ItemsTotal > 0:
		parts = append(parts, fmt.Sprintf("%d/%d %s", s.ItemsDone, s.ItemsTotal, s.unit))
	case s.ItemsDone > 0:
		parts = append(parts, fmt.Sprintf("%d %s", s.ItemsDone, s.unit))
	}
	switch {
	case s.BytesTotal > 0:
		parts = append(parts, sizePair(s.BytesDone, s.BytesTotal))
	case s.BytesDone > 0:
		parts = append(parts, Size(s.BytesDone))
	}
	switch {
	case s.BytesTotal > 0 || s.BytesDone > 0:
		parts = append(parts, Size(s.ByteRate)+"/s")
	case s.ItemsDone > 0:
		parts = append(parts, fmt.Sprintf("%d %s/s", s.ItemRate, s.unit))
	}
	if s.SecondsLeft != nil {
		parts = append(parts, Duration(time.Duration(*s.SecondsLeft)*time.Second))
	}
	return Clean(strings.Join(parts, "  "))
}

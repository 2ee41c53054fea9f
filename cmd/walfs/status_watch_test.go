package main

import "testing"

// A rate of mere names says nothing about how long megabytes of content take.
func TestSecondsLeft(t *testing.T) {
	for _, c := range []struct{ left, rate, want int64 }{
		{3 << 20, 0, -1},
		{3 << 20, 21, -1},
		{3, 26, 1},
		{0, 26, 0},
		{10 << 30, 33 << 10, 317751},
		{100 << 20, 50 << 20, 2},
	} {
		got := int64(-1)
		if seconds := secondsLeft(c.left, c.rate); seconds != nil {
			got = *seconds
		}
		if got != c.want {
			t.Errorf("%d bytes at %d a second: %d s, want %d", c.left, c.rate, got, c.want)
		}
	}
}

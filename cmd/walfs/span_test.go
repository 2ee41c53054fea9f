package main

import (
	"testing"
	"time"
)

func TestParseSpan(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "12h": 12 * time.Hour, "3d": 3 * day, "2w": 14 * day, "1w2d": 9 * day, "1d12h30m": 36*time.Hour + 30*time.Minute,
		"1.5d": 36 * time.Hour, ".5w": 84 * time.Hour, "0": 0, "0d": 0, "-1h": -time.Hour, "106751d": 106751 * day,
	} {
		if got, err := parseSpan(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "3", "d", "w", "3x", "-3d", "3d-4h5", "1h3d", "3 d", "106752d", "20000w", "106751d24h", "1e3d", "9999999999999999999999d"} {
		if got, err := parseSpan(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

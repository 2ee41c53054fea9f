package main

import (
	"math"
	"strings"
	"testing"

	"github.com/walfs/walfs/cmd/internal/ui"
)

func TestParseAmount(t *testing.T) {
	for text, want := range map[string]struct {
		n uint64
		c coin
	}{
		"1WAL": {1_000_000_000, coinWAL}, "1.5WAL": {1_500_000_000, coinWAL}, "1.5 WAL": {1_500_000_000, coinWAL},
		"0.000000001WAL": {1, coinWAL}, "20FROST": {20, coinWAL}, "007SUI": {7_000_000_000, coinSUI}, "20 MIST": {20, coinSUI},
		"18446744073.709551615WAL": {math.MaxUint64, coinWAL}, "18446744073709551615MIST": {math.MaxUint64, coinSUI},
	} {
		n, c, err := parseAmount(text)
		if err != nil || n != want.n || c != want.c {
			t.Errorf("%q: got %d %s, %v, want %d %s", text, n, c, err, want.n, want.c)
		}
	}
	for _, text := range []string{"", "WAL", "1", "1.5", "0WAL", "0.0SUI", "-1WAL", "+1WAL", "1e3WAL", "1,5WAL", "1_000WAL", "1.WAL", ".5WAL", "1..5WAL",
		"1.0000000000WAL", "0.5FROST", "1 wal", "1Wal", "1  WAL", " 1WAL", "1WAL ", "0x10WAL", "١WAL", "18446744073.709551616WAL", "18446744073709551616FROST",
		"1BTC", "1SUIWAL", strings.Repeat("9", 1000) + "WAL"} {
		if n, c, err := parseAmount(text); err == nil || ui.CodeOf(err) != ui.Usage {
			t.Errorf("%q: got %d %s, %v, want a usage error", text, n, c, err)
		}
	}
}

// TestFormatAmount writes amounts that parseAmount reads back.
func TestFormatAmount(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 WAL", 1: "0.000000001 WAL", 1_500_000_000: "1.5 WAL", 2_000_000_000: "2 WAL", 999_999_999_999_999_999: "999999999.999999999 WAL",
		math.MaxUint64: "18446744073.709551615 WAL",
	} {
		if got := wal(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
		if back, c, err := parseAmount(wal(n)); n != 0 && (err != nil || back != n || c != coinWAL) {
			t.Errorf("%q: got %d %s, %v", wal(n), back, c, err)
		}
	}
	if got := formatChange(math.MinInt64, coinSUI); got != "-9223372036.854775808 SUI" {
		t.Errorf("got %q", got)
	}
}

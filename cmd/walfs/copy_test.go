package main

import (
	"os"
	"testing"
)

// TestTotalOf tells the size of a file as what is to be copied, and not that of a folder, whose
// files have more.
func TestTotalOf(t *testing.T) {
	for mode, want := range map[os.FileMode]int64{0o644: 4096, os.ModeDir | 0o755: 0, os.ModeSymlink | 0o777: 0, os.ModeNamedPipe: 0} {
		if got := totalOf(mode, 4096); got != want {
			t.Errorf("%s: %d bytes, want %d", mode, got, want)
		}
	}
}

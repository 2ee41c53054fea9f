//go:build race

package integration

import "os"

// With the race detector on, walfs is built with it too, and ends at the first race.
func init() {
	raceDetector = true
	os.Setenv("GORACE", "halt_on_error=1")
}

//go:build race

package redstuff_test

func init() { raceDetector = true }

//go:build !failpoint

package main

// failpoint returns no hook: only builds with the tag failpoint end themselves.
func failpoint() func(stage string) { return nil }

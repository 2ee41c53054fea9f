//go:build !amd64

package redstuff

// hasLanes reports whether compress8 and compress4 run on this processor.
var hasLanes = false

func compress8(*[8][8]uint64, *[8]*byte, int, uint64, uint64, uint64) {}

func compress4(*[8][4]uint64, *[4]*byte, int, uint64, uint64, uint64) {}

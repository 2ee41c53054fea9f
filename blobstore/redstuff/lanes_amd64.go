package redstuff

import "golang.org/x/sys/cpu"

// hasLanes reports whether compress8 and compress4 run on this processor.
var hasLanes = cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL

// compress8 advances eight BLAKE2b states, word by word in lockstep, by blocks
// of 128 bytes each, at least one. Counter is the number of bytes before them,
// step how many each block adds, and last all ones if it is the final one.
//
//go:noescape
func compress8(state *[8][8]uint64, messages *[8]*byte, blocks int, counter, step, last uint64)

// compress4 does the same for four states.
//
//go:noescape
func compress4(state *[8][4]uint64, messages *[4]*byte, blocks int, counter, step, last uint64)

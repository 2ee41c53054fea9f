//go:build !nofsync

package index

// syncFull is what PRAGMA synchronous is set to for a barrier.
const syncFull = "FULL"

// syncs: barriers sync the log.
const syncs = true

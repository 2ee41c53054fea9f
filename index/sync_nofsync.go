//go:build nofsync

package index

// syncFull makes barriers commit without fsync: with this build crash tests must fail.
const syncFull = "NORMAL"

const syncs = false

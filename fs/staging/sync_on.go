//go:build !nofsync

package staging

// syncs is false in builds that exist to show that tests of durability can fail.
const syncs = true

//go:build nofsync

package staging

const syncs = false

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// What draining needs, measured on an embedded network of 100 shards.
const (
	// sliverShare is how many bytes of slivers and metadata one staged byte becomes.
	sliverShare = 4.5
	// smallSegment is what a segment costs beside its content, in bytes.
	smallSegment = 128 << 10
	// outboxWindow is how many bytes of sealed segments lie in the outbox at most.
	outboxWindow = 256 << 20
	// stagingLag is how many bytes staging may have taken and not counted yet.
	stagingLag = 16 << 20
	// maxReserve is left free on every disk, or a twentieth of it if that is less.
	maxReserve = 1 << 30
)

// disk is a file system that the drive lives on.
type disk struct {
	path  string
	share float64 // bytes written to it when one staged byte is drained
	home  bool    // staging and outbox lie here
	cache bool    // the sliver cache lies here
	floor int64   // bytes that what can be evicted leaves free
	low   int64   // the least that was free since it came below the reserve, in bytes
	full  bool    // low counts
}

// findDisks sorts state folder, cache and nodes by file system.
func (r *room) findDisks() error {
	cacheDir, err := r.d.config.cacheFolder(r.d.home, os.Getenv)
	if err != nil {
		return err
	}
	byDevice := map[uint64]*disk{}
	visit := func(path string) (*disk, error) {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		device := uint64(info.Sys().(*syscall.Stat_t).Dev)
		if byDevice[device] == nil {
			byDevice[device] = &disk{path: path}
		}
		return byDevice[device], nil
	}
	home, err := visit(r.d.home.dir)
	if err != nil {
		return fmt.Errorf("room of state folder: %w", err)
	}
	home.home = true
	if place, err := visit(cacheDir); err == nil {
		place.cache, place.floor = true, r.d.floor
	}
	nodes := r.d.net.Nodes()
	for _, node := range nodes {
		place, err := visit(node.Dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a disk that is not here is not written to
		}
		if err != nil {
			return fmt.Errorf("room of %s: %w", node.Name, err)
		}
		place.share += sliverShare / float64(len(nodes))
	}
	for _, place := range byDevice {
		r.disks = append(r.disks, *place)
	}
	return nil
}

// room returns how many bytes of the disk are free, and how many it has.
func (k *disk) room() (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(k.path, &st); err != nil {
		return 0, 0, fmt.Errorf("room on the disk of %s: %w", k.path, err)
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}

// lost reports whether an error of room says that a disk is not here, on which nodes lie and nothing else: it
// is not written to.
func (k *disk) lost(err error) bool {
	return !k.home && !k.cache && errors.Is(err, fs.ErrNotExist)
}

// relief is how many bytes have to become free on a disk until storing is tried again: names alone need less.
const relief = 1 << 20

// relieved reports whether a disk that is, or was, down to its reserve has more room now than at the last look.
func (k *disk) relieved() (bool, error) {
	free, total, err := k.room()
	if k.lost(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	reserve := reserveOf(total)
	more := k.full && (free >= k.low+relief || free >= reserve)
	if more || !k.full || free < k.low {
		k.low = free
	}
	k.full = free < reserve
	return more, nil
}

// spare returns how many bytes more may be staged, and how much is to be evicted so that
// the backlog fits already.
func (k *disk) spare(b backlog) (left, short int64, err error) {
	free, total, err := k.room()
	if k.lost(err) {
		return 1 << 62, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	left, short = k.spareOf(free, total, b)
	return left, short, nil
}

// spareOf is spare for a disk of total bytes of which free are free.
func (k *disk) spareOf(free, total int64, b backlog) (left, short int64) {
	need := int64(k.share*float64(b.staged)) + reserveOf(total)
	cost := k.share // of one byte more
	var evictable int64
	if k.home {
		need += b.segments*smallSegment + min(outboxWindow, b.staged)
		evictable += b.copies
		cost++
	}
	if k.cache {
		evictable += b.cache
	}
	if cost > 0 {
		left = int64(float64(free+evictable-need) / cost)
	} else {
		left = 1 << 62
	}
	return left, min(evictable, max(0, need-free, k.floor-free))
}

// reserveOf returns what is left free on a disk of total bytes.
func reserveOf(total int64) int64 { return min(maxReserve, total/20) }

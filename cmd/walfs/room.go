package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/walrus"
	drivefs "github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/index"
)

// What draining needs, measured on an embedded network of 100 shards.
const (
	// sliverShare is how many bytes of slivers and metadata one staged byte becomes.
	sliverShare = 4.5
	// smallSegment is what a segment costs beside its content, in bytes.
	smallSegment = 128 << 10
	// outboxWindow is how many bytes of sealed segments lie in the outbox at most.
	outboxWindow = 256 << 20
	// maxReserve is left free on every disk, or a twentieth of it if that is less.
	maxReserve = 1 << 30
)

// How old the numbers may be.
const (
	roomStale  = 500 * time.Millisecond // when somebody writes or asks
	roomUrgent = 50 * time.Millisecond  // when a writer is about to be refused
)

// room says how much may be written: what is staged must fit onto the nodes' disks as
// slivers, or it could never be certified. What can be evicted counts as free.
type room struct {
	d     *drive
	disks []disk

	look sync.Mutex // one look at a time
	kick chan struct{}

	mu    sync.Mutex // guards the fields below
	at    time.Time  // of the last look
	taken int64      // bytes staged since
	space drivefs.Space
	spare int64 // bytes that may still be staged, by the last look
}

// disk is a file system that the drive lives on.
type disk struct {
	path  string
	share float64 // bytes written to it when one staged byte is drained
	home  bool    // staging and outbox lie here
	cache bool    // the sliver cache lies here
}

func newRoom(d *drive) (*room, error) {
	r := &room{d: d, kick: make(chan struct{}, 1)}
	if err := r.findDisks(); err != nil {
		return nil, err
	}
	return r, nil
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
		place.cache = true
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

// hooks returns what the file system asks.
func (r *room) hooks() drivefs.Room {
	return drivefs.Room{Take: r.take, Space: r.get}
}

// take refuses n more bytes when they could not be drained.
func (r *room) take(n int64) error {
	r.mu.Lock()
	age, fits := time.Since(r.at), r.taken+n <= r.spare
	if fits {
		r.taken += n
	}
	r.mu.Unlock()
	if age > roomStale {
		r.wake()
	}
	if fits {
		return nil
	}
	if age > roomUrgent {
		if err := r.refresh(context.Background(), roomUrgent); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken+n > r.spare {
		return drivefs.ErrNoRoom
	}
	r.taken += n
	return nil
}

// get returns what statfs shows, from memory.
func (r *room) get() drivefs.Space {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.at) > roomStale {
		r.wake()
	}
	space := r.space
	space.Free = max(0, space.Free-r.taken)
	return space
}

func (r *room) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// run looks again when somebody asks who has old numbers, and makes room where it is short.
func (r *room) run(ctx context.Context) error {
	for {
		if err := r.refresh(ctx, roomStale); err != nil && ctx.Err() == nil {
			r.d.log.Warn("cannot tell how much room there is", "err", err)
		}
		select {
		case <-r.kick:
		case <-ctx.Done():
			return nil
		}
	}
}

// backlog is what has to be drained and what can be given up for it, in bytes.
type backlog struct {
	staged   int64 // not packed yet, plus packed and not stored
	segments int64 // packed and not certified
	copies   int64 // clean copies
	cache    int64
	stored   int64 // certified contents, for statfs
}

// refresh looks at backlog and disks, unless that was done less than age ago.
func (r *room) refresh(ctx context.Context, age time.Duration) error {
	r.look.Lock()
	defer r.look.Unlock()
	r.mu.Lock()
	fresh := time.Since(r.at) < age
	before := r.taken
	r.mu.Unlock()
	if fresh {
		return nil
	}
	b, err := r.backlog(ctx)
	if err != nil {
		return err
	}
	spare, short := int64(1)<<62, int64(0)
	for _, place := range r.disks {
		left, lacks, err := place.spare(b)
		if err != nil {
			return err
		}
		spare, short = min(spare, left), max(short, lacks)
	}
	r.evict(b, short)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.spare = time.Now(), spare
	r.taken -= before // the look saw those bytes
	free := max(0, spare)
	r.space = drivefs.Space{Total: free + b.stored + b.staged, Free: free}
	return nil
}

func (r *room) backlog(ctx context.Context) (b backlog, err error) {
	usage, err := r.d.index.Usage(ctx)
	if err != nil {
		return b, err
	}
	if b.copies, err = r.d.index.CopiesBytes(ctx); err != nil {
		return b, err
	}
	// Both are bounds: a large file of which a block changed counts whole in one, and what is
	// not a copy yet although certified in the other.
	b.staged = min(usage.Dirty+usage.Staged, max(0, r.d.staging.Bytes()-b.copies))
	open, err := r.d.index.Segments(ctx, index.SegmentFilter{Below: walrus.Certified})
	if err != nil {
		return b, err
	}
	for _, segment := range open {
		if segment.Stage < walrus.Stored {
			b.staged += segment.Size
		}
	}
	b.segments, b.cache, b.stored = int64(len(open)), r.d.cache.Used(), usage.Storing+usage.Certified
	return b, nil
}

// spare returns how many bytes more may be staged, and how much is to be evicted so that
// the backlog fits already.
func (k disk) spare(b backlog) (left, short int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(k.path, &st); err != nil {
		return 0, 0, fmt.Errorf("room on the disk of %s: %w", k.path, err)
	}
	free, total := int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize
	need := int64(k.share*float64(b.staged)) + min(maxReserve, total/20)
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
	return left, min(evictable, max(0, need-free)), nil
}

// evict gives the cache and the clean copies less than their budget while room is short.
func (r *room) evict(b backlog, short int64) {
	budget := r.d.budget
	if short > 0 {
		budget = min(budget, max(0, b.copies+b.cache-short))
	}
	r.d.copies.SetBudget(budget)
	if short > 0 {
		r.d.copies.Wake()
	}
}

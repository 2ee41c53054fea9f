// Package cache keeps verified slivers on disk within a hard byte budget, so
// that what was fetched once is read again at the speed of the disk.
//
// Open it on a folder; Get returns a sliver from the folder or else from the
// fill function that the caller gives, and keeps what fill returned. What goes
// in must have been verified against its blob ID. It is ciphertext where the
// drive is sealed, so the folder shows no more than a storage node sees.
//
// # Files
//
// A sliver is one file, <2 hex>/<64 hex blob ID>-<axis>-<index>, where the two
// digits are those that the blob ID starts with, the axis is 0 for primary, 1
// for secondary and 2 for metadata, and the index is decimal. Integers are
// little-endian:
//
//	off len field
//	  0   4 magic "WSLC"
//	  4   4 version 1
//	  8   4 length of the data
//	 12   4 CRC32C of the data
//	 16  .. data
//
// A file is written under a temporary name and renamed. There is no fsync: the
// content is not the only copy, and a file that a power cut left empty, short
// or stale fails its checksum when it is loaded, is removed and fetched again.
//
// # Budget and order
//
// A file counts with its length rounded up to 4 KiB, from before its first byte
// is written until it is removed, so the files never outgrow the budget. Others
// can keep bytes under the same budget, see Config.Held and Hold; slivers have a
// half of it for themselves. New slivers enter on probation; one that is asked for
// again is protected. The slivers that rested longest on probation are evicted
// first, so that one read through a large file does not push out what is used
// daily. The file "order", written by Close, keeps that order across restarts;
// after a crash it is that of the files' times. The few slivers loaded last are also
// held in memory, for readers that take a sliver in many small steps.
//
// Who waits for a disk that does not answer is given the sliver by fill after two
// seconds; one that hangs is passed by. What was already asked of it goes on, and nobody waits for that.
//
// On a disk that is full down to MinFree slivers give way, the oldest first, and
// nothing more is kept. That is never an error of a reader: the bytes are
// returned. Two processes must not open one folder at a time.
package cache

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
)

// ErrClosed reports a call after Close.
var ErrClosed = errors.New("cache is closed")

// DefaultMemory is how many bytes of slivers are kept in memory: some sixty, for
// as many readers that go through slivers in small steps.
const DefaultMemory = 16 << 20

// DefaultMinFree is the room in bytes that the cache leaves on its file system
// for the staging folder and everybody else.
const DefaultMinFree = 256 << 20

// writeParallel is how many files are written at a time: more only wait for each
// other in the file system.
const writeParallel = 2

// metadataAxis stands in names of files for the metadata of a blob, which has
// no axis.
const metadataAxis walrus.Axis = 2

// MetadataID returns the ID under which the metadata of blob is kept.
func MetadataID(blob walrus.BlobID) walrus.SliverID {
	return walrus.SliverID{Blob: blob, Axis: metadataAxis}
}

// Config says where and how much to cache.
type Config struct {
	Dir     string // made if missing, mode 0700
	Budget  int64  // bytes; 0 or less: nothing is kept
	MinFree int64  // free bytes below which nothing is added; 0: DefaultMinFree, negative: no floor
	Memory  int64  // bytes of slivers just read to keep in memory; 0: DefaultMemory, negative: none
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now
	// Held returns how many bytes others keep under the budget beside what they
	// have asked for with Hold; nil: none. It must not block.
	Held func() int64
	// Short is told when a sliver is not kept because others hold too much, or
	// the disk is too full; nil: nobody is. It must not block.
	Short func()
}

// Stats counts since Open. Hits and Misses count calls of Get; a call that waits
// for the fill of another is a miss.
type Stats struct {
	Hits, Misses     uint64
	Corrupt, Evicted uint64 // files
}

// Cache is a folder of slivers. It is safe for concurrent use.
type Cache struct {
	root    *os.Root
	log     *slog.Logger
	now     func() time.Time
	minFree int64
	others  func() int64
	short   func()

	// work counts fills and writes, which Close waits for. It grows only under
	// mu while closed is false.
	work sync.WaitGroup

	writers   chan struct{} // a token for each file that is being written
	loaders   loaders
	unwritten backlog

	// mu guards the fields below. No call of the file system is made under it. Names
	// and lists agree but for what is busy, which nobody else touches.
	mu       sync.Mutex
	closed   bool
	lists    segments
	memory   memory
	budget   int64
	holding  int64                    // by Hold, until Settle
	refused  int64                    // bytes that were not kept since Wanted because others hold too much
	used     int64                    // files, files that are being written, and stuck ones
	leaving  int64                    // those of used that are being removed
	busy     map[walrus.SliverID]bool // being written or removed
	flights  map[walrus.SliverID]*flight
	era      uint64 // counts Clear: a write begun before it is dropped
	failing  bool   // the last write failed, which was logged
	stalling bool   // a reading was given up, which was logged, and none has ended since
	stats    Stats
}

// Open opens the cache in cfg.Dir. It takes over the files that it finds,
// oldest first in line to go, and removes what a crash left half written.
func Open(cfg Config) (*Cache, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	c := &Cache{
		root:    root,
		log:     cfg.Log,
		now:     cfg.Now,
		minFree: cfg.MinFree,
		others:  cfg.Held,
		short:   cfg.Short,
		budget:  max(0, cfg.Budget),
		memory:  memory{limit: cfg.Memory, latest: list.New()},
		writers: make(chan struct{}, writeParallel),
		busy:    make(map[walrus.SliverID]bool),
		flights: make(map[walrus.SliverID]*flight),
	}
	c.lists.init()
	c.loaders.init()
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.others == nil {
		c.others = func() int64 { return 0 }
	}
	if c.short == nil {
		c.short = func() {}
	}
	if c.minFree == 0 {
		c.minFree = DefaultMinFree
	}
	if c.memory.limit == 0 {
		c.memory.limit = DefaultMemory
	}
	if err := c.scan(); err != nil {
		return nil, errors.Join(fmt.Errorf("open cache: %w", err), root.Close())
	}
	return c, nil
}

// Has reports whether id is in the cache. Its checksum is not looked at.
func (c *Cache) Has(id walrus.SliverID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lists.get(id) != nil
}

// Budget returns the budget in bytes.
func (c *Cache) Budget() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.budget
}

// Used returns the bytes that count against the budget now.
func (c *Cache) Used() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// Stats returns what was counted since Open.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// evictStep is how many files are removed under one hold of mu.
const evictStep = 64

// SetBudget changes the budget to n bytes and returns when the files fit it.
// Files that are being written then are dropped if they no longer do.
func (c *Cache) SetBudget(n int64) {
	c.mu.Lock()
	c.budget = max(0, n)
	c.mu.Unlock()
	for more := true; more; {
		c.mu.Lock()
		more = c.evict(evictStep)
		c.mu.Unlock()
	}
}

// Clear removes every sliver, those included that are being written.
func (c *Cache) Clear() error {
	c.mu.Lock()
	c.era++
	c.mu.Unlock()
	var errs []error
	for more := true; more; {
		c.mu.Lock()
		for i := 0; i < evictStep && more; i++ {
			e := c.lists.victim()
			if more = e != nil; more {
				errs = append(errs, c.remove(e))
			}
		}
		c.mu.Unlock()
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clear cache: %w", err)
	}
	return nil
}

// Close cancels all fills, waits for them and lets go of the folder, whose files
// stay for the next Open. It does not wait for readings of a disk that hangs.
func (c *Cache) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	for _, f := range c.flights {
		f.cancel()
	}
	c.mu.Unlock()
	c.work.Wait()
	if !c.dismiss() {
		c.log.Warn("order of cached slivers is not kept: the disk does not answer")
	} else if err := c.saveOrder(); err != nil {
		c.log.Warn("order of cached slivers is not kept", "err", err)
	}
	return c.root.Close()
}

// Get returns the bytes of id, from disk, or else from fill, whose bytes must be
// verified and are kept for the next call. Calls for one id at a time share one
// fill; it runs with a context of its own, which ends when all of them have
// given up. A disk that does not answer for a while counts as one that does not have them. The bytes may be
// shared: they must not be changed. Get returns the error of fill, that of ctx, or ErrClosed.
func (c *Cache) Get(ctx context.Context, id walrus.SliverID, fill func(context.Context) ([]byte, error)) ([]byte, error) {
	data, late := c.load(ctx, id)
	if data != nil {
		return data, nil
	}
	f, err := c.join(ctx, id, fill)
	if err != nil {
		return nil, err
	}
	var loaded <-chan struct{}
	if late != nil {
		loaded = late.done
	}
	for {
		select {
		case <-f.done:
			return f.data, f.err
		case <-loaded:
			if late.data != nil {
				c.leave(id, f)
				return late.data, nil
			}
			loaded = nil
		case <-ctx.Done():
			c.leave(id, f)
			return nil, ctx.Err()
		}
	}
}

// Put keeps data under id, if the budget and the disk have room and id is not
// there yet. Data must be verified, and must not be changed. Put returns ErrClosed,
// and errors of the file system other than a lack of room; the cache works on after
// them. It returns the error of ctx when that ends: a write that has begun goes on
// then, and Close waits for it.
func (c *Cache) Put(ctx context.Context, id walrus.SliverID, data []byte) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	done := make(chan error, 1)
	c.work.Go(func() { done <- c.store(ctx, id, data) })
	c.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

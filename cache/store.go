package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/walrus"
)

// touchEvery is how old the time of a file may get before a hit renews it. It
// costs one write of an inode and only has to order files across a restart.
const touchEvery = 10 * time.Minute

// errNoRoom reports a file system below the floor of free space.
var errNoRoom = errors.New("file system is nearly full")

// find returns the entry of id, or nil, and its bytes if they are in memory. What is on a
// disk that hangs alone is as good as not here.
func (c *Cache) find(id walrus.SliverID) (e *entry, data []byte) {
	c.mu.Lock()
	if !c.closed {
		e = c.lists.get(id)
	}
	var renew time.Time
	if e != nil {
		if data = c.memory.get(e); data != nil {
			renew = c.hit(e)
		} else if c.loaders.hang() {
			e = nil
		}
	}
	c.mu.Unlock()
	if !renew.IsZero() {
		c.touchSoon(e, renew)
	}
	return e, data
}

// hit counts and notes that e was asked for, and returns the time that its file is to get,
// or zero. The caller holds mu.
func (c *Cache) hit(e *entry) (renew time.Time) {
	c.stats.Hits++
	e.used = c.now()
	c.lists.use(e, c.limit())
	if d := e.used.Sub(e.touched); d >= 0 && d < touchEvery {
		return time.Time{}
	}
	e.touched = e.used
	return e.used
}

// load returns the bytes of id from memory or disk, or nil, and then the reading that may bring them yet,
// if there is one. A file that is damaged is removed.
func (c *Cache) load(ctx context.Context, id walrus.SliverID) (data []byte, late *reading) {
	e, data := c.find(id)
	if e == nil || data != nil {
		return data, nil
	}
	return c.read(ctx, e)
}

// loaded notes what reading the file of e gave, and returns what hit does.
func (c *Cache) loaded(e *entry, data []byte, err error) (renew time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed { // nothing is counted or removed any more
		return renew
	}
	if err == nil {
		c.stalling = false
	}
	same := c.lists.get(e.id) == e // else it was evicted, or evicted and stored again
	switch {
	case err != nil && same:
		c.lose(e, err)
	case err != nil:
	case same:
		renew = c.hit(e)
		c.memory.add(e, data)
	default:
		c.stats.Hits++
	}
	return renew
}

// lose handles an entry whose file could not be read. Only what is wrong with
// the file itself costs it its place; a lack of file descriptors does not. The
// caller holds mu.
func (c *Cache) lose(e *entry, err error) {
	switch {
	case errors.Is(err, errBadFile), errors.Is(err, unix.EIO):
		c.stats.Corrupt++
		c.log.Warn("cached sliver is damaged, fetching it again", "sliver", e.id, "err", err)
	case errors.Is(err, fs.ErrNotExist): // somebody emptied the folder
	default:
		c.log.Debug("read cached sliver", "sliver", e.id, "err", err)
		return
	}
	_ = c.remove(e) // logged there
}

// touch renews the time of a file.
func (c *Cache) touch(id walrus.SliverID, at time.Time) {
	if err := c.root.Chtimes(pathOf(id), at, at); err != nil {
		c.log.Debug("set time of cached sliver", "sliver", id, "err", err)
	}
}

// store writes data under id, as part of work. A lack of room is no error. The wait
// for other writes ends with ctx.
func (c *Cache) store(ctx context.Context, id walrus.SliverID, data []byte) error {
	size := cost(fileHeader + int64(len(data)))
	if ok, err := c.wants(id, size); !ok {
		return err
	}
	select {
	case c.writers <- struct{}{}:
		defer func() { <-c.writers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := c.roomOnDisk(size); err != nil { // before anything is evicted for it
		c.short()
		return c.storeFailed(id, err)
	}
	era, ok, err := c.reserve(id, size)
	if !ok {
		return err
	}
	tmp := dirOf(id) + "/" + tempPrefix + rand.Text()
	err = c.writeTemp(id, tmp, data)
	return c.storeFailed(id, c.settle(id, tmp, size, era, err))
}

// wants reports whether id may be stored: it is not there, nobody writes it,
// and it is not larger than all the budget.
func (c *Cache) wants(id walrus.SliverID, size int64) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wantsLocked(id, size)
}

func (c *Cache) wantsLocked(id walrus.SliverID, size int64) (bool, error) {
	if c.closed {
		return false, ErrClosed
	}
	return !c.busy[id] && c.lists.get(id) == nil && size <= c.budget, nil
}

// reserve counts size bytes for id before they are written, and evicts to make
// room for them. It says no when id is not wanted or nothing more can go.
func (c *Cache) reserve(id walrus.SliverID, size int64) (era uint64, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok, err := c.wantsLocked(id, size); !ok {
		return 0, false, err
	}
	limit := c.limit()
	if c.used+size > limit && limit < c.budget-c.budget/2 { // others have more than their half
		c.refused += size
		defer c.short()
	}
	if size > limit {
		return 0, false, nil
	}
	c.busy[id] = true // before mu is let go to evict
	for c.used+size > c.limit() && c.evictFor(c.used+size-c.limit(), evictStep) > 0 {
	}
	if c.used+size > c.limit() { // what is left is being written
		delete(c.busy, id)
		return 0, false, nil
	}
	c.used += size
	return c.era, true, nil
}

// settle renames the temporary file into place, or discards it if err says that
// it is not whole or if the cache was cleared since era.
func (c *Cache) settle(id walrus.SliverID, tmp string, size int64, era uint64, err error) error {
	path := tmp
	if err == nil {
		if err = c.root.Rename(tmp, pathOf(id)); err == nil {
			path = pathOf(id)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || c.era != era {
		c.discard(path, size)
		delete(c.busy, id)
		return err
	}
	delete(c.busy, id)
	c.failing = false
	now := c.now()
	c.lists.add(&entry{id: id, size: size, touched: now, used: now})
	for c.evict(evictStep) { // the budget may have shrunk meanwhile
	}
	return nil
}

// writeTemp writes the temporary file and makes its folder first if need be.
func (c *Cache) writeTemp(id walrus.SliverID, tmp string, data []byte) error {
	err := writeFile(c.root, tmp, data)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := c.root.Mkdir(dirOf(id), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return writeFile(c.root, tmp, data)
}

// roomOnDisk makes sure that size more bytes leave the file system with the
// floor of free space. Slivers give way to that; errNoRoom if they cannot.
func (c *Cache) roomOnDisk(size int64) error {
	if c.minFree < 0 {
		return nil
	}
	free, err := c.free()
	if err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	for lacks := c.minFree - (free - size); lacks > 0; {
		c.mu.Lock()
		gone := c.evictFor(lacks, evictStep)
		c.mu.Unlock()
		if gone == 0 {
			return errNoRoom
		}
		lacks -= gone
	}
	return nil
}

// storeFailed returns err unless it is a lack of room, and logs the first of a
// row of failures.
func (c *Cache) storeFailed(id walrus.SliverID, err error) error {
	if err == nil {
		return nil
	}
	c.mu.Lock()
	said := c.failing
	c.failing = true
	c.mu.Unlock()
	if !said {
		c.log.Warn("slivers are not cached for now", "sliver", id, "err", err)
	}
	if errors.Is(err, errNoRoom) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return nil
	}
	return fmt.Errorf("cache %s: %w", id, err)
}

// discard removes a file that was not taken over, if it was made at all. If it
// stays, its size bytes stay counted. The caller holds mu, which is let go meanwhile.
func (c *Cache) discard(path string, size int64) {
	c.mu.Unlock()
	err := c.root.Remove(path)
	if err != nil {
		if _, gone := c.root.Lstat(path); gone != nil {
			err = nil
		}
	}
	c.mu.Lock()
	if err == nil {
		c.used -= size
		return
	}
	c.log.Warn("cache file cannot be removed", "size", size, "err", err)
}

// remove takes e out and removes its file. The caller holds mu, which is let go
// meanwhile: nobody who only wants to know what is here waits for the disk.
func (c *Cache) remove(e *entry) error {
	c.lists.drop(e)
	c.memory.drop(e)
	c.busy[e.id] = true
	c.leaving += e.size
	c.mu.Unlock()
	err := c.root.Remove(pathOf(e.id))
	c.mu.Lock()
	c.leaving -= e.size
	delete(c.busy, e.id)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		// It goes on to take room, so it goes on to count until the next Open.
		c.log.Warn("cached sliver cannot be removed", "sliver", e.id, "size", e.size, "err", err)
		return err
	}
	c.used -= e.size
	return nil
}

// evict removes up to n files while they take more than they may, and reports
// whether it may have to go on. The caller holds mu, which is let go meanwhile.
func (c *Cache) evict(n int) bool {
	for ; n > 0 && c.used-c.leaving > c.limit(); n-- {
		if c.evictFor(1, evictStep) == 0 {
			return false
		}
	}
	return c.used-c.leaving > c.limit()
}

// free returns the bytes that this user can still write on the file system.
func (c *Cache) free() (int64, error) {
	d, err := c.root.Open(".")
	if err != nil {
		return 0, err
	}
	var st unix.Statfs_t
	err = unix.Fstatfs(int(d.Fd()), &st)
	return int64(st.Bavail) * int64(st.Bsize), errors.Join(err, d.Close())
}

package cache

import (
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

// find returns the entry of id, or nil, and its bytes if they are in memory.
func (c *Cache) find(id walrus.SliverID) (*entry, []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.lists.get(id)
	if e == nil || c.closed {
		return nil, nil
	}
	data := c.memory.get(e)
	if data != nil {
		c.hit(e)
	}
	return e, data
}

// hit counts and notes that e was asked for. The caller holds mu.
func (c *Cache) hit(e *entry) {
	c.stats.Hits++
	c.lists.use(e, c.budget)
	c.touch(e)
}

// load returns the bytes of id from memory or disk. A file that is damaged is
// removed.
func (c *Cache) load(id walrus.SliverID) ([]byte, bool) {
	e, data := c.find(id)
	if e == nil || data != nil {
		return data, data != nil
	}
	data, err := readFile(c.root, pathOf(id))
	c.mu.Lock()
	defer c.mu.Unlock()
	same := c.lists.get(id) == e // else it was evicted, or evicted and stored again
	if err != nil {
		if same {
			c.lose(e, err)
		}
		return nil, false
	}
	if !same {
		c.stats.Hits++
		return data, true
	}
	c.hit(e)
	c.memory.add(e, data)
	return data, true
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

// touch renews the time of e's file once in a while. The caller holds mu.
func (c *Cache) touch(e *entry) {
	now := c.now()
	if d := now.Sub(e.touched); d >= 0 && d < touchEvery {
		return
	}
	e.touched = now
	if err := c.root.Chtimes(pathOf(e.id), now, now); err != nil {
		c.log.Debug("set time of cached sliver", "sliver", e.id, "err", err)
	}
}

// store writes data under id. A lack of room is no error.
func (c *Cache) store(id walrus.SliverID, data []byte) error {
	size := cost(fileHeader + int64(len(data)))
	if ok, err := c.wants(id, size); !ok {
		return err
	}
	if err := c.roomOnDisk(size); err != nil { // before anything is evicted for it
		return c.storeFailed(id, err)
	}
	era, ok, err := c.reserve(id, size)
	if !ok {
		return err
	}
	defer c.work.Done()
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
	return !c.writing[id] && c.lists.get(id) == nil && size <= c.budget, nil
}

// reserve counts size bytes for id before they are written, and evicts to make
// room for them. It says no when id is not wanted or nothing more can go.
func (c *Cache) reserve(id walrus.SliverID, size int64) (era uint64, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok, err := c.wantsLocked(id, size); !ok {
		return 0, false, err
	}
	c.used += size
	for c.evict(evictStep) {
	}
	if c.used > c.budget { // what is left is being written
		c.used -= size
		return 0, false, nil
	}
	c.writing[id] = true
	c.work.Add(1)
	return c.era, true, nil
}

// settle renames the temporary file into place, or discards it if err says that
// it is not whole or if the cache was cleared since era.
func (c *Cache) settle(id walrus.SliverID, tmp string, size int64, era uint64, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.writing, id)
	if err == nil && c.era == era {
		err = c.root.Rename(tmp, pathOf(id))
	}
	if err != nil || c.era != era {
		c.used -= size
		c.discard(tmp, size)
		return err
	}
	c.failing = false
	c.lists.add(&entry{id: id, size: size, touched: c.now()})
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

// roomOnDisk returns errNoRoom if size more bytes would leave the file system
// with less than the floor.
func (c *Cache) roomOnDisk(size int64) error {
	if c.minFree < 0 {
		return nil
	}
	free, err := c.free()
	if err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	if free-size < c.minFree {
		return errNoRoom
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
// stays, its size bytes stay counted. The caller holds mu.
func (c *Cache) discard(path string, size int64) {
	err := c.root.Remove(path)
	if err == nil {
		return
	}
	if _, gone := c.root.Lstat(path); gone == nil {
		c.used += size
		c.log.Warn("cache file cannot be removed", "size", size, "err", err)
	}
}

// remove takes e out and removes its file. The caller holds mu.
func (c *Cache) remove(e *entry) error {
	c.lists.drop(e)
	c.memory.drop(e)
	err := c.root.Remove(pathOf(e.id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		// It goes on to take room, so it goes on to count until the next Open.
		c.log.Warn("cached sliver cannot be removed", "sliver", e.id, "size", e.size, "err", err)
		return err
	}
	c.used -= e.size
	return nil
}

// evict removes up to n files while the budget is exceeded, and reports whether
// it may have to go on. The caller holds mu.
func (c *Cache) evict(n int) bool {
	for ; n > 0 && c.used > c.budget; n-- {
		e := c.lists.victim()
		if e == nil {
			return false
		}
		c.stats.Evicted++
		_ = c.remove(e) // logged there
	}
	return n == 0
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

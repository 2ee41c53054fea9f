package cache

import (
	"io/fs"
	"slices"
	"strings"
)

// scan takes over the files in the folder.
func (c *Cache) scan() error {
	dirs, err := fs.ReadDir(c.root.FS(), ".")
	if err != nil {
		return err
	}
	var found []*entry
	for _, d := range dirs {
		if !d.IsDir() || len(d.Name()) != 2 {
			continue
		}
		files, err := fs.ReadDir(c.root.FS(), d.Name())
		if err != nil {
			return err
		}
		for _, f := range files {
			if e := c.adopt(d.Name(), f); e != nil {
				found = append(found, e)
			}
		}
	}
	order := c.takeOrder()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range found {
		if before, ok := order[e.id]; ok && before.used.After(e.used) {
			e.used = before.used
		}
	}
	slices.SortStableFunc(found, func(a, b *entry) int { return a.used.Compare(b.used) })
	for _, e := range found {
		c.lists.add(e)
		c.used += e.size
		if order[e.id].protected {
			c.lists.use(e, c.limit())
		}
	}
	for c.evict(evictStep) {
	}
	return nil
}

// adopt returns the entry for a file found in dir. It removes leftovers of
// writes that were cut short, and leaves alone what is not the cache's.
func (c *Cache) adopt(dir string, f fs.DirEntry) *entry {
	if strings.HasPrefix(f.Name(), tempPrefix) {
		if err := c.root.Remove(dir + "/" + f.Name()); err != nil {
			c.log.Warn("leftover in the cache cannot be removed", "err", err)
		}
		return nil
	}
	id, ok := parseName(f.Name())
	if !ok || dirOf(id) != dir || !f.Type().IsRegular() {
		return nil
	}
	st, err := f.Info()
	if err != nil {
		return nil
	}
	return &entry{id: id, size: cost(st.Size()), touched: st.ModTime(), used: st.ModTime()}
}

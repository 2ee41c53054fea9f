package cache

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/walfs/walfs/blobstore/walrus"
)

// Check reads every file and calls bad for each that is damaged; with drop set it
// removes it, which costs nothing but fetching it again. It returns how many
// files and bytes it read, and ends with ctx.
func (c *Cache) Check(ctx context.Context, drop bool, bad func(walrus.SliverID)) (files int, bytes int64, err error) {
	c.mu.Lock()
	ids := slices.Collect(maps.Keys(c.lists.entries))
	c.mu.Unlock()
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return files, bytes, err
		}
		data, err := readFile(c.root, pathOf(id))
		if !errors.Is(err, errBadFile) {
			files, bytes = files+1, bytes+int64(len(data))
			continue
		}
		bad(id)
		if !drop {
			continue
		}
		c.mu.Lock()
		if e := c.lists.get(id); e != nil {
			c.lose(e, err)
		}
		c.mu.Unlock()
	}
	return files, bytes, nil
}

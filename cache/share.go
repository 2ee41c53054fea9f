package cache

// Others may keep bytes under the budget of the cache: the clean copies of files
// do. Slivers have a half for themselves; what one side does not need the other may use.

// Hold takes n bytes of the budget for somebody else, before he counts them, and
// evicts slivers for them. It says no, and takes nothing, if slivers would have to go
// that lie within their half. After yes the caller calls Settle.
func (c *Cache) Hold(n int64) bool {
	for {
		c.mu.Lock()
		after := c.held() + n
		if c.closed || after > c.budget || after > c.budget-c.budget/2 && c.used > c.budget-after {
			c.mu.Unlock()
			return false
		}
		if c.used+after <= c.budget {
			c.holding += n
			c.mu.Unlock()
			return true
		}
		gone := c.evictFor(c.used+after-c.budget, evictStep)
		c.mu.Unlock()
		if gone == 0 {
			return false // what is left is being written
		}
	}
}

// Settle gives back n bytes that Hold took, since they are counted by Held now,
// or not kept after all.
func (c *Cache) Settle(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding -= n
}

// Wanted returns how many bytes slivers would take if others held less: those
// that are here and those refused since Wanted was called last.
func (c *Cache) Wanted() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.used + c.refused
	c.refused = 0
	return n
}

// held returns what others keep. The caller holds mu.
func (c *Cache) held() int64 { return max(0, c.others()) + c.holding }

// limit returns how many bytes slivers may take now. The caller holds mu.
func (c *Cache) limit() int64 { return max(0, c.budget-c.held()) }

// evictFor removes slivers of at least n bytes, and at most so many of them, and
// returns how many bytes went. The caller holds mu, which is let go meanwhile.
func (c *Cache) evictFor(n int64, most int) (gone int64) {
	for ; most > 0 && gone < n; most-- {
		e := c.lists.victim()
		if e == nil {
			break
		}
		c.stats.Evicted++
		if c.remove(e) == nil { // logged there
			gone += e.size
		}
	}
	return gone
}

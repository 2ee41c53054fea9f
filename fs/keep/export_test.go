package keep

import "time"

// SetLooks sets how long Run sleeps at first, between rounds, and after one that failed.
func (c *Collector) SetLooks(first, every, retry time.Duration) {
	c.looks = looks{first, every, retry}
}

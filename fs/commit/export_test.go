package commit

import "time"

// Resting reports whether no segment is being put, or is due.
func (c *Committer) Resting() bool {
	f := &c.flights
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fl := range f.open {
		if fl.flying || !fl.next.After(time.Now()) {
			return false
		}
	}
	return true
}

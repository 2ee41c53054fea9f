package fs

import (
	"sync"
	"time"

	"github.com/walfs/walfs/index"
)

// After a fetch that ran out of time the kernel asks for the same page again
// within the same read(2), and programs try again at once. They are not made
// to wait the whole time each: for a while a new fetch gets only this long,
// which is plenty when the nodes have come back.
const (
	shortPatience = time.Second
	impatientFor  = 5 * time.Second
	maxImpatient  = 1024 // files remembered
)

// patience remembers the files whose content did not arrive in time lately.
// The zero value is ready. Its methods may be called concurrently.
type patience struct {
	mu   sync.Mutex
	late map[index.Ino]time.Time // when the last fetch that was late gave up
}

// of returns how long a fetch for a file may take.
func (p *patience) of(ino index.Ino, whole time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, ok := p.late[ino]; ok && time.Since(at) < impatientFor {
		return min(whole, shortPatience)
	}
	return whole
}

// note takes down that a fetch ran out of time. That others of the file did
// not says nothing: they were for other ranges.
func (p *patience) note(ino index.Ino) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.late == nil || len(p.late) >= maxImpatient {
		p.late = map[index.Ino]time.Time{}
	}
	p.late[ino] = time.Now()
}

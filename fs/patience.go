package fs

import (
	"sync"
	"time"

	"github.com/walfs/walfs/index"
)

// After a fetch that ran out of time the kernel asks for the same page again
// within the same read(2), and programs try again at once. They are not made
// to wait the whole time each: for a while a new fetch gets only this long,
// which is plenty when the nodes have come back. On a slow line it may never be: who
// goes on asking is made to wait the whole time again now and then.
const (
	shortPatience = time.Second
	impatientFor  = 5 * time.Second
	longestSpell  = 30 * time.Second // of short fetches, and impatientFor more
	maxImpatient  = 1024             // files remembered
)

// patience remembers the files whose content did not arrive in time lately.
// The zero value is ready. Its methods may be called concurrently.
type patience struct {
	mu    sync.Mutex
	late  map[index.Ino]spell
	hopes int // calls of hope
}

// spell is a time in which fetches for a file are short.
type spell struct {
	first time.Time // when the fetch that began it gave up, which had the whole time
	last  time.Time // when the last one gave up
}

// of returns how long a fetch for a file may take.
func (p *patience) of(ino index.Ino, whole time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.late[ino]; ok && time.Since(s.last) < impatientFor {
		return min(whole, shortPatience)
	}
	return whole
}

// hope forgets who was late, since what was missing may be there again.
func (p *patience) hope() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late = nil
	p.hopes++
}

// noting returns what a fetch that begins now calls when it runs out of the time that it has. Once
// there is new hope that says nothing any more.
func (p *patience) noting(ino index.Ino, has time.Duration) func() {
	hoped := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.hopes
	}
	begun := hoped()
	return func() {
		if hoped() == begun {
			p.note(ino, has)
		}
	}
}

// NodesCame tells that a node is up again: reads are not cut short any more on account of those that
// had no answer before.
func (fs *FS) NodesCame() { fs.patience.hope() }

// note takes down that a fetch ran out of the time that it had. That others of the file did
// not says nothing: they were for other ranges.
func (p *patience) note(ino index.Ino, had time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.late == nil || len(p.late) >= maxImpatient {
		p.late = map[index.Ino]spell{}
	}
	now := time.Now()
	s, ok := p.late[ino]
	switch {
	case !ok || had > shortPatience:
		s.first = now
	case now.Sub(s.first) >= longestSpell:
		return // nor does it begin the next spell
	}
	s.last = now
	p.late[ino] = s
}

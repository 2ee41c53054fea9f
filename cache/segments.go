package cache

import (
	"container/list"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
)

// protectedShare is the part of the budget, in percent, that slivers asked for
// more than once may hold against new ones. Source: the segmented LRU of
// Karedla, Love and Wherry (1994) found 60 to 80 best for disk caches.
const protectedShare = 80

// entry is one file of the cache.
type entry struct {
	id        walrus.SliverID
	size      int64     // as counted against the budget
	touched   time.Time // the file's time, which may lag behind its last use
	used      time.Time // when it was asked for last, or came
	protected bool
	place     *list.Element

	// data and inMemory belong to memory.
	data     []byte
	inMemory *list.Element
}

// segments is a segmented LRU: two lists with the latest used in front.
type segments struct {
	entries   map[walrus.SliverID]*entry
	probation *list.List
	protected *list.List
	held      int64 // bytes in protected
}

func (s *segments) init() {
	s.entries = make(map[walrus.SliverID]*entry)
	s.probation = list.New()
	s.protected = list.New()
}

func (s *segments) get(id walrus.SliverID) *entry { return s.entries[id] }

// add puts e in front of the probation list.
func (s *segments) add(e *entry) {
	s.entries[e.id] = e
	e.place = s.probation.PushFront(e)
}

// use notes that e was asked for: it becomes protected, and those protected
// beyond the share of budget, oldest first, go back on probation.
func (s *segments) use(e *entry, budget int64) {
	if e.protected {
		s.protected.MoveToFront(e.place)
		return
	}
	s.probation.Remove(e.place)
	e.protected = true
	e.place = s.protected.PushFront(e)
	s.held += e.size
	for s.held > budget/100*protectedShare {
		s.demote(s.protected.Back().Value.(*entry))
	}
}

func (s *segments) demote(e *entry) {
	s.protected.Remove(e.place)
	e.protected = false
	e.place = s.probation.PushFront(e)
	s.held -= e.size
}

// victim returns the entry to evict next, or nil.
func (s *segments) victim() *entry {
	for _, l := range []*list.List{s.probation, s.protected} {
		if back := l.Back(); back != nil {
			return back.Value.(*entry)
		}
	}
	return nil
}

// drop takes e out of its list.
func (s *segments) drop(e *entry) {
	delete(s.entries, e.id)
	if !e.protected {
		s.probation.Remove(e.place)
		return
	}
	s.protected.Remove(e.place)
	s.held -= e.size
}

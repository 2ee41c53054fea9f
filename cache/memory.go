package cache

import "container/list"

// memory holds the bytes of the slivers that were loaded last, so that a reader
// who takes a sliver in many small reads loads and checks it once. It holds
// nothing that is not on disk too.
type memory struct {
	limit  int64 // bytes
	held   int64
	latest *list.List // of *entry, the latest used in front
}

// get returns the bytes of e, or nil.
func (m *memory) get(e *entry) []byte {
	if e.inMemory == nil {
		return nil
	}
	m.latest.MoveToFront(e.inMemory)
	return e.data
}

// add keeps data, the bytes of e, and drops others to stay within the limit.
func (m *memory) add(e *entry, data []byte) {
	if e.inMemory != nil || len(data) == 0 || int64(len(data)) > m.limit {
		return
	}
	e.data = data
	e.inMemory = m.latest.PushFront(e)
	m.held += int64(len(data))
	for m.held > m.limit {
		m.drop(m.latest.Back().Value.(*entry))
	}
}

// drop lets go of the bytes of e, if they are held.
func (m *memory) drop(e *entry) {
	if e.inMemory == nil {
		return
	}
	m.latest.Remove(e.inMemory)
	m.held -= int64(len(e.data))
	e.data, e.inMemory = nil, nil
}

package blobstore

import (
	"container/list"
	"sync"
)

// lru keeps what was used last within a budget in bytes.
type lru[K comparable, V any] struct {
	mu     sync.Mutex // guards the fields below
	budget int
	used   int
	order  list.List // of *entry[K, V], the latest first
	byKey  map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
	size  int
}

func newLRU[K comparable, V any](budget int) *lru[K, V] {
	return &lru[K, V]{budget: budget, byKey: map[K]*list.Element{}}
}

func (l *lru[K, V]) get(key K) (value V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.byKey[key]
	if e == nil {
		return value, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*entry[K, V]).value, true
}

// put keeps a value of the given size, unless it alone is over the budget.
func (l *lru[K, V]) put(key K, value V, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.byKey[key]; e != nil {
		l.drop(e)
	}
	if size > l.budget {
		return
	}
	for l.used+size > l.budget {
		l.drop(l.order.Back())
	}
	l.byKey[key] = l.order.PushFront(&entry[K, V]{key, value, size})
	l.used += size
}

func (l *lru[K, V]) drop(e *list.Element) {
	old := l.order.Remove(e).(*entry[K, V])
	delete(l.byKey, old.key)
	l.used -= old.size
}

package move

import "slices"

// Entry is a key and a value of a VecMap.
type Entry[K comparable, V any] struct {
	Key   K
	Value V
}

// VecMap is a map in order of insertion, as 0x2::vec_map::VecMap.
type VecMap[K comparable, V any] []Entry[K, V]

// Index returns the position of key, or -1.
func (m VecMap[K, V]) Index(key K) int {
	return slices.IndexFunc(m, func(e Entry[K, V]) bool { return e.Key == key })
}

// Get returns the value of key and whether there is one.
func (m VecMap[K, V]) Get(key K) (V, bool) {
	if i := m.Index(key); i >= 0 {
		return m[i].Value, true
	}
	var zero V
	return zero, false
}

// Set replaces the value of key in its place, or appends it.
func (m *VecMap[K, V]) Set(key K, value V) {
	if i := m.Index(key); i >= 0 {
		(*m)[i].Value = value
		return
	}
	*m = append(*m, Entry[K, V]{key, value})
}

// Remove takes key out and returns its value and whether there was one.
func (m *VecMap[K, V]) Remove(key K) (V, bool) {
	i := m.Index(key)
	if i < 0 {
		var zero V
		return zero, false
	}
	value := (*m)[i].Value
	*m = slices.Delete(*m, i, i+1)
	return value, true
}

// Map reads or writes a VecMap.
func Map[K comparable, V any](c *Codec, m *VecMap[K, V], key func(*Codec, *K), value func(*Codec, *V)) {
	Vector(c, (*[]Entry[K, V])(m), func(c *Codec, e *Entry[K, V]) {
		key(c, &e.Key)
		value(c, &e.Value)
	})
}

// Table is a Table, ObjectTable or Bag: its entries are dynamic fields of ID.
type Table struct {
	ID   ID
	Size uint64
}

// BCS is the layout.
func (t *Table) BCS(c *Codec) {
	c.ID(&t.ID)
	c.U64(&t.Size)
}

// IDs is a vector of ID.
type IDs []ID

// BCS is the layout.
func (v *IDs) BCS(c *Codec) { Vector(c, (*[]ID)(v), (*Codec).ID) }

// BCS is the layout.
func (a *Address) BCS(c *Codec) { c.ID(a) }

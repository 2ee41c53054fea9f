// Package overlay runs one ledger transaction: it hands out objects that are
// copies of what the ledger holds, keeps what the contracts do to them, and at
// the end says what to write, with versions, owners and digests as Sui assigns them.
//
// A value is in one of four places. It is placed: it stands on the ledger by
// itself, owned by an account, another object, or all. It is held: a contract
// has it by value. It is wrapped: it is a part of another object. It is
// deleted. Finish refuses a transaction that leaves a value held, as Move
// refuses to drop a resource.
package overlay

import (
	"errors"
	"fmt"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// ErrType reports an object of another type than the call asked for.
var ErrType = errors.New("object is of another type")

// ErrResource reports a value that a contract lost, used twice or used after it was gone.
var ErrResource = errors.New("resource misused")

// Object is a value with an ID.
type Object interface {
	move.Layout
	// ObjectID returns the ID under which the ledger keeps the value.
	ObjectID() move.ID
}

// ErrTooLarge reports an object that is longer than move.MaxSize.
var ErrTooLarge = errors.New("object is too large")

// Source returns the object that the ledger holds under an ID, or nil when
// there is none. The transaction does not change what it gets.
type Source func(id move.ID) (*move.Object, error)

// Tx is a transaction that runs. It is not safe for concurrent use.
type Tx struct {
	Digest move.Digest
	Sender move.Address
	TimeMS uint64 // of the ledger's clock
	Types  *move.Packages
	// PackageVersion is that of the Walrus package that is called; 0 means the one that the rules are of.
	PackageVersion uint64
	// FixedCommittee says that the ledger's nodes cannot move shards, so that the committee stays what it is.
	FixedCommittee bool

	source  Source
	entries map[move.ID]*entry
	fresh   map[move.ID]bool // IDs that this transaction made
	events  []Event
}

// place is where a value is.
type place uint8

const (
	placed place = iota
	held
	wrapped
	deleted
)

// entry is an object that the transaction knows.
type entry struct {
	tag     move.StructTag
	before  *move.Object // nil when the ledger does not hold it
	value   move.Layout
	place   place
	owner   move.Owner // when placed
	mutable bool       // borrowed as &mut or taken, so written even if it is the same
	field   bool       // a dynamic field, whose ID derives from its parent
	frozen  bool       // an input that the transaction may only read
}

// Event is an event that a contract emitted.
type Event struct {
	Type move.StructTag
	BCS  []byte
}

// New starts a transaction.
func New(digest move.Digest, sender move.Address, timeMS uint64, types *move.Packages, source Source) *Tx {
	return &Tx{Digest: digest, Sender: sender, TimeMS: timeMS, Types: types, source: source,
		entries: make(map[move.ID]*entry), fresh: make(map[move.ID]bool)}
}

// NewID returns the ID of the next object that the transaction makes.
func (t *Tx) NewID() move.ID {
	id := move.CreatedID(t.Digest, uint64(len(t.fresh)))
	t.fresh[id] = true
	return id
}

// Emit records an event of the Walrus package.
func (t *Tx) Emit(e move.Event) error {
	bcs, err := move.Marshal(e)
	if err != nil {
		return fmt.Errorf("event %s: %w", e.EventName(), err)
	}
	t.events = append(t.events, Event{t.Types.Event(e.EventName()), bcs})
	return nil
}

// Peek returns an object as the ledger holds it, whatever the transaction did to it since.
// It returns chain.ErrNotExist when there is none.
func (t *Tx) Peek(id move.ID) (*move.Object, error) {
	if e, ok := t.entries[id]; ok && e.before != nil {
		return e.before, nil
	}
	o, err := t.source(id)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fmt.Errorf("object %s: %w", id, chain.ErrNotExist)
	}
	return o, nil
}

// pointer is the pointer to T that has the layout.
type pointer[T any] interface {
	*T
	move.Layout
}

// Borrow returns an object for reading, Move's &T.
func Borrow[T any, P pointer[T]](t *Tx, id move.ID, tag move.StructTag) (P, error) {
	v, _, err := lookup[T, P](t, id, tag, new(T))
	return v, err
}

// BorrowMut returns an object for writing, Move's &mut T. The object gets a
// new version even if nothing in it changes.
func BorrowMut[T any, P pointer[T]](t *Tx, id move.ID, tag move.StructTag) (P, error) {
	v, e, err := lookup[T, P](t, id, tag, new(T))
	if err != nil {
		return nil, err
	}
	e.mutable = true
	return v, nil
}

// Take returns an object by value: it is held from now on.
func Take[T any, P pointer[T]](t *Tx, id move.ID, tag move.StructTag) (P, error) {
	v, e, err := lookup[T, P](t, id, tag, new(T))
	if err != nil {
		return nil, err
	}
	e.place, e.mutable = held, true
	return v, nil
}

// lookup finds a placed object and reads it into fresh when it is seen for the first time.
func lookup[T any, P pointer[T]](t *Tx, id move.ID, tag move.StructTag, fresh P) (P, *entry, error) {
	e, err := t.entry(id, tag, fresh)
	if err != nil {
		return nil, nil, err
	}
	v, ok := e.value.(P)
	if !ok || !e.tag.Equal(tag) {
		return nil, nil, fmt.Errorf("object %s is a %s, want %s: %w", id, e.tag, tag, ErrType)
	}
	if e.place != placed {
		return nil, nil, fmt.Errorf("object %s is used again: %w", id, ErrResource)
	}
	return v, e, nil
}

func (t *Tx) entry(id move.ID, tag move.StructTag, fresh move.Layout) (*entry, error) {
	if e, ok := t.entries[id]; ok {
		return e, nil
	}
	before, err := t.Peek(id)
	if err != nil {
		return nil, err
	}
	if !before.Type.Equal(tag) {
		return nil, fmt.Errorf("object %s is a %s, want %s: %w", id, before.Type, tag, ErrType)
	}
	if err := move.Unmarshal(before.Contents, fresh); err != nil {
		return nil, fmt.Errorf("object %s: %w", id, err)
	}
	e := &entry{tag: before.Type, before: before, value: fresh, owner: before.Owner}
	t.entries[id] = e
	return e, nil
}

// Hold makes the transaction know a value that a contract has made, or has
// taken out of another object.
func (t *Tx) Hold(v Object, tag move.StructTag) error {
	id := v.ObjectID()
	if e, ok := t.entries[id]; ok {
		if e.place != wrapped {
			return fmt.Errorf("object %s is held twice: %w", id, ErrResource)
		}
		e.value, e.place = v, held
		return nil
	}
	t.entries[id] = &entry{tag: tag, value: v, place: held}
	return nil
}

// Transfer places a value that is held: an account, another object or all own it from now on.
func (t *Tx) Transfer(id move.ID, owner move.Owner) error {
	e, err := t.held(id)
	if err != nil {
		return err
	}
	e.place, e.owner = placed, owner
	return nil
}

// Share places a value that is held as a shared object.
func (t *Tx) Share(id move.ID) error { return t.Transfer(id, move.Owner{Kind: move.OwnerShared}) }

// Wrap tells that a value that was held is now a part of another one.
func (t *Tx) Wrap(id move.ID) error {
	e, err := t.held(id)
	if err != nil {
		return err
	}
	e.place = wrapped
	return nil
}

// Delete destroys a value that is held.
func (t *Tx) Delete(id move.ID) error {
	e, err := t.held(id)
	if err != nil {
		return err
	}
	e.place = deleted
	return nil
}

func (t *Tx) held(id move.ID) (*entry, error) {
	e, ok := t.entries[id]
	if !ok || e.place != held {
		return nil, fmt.Errorf("object %s is not held: %w", id, ErrResource)
	}
	return e, nil
}

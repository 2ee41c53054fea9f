package overlay

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/walfs/walfs/chain/move"
)

// Operation is what a transaction did to an object, in the words of Sui's effects.
type Operation uint8

// The operations. An object that is made and wrapped in one transaction has none.
const (
	Created   Operation = 1 + iota
	Mutated             // a new version
	Deleted             // gone
	Wrapped             // now a part of another object
	Unwrapped           // was a part of another object
	Vanished            // was a part of another object and is gone: nothing is written
)

// Change is what a transaction did to one object.
type Change struct {
	Operation Operation
	ID        move.ID
	Type      move.StructTag
	Before    *move.Object // as it stood; nil when Created or Unwrapped
	Object    *move.Object // as it stands now; nil when Deleted or Wrapped
	Value     move.Layout  // what Object.Contents says
}

// Result is what a transaction did. The caller writes it as a whole.
type Result struct {
	Version uint64   // of every object that was written
	Changes []Change // in order of IDs
	Events  []Event  // in order of emission
	// Dependencies are the transactions that wrote what this one read, sorted.
	Dependencies []move.Digest
}

// Finish ends the transaction. All objects that it wrote get one version, above
// that of every object that it read.
func (t *Tx) Finish() (*Result, error) {
	r := &Result{Version: 1, Events: t.events, Dependencies: t.dependencies()}
	for id, e := range t.entries {
		if e.place == held {
			return nil, fmt.Errorf("object %s (%s) is left over: %w", id, e.tag, ErrResource)
		}
		if e.before != nil {
			r.Version = max(r.Version, e.before.Version+1)
		}
	}
	ids := slices.SortedFunc(maps.Keys(t.entries), func(a, b move.ID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		change, err := t.change(id, t.entries[id], r.Version)
		if err != nil {
			return nil, fmt.Errorf("object %s: %w", id, err)
		}
		if change.Operation != 0 {
			r.Changes = append(r.Changes, change)
		}
	}
	return r, nil
}

// change says what became of one object; its Operation is zero when nothing did.
func (t *Tx) change(id move.ID, e *entry, version uint64) (Change, error) {
	c := Change{ID: id, Type: e.tag, Before: e.before}
	if e.place != placed {
		switch {
		case e.before == nil && e.place == deleted && !e.field && !t.fresh[id]:
			c.Operation = Vanished
		case e.before == nil:
		case e.place == deleted:
			c.Operation = Deleted
		default:
			c.Operation = Wrapped
		}
		return c, nil
	}
	if e.frozen {
		return c, nil
	}
	contents, err := move.Marshal(e.value)
	if err != nil {
		return c, err
	}
	if len(contents) > move.MaxSize {
		return c, &SizeError{id, len(contents)}
	}
	switch {
	case e.before == nil && (e.field || t.fresh[id]):
		c.Operation = Created
	case e.before == nil:
		c.Operation = Unwrapped
	case e.mutable || e.owner != e.before.Owner || !bytes.Equal(contents, e.before.Contents):
		c.Operation = Mutated
	default:
		return c, nil
	}
	owner := e.owner
	if owner.Kind == move.OwnerShared && owner.InitialVersion == 0 {
		owner.InitialVersion = version
	}
	if p, ok := e.value.(*move.Package); ok {
		version = p.Version // packages count for themselves
	}
	c.Value = e.value
	c.Object = &move.Object{Type: e.tag, HasPublicTransfer: t.Types.HasStore(e.tag), Version: version,
		Contents: contents, Owner: owner, PreviousTransaction: t.Digest}
	return c, nil
}

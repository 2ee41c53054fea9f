package overlay

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/walfs/walfs/chain/move"
)

// Input makes the transaction know an object that it was given, and returns
// its value, for which fresh is an empty one of the object's type. One that is
// mutable gets a new version in any case; any other stays as it is.
func (t *Tx) Input(o *move.Object, fresh Object, mutable bool) error {
	id := o.ID()
	if _, ok := t.entries[id]; ok {
		return fmt.Errorf("object %s is an input twice: %w", id, ErrResource)
	}
	if err := move.Unmarshal(o.Contents, fresh); err != nil {
		return fmt.Errorf("object %s: %w", id, err)
	}
	t.entries[id] = &entry{tag: o.Type, before: o, value: fresh, owner: o.Owner, mutable: mutable, frozen: !mutable}
	return nil
}

// TakeInput makes a mutable input a value that is held.
func (t *Tx) TakeInput(id move.ID) error {
	e, ok := t.entries[id]
	if !ok || e.place != placed || e.frozen {
		return fmt.Errorf("object %s cannot be taken: %w", id, ErrResource)
	}
	e.place = held
	return nil
}

// EventCount returns how many events there are so far.
func (t *Tx) EventCount() int { return len(t.events) }

// dependencies returns the transactions that made what this one read, sorted, each once.
func (t *Tx) dependencies() []move.Digest {
	var all []move.Digest
	for _, e := range t.entries {
		if e.before != nil {
			all = append(all, e.before.PreviousTransaction)
		}
	}
	slices.SortFunc(all, func(a, b move.Digest) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(all)
}

// SizeError reports an object that is longer than move.MaxSize.
type SizeError struct {
	ID   move.ID
	Size int // in bytes
}

// Error names the object and both sizes.
func (e *SizeError) Error() string {
	return fmt.Sprintf("object %s of %d bytes, at most %d", e.ID, e.Size, move.MaxSize)
}

// Unwrap returns ErrTooLarge.
func (e *SizeError) Unwrap() error { return ErrTooLarge }

// EventsFrom returns the events from a number on, from 0.
func (t *Tx) EventsFrom(number int) []Event { return t.events[number:] }

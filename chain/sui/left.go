package sui

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/walfs/walfs/chain/move"
)

// leavings remembers the versions that the transactions of a client left its objects
// at. A full node, or one of several behind one name, may not have heard of a
// transaction that another one has executed: what it tells then is of the past, and
// would be paid with or built upon in vain.
type leavings struct {
	mu    sync.Mutex // guards the fields below
	byID  map[move.ID]leaving
	order []move.ID // as they were added, oldest first
}

// leaving is an object as a transaction left it. Its contents are not known.
type leaving struct {
	object
	gone bool
}

// maxLeavings is how many objects are remembered: far more than are in use at a time.
const maxLeavings = 1024

// learn remembers what a transaction changed.
func (l *leavings) learn(r *Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byID == nil {
		l.byID = map[move.ID]leaving{}
	}
	newest := uint64(0) // one version for all that a transaction writes
	for _, c := range r.Changes {
		newest = max(newest, c.Version)
	}
	for _, c := range r.Changes {
		v := leaving{gone: c.Version == 0, object: object{ref: move.ObjectRef{ID: c.ID, Version: newest, Digest: c.digest}, owner: c.Owner}}
		old, known := l.byID[c.ID]
		if c.Owner.Kind == move.OwnerShared || known && old.ref.Version >= newest {
			continue
		}
		v.tag, _ = move.ParseStructTag(c.Type) // one that cannot be read is of no type that is asked for
		if l.byID[c.ID] = v; !known {
			l.order = append(l.order, c.ID)
		}
	}
	for ; len(l.order) > maxLeavings; l.order = l.order[1:] {
		delete(l.byID, l.order[0])
	}
}

// get returns an object that the last transaction which changed it has left to owner.
func (l *leavings) get(id move.ID, owner move.Owner) (*object, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, ok := l.byID[id]
	if !ok || v.gone || v.owner != owner || v.ref.Digest == (move.Digest{}) {
		return nil, false
	}
	return &v.object, true
}

func (l *leavings) forget(ids []move.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		delete(l.byID, id)
	}
}

// lack is what an answer of a full node lacks of what the client's own transactions did.
type lack struct {
	older   []move.ID // at versions before
	missing []move.ID // not there; or gone since by the doing of somebody else
}

func (l *lack) any() bool { return len(l.older)+len(l.missing) > 0 }

// look compares one object, nil if it is not there, with what is known of it.
func (l *lack) look(v leaving, o *object) {
	switch {
	case o == nil && !v.gone:
		l.missing = append(l.missing, v.ref.ID)
	case o != nil && o.ref.Version < v.ref.Version:
		l.older = append(l.older, v.ref.ID)
	}
}

// lacking compares objects that were asked for with what is known of them.
func (l *leavings) lacking(ids []move.ID, found map[move.ID]*object) (lacks lack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if v, ok := l.byID[id]; ok {
			lacks.look(v, found[id])
		}
	}
	return lacks
}

// unlisted compares a list of the objects that owner has of a type with what is known of them.
func (l *leavings) unlisted(owner move.Owner, tag move.StructTag, list []*object) (lacks lack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	listed := make(map[move.ID]*object, len(list))
	for _, o := range list {
		listed[o.ref.ID] = o
	}
	for id, v := range l.byID {
		if listed[id] != nil || !v.gone && v.owner == owner && v.tag.Equal(tag) {
			lacks.look(v, listed[id])
		}
	}
	return lacks
}

// How a full node is waited for that is behind.
const (
	behindPatience = 10 * time.Second
	behindPause    = 50 * time.Millisecond // before the second read; doubles
)

// knownFor is how long after a transaction a full node is taken to be behind that does not
// know it, or its objects as it left them. After that it may have forgotten it.
const knownFor = time.Hour

// awaitNewest waits, after a start, until the full node knows the newest transaction of the journal. What is read
// from one that does not know it would look as if it had been undone.
func (c *Client) awaitNewest(ctx context.Context, w *world) error {
	if c.whole {
		return nil // a localnet is never behind; what it does not know it has lost
	}
	list, err := c.journal.newest(c.Address(), 1)
	if err != nil || len(list) == 0 || list[0].Kind != recordDone || time.Since(time.UnixMilli(int64(list[0].TimeMS))) > knownFor {
		return err
	}
	var result *Result
	err = c.conn.caughtUp(ctx, func() (lacks lack, err error) {
		var f *failed
		if result, err = c.lookup(ctx, list[0].Digest, w.types.WALType()); errors.As(err, &f) {
			return lack{}, nil
		}
		if result == nil && err == nil {
			lacks.older = []move.ID{move.ID(list[0].Digest)}
		}
		return lacks, err
	})
	if errors.Is(err, ErrBehind) {
		err = fmt.Errorf("transaction %s is not known there: %w", list[0].Digest, ErrBehind)
	}
	if err == nil && result != nil {
		c.conn.left.learn(result)
	}
	return err
}

// caughtUp repeats a read until the full node has seen what this client did. What is
// still at an older version after that gives ErrBehind; what is still missing counts as gone.
func (c *conn) caughtUp(ctx context.Context, read func() (lack, error)) error {
	pause, deadline := behindPause, time.Now().Add(c.patience)
	for {
		lacks, err := read()
		if err != nil || !lacks.any() {
			return err
		}
		if time.Now().After(deadline) {
			if len(lacks.older) > 0 {
				return fmt.Errorf("object %s is told of as it was before: %w", lacks.older[0], ErrBehind)
			}
			c.left.forget(lacks.missing)
			return nil
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, time.Second)
	}
}

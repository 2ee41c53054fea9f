package sui

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walfs/walfs/chain/move"
)

// TestCaughtUp reads from a full node that catches up, in virtual time, or never does.
func TestCaughtUp(t *testing.T) {
	id := move.ID{1}
	for name, c := range map[string]struct {
		lacks   lack
		after   time.Duration // which the node has caught up
		want    error
		forgets bool
	}{
		"at once":       {lack{older: []move.ID{id}}, 0, nil, false},
		"soon":          {lack{older: []move.ID{id}}, 3 * time.Second, nil, false},
		"missing, soon": {lack{missing: []move.ID{id}}, 3 * time.Second, nil, false},
		"never":         {lack{older: []move.ID{id}}, time.Hour, ErrBehind, false},
		"gone for good": {lack{missing: []move.ID{id}}, time.Hour, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &conn{patience: behindPatience}
				n.left.learn(&Result{Changes: []Change{{ID: id, Version: 5, Owner: move.AddressOwner(move.Address{9}), digest: move.Digest{1}}}})
				start, reads := time.Now(), 0
				err := n.caughtUp(t.Context(), func() (lack, error) {
					if reads++; time.Since(start) >= c.after {
						return lack{}, nil
					}
					return c.lacks, nil
				})
				if took := time.Since(start); !errors.Is(err, c.want) || took > behindPatience+2*time.Second || took < min(c.after, behindPatience) {
					t.Errorf("%v after %s, want %v", err, took, c.want)
				}
				if reads > 20 {
					t.Errorf("read %d times", reads)
				}
				if _, ok := n.left.get(id, move.AddressOwner(move.Address{9})); ok == c.forgets {
					t.Errorf("known: %v", ok)
				}
			})
		})
	}
}

// TestLeavings compares what a full node tells with what a transaction left.
func TestLeavings(t *testing.T) {
	me, tag := move.AddressOwner(move.Address{9}), move.StructTag{Address: move.ID{2}, Module: "blob", Name: "Blob"}
	var l leavings
	l.learn(&Result{Changes: []Change{
		{ID: move.ID{1}, Version: 5, Type: tag.String(), Owner: me, digest: move.Digest{1}},
		{ID: move.ID{2}}, // gone
		{ID: move.ID{3}, Version: 5, Owner: move.Owner{Kind: move.OwnerShared, InitialVersion: 1}},
		{ID: move.ID{4}, Version: 5, Type: tag.String(), Owner: move.AddressOwner(move.Address{8}), digest: move.Digest{1}},
	}})
	l.learn(&Result{Changes: []Change{{ID: move.ID{1}, Version: 4, Type: tag.String(), Owner: me, digest: move.Digest{2}}}}) // of before
	at := func(id byte, version uint64) *object {
		return &object{ref: move.ObjectRef{ID: move.ID{id}, Version: version}, tag: tag, owner: me}
	}
	for name, c := range map[string]struct {
		list           []*object
		older, missing int
	}{
		"as it was left":           {[]*object{at(1, 5)}, 0, 0},
		"changed since":            {[]*object{at(1, 6)}, 0, 0},
		"of before":                {[]*object{at(1, 4)}, 1, 0},
		"not there yet":            {nil, 0, 1},
		"still there":              {[]*object{at(1, 5), at(2, 4)}, 1, 0},
		"back again":               {[]*object{at(1, 5), at(2, 6)}, 0, 0},
		"of which nothing is said": {[]*object{at(1, 5), at(3, 1), at(7, 1)}, 0, 0},
	} {
		if lacks := l.unlisted(me, tag, c.list); len(lacks.older) != c.older || len(lacks.missing) != c.missing {
			t.Errorf("list, %s: %+v", name, lacks)
		}
		found := map[move.ID]*object{}
		for _, o := range c.list {
			found[o.ref.ID] = o
		}
		if lacks := l.lacking([]move.ID{{1}, {2}, {3}}, found); len(lacks.older) != c.older || len(lacks.missing) != c.missing {
			t.Errorf("objects, %s: %+v", name, lacks)
		}
	}
	if o, ok := l.get(move.ID{1}, me); !ok || o.ref.Version != 5 || o.ref.Digest != (move.Digest{1}) {
		t.Errorf("got %+v, %v", o, ok)
	}
	for _, id := range []byte{2, 3, 4} {
		if o, ok := l.get(move.ID{id}, me); ok {
			t.Errorf("object %d: %+v", id, o)
		}
	}
	for i := range 2 * maxLeavings {
		l.learn(&Result{Changes: []Change{{ID: move.ID{31: byte(i), 30: byte(i >> 8), 29: 1}, Version: 9, Owner: me, digest: move.Digest{1}}}})
	}
	if len(l.byID) > maxLeavings || len(l.order) > maxLeavings {
		t.Errorf("%d objects are remembered, at most %d", len(l.byID), maxLeavings)
	}
}

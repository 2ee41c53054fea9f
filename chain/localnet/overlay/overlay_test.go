package overlay_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

var (
	types  = &move.Packages{Walrus: move.Address{0: 0xaa}, WAL: move.Address{0: 0xbb}}
	sender = move.Address{1}
	me     = move.AddressOwner(sender)
)

// ledger is what transactions read and write in these tests.
type ledger map[move.ID]*move.Object

func (l ledger) begin(n byte) *overlay.Tx {
	return overlay.New(move.Digest{31: n}, sender, 0, types, func(id move.ID) (*move.Object, error) { return l[id], nil })
}

func (l ledger) finish(t *testing.T, tx *overlay.Tx) *overlay.Result {
	t.Helper()
	r, err := tx.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Changes {
		if delete(l, c.ID); c.Object != nil {
			l[c.ID] = c.Object
		}
	}
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// operations returns what a transaction did to each object.
func operations(r *overlay.Result) map[move.ID]overlay.Operation {
	ops := make(map[move.ID]overlay.Operation)
	for _, c := range r.Changes {
		ops[c.ID] = c.Operation
	}
	return ops
}

// addStorage puts a reservation on the ledger.
func addStorage(t *testing.T, l ledger, n byte) move.ID {
	t.Helper()
	tx := l.begin(n)
	s := &move.Storage{ID: tx.NewID(), EndEpoch: 5, Size: 7}
	must(t, tx.Hold(s, types.Storage()))
	must(t, tx.Transfer(s.ID, me))
	l.finish(t, tx)
	return s.ID
}

func TestVersionsAndOwners(t *testing.T) {
	l := make(ledger)
	id := addStorage(t, l, 1)
	if o := l[id]; o.Version != 1 || o.Owner != me || o.PreviousTransaction != (move.Digest{31: 1}) || !o.HasPublicTransfer {
		t.Errorf("made: %+v", o)
	}
	other := addStorage(t, l, 2)

	tx := l.begin(3)
	s, err := overlay.BorrowMut[move.Storage](tx, id, types.Storage())
	must(t, err)
	same, err := overlay.Borrow[move.Storage](tx, id, types.Storage())
	must(t, err)
	if s != same {
		t.Error("two borrows gave two values")
	}
	s.Size = 8
	_, err = overlay.Borrow[move.Storage](tx, other, types.Storage())
	must(t, err)
	r := l.finish(t, tx)
	if len(r.Changes) != 1 || r.Changes[0].Operation != overlay.Mutated || l[id].Version != 2 || l[other].Version != 1 {
		t.Errorf("changes %+v, versions %d and %d", r.Changes, l[id].Version, l[other].Version)
	}
	if r.Changes[0].Before.Version != 1 || bytes.Equal(r.Changes[0].Before.Contents, l[id].Contents) {
		t.Errorf("before: %+v", r.Changes[0].Before)
	}

	// All written objects get one version, above that of all that were read;
	// a mutable borrow alone is a new version.
	tx = l.begin(4)
	_, err = overlay.Borrow[move.Storage](tx, id, types.Storage())
	must(t, err)
	_, err = overlay.BorrowMut[move.Storage](tx, other, types.Storage())
	must(t, err)
	r = l.finish(t, tx)
	if r.Version != 3 || l[other].Version != 3 || l[id].Version != 2 {
		t.Errorf("version %d, objects at %d and %d", r.Version, l[other].Version, l[id].Version)
	}

	tx = l.begin(5)
	s, err = overlay.Take[move.Storage](tx, id, types.Storage())
	must(t, err)
	must(t, tx.Transfer(s.ID, move.AddressOwner(move.Address{2})))
	l.finish(t, tx)
	if l[id].Owner != move.AddressOwner(move.Address{2}) || l[id].Version != 3 {
		t.Errorf("given away: %+v", l[id])
	}
}

func TestCreatedIDs(t *testing.T) {
	tx := make(ledger).begin(9)
	for n := range uint64(3) {
		if got, want := tx.NewID(), move.CreatedID(tx.Digest, n); got != want {
			t.Errorf("object %d: got %s, want %s", n, got, want)
		}
	}
}

func TestWrapAndUnwrap(t *testing.T) {
	l := make(ledger)
	id := addStorage(t, l, 1)
	tx := l.begin(2)
	s, err := overlay.Take[move.Storage](tx, id, types.Storage())
	must(t, err)
	b := &move.Blob{ID: tx.NewID(), Storage: *s}
	must(t, tx.Wrap(s.ID))
	must(t, tx.Hold(b, types.Blob()))
	must(t, tx.Transfer(b.ID, me))
	if ops := operations(l.finish(t, tx)); ops[id] != overlay.Wrapped || ops[b.ID] != overlay.Created || l[id] != nil {
		t.Errorf("wrapped: %v, still there: %v", ops, l[id])
	}

	tx = l.begin(3)
	b, err = overlay.Take[move.Blob](tx, b.ID, types.Blob())
	must(t, err)
	must(t, tx.Delete(b.ID))
	must(t, tx.Hold(&b.Storage, types.Storage()))
	must(t, tx.Transfer(b.Storage.ID, me))
	ops := operations(l.finish(t, tx))
	if ops[id] != overlay.Unwrapped || ops[b.ID] != overlay.Deleted || l[id] == nil || l[b.ID] != nil {
		t.Errorf("unwrapped: %v", ops)
	}

	// In and out again within one transaction.
	tx = l.begin(4)
	s, err = overlay.Take[move.Storage](tx, id, types.Storage())
	must(t, err)
	must(t, tx.Wrap(s.ID))
	must(t, tx.Hold(s, types.Storage()))
	must(t, tx.Transfer(s.ID, me))
	if ops := operations(l.finish(t, tx)); ops[id] != overlay.Mutated {
		t.Errorf("wrapped and unwrapped: %v", ops)
	}
}

func TestSharedObjects(t *testing.T) {
	l := make(ledger)
	addStorage(t, l, 1)
	tx := l.begin(2)
	treasury := &move.Treasury{ID: tx.NewID()}
	must(t, tx.Hold(treasury, types.Treasury()))
	must(t, tx.Share(treasury.ID))
	l.finish(t, tx)
	o := l[treasury.ID]
	if o.Owner.Kind != move.OwnerShared || o.Owner.InitialVersion != o.Version || o.HasPublicTransfer {
		t.Errorf("shared: %+v", o)
	}
	tx = l.begin(3)
	_, err := overlay.BorrowMut[move.Treasury](tx, treasury.ID, types.Treasury())
	must(t, err)
	l.finish(t, tx)
	if now := l[treasury.ID]; now.Owner != o.Owner || now.Version != o.Version+1 {
		t.Errorf("changed: %+v", now)
	}
}

func TestFields(t *testing.T) {
	l := make(ledger)
	parent, key := addStorage(t, l, 1), move.MetadataKey()
	tag := types.Metadata().Tag()
	pairs := move.VecMap[string, string]{{Key: "k", Value: "v"}}

	tx := l.begin(2)
	there, err := tx.HasField(parent, key)
	if err != nil || there {
		t.Fatalf("before: %v, %v", there, err)
	}
	_, err = overlay.Field[move.Metadata](tx, parent, key, tag)
	wantAbort(t, "read a field that is not there", err, 1)
	must(t, tx.AddField(parent, key, tag, &move.Metadata{Pairs: pairs}))
	wantAbort(t, "add it twice", tx.AddField(parent, key, tag, &move.Metadata{}), 0)
	r := l.finish(t, tx)
	id, err := move.FieldID(parent, key)
	must(t, err)
	if o := l[id]; len(r.Changes) != 1 || o.Owner != move.ObjectOwner(parent) || !o.Type.Equal(types.MetadataField()) {
		t.Fatalf("added: %+v", r.Changes)
	}

	tx = l.begin(3)
	m, err := overlay.Field[move.Metadata](tx, parent, key, tag)
	must(t, err)
	if v, _ := m.Pairs.Get("k"); v != "v" {
		t.Errorf("read: %v", m)
	}
	if r := l.finish(t, tx); len(r.Changes) != 0 {
		t.Errorf("a field that was only read is written: %+v", r.Changes)
	}

	tx = l.begin(4)
	m, err = overlay.RemoveField[move.Metadata](tx, parent, key, tag)
	must(t, err)
	if there, err := tx.HasField(parent, key); err != nil || there {
		t.Errorf("removed: %v, %v", there, err)
	}
	if ops := operations(l.finish(t, tx)); ops[id] != overlay.Deleted || len(m.Pairs) != 1 {
		t.Errorf("removed: %v, %v", ops, m)
	}
	tx = l.begin(5)
	_, err = overlay.Field[move.StakingPool](tx, parent, key, tag)
	wantAbort(t, "read it after that", err, 1)
}

func TestObjectFields(t *testing.T) {
	l := make(ledger)
	parent := addStorage(t, l, 1)
	tx := l.begin(2)
	child := &move.Storage{ID: tx.NewID(), Size: 3}
	must(t, tx.Hold(child, types.Storage()))
	must(t, tx.AddObjectField(parent, move.IDKey(child.ID), child.ID))
	l.finish(t, tx)
	field, err := move.FieldID(parent, move.ObjectFieldKey(move.IDKey(child.ID)))
	must(t, err)
	if l[field].Owner != move.ObjectOwner(parent) || l[child.ID].Owner != move.ObjectOwner(field) {
		t.Errorf("owners: %+v and %+v", l[field].Owner, l[child.ID].Owner)
	}
	got, err := overlay.ObjectField[move.Storage](l.begin(3), parent, move.IDKey(child.ID), types.Storage())
	if err != nil || *got != *child {
		t.Errorf("read: %+v, %v", got, err)
	}
}

func wantAbort(t *testing.T, what string, err error, code uint64) {
	t.Helper()
	var abort *chain.AbortError
	if !errors.As(err, &abort) || abort.Module != "dynamic_field" || abort.Code != code {
		t.Errorf("%s: got %v, want dynamic_field %d", what, err, code)
	}
}

func TestMisuse(t *testing.T) {
	l := make(ledger)
	id := addStorage(t, l, 1)
	take := func(tx *overlay.Tx) {
		_, err := overlay.Take[move.Storage](tx, id, types.Storage())
		must(t, err)
	}
	cases := []struct {
		name string
		want error
		run  func(tx *overlay.Tx) error
	}{
		{"unknown object", chain.ErrNotExist, func(tx *overlay.Tx) error {
			_, err := overlay.Borrow[move.Storage](tx, move.ID{1}, types.Storage())
			return err
		}},
		{"another type", overlay.ErrType, func(tx *overlay.Tx) error {
			_, err := overlay.Borrow[move.Blob](tx, id, types.Blob())
			return err
		}},
		{"another type after the right one", overlay.ErrType, func(tx *overlay.Tx) error {
			_, err := overlay.Borrow[move.Storage](tx, id, types.Storage())
			must(t, err)
			_, err = overlay.Borrow[move.Blob](tx, id, types.Blob())
			return err
		}},
		{"borrow what was taken", overlay.ErrResource, func(tx *overlay.Tx) error {
			take(tx)
			_, err := overlay.Borrow[move.Storage](tx, id, types.Storage())
			return err
		}},
		{"taken and left over", overlay.ErrResource, func(tx *overlay.Tx) error {
			take(tx)
			_, err := tx.Finish()
			return err
		}},
		{"made and left over", overlay.ErrResource, func(tx *overlay.Tx) error {
			must(t, tx.Hold(&move.Storage{ID: tx.NewID()}, types.Storage()))
			_, err := tx.Finish()
			return err
		}},
		{"held twice", overlay.ErrResource, func(tx *overlay.Tx) error {
			take(tx)
			return tx.Hold(&move.Storage{ID: id}, types.Storage())
		}},
		{"transferred without being held", overlay.ErrResource, func(tx *overlay.Tx) error { return tx.Transfer(id, me) }},
		{"deleted twice", overlay.ErrResource, func(tx *overlay.Tx) error {
			take(tx)
			must(t, tx.Delete(id))
			return tx.Delete(id)
		}},
		{"wrapped without being held", overlay.ErrResource, func(tx *overlay.Tx) error { return tx.Wrap(id) }},
		{"grown too large", overlay.ErrTooLarge, func(tx *overlay.Tx) error {
			m := &move.Metadata{Pairs: move.VecMap[string, string]{{Key: "k", Value: string(make([]byte, move.MaxSize))}}}
			must(t, tx.AddField(id, move.MetadataKey(), types.Metadata().Tag(), m))
			_, err := tx.Finish()
			return err
		}},
	}
	for _, c := range cases {
		if err := c.run(l.begin(2)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestSourceFails(t *testing.T) {
	broken := errors.New("disk")
	tx := overlay.New(move.Digest{}, sender, 0, types, func(move.ID) (*move.Object, error) { return nil, broken })
	if _, err := overlay.Borrow[move.Storage](tx, move.ID{1}, types.Storage()); !errors.Is(err, broken) {
		t.Errorf("borrow: got %v", err)
	}
	if _, err := tx.HasField(move.ID{1}, move.MetadataKey()); !errors.Is(err, broken) {
		t.Errorf("field: got %v", err)
	}
	tx = overlay.New(move.Digest{}, sender, 0, types, func(move.ID) (*move.Object, error) {
		return &move.Object{Type: types.Storage(), Contents: make([]byte, 40)}, nil
	})
	if _, err := overlay.Borrow[move.Storage](tx, move.ID{}, types.Storage()); !errors.Is(err, move.ErrEncoding) {
		t.Errorf("damaged object: got %v", err)
	}
}

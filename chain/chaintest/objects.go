package chaintest

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

func testAttributes(t *testing.T, s *suite) {
	r := blob(10, true)
	r.Attributes = []chain.Attribute{{Key: "b", Value: "1"}, {Key: "a", Value: "2"}, {Key: "b", Value: "3"}, {Key: "empty", Value: ""}}
	id := s.register(r).Registered[0].Object
	// A key that is set again moves to the end.
	want := []chain.Attribute{{Key: "a", Value: "2"}, {Key: "b", Value: "3"}, {Key: "empty", Value: ""}}
	if got := s.object(id).Attributes; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	bad := blob(10, true)
	bad.Attributes = []chain.Attribute{{Key: "k", Value: "\xff"}}
	if _, err := s.Ledger.Register(s.ctx(), tx(), []chain.Registration{bad}); err == nil {
		t.Error("a value that is not UTF-8 was accepted")
	}
}

func (s *suite) anchor() chain.OwnedObject {
	s.t.Helper()
	r := blob(0, true)
	r.EpochsAhead = 1
	r.Attributes = []chain.Attribute{{Key: "drive", Value: "d"}, {Key: "generation", Value: "0"}}
	return s.object(s.register(r).Registered[0].Object)
}

func testAnchor(t *testing.T, s *suite) {
	ctx := s.ctx()
	anchor := s.anchor()
	set := func(version uint64, value string) *chain.AnchorUpdate {
		return &chain.AnchorUpdate{Object: anchor.Object, Version: version, Attributes: []chain.Attribute{{Key: "generation", Value: value}}}
	}
	out, err := s.Ledger.Certify(ctx, tx(), nil, set(anchor.Version, "1"))
	if err != nil {
		t.Fatal(err)
	}
	if now := s.object(anchor.Object); now.Version != out.AnchorVersion || out.AnchorVersion <= anchor.Version {
		t.Errorf("the anchor is at version %d, was at %d, outcome says %d", now.Version, anchor.Version, out.AnchorVersion)
	}
	// Something else happens in between: the anchor keeps its version.
	r := blob(10, true)
	id := s.register(r).Registered[0].Object
	again := tx()
	batch := []chain.Certification{s.certification(r, id)}
	moved, err := s.Ledger.Certify(ctx, again, batch, set(out.AnchorVersion, "2"))
	if err != nil {
		t.Fatal(err)
	}
	repeated, err := s.Ledger.Certify(ctx, again, batch, set(out.AnchorVersion, "2"))
	if err != nil || !reflect.DeepEqual(moved, repeated) {
		t.Errorf("the same call again: got %+v, %v, want %+v", repeated, err, moved)
	}
	want := []chain.Attribute{{Key: "drive", Value: "d"}, {Key: "generation", Value: "2"}}
	if got := s.object(anchor.Object); !reflect.DeepEqual(got.Attributes, want) || got.Version != moved.AnchorVersion {
		t.Errorf("got %v at version %d, want %v at %d", got.Attributes, got.Version, want, moved.AnchorVersion)
	}
	if !s.object(id).Certified {
		t.Error("the blob was not certified")
	}
}

func testStaleAnchor(t *testing.T, s *suite) {
	ctx := s.ctx()
	anchor := s.anchor()
	r := blob(10, true)
	id := s.register(r).Registered[0].Object
	cert := s.certification(r, id)
	cases := []struct {
		name   string
		ledger chain.Ledger
		update chain.AnchorUpdate
	}{
		{"older version", s.Ledger, chain.AnchorUpdate{Object: anchor.Object, Version: anchor.Version - 1}},
		{"later version", s.Ledger, chain.AnchorUpdate{Object: anchor.Object, Version: anchor.Version + 1}},
		{"unknown object", s.Ledger, chain.AnchorUpdate{Object: walrus.ObjectID(tx()), Version: anchor.Version}},
		{"somebody else's", s.Other, chain.AnchorUpdate{Object: anchor.Object, Version: anchor.Version}},
	}
	for _, c := range cases {
		c.update.Attributes = []chain.Attribute{{Key: "generation", Value: "9"}}
		_, err := c.ledger.Certify(ctx, tx(), []chain.Certification{cert}, &c.update)
		s.wantErr(c.name, err, chain.ErrStaleVersion)
	}
	if s.object(id).Certified {
		t.Error("the blob was certified")
	}
	if now := s.object(anchor.Object); !reflect.DeepEqual(now, anchor) {
		t.Errorf("the anchor changed: got %+v, want %+v", now, anchor)
	}
}

func testAnchorRace(t *testing.T, s *suite) {
	anchor := s.anchor()
	const writers = 8
	errs := make([]error, writers)
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			_, errs[i] = s.Ledger.Certify(s.ctx(), tx(), nil, &chain.AnchorUpdate{Object: anchor.Object, Version: anchor.Version,
				Attributes: []chain.Attribute{{Key: "generation", Value: fmt.Sprint(i)}}})
		})
	}
	group.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won >= 0:
			t.Errorf("writers %d and %d both moved the anchor", won, i)
		case err == nil:
			won = i
		case !errors.Is(err, chain.ErrStaleVersion):
			t.Errorf("writer %d: got %v, want ErrStaleVersion", i, err)
		}
	}
	want := chain.Attribute{Key: "generation", Value: fmt.Sprint(won)}
	if got := s.object(anchor.Object).Attributes; won < 0 || got[len(got)-1] != want {
		t.Errorf("got %v, want %v of the winner", got, want)
	}
}

func testExtend(t *testing.T, s *suite) {
	ctx := s.ctx()
	r := blob(10, true)
	registered := s.register(r)
	id := registered.Registered[0]
	_, err := s.Ledger.Extend(ctx, tx(), []chain.Extension{{Object: id.Object, Epochs: 1}})
	s.wantAbort("not certified", err, "blob", 0)
	s.certify(r, id.Object)
	out, err := s.Ledger.Extend(ctx, tx(), []chain.Extension{{Object: id.Object, Epochs: 4}})
	if err != nil {
		t.Fatal(err)
	}
	if out.Extended[0] != (chain.Registered{Object: id.Object, EndEpoch: id.EndEpoch + 4}) || s.object(id.Object).EndEpoch != id.EndEpoch+4 {
		t.Errorf("got %+v and end epoch %d, want %d", out.Extended, s.object(id.Object).EndEpoch, id.EndEpoch+4)
	}
	state := s.state()
	if want := registered.CostFrost / (3*state.StoragePrice + state.WritePrice) * 4 * state.StoragePrice; out.CostFrost != want {
		t.Errorf("cost: got %d, want %d", out.CostFrost, want)
	}
	for _, epochs := range []uint32{0, state.MaxEpochsAhead} {
		_, err = s.Ledger.Extend(ctx, tx(), []chain.Extension{{Object: id.Object, Epochs: epochs}})
		s.wantAbort(fmt.Sprintf("%d epochs", epochs), err, "system_state_inner", 2)
	}
}

func testDeleteAndReuse(t *testing.T, s *suite) {
	ctx := s.ctx()
	r := blob(1000, true)
	r.Attributes = []chain.Attribute{{Key: "k", Value: "v"}}
	registered := s.register(r)
	id := registered.Registered[0].Object
	out, err := s.Ledger.Delete(ctx, tx(), []walrus.ObjectID{id})
	if err != nil {
		t.Fatal(err)
	}
	if objects, err := s.Ledger.Owned(ctx, chain.OwnedQuery{Objects: []walrus.ObjectID{id}}); err != nil || len(objects) != 0 {
		t.Errorf("deleted object: got %v, %v", objects, err)
	}
	free, err := s.Ledger.Owned(ctx, chain.OwnedQuery{Storage: true})
	if err != nil || len(free) != 1 || free[0].Object != out.Freed[0] || free[0].EndEpoch != registered.Registered[0].EndEpoch {
		t.Fatalf("reservations: got %+v, %v, want %s", free, err, out.Freed)
	}
	next := blob(1000, false)
	next.Storage = out.Freed[0]
	second := s.register(next)
	state := s.state()
	if want := registered.CostFrost / (3*state.StoragePrice + state.WritePrice) * state.WritePrice; second.CostFrost != want {
		t.Errorf("with a reservation: cost %d, want the write fee %d", second.CostFrost, want)
	}
	if second.Registered[0].EndEpoch != registered.Registered[0].EndEpoch {
		t.Errorf("end epoch %d, want that of the reservation, %d", second.Registered[0].EndEpoch, registered.Registered[0].EndEpoch)
	}
	if free, err := s.Ledger.Owned(ctx, chain.OwnedQuery{Storage: true}); err != nil || len(free) != 0 {
		t.Errorf("reservations: got %v, %v, want none", free, err)
	}
	_, err = s.Ledger.Register(ctx, tx(), []chain.Registration{next})
	s.wantErr("a reservation that is used", err, chain.ErrNotExist)
}

func testBadReservations(t *testing.T, s *suite) {
	ctx := s.ctx()
	id := s.register(blob(10, true)).Registered[0].Object
	out, err := s.Ledger.Delete(ctx, tx(), []walrus.ObjectID{id})
	if err != nil {
		t.Fatal(err)
	}
	with := func(size int64, epochs uint32, storage walrus.ObjectID) []chain.Registration {
		r := blob(size, true)
		r.EpochsAhead, r.Storage = epochs, storage
		return []chain.Registration{r}
	}
	_, err = s.Ledger.Register(ctx, tx(), with(10, 4, out.Freed[0]))
	s.wantAbort("too short", err, "blob", 2)
	_, err = s.Ledger.Register(ctx, tx(), with(s.state().Committee.Geometry().MaxBlobSize(), 3, out.Freed[0]))
	s.wantAbort("too small", err, "blob", 3)
	_, err = s.Other.Register(ctx, tx(), with(10, 3, out.Freed[0]))
	s.wantErr("somebody else's", err, chain.ErrNotOwner)
	twice := append(with(10, 3, out.Freed[0]), with(10, 3, out.Freed[0])...)
	if _, err = s.Ledger.Register(ctx, tx(), twice); err == nil {
		t.Error("one reservation served two blobs")
	}
	for _, epochs := range []uint32{0, s.state().MaxEpochsAhead + 1} {
		_, err = s.Ledger.Register(ctx, tx(), with(10, epochs, walrus.ObjectID{}))
		s.wantAbort(fmt.Sprintf("%d epochs", epochs), err, "system_state_inner", 2)
	}
	if _, err = s.Ledger.Register(ctx, tx(), with(10, 3, out.Freed[0])); err != nil {
		t.Errorf("after all this: %v", err)
	}
}

func testOwned(t *testing.T, s *suite) {
	ctx := s.ctx()
	a, b, c := blob(1, true), blob(2, true), blob(3, true)
	b.Attributes = []chain.Attribute{{Key: "mark", Value: "x"}, {Key: "other", Value: "y"}}
	out := s.register(a, b, a, c) // two objects of blob a
	ids := make([]walrus.ObjectID, len(out.Registered))
	for i, r := range out.Registered {
		ids[i] = r.Object
	}
	if _, err := s.Ledger.Delete(ctx, tx(), ids[3:]); err != nil {
		t.Fatal(err)
	}
	unknown := walrus.ObjectID(tx())
	cases := []struct {
		name  string
		query chain.OwnedQuery
		want  []walrus.ObjectID
	}{
		{"all", chain.OwnedQuery{}, ids[:3]},
		{"by blob", chain.OwnedQuery{Blobs: []walrus.BlobID{a.Blob, a.Blob, c.Blob}}, []walrus.ObjectID{ids[0], ids[2]}},
		{"by no blob", chain.OwnedQuery{Blobs: []walrus.BlobID{}}, nil},
		{"by object", chain.OwnedQuery{Objects: []walrus.ObjectID{ids[1], unknown}}, ids[1:2]},
		{"by object and blob", chain.OwnedQuery{Objects: ids[:3], Blobs: []walrus.BlobID{b.Blob}}, ids[1:2]},
		{"by attribute", chain.OwnedQuery{Key: "mark"}, ids[1:2]},
		{"by attribute that no object has", chain.OwnedQuery{Key: "mar"}, nil},
		{"by attribute and blob", chain.OwnedQuery{Key: "mark", Blobs: []walrus.BlobID{a.Blob}}, nil},
	}
	for _, c := range cases {
		objects, err := s.Ledger.Owned(ctx, c.query)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got := make(map[walrus.ObjectID]bool)
		for _, o := range objects {
			got[o.Object] = true
		}
		for _, id := range c.want {
			if !got[id] {
				t.Errorf("%s: %s is missing", c.name, id)
			}
		}
		if len(objects) != len(c.want) {
			t.Errorf("%s: got %d objects, want %d", c.name, len(objects), len(c.want))
		}
	}
	if objects, err := s.Poor.Owned(ctx, chain.OwnedQuery{}); err != nil || len(objects) != 0 {
		t.Errorf("an owner without objects: got %v, %v", objects, err)
	}
}

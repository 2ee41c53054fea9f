package chaintest

import (
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// events returns all events after a cursor, a few at a time.
func (s *suite) events(after uint64) []chain.Event {
	s.t.Helper()
	var all []chain.Event
	for {
		batch, err := s.Ledger.Events(s.ctx(), after, 3)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(batch) > 3 {
			s.t.Fatalf("%d events, asked for 3", len(batch))
		}
		for _, e := range batch {
			if e.Seq <= after {
				s.t.Fatalf("event %d after %d", e.Seq, after)
			}
			after = e.Seq
		}
		all = append(all, batch...)
		if len(batch) == 0 {
			return all
		}
	}
}

func last(events []chain.Event) uint64 {
	if len(events) == 0 {
		return 0
	}
	return events[len(events)-1].Seq
}

func testEvents(t *testing.T, s *suite) {
	start := last(s.events(0))
	r := blob(10, true)
	id := s.register(r).Registered[0]
	s.certify(r, id.Object)
	if _, err := s.Ledger.Extend(s.ctx(), tx(), []chain.Extension{{Object: id.Object, Epochs: 1}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ledger.Delete(s.ctx(), tx(), []walrus.ObjectID{id.Object}); err != nil {
		t.Fatal(err)
	}
	epoch := s.state().Epoch
	event := func(kind chain.EventKind, size int64, end walrus.Epoch) chain.Event {
		return chain.Event{Kind: kind, Epoch: epoch, Blob: r.Blob, Object: id.Object, Size: size, EndEpoch: end, Deletable: true}
	}
	want := []chain.Event{
		event(chain.BlobRegistered, r.Size, id.EndEpoch),
		event(chain.BlobCertified, 0, id.EndEpoch),
		event(chain.BlobCertified, 0, id.EndEpoch+1),
		event(chain.BlobDeleted, 0, id.EndEpoch+1),
	}
	got := s.events(start)
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Type == "" || len(got[i].BCS) == 0 {
			t.Errorf("event %d lacks type or bytes: %+v", i, got[i])
		}
		if got[i].Tx == (chain.TxID{}) || got[i].Index != 0 {
			t.Errorf("event %d is number %d of transaction %x, want the first of one", i, got[i].Index, got[i].Tx)
		}
		got[i].Seq, got[i].Tx, got[i].Type, got[i].BCS = 0, chain.TxID{}, "", nil
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("event %d:\n got %+v\nwant %+v", i, got[i], want[i])
		}
	}
}

// testEventsOfBatch checks the places of events in their transaction, also when
// the first of them are not asked for.
func testEventsOfBatch(t *testing.T, s *suite) {
	start := last(s.events(0))
	s.register(blob(11, true), blob(12, true), blob(13, true))
	all := s.events(start)
	if len(all) != 3 {
		t.Fatalf("%d events, want 3", len(all))
	}
	for i, from := range []uint64{start, all[0].Seq, all[1].Seq} {
		e := s.events(from)[0]
		if e.Index != uint32(i) || e.Tx != all[0].Tx {
			t.Errorf("event %d is number %d of transaction %x, want %d of %x", i, e.Index, e.Tx, i, all[0].Tx)
		}
	}
}

func testConcurrent(t *testing.T, s *suite) {
	const writers, calls = 4, 5
	before := s.frost(s.Ledger)
	var mu sync.Mutex
	var cost uint64
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range calls {
				r := blob(10, true)
				id := tx()
				out, err := s.Ledger.Register(s.ctx(), id, []chain.Registration{r})
				if err != nil {
					t.Errorf("register: %v", err)
					return
				}
				if _, err := s.Ledger.State(s.ctx()); err != nil {
					t.Errorf("state: %v", err)
				}
				objects, err := s.Ledger.Owned(s.ctx(), chain.OwnedQuery{Blobs: []walrus.BlobID{r.Blob}})
				if err != nil || len(objects) != 1 {
					t.Errorf("owned: got %v, %v", objects, err)
				}
				mu.Lock()
				cost += out.CostFrost
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if paid := before - s.frost(s.Ledger); paid != cost {
		t.Errorf("paid %d, the calls cost %d", paid, cost)
	}
	if objects, err := s.Ledger.Owned(s.ctx(), chain.OwnedQuery{}); err != nil || len(objects) != writers*calls {
		t.Errorf("owned: got %d objects, %v, want %d", len(objects), err, writers*calls)
	}
}

func testEpochs(t *testing.T, s *suite) {
	if s.AdvanceEpoch == nil {
		t.Skip("epochs of this ledger cannot be moved")
	}
	ctx := s.ctx()
	start := s.state()
	cursor := last(s.events(0))
	long, short := blob(10, true), blob(20, true)
	short.EpochsAhead = 1
	out := s.register(long, short)
	longID, shortID := out.Registered[0].Object, out.Registered[1].Object
	late := s.certification(long, longID)
	s.certify(short, shortID)

	s.AdvanceEpoch(t)
	now := s.state()
	if now.Epoch != start.Epoch+1 || now.Committee.Epoch != now.Epoch || now.Now.Before(start.Now) || !now.EpochStart.After(start.EpochStart) {
		t.Errorf("went from epoch %d at %s to epoch %d at %s", start.Epoch, start.Now, now.Epoch, now.Now)
	}
	_, err := s.Ledger.Certify(ctx, tx(), []chain.Certification{late}, nil)
	s.wantErr("certificate of the old epoch", err, chain.ErrStaleEpoch)
	s.certify(long, longID)

	_, err = s.Ledger.Extend(ctx, tx(), []chain.Extension{{Object: shortID, Epochs: 1}})
	s.wantAbort("extend an expired blob", err, "blob", 2)
	_, err = s.Ledger.Delete(ctx, tx(), []walrus.ObjectID{shortID})
	s.wantAbort("delete an expired blob", err, "blob", 2)

	var started, done bool
	for _, e := range s.events(cursor) {
		started = started || e.Kind == chain.EpochChangeStart && e.Epoch == now.Epoch
		done = done || started && e.Kind == chain.EpochChangeDone && e.Epoch == now.Epoch
	}
	if !done {
		t.Errorf("no events of the change to epoch %d: started %v", now.Epoch, started)
	}
	for range 3 {
		s.AdvanceEpoch(t)
	}
	if got := s.state().Epoch; got != start.Epoch+4 {
		t.Errorf("epoch %d, want %d", got, start.Epoch+4)
	}
}

func testRestart(t *testing.T, s *suite) {
	if s.Restart == nil {
		t.Skip("this ledger cannot be restarted")
	}
	id := tx()
	r := blob(10, true)
	r.Attributes = []chain.Attribute{{Key: "k", Value: "v"}}
	want, err := s.Ledger.Register(s.ctx(), id, []chain.Registration{r})
	if err != nil {
		t.Fatal(err)
	}
	state, object, frost, events := s.state(), s.object(want.Registered[0].Object), s.frost(s.Ledger), s.events(0)
	s.Env = s.Restart(t)
	if got, err := s.Ledger.Register(s.ctx(), id, []chain.Registration{r}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("register again: got %+v, %v, want %+v", got, err, want)
	}
	again := s.state()
	if again.Now.Before(state.Now) {
		t.Errorf("the clock went back from %s to %s", state.Now, again.Now)
	}
	again.Now = state.Now
	for name, pair := range map[string][2]any{
		"state": {again, state}, "object": {s.object(want.Registered[0].Object), object},
		"balance": {s.frost(s.Ledger), frost}, "events": {s.events(0), events},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s:\n got %s\nwant %s", name, fmt.Sprintf("%+v", pair[0]), fmt.Sprintf("%+v", pair[1]))
		}
	}
}

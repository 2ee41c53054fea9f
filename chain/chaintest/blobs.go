package chaintest

import (
	"context"
	"reflect"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

func testState(t *testing.T, s *suite) {
	state := s.state()
	if state.Epoch < 1 || state.EpochDuration <= 0 || state.Now.Before(state.EpochStart) {
		t.Errorf("epoch %d of %s began at %s, now %s", state.Epoch, state.EpochDuration, state.EpochStart, state.Now)
	}
	if state.StoragePrice == 0 || state.WritePrice == 0 || state.MaxEpochsAhead == 0 || state.Capacity <= state.Used {
		t.Errorf("prices %d and %d, %d epochs ahead, %d of %d used",
			state.StoragePrice, state.WritePrice, state.MaxEpochsAhead, state.Used, state.Capacity)
	}
	if state.ChainID == ([32]byte{}) {
		t.Error("no chain id")
	}
	c := state.Committee
	if c.Epoch != state.Epoch {
		t.Errorf("committee of epoch %d, want %d", c.Epoch, state.Epoch)
	}
	seen := make(map[uint16]bool)
	for i, m := range c.Members {
		if i > 0 && string(c.Members[i-1].ID[:]) >= string(m.ID[:]) {
			t.Errorf("member %d is out of order", i)
		}
		for _, shard := range m.Shards {
			if int(shard) >= c.Shards || seen[shard] {
				t.Errorf("shard %d is dealt twice or does not exist", shard)
			}
			seen[shard] = true
		}
	}
	if len(seen) != c.Shards {
		t.Errorf("%d of %d shards are dealt", len(seen), c.Shards)
	}
}

func testRegisterAndCertify(t *testing.T, s *suite) {
	epoch := s.state().Epoch
	r := blob(1000, true)
	id := s.register(r).Registered[0]
	if id.EndEpoch != epoch+3 {
		t.Errorf("ends in epoch %d, want %d", id.EndEpoch, epoch+3)
	}
	size, err := s.state().Committee.Geometry().EncodedSize(r.Size)
	if err != nil {
		t.Fatal(err)
	}
	want := chain.OwnedObject{Object: id.Object, Blob: r.Blob, Size: r.Size, StorageSize: size, StartEpoch: epoch,
		EndEpoch: id.EndEpoch, Deletable: true, Registered: epoch}
	got := s.object(id.Object)
	want.Version = got.Version
	if !reflect.DeepEqual(got, want) {
		t.Errorf("registered:\n got %+v\nwant %+v", got, want)
	}
	s.certify(r, id.Object)
	after := s.object(id.Object)
	if !after.Certified || after.CertifiedIn != epoch || after.Version <= got.Version {
		t.Errorf("certified: got %+v", after)
	}
}

func testPermanent(t *testing.T, s *suite) {
	r := blob(0, false)
	id := s.register(r).Registered[0].Object
	s.certify(r, id)
	if o := s.object(id); !o.Certified || o.Deletable || o.Size != 0 {
		t.Errorf("got %+v", o)
	}
	_, err := s.Ledger.Delete(s.ctx(), tx(), []walrus.ObjectID{id})
	s.wantAbort("delete a permanent blob", err, "blob", 1)
}

func testPrice(t *testing.T, s *suite) {
	state := s.state()
	const mib = 1 << 20
	for _, size := range []int64{0, 1, 1000, state.Committee.Geometry().MaxBlobSize()} {
		before := s.frost(s.Ledger)
		out := s.register(blob(size, true))
		encoded, err := state.Committee.Geometry().EncodedSize(size)
		if err != nil {
			t.Fatal(err)
		}
		units := (encoded + mib - 1) / mib
		want := units*state.StoragePrice*3 + units*state.WritePrice
		if out.CostFrost != want || before-s.frost(s.Ledger) != want {
			t.Errorf("%d bytes: cost %d, balance fell by %d, want %d", size, out.CostFrost, before-s.frost(s.Ledger), want)
		}
	}
}

func testRepeatedCalls(t *testing.T, s *suite) {
	ctx := s.ctx()
	first, second := blob(10, true), blob(20, true)
	second.Attributes = []chain.Attribute{{Key: "k", Value: "v"}}
	registerTx, certifyTx, extendTx, deleteTx := tx(), tx(), tx(), tx()
	_, err := s.Ledger.Outcome(ctx, registerTx)
	s.wantErr("outcome before the call", err, chain.ErrNotExist)

	var object walrus.ObjectID
	var cert chain.Certification
	calls := []struct {
		name string
		tx   chain.TxID
		call func() (*chain.Outcome, error)
	}{
		{"register", registerTx, func() (*chain.Outcome, error) {
			return s.Ledger.Register(ctx, registerTx, []chain.Registration{first, second})
		}},
		{"certify", certifyTx, func() (*chain.Outcome, error) {
			return s.Ledger.Certify(ctx, certifyTx, []chain.Certification{cert}, nil)
		}},
		{"extend", extendTx, func() (*chain.Outcome, error) {
			return s.Ledger.Extend(ctx, extendTx, []chain.Extension{{Object: object, Epochs: 2}})
		}},
		{"delete", deleteTx, func() (*chain.Outcome, error) {
			return s.Ledger.Delete(ctx, deleteTx, []walrus.ObjectID{object})
		}},
	}
	for _, c := range calls {
		want, err := c.call()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if c.name == "register" {
			object = want.Registered[0].Object
			cert = s.certification(first, object)
		}
		paid := s.frost(s.Ledger)
		for range 3 {
			got, err := c.call()
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s again: got %+v, %v, want %+v", c.name, got, err, want)
			}
		}
		got, err := s.Ledger.Outcome(ctx, c.tx)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("outcome of %s: got %+v, %v, want %+v", c.name, got, err, want)
		}
		if now := s.frost(s.Ledger); now != paid {
			t.Errorf("%s again: balance went from %d to %d", c.name, paid, now)
		}
	}
}

func testReusedID(t *testing.T, s *suite) {
	ctx, id := s.ctx(), tx()
	r := blob(10, true)
	out, err := s.Ledger.Register(ctx, id, []chain.Registration{r})
	if err != nil {
		t.Fatal(err)
	}
	changed := r
	changed.EpochsAhead++
	_, err = s.Ledger.Register(ctx, id, []chain.Registration{changed})
	s.wantErr("another registration", err, chain.ErrTxReused)
	_, err = s.Other.Register(ctx, id, []chain.Registration{r})
	s.wantErr("another owner", err, chain.ErrTxReused)
	_, err = s.Ledger.Delete(ctx, id, []walrus.ObjectID{out.Registered[0].Object})
	s.wantErr("another kind of call", err, chain.ErrTxReused)

	// An ID whose transaction failed was not used.
	id, wrong := tx(), r
	wrong.Root[0] ^= 1
	_, err = s.Ledger.Register(ctx, id, []chain.Registration{wrong})
	s.wantAbort("root that does not give the blob id", err, "blob", 6)
	if _, err := s.Ledger.Register(ctx, id, []chain.Registration{r}); err != nil {
		t.Errorf("after a failure: %v", err)
	}
}

func testAllOrNothing(t *testing.T, s *suite) {
	ctx := s.ctx()
	good, bad := blob(10, true), blob(10, true)
	bad.Root[0] ^= 1
	before := s.frost(s.Ledger)
	_, err := s.Ledger.Register(ctx, tx(), []chain.Registration{good, bad})
	s.wantAbort("register with a bad member", err, "blob", 6)
	if now := s.frost(s.Ledger); now != before {
		t.Errorf("balance went from %d to %d", before, now)
	}
	if objects, err := s.Ledger.Owned(ctx, chain.OwnedQuery{}); err != nil || len(objects) != 0 {
		t.Errorf("owned: got %v, %v, want nothing", objects, err)
	}

	out := s.register(good, blob(20, true))
	one, two := out.Registered[0].Object, out.Registered[1].Object
	cert := s.certification(good, one)
	_, err = s.Ledger.Certify(ctx, tx(), []chain.Certification{cert, {Object: two, Cert: cert.Cert}}, nil)
	s.wantAbort("certify with a bad member", err, "blob", 6)
	if s.object(one).Certified {
		t.Error("the good member was certified")
	}
	_, err = s.Ledger.Delete(ctx, tx(), []walrus.ObjectID{one, two, walrus.ObjectID(tx())})
	s.wantErr("delete with an unknown member", err, chain.ErrNotExist)
	s.object(one)
	s.object(two)
}

func testBatches(t *testing.T, s *suite) {
	ctx := s.ctx()
	_, err := s.Ledger.Register(ctx, tx(), nil)
	s.wantErr("empty register", err, chain.ErrBatch)
	_, err = s.Ledger.Certify(ctx, tx(), nil, nil)
	s.wantErr("certify of nothing", err, chain.ErrBatch)
	_, err = s.Ledger.Extend(ctx, tx(), nil)
	s.wantErr("empty extend", err, chain.ErrBatch)
	_, err = s.Ledger.Delete(ctx, tx(), make([]walrus.ObjectID, chain.MaxBatch+1))
	s.wantErr("delete too many", err, chain.ErrBatch)

	var batch []chain.Registration
	for i := range 20 {
		batch = append(batch, blob(int64(i), i%2 == 0))
	}
	out := s.register(batch...)
	var certs []chain.Certification
	for i, r := range batch {
		certs = append(certs, s.certification(r, out.Registered[i].Object))
	}
	certified, err := s.Ledger.Certify(ctx, tx(), certs, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range batch {
		id := out.Registered[i].Object
		if o := s.object(id); certified.Certified[i] != id || o.Blob != r.Blob || !o.Certified {
			t.Errorf("member %d: got %+v", i, o)
		}
	}
}

func testNoFunds(t *testing.T, s *suite) {
	ctx := s.ctx()
	_, err := s.Poor.Register(ctx, tx(), []chain.Registration{blob(10, true)})
	s.wantErr("no coin at all", err, chain.ErrNoFunds)
	state := s.state()
	var batch []chain.Registration
	for range chain.MaxBatch {
		r := blob(state.Committee.Geometry().MaxBlobSize(), true)
		r.EpochsAhead = state.MaxEpochsAhead
		batch = append(batch, r)
	}
	const enough = 100 // such batches cost more than MinFunds in any world
	for i := range enough {
		before := s.frost(s.Other)
		out, err := s.Other.Register(ctx, tx(), batch)
		if err == nil {
			if out.CostFrost != before-s.frost(s.Other) {
				t.Errorf("batch %d: cost %d, balance fell by %d", i, out.CostFrost, before-s.frost(s.Other))
			}
			continue
		}
		s.wantErr("coins that are too small", err, chain.ErrNoFunds)
		if now := s.frost(s.Other); now != before {
			t.Errorf("balance went from %d to %d", before, now)
		}
		return
	}
	t.Errorf("%d batches were paid from %d FROST", enough, uint64(MinFunds))
}

func testBadCertificates(t *testing.T, s *suite) {
	r, other := blob(10, true), blob(20, true)
	id := s.register(r, other).Registered[0].Object
	state := s.state()
	all := s.everyone()
	msg := s.message(r, id)
	good := s.Sign(t, all, msg)
	alter := func(change func(c *walrus.Certificate)) walrus.Certificate {
		c := walrus.Certificate{Signature: good.Signature, Bitmap: append([]byte(nil), good.Bitmap...), Message: append([]byte(nil), msg...)}
		change(&c)
		return c
	}
	sign := func(msg []byte) walrus.Certificate { return s.Sign(t, all, msg) }
	weak := 0 // the most members that are no quorum
	for weight := 0; weak < len(all); weak++ {
		if weight += state.Committee.Weight(weak); state.Committee.Geometry().IsQuorum(weight) {
			break
		}
	}
	deletable := walrus.Persistence{Deletable: true, Object: id}
	cases := []struct {
		name   string
		cert   walrus.Certificate
		module string
		code   uint64
	}{
		{"bit beyond the committee", alter(func(c *walrus.Certificate) { c.Bitmap[len(c.Bitmap)-1] |= 0x80 }), "bls_aggregate", 0},
		{"bitmap too long", alter(func(c *walrus.Certificate) { c.Bitmap = append(c.Bitmap, 0) }), "bls_aggregate", 0},
		{"no quorum", s.Sign(t, all[:weak], msg), "bls_aggregate", 2},
		{"nobody", walrus.Certificate{Message: msg}, "bls_aggregate", 2},
		{"signature of another message", alter(func(c *walrus.Certificate) { c.Message[10] ^= 1 }), "bls_aggregate", 1},
		{"signature that is no point", alter(func(c *walrus.Certificate) { c.Signature[0] ^= 0x80 }), "bls_aggregate", 1},
		{"another blob", sign(walrus.ConfirmationMessage(state.Epoch, other.Blob, deletable)), "blob", 6},
		{"permanent", sign(walrus.ConfirmationMessage(state.Epoch, r.Blob, walrus.Persistence{})), "blob", 9},
		{"another object", sign(walrus.ConfirmationMessage(state.Epoch, r.Blob,
			walrus.Persistence{Deletable: true, Object: walrus.ObjectID(tx())})), "blob", 10},
		{"another epoch", sign(walrus.ConfirmationMessage(state.Epoch+1, r.Blob, deletable)), "messages", 1},
		{"another kind of message", sign(walrus.InvalidBlobMessage(state.Epoch, r.Blob)), "messages", 2},
	}
	for _, c := range cases {
		_, err := s.Ledger.Certify(s.ctx(), tx(), []chain.Certification{{Object: id, Cert: c.cert}}, nil)
		s.wantAbort(c.name, err, c.module, c.code)
		if c.name == "another epoch" {
			s.wantErr(c.name, err, chain.ErrStaleEpoch)
		}
	}
	if s.object(id).Certified {
		t.Fatal("a bad certificate was accepted")
	}
	s.certify(r, id)
	_, err := s.Ledger.Certify(s.ctx(), tx(), []chain.Certification{{Object: id, Cert: good}}, nil)
	s.wantAbort("certified before", err, "blob", 5)
}

func testOtherOwners(t *testing.T, s *suite) {
	ctx := s.ctx()
	r := blob(10, true)
	id := s.register(r).Registered[0].Object
	cert := s.certification(r, id)
	_, err := s.Other.Certify(ctx, tx(), []chain.Certification{cert}, nil)
	s.wantErr("certify", err, chain.ErrNotOwner)
	_, err = s.Other.Delete(ctx, tx(), []walrus.ObjectID{id})
	s.wantErr("delete", err, chain.ErrNotOwner)
	s.certify(r, id)
	_, err = s.Other.Extend(ctx, tx(), []chain.Extension{{Object: id, Epochs: 1}})
	s.wantErr("extend", err, chain.ErrNotOwner)
	if objects, err := s.Other.Owned(ctx, chain.OwnedQuery{Objects: []walrus.ObjectID{id}}); err != nil || len(objects) != 0 {
		t.Errorf("owned: got %v, %v, want nothing", objects, err)
	}
}

func testCancelled(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(s.ctx())
	cancel()
	id := tx()
	_, err := s.Ledger.Register(ctx, id, []chain.Registration{blob(10, true)})
	s.wantErr("register", err, context.Canceled)
	_, err = s.Ledger.Outcome(s.ctx(), id)
	s.wantErr("outcome", err, chain.ErrNotExist)
}

package sui

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// loadTransactions reads the transactions of move's vectors, which the
// reference implementation @mysten/sui made.
func loadTransactions(t *testing.T) map[string]*move.Transaction {
	t.Helper()
	raw, err := os.ReadFile("../move/testdata/sui.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Transactions []struct {
			Name string
			BCS  string `json:"bcs_base64"`
		}
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*move.Transaction)
	for _, c := range v.Transactions {
		raw, err := base64.StdEncoding.DecodeString(c.BCS)
		if err != nil {
			t.Fatal(err)
		}
		tx := new(move.Transaction)
		if err := move.Unmarshal(raw, tx); err != nil {
			t.Fatal(err)
		}
		all[c.Name] = tx
	}
	return all
}

// bench is what recipes of the vectors are built from.
type bench struct {
	t   *testing.T
	all map[string]*move.Transaction
}

// small is the ID with a number at its end, as the vectors use them.
func small(n uint16) move.ID { return move.ID{30: byte(n >> 8), 31: byte(n)} }

func ref(n uint16) move.ObjectRef {
	return move.ObjectRef{ID: small(n), Version: 100, Digest: move.Digest(bytes.Repeat([]byte{7}, 32))}
}

func (v *bench) session() *session {
	testnet, _ := PublicProfile("testnet")
	original, current := mustID("0xd84704c17fc870b8764832c535aa6b11f21a95cd6f5bb38a9b07d2cf42220c66"),
		mustID("0x849e95d2718938d66c37fb91df76d72f78526c1864c339bac415ce8ecda2d8cc")
	stakingInitial := uint64(0)
	for _, in := range v.all["stake"].Inputs {
		if in.Kind == move.InputShared {
			stakingInitial = in.Initial
		}
	}
	return &session{builder: newBuilder(), me: v.all["stake"].Sender, world: &world{
		types:   move.Packages{Walrus: original, WAL: mustID("0x8270feb7375eee355e64fdb69c50abb6b5f9393a722883c1cf45f8e26048810a")},
		current: current, system: shared{testnet.System, 50}, staking: shared{testnet.Staking, stakingInitial}}}
}

// sharedIn is a shared object as a vector names it.
func (v *bench) sharedIn(name string, id move.ID) shared {
	for _, in := range v.all[name].Inputs {
		if in.Kind == move.InputShared && in.Object.ID == id {
			return shared{id, in.Initial}
		}
	}
	v.t.Fatalf("%s names no %s", name, id)
	return shared{}
}

// compare fails the test unless the commands of s are those of a vector, byte for byte.
func (v *bench) compare(name string, s *session) {
	v.t.Helper()
	want := v.all[name]
	if want == nil {
		v.t.Fatalf("no vector %s", name)
	}
	raw, err := move.Marshal(want)
	if err != nil {
		v.t.Fatal(err)
	}
	tx, _, err := s.finish(want.Sender, want.Gas.Payment, want.Gas.Price, want.Gas.Budget)
	if err != nil {
		v.t.Fatalf("%s: %v", name, err)
	}
	tx.Expiration = want.Expiration
	got, err := move.Marshal(tx)
	if err != nil || !bytes.Equal(got, raw) {
		v.t.Errorf("%s: %v\n got %x\nwant %x", name, err, got, raw)
	}
}

func TestRecipesMatchVectors(t *testing.T) {
	v := &bench{t, loadTransactions(t)}
	registered := v.all["register_direct"]
	root := [32]byte(registered.Inputs[5].Pure)
	blob := walrus.ComputeBlobID(root, 1_000_000)
	if blob != walrus.BlobID(registered.Inputs[4].Pure) {
		t.Fatalf("blob %s is not that of the vectors", blob)
	}
	system := &move.SystemInner{Committee: move.BLSCommittee{Shards: 1000}}
	coins := []coin{{ref(0xc02), 1 << 40}}
	found := map[move.ID]*object{}
	for _, n := range []uint16{0xb10b, 0x5700} {
		found[small(n)] = &object{ref: ref(n)}
	}
	var stored move.Blob
	stored.ID, stored.Storage.ID = small(0xb10b), small(0x5700)
	contents, err := move.Marshal(&stored)
	if err != nil {
		t.Fatal(err)
	}
	found[small(0xb10b)].contents = contents
	try := func(name string, build func(s *session) error) {
		t.Run(name, func(t *testing.T) {
			s := v.session()
			if err := build(s); err != nil {
				t.Fatal(err)
			}
			(&bench{t, v.all}).compare(name, s)
		})
	}
	registration := chain.Registration{Blob: blob, Root: root, Size: 1_000_000, EpochsAhead: 3, Deletable: true}
	try("register_direct", func(s *session) error { return s.register(system, []chain.Registration{registration}, nil, coins) })
	reused := registration
	reused.Storage, reused.Deletable = walrus.ObjectID(small(0x5700)), false
	try("register_from_storage", func(s *session) error {
		return s.register(system, []chain.Registration{reused}, map[walrus.ObjectID]reserve{reused.Storage: {ref: ref(0x5700)}}, coins)
	})
	try("certify", func(s *session) error {
		in := v.all["certify"].Inputs
		cert := walrus.Certificate{Signature: [96]byte(in[2].Pure[1:]), Bitmap: in[3].Pure[1:], Message: in[4].Pure[1:]}
		s.certify([]chain.Certification{{Object: walrus.ObjectID(small(0xb10b)), Cert: cert}}, found)
		return nil
	})
	try("extend", func(s *session) error {
		return s.extend([]chain.Extension{{Object: walrus.ObjectID(small(0xb10b)), Epochs: 2}}, found, nil, coins)
	})
	try("extend_with_resource", func(s *session) error { s.extendWith(ref(0xb10b), ref(0x5700)); return nil })
	try("delete", func(s *session) error {
		err := s.delete([]walrus.ObjectID{walrus.ObjectID(small(0xb10b))}, found)
		if len(s.shape.Freed) != 1 || s.shape.Freed[0] != walrus.ObjectID(small(0x5700)) {
			t.Errorf("frees %v", s.shape.Freed)
		}
		return err
	})
	try("burn", func(s *session) error { s.walrus("blob", "burn", s.owned(ref(0xb10b))); return nil })
	frost := func(raw []byte) (n uint64) {
		if err := move.Unmarshal(raw, layout(func(c *move.Codec) { c.U64(&n) })); err != nil {
			t.Fatal(err)
		}
		return n
	}
	stake := v.all["stake"].Inputs
	try("stake", func(s *session) error { return s.stake(move.ID(stake[3].Pure), frost(stake[1].Pure), coins) })
	try("request_withdraw", func(s *session) error { s.requestWithdraw(ref(0x57a1)); return nil })
	try("withdraw", func(s *session) error { s.withdraw(ref(0x57a1)); return nil })
	try("price_vote", func(s *session) error {
		storage, write := uint64(120), uint64(25)
		s.vote(ref(0xca9), Votes{StoragePrice: &storage, WritePrice: &write})
		return nil
	})
	try("collect_commission", func(s *session) error { s.collectCommission(ref(0xca9), small(0x7000)); return nil })
	try("slash_vote", func(s *session) error {
		s.voteSlash(v.sharedIn("slash_vote", small(0x51a5)), small(0x7000), small(0x7001))
		return nil
	})
	try("slash_execute", func(s *session) error {
		s.executeSlash(v.sharedIn("slash_execute", small(0x51a5)), v.sharedIn("slash_execute", small(0x07e5)), small(0x7001))
		return nil
	})
	try("exchange_sui_for_wal", func(s *session) error {
		testnet, _ := PublicProfile("testnet")
		s.exchange(v.sharedIn("exchange_sui_for_wal", v.all["exchange_sui_for_wal"].Inputs[1].Object.ID), testnet.Trade, 1_000_000_000)
		return nil
	})
	try("coins_merge_and_pay", func(s *session) error {
		in := v.all["coins_merge_and_pay"].Inputs
		three := []coin{{in[0].Object, 20}, {in[1].Object, 20}, {in[2].Object, 2}}
		return s.sendWAL(move.Address(in[4].Pure), 42, three)
	})
}

// TestBuilderKeepsLimits builds what Sui would refuse, and must be refused here before.
func TestBuilderKeepsLimits(t *testing.T) {
	coins := []coin{{ref(1), 1 << 40}}
	v := &bench{t, loadTransactions(t)}
	system := &move.SystemInner{Committee: move.BLSCommittee{Shards: 1000}}
	many := func(attributes int, value string) []chain.Registration {
		batch := make([]chain.Registration, chain.MaxBatch)
		for i := range batch {
			batch[i] = chain.Registration{Blob: walrus.BlobID{byte(i)}, Root: [32]byte{byte(i)}, Size: int64(i), EpochsAhead: 3}
			for n := range attributes {
				batch[i].Attributes = append(batch[i].Attributes, chain.Attribute{Key: string(rune('a' + n)), Value: value + string(rune('a'+i))})
			}
		}
		return batch
	}
	cases := []struct {
		name  string
		batch []chain.Registration
		want  error
	}{
		{"the largest batch", many(0, ""), nil},
		{"with five attributes each", many(5, "v"), nil},
		{"too many commands", many(6, "v"), chain.ErrBatch},
		{"too many bytes", many(1, string(bytes.Repeat([]byte("v"), 1000))), chain.ErrBatch},
		{"too long a value", many(1, string(bytes.Repeat([]byte("v"), maxPure))), chain.ErrBatch},
	}
	for _, c := range cases {
		s := v.session()
		if err := s.register(system, c.batch, nil, coins); err != nil {
			t.Fatal(err)
		}
		_, raw, err := s.finish(s.me, []move.ObjectRef{ref(2)}, 1000, 1e9)
		if !errors.Is(err, c.want) || c.want == nil && len(raw) > maxTxBytes {
			t.Errorf("%s: %d bytes, %v, want %v", c.name, len(raw), err, c.want)
		}
	}
}

// TestSharedInputIsMutableOnce reads and changes System in one transaction: it is one input, and mutable.
func TestSharedInputIsMutableOnce(t *testing.T) {
	b := newBuilder()
	s := shared{small(1), 7}
	if first, second := b.shared(s, false), b.shared(s, true); first != second || len(b.inputs) != 1 || !b.inputs[0].Mutable {
		t.Errorf("inputs %+v", b.inputs)
	}
	b.shared(s, false)
	if !b.inputs[0].Mutable {
		t.Error("a reader made it immutable again")
	}
	b.owned(ref(2))
	later := ref(2)
	later.Version++
	b.owned(later)
	if !errors.Is(b.err, chain.ErrStaleVersion) {
		t.Errorf("two versions of one object: %v", b.err)
	}
}

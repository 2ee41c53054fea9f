package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// script is a ledger that says what the test wrote into it. The real one is
// used in the tests of package embedded.
type script struct {
	chain.Ledger // nil: a node asks for nothing else
	mu           sync.Mutex
	state        chain.State
	events       []chain.Event
	err          error
	calls        int
}

func (s *script) State(context.Context) (*chain.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	state := s.state
	state.Committee.Epoch = state.Epoch
	return &state, nil
}

func (s *script) Events(_ context.Context, after uint64, limit int) ([]chain.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.err != nil {
		return nil, s.err
	}
	var page []chain.Event
	for _, e := range s.events {
		if e.Seq > after && len(page) < limit {
			page = append(page, e)
		}
	}
	return page, nil
}

// say adds an event.
func (s *script) say(e chain.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Seq = uint64(len(s.events) + 1)
	s.events = append(s.events, e)
}

func (s *script) register(blob walrus.BlobID, object byte, end walrus.Epoch) {
	s.say(chain.Event{Kind: chain.BlobRegistered, Blob: blob, Object: walrus.ObjectID{object}, EndEpoch: end, Deletable: object >= 100})
}

func (s *script) set(change func(*chain.State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
}

// bench is a node with shards 0, 3 and 7 of ten, and what it needs.
type bench struct {
	t      testing.TB
	dir    string
	ledger *script
	key    *bls.SecretKey
	codec  *redstuff.Codec
	quota  int64
}

const shards = 10

var sharedCodec = sync.OnceValues(func() (*redstuff.Codec, error) { return redstuff.New(walrus.Geometry{Shards: shards}) })

func newBench(t testing.TB) *bench {
	t.Helper()
	key, err := bls.NewSecretKey(bytes.NewReader(bytes.Repeat([]byte{7}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	other, err := bls.NewSecretKey(bytes.NewReader(bytes.Repeat([]byte{8}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	codec, err := sharedCodec()
	if err != nil {
		t.Fatal(err)
	}
	ledger := &script{state: chain.State{Epoch: 5, ChainID: [32]byte{1}, Committee: walrus.Committee{Shards: shards, Members: []walrus.Member{
		{Name: "other", PublicKey: other.PublicKey(), Shards: []uint16{1, 2, 4, 5, 6, 8, 9}},
		{Name: "tested", PublicKey: key.PublicKey(), Shards: []uint16{0, 3, 7}},
	}}}}
	return &bench{t: t, dir: t.TempDir(), ledger: ledger, key: key, codec: codec}
}

// open opens the node; the test closes it.
func (b *bench) open(os layer) *Node {
	b.t.Helper()
	n, err := b.tryOpen(os)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { n.Close() })
	return n
}

func (b *bench) tryOpen(os layer) (*Node, error) {
	return open(b.t.Context(), Config{
		Dir: b.dir, Name: "tested", Key: b.key, Codec: b.codec, Ledger: b.ledger, Quota: b.quota,
		Log: slog.New(slog.DiscardHandler),
	}, os)
}

// sample is an encoded blob that is registered.
type sample struct {
	*redstuff.Encoded
	object byte
}

func (b *bench) sample(seed uint64, size int) sample {
	b.t.Helper()
	blob := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range blob {
		blob[i] = byte(r.Uint32())
	}
	e, err := b.codec.Encode(b.t.Context(), blob)
	if err != nil {
		b.t.Fatal(err)
	}
	s := sample{e, byte(seed)}
	b.ledger.register(e.Blob(), s.object, 10)
	return s
}

// handover gives the slots of the shards that the node has, or of those given.
func (s sample) handover(of ...uint16) Handover {
	if of == nil {
		of = []uint16{0, 3, 7}
	}
	g := walrus.Geometry{Shards: shards}
	h := Handover{Blob: s.Blob(), Metadata: s.Metadata()}
	for _, shard := range of {
		pair := g.Pair(s.Blob(), int(shard))
		h.Slots = append(h.Slots, s.Slot(walrus.Primary, pair), s.Slot(walrus.Secondary, shards-1-pair))
	}
	return h
}

// held checks that the node gives back every slot of h.
func (b *bench) held(n *Node, h Handover) {
	b.t.Helper()
	for _, slot := range h.Slots {
		got, err := n.Sliver(b.t.Context(), idOf(h, slot))
		if err != nil {
			b.t.Errorf("%v", err)
		} else if !bytes.Equal(got, slot.Data()) {
			b.t.Errorf("sliver %s differs", idOf(h, slot))
		}
	}
	md, err := n.Metadata(b.t.Context(), h.Blob)
	if err != nil {
		b.t.Errorf("%v", err)
	} else if err := md.Verify(walrus.Geometry{Shards: shards}, h.Blob); err != nil {
		b.t.Errorf("metadata: %v", err)
	}
}

func idOf(h Handover, s redstuff.Slot) walrus.SliverID {
	return walrus.SliverID{Blob: h.Blob, Axis: s.Axis(), Index: uint16(s.Index())}
}

var permanent = walrus.Persistence{}

func deletable(object byte) walrus.Persistence {
	return walrus.Persistence{Deletable: true, Object: walrus.ObjectID{object}}
}

func TestStoreConfirmRead(t *testing.T) {
	for _, size := range []int{0, 1, 27, 28, 4096, 100_000, 700_001} {
		b := newBench(t)
		n := b.open(disk())
		s := b.sample(1, size)
		h := s.handover()
		if _, err := n.Confirm(t.Context(), h.Blob, permanent); !errors.Is(err, ErrNotFound) {
			t.Fatalf("%d bytes: confirm before store: %v, want ErrNotFound", size, err)
		}
		if err := n.Store(t.Context(), h); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		b.held(n, h)
		c, err := n.Confirm(t.Context(), h.Blob, permanent)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if want := walrus.ConfirmationMessage(5, h.Blob, permanent); c.Member != 1 || !bytes.Equal(c.Message, want) {
			t.Errorf("confirmation of member %d over %x, want 1 over %x", c.Member, c.Message, want)
		}
		if err := c.Verify(&walrus.Committee{Epoch: 5, Members: b.ledger.state.Committee.Members}); err != nil {
			t.Error(err)
		}
		st := n.Status()
		if st.Blobs != 1 || st.Bytes == 0 || st.SliverReads != 6 || st.MetadataReads != 1 || len(st.BadSlots) != 0 {
			t.Errorf("%d bytes: status %+v", size, st)
		}
	}
}

func TestStoreRefuses(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	good, other := b.sample(1, 5000), b.sample(2, 5000)
	unknown := b.sample(3, 5000)
	b.ledger.set(func(*chain.State) { b.ledger.events = b.ledger.events[:2] })

	foreign := good.handover()
	foreign.Slots[2] = other.handover().Slots[2]
	misnamed := good.handover()
	misnamed.Metadata = other.Metadata()
	bare := good.handover()
	bare.Metadata = nil
	altered := good.handover()
	altered.Slots = slices.Clone(altered.Slots)
	// The bytes change after the encoder hashed them, as a bad memory would do it.
	spoiled := b.sample(4, 5000)
	b.ledger.register(spoiled.Blob(), 4, 10)
	h := spoiled.handover()
	h.Slots[3].Data()[17] ^= 4

	tests := map[string]struct {
		h    Handover
		want error
	}{
		"slot of another blob":     {foreign, ErrRefused},
		"metadata of another blob": {misnamed, ErrRefused},
		"no metadata":              {bare, ErrRefused},
		"slot of another node":     {good.handover(0, 1), ErrRefused},
		"bytes changed":            {h, ErrRefused},
		"not registered":           {unknown.handover(), ErrNotRegistered},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := n.Store(t.Context(), test.h); !errors.Is(err, test.want) {
				t.Fatalf("store: %v, want %v", err, test.want)
			}
			if _, err := os.Stat(n.path(test.h.Blob)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a file was left: %v", err)
			}
			if _, err := n.Confirm(t.Context(), test.h.Blob, permanent); err == nil {
				t.Error("confirmed what was refused")
			}
		})
	}
	if s := n.Status(); s.Blobs != 0 || s.Bytes != 0 {
		t.Errorf("status %+v after nothing was stored", s)
	}
}

func TestStoreInParts(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	s := b.sample(1, 90_000)
	if err := n.Store(t.Context(), s.handover(3)); err != nil {
		t.Fatal(err)
	}
	b.held(n, s.handover(3))
	if _, err := n.Confirm(t.Context(), s.Blob(), permanent); !errors.Is(err, ErrNotFound) {
		t.Fatalf("confirm with a third: %v, want ErrNotFound", err)
	}
	if err := n.Store(t.Context(), s.handover(0, 7)); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Confirm(t.Context(), s.Blob(), permanent); err != nil {
		t.Fatal(err)
	}
	b.held(n, s.handover())
}

func TestStoreTwiceWritesOnce(t *testing.T) {
	b := newBench(t)
	layer := disk()
	writes := 0
	write := layer.writeAt
	layer.writeAt = func(f *os.File, p []byte, off int64) (int, error) { writes++; return write(f, p, off) }
	n := b.open(layer)
	s := b.sample(1, 90_000)
	if err := n.Store(t.Context(), s.handover()); err != nil {
		t.Fatal(err)
	}
	first := writes
	for range 2 {
		if err := n.Store(t.Context(), s.handover()); err != nil {
			t.Fatal(err)
		}
	}
	if writes != first || first == 0 {
		t.Errorf("%d writes, then %d more", first, writes-first)
	}
	if s := n.Status(); s.Blobs != 1 {
		t.Errorf("%d blobs, want 1", s.Blobs)
	}
}

func TestConfirmAsksTheLedger(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	s := b.sample(1, 1000)
	if err := n.Store(t.Context(), s.handover()); err != nil {
		t.Fatal(err)
	}
	b.ledger.register(s.Blob(), 101, 10)
	tests := map[string]struct {
		p    walrus.Persistence
		want error
	}{
		"permanent":                {permanent, nil},
		"deletable":                {deletable(101), nil},
		"deletable, other object":  {deletable(102), ErrNotRegistered},
		"deletable, permanent one": {deletable(1), ErrNotRegistered},
	}
	for name, test := range tests {
		if _, err := n.Confirm(t.Context(), s.Blob(), test.p); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	b.ledger.set(func(s *chain.State) { s.Epoch = 6 })
	c, err := n.Confirm(t.Context(), s.Blob(), permanent)
	if err != nil {
		t.Fatal(err)
	}
	if epoch, _, _, err := walrus.ParseConfirmation(c.Message); err != nil || epoch != 6 {
		t.Errorf("confirmed for epoch %d, %v, want 6", epoch, err)
	}
	b.ledger.set(func(s *chain.State) { s.Committee.Members = s.Committee.Members[:1] })
	if _, err := n.Confirm(t.Context(), s.Blob(), permanent); !errors.Is(err, ErrRefused) {
		t.Errorf("confirm outside of the committee: %v, want ErrRefused", err)
	}
	b.ledger.err = errors.New("away")
	if _, err := n.Confirm(t.Context(), s.Blob(), permanent); !errors.Is(err, b.ledger.err) {
		t.Errorf("confirm without a ledger: %v", err)
	}
	b.held(n, s.handover())
}

// A node that gets another shard rewrites the file with more slots and keeps
// what it had.
func TestCommitteeChange(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	s := b.sample(1, 30_000)
	if err := n.Store(t.Context(), s.handover()); err != nil {
		t.Fatal(err)
	}
	before := n.Status().Bytes
	b.ledger.set(func(st *chain.State) {
		st.Epoch = 6
		st.Committee.Members = slices.Clone(st.Committee.Members)
		st.Committee.Members[1].Shards = []uint16{0, 7, 9}
	})
	if _, err := n.Confirm(t.Context(), s.Blob(), permanent); !errors.Is(err, ErrNotFound) {
		t.Fatalf("confirm without the new shard: %v, want ErrNotFound", err)
	}
	if err := n.Store(t.Context(), s.handover(9)); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Confirm(t.Context(), s.Blob(), permanent); err != nil {
		t.Fatal(err)
	}
	b.held(n, s.handover(0, 3, 7, 9))
	if s := n.Status(); s.Blobs != 1 || s.Bytes <= before {
		t.Errorf("status %+v, had %d bytes", s, before)
	}
}

func TestClosedNode(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	s := b.sample(1, 1000)
	c := NewLocalClient(n)
	if err := c.Store(t.Context(), s.handover()); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatalf("second close: %v", err)
	}
	_, errConfirm := c.Confirm(t.Context(), s.Blob(), permanent)
	_, errMetadata := c.Metadata(t.Context(), s.Blob())
	_, errSliver := c.Sliver(t.Context(), walrus.SliverID{Blob: s.Blob()})
	for i, err := range []error{c.Store(t.Context(), s.handover()), errConfirm, errMetadata, errSliver, n.Sync(t.Context())} {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("call %d on a closed node: %v, want ErrUnavailable", i, err)
		}
	}
	n = b.open(disk())
	b.held(n, s.handover())
}

func TestConcurrentUse(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	samples := []sample{b.sample(1, 20_000), b.sample(2, 20_000), b.sample(3, 20_000)}
	var wg sync.WaitGroup
	for i := range 12 {
		s := samples[i%len(samples)]
		wg.Go(func() {
			if err := n.Store(t.Context(), s.handover()); err != nil {
				t.Error(err)
			}
			if _, err := n.Confirm(t.Context(), s.Blob(), permanent); err != nil {
				t.Error(err)
			}
			b.held(n, s.handover())
			if err := n.Sync(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s := n.Status(); s.Blobs != 3 || len(s.BadSlots) != 0 {
		t.Errorf("status %+v", s)
	}
}

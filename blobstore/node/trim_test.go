package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// giveAway makes shard 3 the other node's in the next epoch, and shard 9 the tested one's.
func (b *bench) giveAway() {
	b.ledger.set(func(st *chain.State) {
		st.Epoch++
		st.Committee.Members = slices.Clone(st.Committee.Members)
		st.Committee.Members[0].Shards = []uint16{1, 2, 3, 4, 5, 6, 8}
		st.Committee.Members[1].Shards = []uint16{0, 7, 9}
	})
}

// receives lets a node say on the ledger that it holds shards in an epoch.
func (b *bench) receives(epoch uint32, shards ...uint16) {
	b.t.Helper()
	raw, err := move.Marshal(&move.ShardsReceived{Epoch: epoch, Shards: shards})
	if err != nil {
		b.t.Fatal(err)
	}
	b.ledger.say(chain.Event{Kind: chain.OtherEvent, Type: "0x1::events::ShardsReceived", BCS: raw})
}

func (b *bench) done(epoch walrus.Epoch) {
	b.ledger.say(chain.Event{Kind: chain.EpochChangeDone, Epoch: epoch})
}

// onDisk counts the bytes of the blob files of the node.
func (b *bench) onDisk() (bytes int64) {
	b.t.Helper()
	err := filepath.WalkDir(filepath.Join(b.dir, "blobs"), func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		bytes += info.Size()
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return bytes
}

// trimmed checks that Trim frees so many bytes, on the disk and in what the node says.
func (b *bench) trimmed(what string, n *Node, want int64) {
	b.t.Helper()
	had := b.onDisk()
	freed, err := n.Trim(b.t.Context())
	if err != nil || freed != want {
		b.t.Errorf("%s: freed %d, %v, want %d", what, freed, err, want)
	}
	if now := b.onDisk(); now != had-want || n.Status().Bytes != now {
		b.t.Errorf("%s: %d bytes on the disk, the node says %d, want %d", what, now, n.Status().Bytes, had-want)
	}
}

// absent checks that the node has none of the slots of h.
func (b *bench) absent(n *Node, h Handover) {
	b.t.Helper()
	for _, slot := range h.Slots {
		if _, err := n.Sliver(b.t.Context(), idOf(h, slot)); !errors.Is(err, ErrNotFound) {
			b.t.Errorf("sliver %s: %v, want ErrNotFound", idOf(h, slot), err)
		}
	}
}

// TestTrim gives a shard away. Its slivers stay until the change of the epoch is done and the new
// node has said that it holds the shard; then they go, and nothing else does.
func TestTrim(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	all := []sample{b.sample(1, 30_000), b.sample(2, 100), b.sample(3, 9_000)}
	for _, s := range all {
		if err := n.Store(t.Context(), s.handover()); err != nil {
			t.Fatal(err)
		}
	}
	small := b.onDisk() // three shards of each
	b.receives(5, 0, 3, 7)
	b.receives(5, 1, 2, 4, 5, 6, 8, 9)
	b.done(5)
	b.trimmed("nothing was given away", n, 0)
	b.giveAway()
	for _, s := range all {
		if err := n.Store(t.Context(), s.handover(9)); err != nil {
			t.Fatal(err)
		}
	}
	grown := b.onDisk() - small
	if grown <= 0 {
		t.Fatal("a fourth shard took no room")
	}
	b.trimmed("nobody has said anything", n, 0)
	b.receives(6, 0, 7, 9)
	b.receives(6, 1, 2, 4, 5, 6, 8)
	b.done(6)
	b.trimmed("the new node has not said that it holds the shard", n, 0)
	for _, s := range all {
		b.held(n, s.handover(0, 3, 7, 9))
	}
	b.receives(6, 3)
	b.trimmed("all is said", n, grown)
	b.trimmed("again", n, 0)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = b.open(disk())
	for _, s := range all {
		b.held(n, s.handover(0, 7, 9))
		b.absent(n, s.handover(3))
		if _, err := n.Confirm(t.Context(), s.Blob(), permanent); err != nil {
			t.Error(err)
		}
	}

	// It comes back, and goes while the ledger knows no node of this key.
	b.giveAway()
	b.ledger.set(func(st *chain.State) { st.Committee.Members[1].Shards = []uint16{0, 3, 7, 9} })
	for _, s := range all {
		if err := n.Store(t.Context(), s.handover(3)); err != nil {
			t.Fatal(err)
		}
	}
	b.ledger.set(func(st *chain.State) {
		st.Epoch = 8
		st.Committee.Members = slices.Clone(st.Committee.Members)
		st.Committee.Members[1].PublicKey = [48]byte{1}
	})
	b.receives(8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	b.done(8)
	b.trimmed("not in the committee", n, 0)
	b.ledger.set(func(st *chain.State) {
		st.Epoch = 9
		st.Committee.Members = slices.Clone(st.Committee.Members)
		st.Committee.Members[1] = walrus.Member{Name: "tested", PublicKey: b.key.PublicKey(), Shards: []uint16{0, 7, 9}}
	})
	b.receives(9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	b.trimmed("held by all before the change is done", n, 0)
	for _, s := range all {
		b.held(n, s.handover(0, 3, 7, 9))
	}
	b.done(9)
	b.trimmed("in the committee again", n, grown)
}

// TestTrimFails stops Trim at each of its steps, as a full or broken disk and kill -9 do: nothing
// that the node is to hold is lost, and the next start goes on.
func TestTrimFails(t *testing.T) {
	for at := int64(1); ; at++ {
		b := newBench(t)
		var count atomic.Int64
		armed := false
		n := b.open(watch(func(op string, _ *os.File, _ string) error {
			if armed && count.Add(1) >= at { // and nothing works from then on
				return errors.New("stopped at " + op)
			}
			return nil
		}))
		all := []sample{b.sample(1, 20_000), b.sample(2, 20_000)}
		b.giveAway()
		b.ledger.set(func(st *chain.State) { st.Committee.Members[1].Shards = []uint16{0, 3, 7, 9} })
		for _, s := range all {
			if err := n.Store(t.Context(), s.handover(0, 3, 7, 9)); err != nil {
				t.Fatal(err)
			}
		}
		four := b.onDisk()
		b.giveAway()
		b.receives(7, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		b.done(7)
		armed = true
		_, err := n.Trim(t.Context())
		armed = false
		if killed := b.killed(); err != nil { // as kill -9 leaves it: nothing was closed
			for _, s := range all {
				killed.held(killed.open(disk()), s.handover(0, 7, 9))
			}
		}
		if _, err := n.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			b.held(n, s.handover(0, 7, 9))
			b.absent(n, s.handover(3))
			if _, err := n.Confirm(t.Context(), s.Blob(), permanent); err != nil {
				t.Errorf("stopped at step %d: %v", at, err)
			}
		}
		if now := b.onDisk(); now >= four || n.Status().Bytes != now {
			t.Errorf("stopped at step %d: %d bytes on the disk, the node says %d, had %d", at, now, n.Status().Bytes, four)
		}
		if err == nil {
			if at < 10 {
				t.Errorf("Trim has %d steps only", at)
			}
			return
		}
	}
}

// killed returns a copy of what is on the disk now, with a catalogue that nobody closed.
func (b *bench) killed() *bench {
	b.t.Helper()
	again := *b
	again.dir = b.t.TempDir()
	if err := os.CopyFS(again.dir, os.DirFS(b.dir)); err != nil {
		b.t.Fatal(err)
	}
	return &again
}

// TestTrimLeavesDamage keeps a file whose own slivers are damaged as it is: to be healed first.
func TestTrimLeavesDamage(t *testing.T) {
	b := newBench(t)
	n := b.open(disk())
	s := b.sample(1, 20_000)
	if err := n.Store(t.Context(), s.handover()); err != nil {
		t.Fatal(err)
	}
	own := s.handover(7).Slots[0]
	f, err := openBlob(n.path(s.Blob()), s.Blob(), os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, n.path(s.Blob()), f.offsets[f.find(keyOf(own))], []byte("rotten"))
	if err := f.f.Close(); err != nil {
		t.Fatal(err)
	}
	b.giveAway()
	b.receives(6, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	b.done(6)
	b.trimmed("damaged", n, 0)
	b.held(n, s.handover(0, 3))
}

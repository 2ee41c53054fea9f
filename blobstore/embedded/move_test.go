package embedded_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
	"github.com/walfs/walfs/chain/sui"
)

// moving is a network whose shards follow the stake, with blobs in it.
type moving struct {
	*testing.T
	net       *embedded.Network
	client    *blobstore.Client
	stake     func(ctx context.Context, tx chain.TxID, node move.ID, frost uint64) (*sui.Result, error)
	blobs     map[walrus.BlobID]string
	recovered int // blobs that were rebuilt for an epoch
}

func newMoving(t *testing.T) *moving {
	t.Helper()
	m := &moving{T: t, blobs: map[walrus.BlobID]string{}}
	m.net = start(t, embedded.Config{Dir: t.TempDir(), Nodes: 5, Shards: 20, Recover: func(ctx context.Context, n *node.Node, blob walrus.BlobID) error {
		m.recovered++
		m.readAll() // also now
		_, err := m.client.Mend(ctx, n, blob)
		return err
	}})
	wallet := someWallet(t)
	if err := m.net.Faucet(t.Context(), chain.TxID{9}, wallet.Address()); err != nil {
		t.Fatal(err)
	}
	l, err := m.net.Owner(t.Context(), wallet, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m.stake = l.Stake
	if m.client, err = blobstore.New(blobstore.Config{Ledger: l, Dial: m.net.Dial, Codec: m.net.Codec(), ReadTimeout: time.Minute}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.client.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range 3 {
		text := fmt.Sprintf("blob %d", i)
		r, err := m.client.Put(t.Context(), []byte(text), blobstore.PutOptions{Epochs: 10})
		if err != nil {
			t.Fatal(err)
		}
		everywhere(t, m.net, m.client, r.Blob)
		m.blobs[r.Blob] = text
	}
	return m
}

func (m *moving) readAll() {
	m.Helper()
	for blob, text := range m.blobs {
		read(m.T, m.client, blob, text)
	}
}

// favour stakes so much with a member that shards come to it, within two epochs.
func (m *moving) favour(tx byte, member int) {
	m.Helper()
	if _, err := m.stake(m.Context(), chain.TxID{tx}, move.ID(m.net.Net().Committee().Members[member].ID), 3_000*chain.FrostPerWAL); err != nil {
		m.Fatal(err)
	}
}

// whole checks that each node has all that is its own.
func (m *moving) whole() {
	m.Helper()
	m.net.Sync(m.Context())
	for _, n := range m.net.Up() {
		seen := 0
		if err := n.Survey(m.Context(), node.Hashes, walrus.BlobID{}, func(g node.Gap) error {
			if seen++; !g.None() {
				m.Errorf("%s lacks %v", n.Status().Name, g.Missing)
			}
			return nil
		}); err != nil {
			m.Fatal(err)
		}
		if seen != len(m.blobs) {
			m.Errorf("%s knows of %d blobs, want %d", n.Status().Name, seen, len(m.blobs))
		}
	}
}

// stored counts the bytes that all nodes have.
func (m *moving) stored() (bytes int64) {
	m.net.Sync(m.Context())
	for _, n := range m.net.Nodes() {
		bytes += n.Bytes
	}
	return bytes
}

// TestShardsFollowStake moves shards between nodes with the stake. The slivers
// come from the nodes before, and from all others where those are down, and the
// blobs can be read all the time.
func TestShardsFollowStake(t *testing.T) {
	m := newMoving(t)
	before, stored := m.net.Net().Committee(), m.stored()
	m.favour(1, 1)
	if err := m.net.AdvanceEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := m.net.Net().Committee()
	if len(now.Members[1].Shards) <= len(before.Members[1].Shards) {
		t.Fatalf("shards %v, were %v", now.Members[1].Shards, before.Members[1].Shards)
	}
	if now := m.stored(); now != stored {
		t.Errorf("the nodes have %d bytes, and had %d before shards moved", now, stored)
	}
	m.readAll()
	m.whole()
	if m.recovered > 0 {
		t.Errorf("%d blobs were rebuilt though all nodes gave their shards", m.recovered)
	}

	// The node that has most to give away dies.
	dead := now.Members[1].Name
	if err := m.net.Inject(dead, embedded.Down); err != nil {
		t.Fatal(err)
	}
	m.favour(2, 3)
	m.favour(3, 4)
	if err := m.net.AdvanceEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := m.net.Net().Committee()
	if len(after.Members[1].Shards) >= len(now.Members[1].Shards) {
		t.Fatalf("the dead node has %d shards, had %d", len(after.Members[1].Shards), len(now.Members[1].Shards))
	}
	if m.recovered == 0 {
		t.Error("nothing was rebuilt")
	}
	if err := m.net.Inject(dead, 0); err != nil { // it comes back, and lets go of what is not its own
		t.Fatal(err)
	}
	if now := m.stored(); now != stored {
		t.Errorf("the nodes have %d bytes after one was dead, and had %d at first", now, stored)
	}
	m.readAll()
	m.whole()
}

// TestEpochWaitsForShards has a node get shards that is down: the epoch begins once it is back.
func TestEpochWaitsForShards(t *testing.T) {
	m := newMoving(t)
	epoch := m.net.Net().Committee().Epoch
	lucky := m.net.Net().Committee().Members[2]
	m.favour(1, 2)
	if err := m.net.Stop(lucky.Name); err != nil {
		t.Fatal(err)
	}
	if err := m.net.AdvanceEpoch(t.Context()); err == nil {
		t.Fatal("the epoch began without the shards")
	}
	m.readAll()
	if err := m.net.Start(t.Context(), lucky.Name); err != nil {
		t.Fatal(err)
	}
	if err := m.net.AdvanceEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := m.net.Net().Committee(); now.Epoch != epoch+1 || len(now.Members[2].Shards) <= len(lucky.Shards) {
		t.Errorf("epoch %d, shards %v", now.Epoch, now.Members[2].Shards)
	}
	m.readAll()
	m.whole()
}

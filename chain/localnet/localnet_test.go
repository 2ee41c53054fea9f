package localnet

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/chaintest"
)

// testNodes are the keys of a test committee, by public key.
type testNodes map[[48]byte]*bls.SecretKey

// newGenesis makes a committee whose keys and IDs are the same in every run.
func newGenesis(t testing.TB, nodes, shards int) (*Genesis, testNodes) {
	t.Helper()
	g := &Genesis{Shards: shards, Seed: [32]byte{1}}
	keys := make(testNodes)
	for i := range nodes {
		key, err := bls.SecretKeyFromBytes([32]byte{31: byte(i + 1), 30: 7})
		if err != nil {
			t.Fatal(err)
		}
		n := GenesisNode{Name: fmt.Sprintf("node-%d", i), Address: fmt.Sprintf("127.0.0.1:%d", 9000+i), PublicKey: key.PublicKey(),
			NetworkKey: [33]byte{2, 9}}
		n.ProofOfPossession = key.Sign(n.ProofMessage())
		g.Nodes = append(g.Nodes, n)
		keys[key.PublicKey()] = key
	}
	return g, keys
}

// sign aggregates signatures of members of a committee.
func (k testNodes) sign(t testing.TB, c walrus.Committee, members []int, msg []byte) walrus.Certificate {
	t.Helper()
	cert := walrus.Certificate{Bitmap: make([]byte, (len(c.Members)+7)/8), Message: msg}
	var sigs [][96]byte
	for _, i := range members {
		cert.Bitmap[i/8] |= 1 << (i % 8)
		sigs = append(sigs, k[c.Members[i].PublicKey].Sign(msg))
	}
	var err error
	if cert.Signature, err = bls.AggregateSignatures(sigs); err != nil {
		t.Fatal(err)
	}
	return cert
}

// manual is a clock that tests move.
type manual struct{ at time.Time }

func (m *manual) now() time.Time { return m.at }

func openNet(t testing.TB, cfg Config) *Net {
	t.Helper()
	n, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

var (
	alice = chain.Address{1}
	bob   = chain.Address{2}
	carol = chain.Address{3}
)

func fund(t testing.TB, n *Net, tx chain.TxID, to chain.Address, frost uint64) {
	t.Helper()
	if err := n.Faucet(context.Background(), tx, to, frost, 1e9); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	for _, size := range []struct{ nodes, shards int }{{4, 10}, {10, 100}} {
		t.Run(fmt.Sprintf("%d nodes", size.nodes), func(t *testing.T) {
			t.Parallel()
			chaintest.Run(t, func(t *testing.T) *chaintest.Env {
				g, keys := newGenesis(t, size.nodes, size.shards)
				cfg := Config{Dir: t.TempDir(), Genesis: g}
				return newEnv(t, openNet(t, cfg), cfg, keys)
			})
		})
	}
}

func newEnv(t *testing.T, n *Net, cfg Config, keys testNodes) *chaintest.Env {
	fund(t, n, chain.TxID{1}, alice, chaintest.MinFunds)
	fund(t, n, chain.TxID{2}, alice, chaintest.MinFunds) // two coins, to be merged
	fund(t, n, chain.TxID{3}, bob, chaintest.MinFunds)
	return &chaintest.Env{
		Ledger: n.Ledger(alice), Other: n.Ledger(bob), Poor: n.Ledger(carol),
		Sign: func(t *testing.T, members []int, msg []byte) walrus.Certificate {
			return keys.sign(t, n.Committee(), members, msg)
		},
		AdvanceEpoch: func(t *testing.T) {
			if err := n.AdvanceEpoch(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		Restart: func(t *testing.T) *chaintest.Env {
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			cfg.Genesis = nil
			return newEnv(t, openNet(t, cfg), cfg, keys)
		},
	}
}

// confirmation is what nodes sign for a deletable blob.
func confirmation(epoch walrus.Epoch, r chain.Registration, object chain.Registered) []byte {
	return walrus.ConfirmationMessage(epoch, r.Blob, walrus.Persistence{Deletable: true, Object: object.Object})
}

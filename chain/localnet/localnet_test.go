package localnet

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// testNodes are the keys of a test committee, by public key.
type testNodes map[[48]byte]*bls.SecretKey

// testSeed is what the ledgers of tests are made of.
var testSeed = [32]byte{1}

// newGenesis makes a committee whose keys and IDs are the same in every run.
func newGenesis(t testing.TB, nodes, shards int) (*Genesis, testNodes) {
	t.Helper()
	g := &Genesis{Shards: shards}
	keys := make(testNodes)
	for i := range nodes {
		key, err := bls.SecretKeyFromBytes([32]byte{31: byte(i + 1), 30: 7})
		if err != nil {
			t.Fatal(err)
		}
		n := GenesisNode{Name: fmt.Sprintf("node-%d", i), Address: fmt.Sprintf("127.0.0.1:%d", 9000+i), PublicKey: key.PublicKey(),
			NetworkKey: [33]byte{2, 9}}
		n.ProofOfPossession = key.Sign(n.ProofMessage(House(testSeed)))
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

// openNet opens a ledger, of testSeed unless cfg has another.
func openNet(t testing.TB, cfg Config) *Net {
	t.Helper()
	if cfg.Seed == ([32]byte{}) {
		cfg.Seed = testSeed
	}
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

func fund(t testing.TB, n *Net, tx chain.TxID, to chain.Address, frost uint64) {
	t.Helper()
	if err := n.Faucet(context.Background(), tx, to, frost, 1e9); err != nil {
		t.Fatal(err)
	}
}

// confirmation is what nodes sign for a deletable blob.
func confirmation(epoch walrus.Epoch, r chain.Registration, object chain.Registered) []byte {
	return walrus.ConfirmationMessage(epoch, r.Blob, walrus.Persistence{Deletable: true, Object: object.Object})
}

package embedded

import (
	"testing"

	"github.com/walfs/walfs/chain"
)

// TestFollowOnce lets a node follow the ledger of its own accord: not again while there
// is nothing new, but again when it failed, and when it was started anew.
func TestFollowOnce(t *testing.T) {
	n, err := Open(t.Context(), Config{Dir: t.TempDir(), Nodes: 1, Shards: 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() }) // one of its nodes is closed already
	m := n.nodes[0]
	follows := func() bool { // whether the node looks, which is closed
		t.Helper()
		_, turn := n.ledger.News()
		return m.follow(t.Context(), turn) != nil
	}
	if follows() {
		t.Fatal("a node that is up cannot follow")
	}
	if err := m.node.Close(); err != nil {
		t.Fatal(err)
	}
	if follows() {
		t.Error("it looks although nothing is new")
	}
	if err := n.Faucet(t.Context(), chain.TxID{1}, chain.Address{1}); err != nil {
		t.Fatal(err)
	}
	if !follows() {
		t.Error("it does not look at what is new")
	}
	if !follows() {
		t.Error("it does not look again after it failed")
	}
	_ = n.Stop(m.name) // what is closed cannot be closed
	if err := n.Start(t.Context(), m.name); err != nil {
		t.Fatal(err)
	}
	if follows() || m.followed.node != m.node {
		t.Error("a node that was started anew does not look")
	}
}

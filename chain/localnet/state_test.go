package localnet

import (
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// TestStateAfterEachCommit asks for the state again and again: it is that after the last
// commit, and its clock goes on without one.
func TestStateAfterEachCommit(t *testing.T) {
	g, _ := newGenesis(t, 4, 10)
	clock := &manual{time.Now()}
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g, Now: clock.now})
	fund(t, n, chain.TxID{1}, alice, 1e12)
	ask := func() *chain.State {
		t.Helper()
		s, err := n.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := ask()
	before.Committee.Members[0].Shards[0] = 1000 // the caller's own
	clock.at = clock.at.Add(time.Minute)
	if later := ask(); later.Now.Sub(before.Now) != time.Minute || later.Used != before.Used || later.Committee.Members[0].Shards[0] == 1000 {
		t.Errorf("a minute later: %+v, before %+v", later, before)
	}
	root := [32]byte{1}
	registered, err := as(t, n, alice).Register(t.Context(), []chain.Registration{{Blob: walrus.ComputeBlobID(root, 10),
		Root: root, Size: 10, EpochsAhead: 3}})
	if err != nil || len(registered.Registered) != 1 {
		t.Fatalf("%+v, %v", registered, err)
	}
	after := ask()
	if after.Used <= before.Used {
		t.Errorf("%d bytes are used after a registration, %d before", after.Used, before.Used)
	}
	if err := n.AdvanceEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if next := ask(); next.Epoch != after.Epoch+1 || next.Committee.Epoch != next.Epoch {
		t.Errorf("epoch %d, with the committee of %d, after epoch %d", next.Epoch, next.Committee.Epoch, after.Epoch)
	}
}

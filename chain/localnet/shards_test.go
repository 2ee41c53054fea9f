package localnet

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// stakeMore stakes WAL of the faucet with one node of the committee.
func stakeMore(t *testing.T, n *Net, number uint64, node walrus.NodeID, frost uint64) {
	t.Helper()
	key := chain.TxID(numbered('s', int(number)))
	err := n.submitOwn(t.Context(), own{kind: "test_stake", key: key,
		build: func(ctx context.Context, tx *sql.Tx, d *draft) error {
			purse, err := n.purse(ctx, tx, d, n.facts.packages.WALCoin(), frost)
			if err != nil {
				return err
			}
			d.transfer(d.Sender, d.call("staking", "stake_with_pool", d.object(n.facts.staking), d.split(purse, frost), d.id(move.ID(node))))
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
}

func shardsOf(c walrus.Committee) (all [][]uint16) {
	for i := range c.Members {
		all = append(all, c.Members[i].Shards)
	}
	return all
}

func sameShards(a, b walrus.Committee) bool {
	return slices.EqualFunc(shardsOf(a), shardsOf(b), slices.Equal)
}

// TestCommitteeStays stakes with one node of a ledger that cannot move shards:
// through many epochs each node keeps what it has.
func TestCommitteeStays(t *testing.T) {
	g, _ := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	before := n.Committee()
	stakeMore(t, n, 1, before.Members[1].ID, 100_000*chain.FrostPerWAL)
	for range 5 {
		if err := n.AdvanceEpoch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now := n.Committee(); !sameShards(now, before) {
			t.Fatalf("epoch %d: shards %v, were %v", now.Epoch, shardsOf(now), shardsOf(before))
		}
	}
}

// TestCommitteeFollowsStake does the same where shards can move: they do, the
// mover hears of each, and a mover that fails holds the epoch up until it succeeds.
func TestCommitteeFollowsStake(t *testing.T) {
	var moved []ShardMove
	broken := errors.New("a disk is full")
	fail := broken
	g, _ := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g, MoveShards: func(_ context.Context, _ walrus.Epoch, all []ShardMove) error {
		moved = all
		return fail
	}})
	before := n.Committee()
	if err := n.AdvanceEpoch(t.Context()); err != nil || len(moved) > 0 || !sameShards(n.Committee(), before) {
		t.Fatalf("without a change of stake: %v, moved %v", err, moved)
	}
	stakeMore(t, n, 1, before.Members[1].ID, 3000*chain.FrostPerWAL)
	if err := n.AdvanceEpoch(t.Context()); !errors.Is(err, broken) {
		t.Fatalf("with a broken mover: %v", err)
	}
	fail = nil
	if err := n.AdvanceEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := n.Committee()
	if now.Epoch != before.Epoch+2 || len(now.Members[1].Shards) <= len(before.Members[1].Shards) {
		t.Fatalf("epoch %d: shards %v, were %v", now.Epoch, shardsOf(now), shardsOf(before))
	}
	for _, m := range moved {
		i := slices.IndexFunc(before.Members, func(b walrus.Member) bool { return b.ID == m.From })
		if m.To != before.Members[1].ID || !slices.Contains(before.Members[i].Shards, m.Shard) || !slices.Contains(now.Members[1].Shards, m.Shard) {
			t.Errorf("told of %+v", m)
		}
	}
	if want := len(now.Members[1].Shards) - len(before.Members[1].Shards); len(moved) != want {
		t.Errorf("told of %d moves, want %d", len(moved), want)
	}
}

// TestOldCommitteeStays goes on with a ledger whose shards were dealt in order
// of node IDs, before stake decided: no shard moves, although equal stakes
// would give the odd shards to other nodes.
func TestOldCommitteeStays(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "dealt.log"))
	if err != nil {
		t.Fatal(err)
	}
	reopen := func(mover func(context.Context, walrus.Epoch, []ShardMove) error) *Net {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, LogFile), golden, 0o600); err != nil {
			t.Fatal(err)
		}
		return openNet(t, Config{Dir: dir, Seed: [32]byte{3}, MoveShards: mover})
	}
	n := reopen(nil)
	before := n.Committee()
	if got := shardsOf(before); len(got[0]) != 3 || len(got[1]) != 3 || len(got[2]) != 2 {
		t.Fatalf("shards %v", got)
	}
	for range 6 {
		if err := n.AdvanceEpoch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now := n.Committee(); !sameShards(now, before) {
			t.Fatalf("epoch %d: shards %v, were %v", now.Epoch, shardsOf(now), shardsOf(before))
		}
	}
	n = reopen(func(context.Context, walrus.Epoch, []ShardMove) error { return nil })
	if err := n.AdvanceEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sameShards(n.Committee(), before) {
		t.Error("stake alone would have moved nothing: the test shows nothing")
	}
}

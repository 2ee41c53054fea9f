package localnet

import (
	"context"
	"database/sql"
	"testing"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// TestStrangersEndTheVoting has somebody else than the driver change the epoch,
// after most of the stake has gone to one node: no shard moves all the same.
func TestStrangersEndTheVoting(t *testing.T) {
	n, w, _ := newProgramNet(t)
	before := n.Committee()
	b := w.build()
	b.transfer(w.address(), b.call("staking", "stake_with_pool", b.object(n.facts.staking),
		b.split(b.object(w.coin()), 100_000*chain.FrostPerWAL), b.id(move.ID(before.Members[1].ID))))
	w.succeed(b)
	step := func(module, function string, objects ...move.ID) {
		t.Helper()
		_, staking, err := n.readStaking(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n.clock.advanceTo(dueMS(staking))
		b := w.build()
		var arguments []move.Argument
		for _, id := range objects {
			arguments = append(arguments, b.object(id))
		}
		b.call(module, function, arguments...)
		w.succeed(b)
	}
	step("staking", "voting_end", n.facts.staking, move.ClockID)
	step("staking", "initiate_epoch_change_v2", n.facts.staking, n.facts.system, n.facts.treasury, move.ClockID)
	if err := n.AdvanceEpoch(t.Context()); err != nil { // the nodes say that they have their shards
		t.Fatal(err)
	}
	if now := n.Committee(); now.Epoch != before.Epoch+1 || !sameShards(now, before) {
		t.Errorf("epoch %d: shards %v, were %v", now.Epoch, shardsOf(now), shardsOf(before))
	}
}

// TestOvertakenDriver has strangers make the steps of an epoch change that the
// driver is about to make, and a node speak for itself: the driver goes on.
func TestOvertakenDriver(t *testing.T) {
	n, w, _ := newProgramNet(t)
	stale := func() *move.StakingInner {
		t.Helper()
		_, staking, err := n.readStaking(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n.clock.advanceTo(dueMS(staking))
		return staking
	}
	overtake := func(function string, objects ...move.ID) {
		t.Helper()
		was := stale()
		b := w.build()
		var arguments []move.Argument
		for _, id := range objects {
			arguments = append(arguments, b.object(id))
		}
		b.call("staking", function, arguments...)
		w.succeed(b)
		if err := n.epochStep(t.Context(), was); err != nil {
			t.Fatalf("%s: %v", function, err)
		}
	}
	overtake("voting_end", n.facts.staking, move.ClockID)
	overtake("initiate_epoch_change_v2", n.facts.staking, n.facts.system, n.facts.treasury, move.ClockID)
	if now := n.Committee().Epoch; now != 2 {
		t.Errorf("committee of epoch %d, want 2", now)
	}
	err := n.submitOwn(t.Context(), own{kind: "test_sync", build: func(ctx context.Context, tx *sql.Tx, d *draft) error {
		caps, err := n.nodeCaps(ctx, tx, nil)
		if err != nil {
			return err
		}
		c := caps[move.ID(n.Committee().Members[2].ID)]
		d.call("staking", "epoch_sync_done", d.object(n.facts.staking), d.object(c.ID), d.u32(2), d.object(move.ClockID))
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.AdvanceEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.AdvanceEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := n.Committee().Epoch; now != 3 {
		t.Errorf("epoch %d, want 3", now)
	}
}

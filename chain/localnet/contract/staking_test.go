package contract

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

func TestFirstCommittee(t *testing.T) {
	e := newEconomy(t, 4, 10)
	events := e.advance()
	var names []string
	for _, ev := range events {
		names = append(names, ev.Type.Name)
	}
	want := "EpochParametersSelected EpochChangeStart PricesUpdated ShardsReceived ShardsReceived EpochChangeDone ShardsReceived ShardsReceived"
	if got := strings.Join(names, " "); got != want {
		// A quorum is 7 of 10 shards, which the third node, of the first that came, completes.
		t.Errorf("events: got %s, want %s", got, want)
	}
	system, staking := e.state()
	var dealt []uint16
	for i, m := range staking.Committee {
		if i > 0 && bytes.Compare(staking.Committee[i-1].Key[:], m.Key[:]) >= 0 {
			t.Errorf("node %d is out of order", i)
		}
		want := 2
		if set := e.activeSet(); m.Key == set.Nodes[0].Node || m.Key == set.Nodes[1].Node {
			want = 3 // of equal stakes the first ones to come get more
		}
		if len(m.Value) != want || int(system.Committee.Members[i].Weight) != want {
			t.Errorf("node %d has %d shards and weight %d, want %d", i, len(m.Value), system.Committee.Members[i].Weight, want)
		}
		dealt = append(dealt, m.Value...)
	}
	if !slices.Equal(dealt, []uint16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("shards in order of nodes: %v", dealt)
	}
	if system.Committee.Epoch != 1 || staking.Epoch != 1 || staking.State.Kind != move.StateDone {
		t.Errorf("epochs %d and %d, state %v", system.Committee.Epoch, staking.Epoch, staking.State)
	}
	if system.TotalCapacity < 3e12 {
		t.Errorf("capacity %d", system.TotalCapacity)
	}
}

func TestEpochsPassInTurn(t *testing.T) {
	e := newEconomy(t, 4, 10)
	wantAbort(t, "change without selection", e.try(epochChanges), stakingNextEmpty)
	e.advance()
	_, before := e.state()
	wantAbort(t, "voting ends too early", e.try(votingEnds), stakingEpochState)
	e.timeMS += testEpochMS / 2
	e.do(votingEnds)
	wantAbort(t, "voting ends twice", e.try(votingEnds), stakingEpochState)
	wantAbort(t, "epoch ends too early", e.try(epochChanges), stakingEpochState)
	e.timeMS += testEpochMS / 2
	e.do(epochChanges)
	wantAbort(t, "voting ends while nodes sync", e.try(votingEnds), stakingEpochState)
	_, after := e.state()
	if after.Epoch != before.Epoch+1 || len(after.Committee) != len(before.Committee) {
		t.Fatalf("epoch %d with %d nodes, want %d with %d", after.Epoch, len(after.Committee), before.Epoch+1, len(before.Committee))
	}
	for i, m := range after.Committee {
		if m.Key != before.Committee[i].Key || !slices.Equal(m.Value, before.Committee[i].Value) {
			t.Errorf("node %d: shards went from %v to %v", i, before.Committee[i].Value, m.Value)
		}
	}
}

// TestRewards follows payments through the ring into the pools.
func TestRewards(t *testing.T) {
	e := newEconomy(t, 4, 10)
	e.advance()
	const size, epochs = 10 * chain.BytesPerUnit, 3
	e.do(func(tx *overlay.Tx, o *shared) error {
		s, err := ReserveSpace(tx, o.system, size, epochs, o.coin)
		if err != nil {
			return err
		}
		e.keep(tx, s.ID)
		return nil
	})
	system, _ := e.state()
	perEpoch := system.StoragePrice * 10
	for i := range uint32(4) {
		a, err := ringAt(&system.Accounting, i)
		e.must(err)
		want := move.Accounting{Epoch: 1 + i, UsedCapacity: size, Rewards: perEpoch}
		if i == epochs {
			want.UsedCapacity, want.Rewards = 0, 0
		}
		if *a != want {
			t.Errorf("epoch %d: got %+v, want %+v", 1+i, *a, want)
		}
	}
	_, supply := e.held()
	e.advance()
	_, after := e.held()
	burnt := perEpoch * 3 / 100
	if supply-after != burnt {
		t.Errorf("burnt %d, want %d", supply-after, burnt)
	}
	tx := e.begin()
	o := e.open(tx)
	inner := e.stakingInner(tx, o)
	var paid uint64
	for _, m := range inner.Committee {
		pool, err := Pool(tx, inner, m.Key)
		e.must(err)
		share := (perEpoch - burnt) * uint64(len(m.Value)) / 10
		commission := share * 500 / basisPoints
		if pool.RewardsPool != share-commission || pool.Commission != commission || pool.WALBalance != 1000*minStakeFrost+share-commission {
			t.Errorf("pool of %d shards: rewards %d, commission %d, balance %d; want a share of %d", len(m.Value), pool.RewardsPool,
				pool.Commission, pool.WALBalance, share)
		}
		if pool.LatestEpoch != 2 || pool.Shares != 1000*minStakeFrost {
			t.Errorf("pool: epoch %d, %d shares", pool.LatestEpoch, pool.Shares)
		}
		rate, err := overlay.Field[move.ExchangeRate](tx, pool.ExchangeRates.ID, move.U32Key(2), e.types.ExchangeRate())
		e.must(err)
		if rate.Flat || rate.WAL.Lo != pool.WALBalance || rate.Shares.Lo != pool.Shares {
			t.Errorf("rate of epoch 2: %+v", rate)
		}
		paid += share
	}
	if system, _ = e.state(); system.Accounting.Entries[system.Accounting.Current].Rewards != perEpoch+perEpoch-burnt-paid {
		t.Errorf("rewards of the current epoch: %d", system.Accounting.Entries[system.Accounting.Current].Rewards)
	}
}

// TestRingTurns goes around the ring more than once.
func TestRingTurns(t *testing.T) {
	ring := newRing(5)
	for epoch := range uint32(13) {
		if got := ringPop(&ring); got.Epoch != epoch {
			t.Fatalf("popped epoch %d, want %d", got.Epoch, epoch)
		}
		for i := range uint32(5) {
			a, err := ringAt(&ring, i)
			if err != nil || a.Epoch != epoch+1+i {
				t.Fatalf("%d ahead of epoch %d: got %+v, %v", i, epoch+1, a, err)
			}
		}
	}
}

func TestPrices(t *testing.T) {
	e := newEconomy(t, 4, 10)
	system, _ := e.state()
	if system.StoragePrice != 0 {
		t.Errorf("price in epoch 0: %d", system.StoragePrice)
	}
	e.do(func(tx *overlay.Tx, o *shared) error { return UpdatePrices(tx, o.staking, o.system) })
	if system, _ = e.state(); system.StoragePrice != math.MaxUint64 || system.WritePrice != math.MaxUint64 {
		t.Errorf("prices without a committee: %d and %d", system.StoragePrice, system.WritePrice)
	}
	e.advance()
	for i := range e.caps {
		e.do(func(tx *overlay.Tx, o *shared) error {
			c := e.nodeCap(tx, i)
			if err := SetStoragePriceVote(tx, o.staking, c, 1000); err != nil {
				return err
			}
			if err := SetNodeCapacityVote(tx, o.staking, c, 5e12); err != nil {
				return err
			}
			return SetWritePriceVote(tx, o.staking, c, uint64(i))
		})
	}
	e.do(func(tx *overlay.Tx, o *shared) error { return UpdatePrices(tx, o.staking, o.system) })
	if system, _ = e.state(); system.StoragePrice != 1000 || system.WritePrice < 2 {
		t.Errorf("prices after votes: %d and %d", system.StoragePrice, system.WritePrice)
	}
	before := system.TotalCapacity
	e.advance()
	if system, _ = e.state(); system.TotalCapacity <= before {
		t.Errorf("capacity %d after votes for more, was %d", system.TotalCapacity, before)
	}
}

func TestVotes(t *testing.T) {
	cases := []struct {
		votes        []weightedVote
		below, above uint64
	}{
		{[]weightedVote{{10, 3}, {20, 3}, {30, 2}, {40, 2}}, 30, 20},
		{[]weightedVote{{40, 2}, {30, 2}, {20, 3}, {10, 3}}, 30, 20},
		{[]weightedVote{{5, 10}}, 5, 5},
		{[]weightedVote{{1, 4}, {9, 6}}, 9, 1},
	}
	for _, c := range cases {
		if got := quorumBelow(slices.Clone(c.votes), 10); got != c.below {
			t.Errorf("quorum below of %v: got %d, want %d", c.votes, got, c.below)
		}
		if got := quorumAbove(slices.Clone(c.votes), 10); got != c.above {
			t.Errorf("quorum above of %v: got %d, want %d", c.votes, got, c.above)
		}
	}
	if got := capacityVote(math.MaxUint64, 1000, 1); got != math.MaxUint64 {
		t.Errorf("a vote beyond 64 bits: got %d", got)
	}
}

func TestActiveSet(t *testing.T) {
	set, err := newActiveSet(3)
	if err != nil {
		t.Fatal(err)
	}
	id := move.SmallAddress
	for i, stake := range []uint64{0, 10, 30, 20} {
		insertOrUpdate(set, id(byte(i)), stake)
	}
	insertOrUpdate(set, id(9), 10) // no more than the least: stays out
	insertOrUpdate(set, id(8), 11) // takes the place of the least
	insertOrUpdate(set, id(2), 5)
	insertOrUpdate(set, id(3), 0)
	want := []move.ActiveNode{{Node: id(8), Stake: 11}, {Node: id(2), Stake: 5}}
	if !slices.Equal(set.Nodes, want) || set.TotalStake != 16 {
		t.Errorf("got %v with %d in all, want %v with 16", set.Nodes, set.TotalStake, want)
	}
}

// staked runs something in an economy of its own.
func staked(do func(e *economy, tx *overlay.Tx, o *shared) error) func(r *reference, tx *overlay.Tx) error {
	return func(r *reference, _ *overlay.Tx) error {
		e := newEconomy(r.t, 4, 10)
		e.advance()
		return e.try(func(tx *overlay.Tx, o *shared) error { return do(e, tx, o) })
	}
}

// joining returns the abort of a candidate that is not good.
func joining(change func(c *Candidate)) func(r *reference, tx *overlay.Tx) error {
	return func(r *reference, _ *overlay.Tx) error {
		e := newEconomy(r.t, 1, 10) // still in epoch 0, for which the proof is
		return e.try(func(tx *overlay.Tx, o *shared) error {
			c := candidate(r.t, tx, 7)
			change(&c)
			_, err := RegisterCandidate(tx, o.staking, c)
			return err
		})
	}
}

// stakingWith returns the abort of a stake.
func stakingWith(amount uint64, change func(p *move.StakingPool)) func(r *reference, tx *overlay.Tx) error {
	return staked(func(e *economy, tx *overlay.Tx, o *shared) error {
		inner := e.stakingInner(tx, o)
		node := inner.Committee[0].Key
		pool, err := Pool(tx, inner, node)
		e.must(err)
		change(pool)
		c, err := SplitCoin(tx, e.types.WALCoin(), o.coin, amount)
		e.must(err)
		_, err = StakeWithPool(tx, o.staking, c, node)
		return err
	})
}

func make20() []uint64 {
	stake := make([]uint64, 20)
	for i := range stake {
		stake[i] = 1
	}
	return stake
}

var stakingAborts = []abortCase{
	{"superseded staking", stakingWrongVersion, staked(func(_ *economy, tx *overlay.Tx, o *shared) error {
		o.staking.Version = 2
		return votingEnds(tx, o)
	})},
	{"voting ends too early", stakingEpochState, staked(func(_ *economy, tx *overlay.Tx, o *shared) error { return votingEnds(tx, o) })},
	{"sync of another epoch", stakingSyncEpoch, staked(func(e *economy, tx *overlay.Tx, o *shared) error {
		return EpochSyncDone(tx, o.staking, e.nodeCap(tx, 0), 2, o.clock)
	})},
	{"sync twice", stakingDuplicate, staked(func(e *economy, tx *overlay.Tx, o *shared) error {
		return EpochSyncDone(tx, o.staking, e.nodeCap(tx, 0), 1, o.clock)
	})},
	{"sync of a stranger", stakingNotInvolved, staked(func(_ *economy, tx *overlay.Tx, o *shared) error {
		return EpochSyncDone(tx, o.staking, &move.NodeCap{Node: move.ID{1}}, 1, o.clock)
	})},
	{"nobody has stake", stakingNoStake, func(*reference, *overlay.Tx) error {
		_, err := nextCommittee(&move.StakingInner{Shards: 10}, &move.ActiveSet{})
		return err
	}},
	{"select twice", stakingSelected, staked(func(e *economy, tx *overlay.Tx, o *shared) error {
		inner := e.stakingInner(tx, o)
		e.must(selectCommittee(tx, inner))
		return selectCommittee(tx, inner)
	})},
	{"nothing selected", stakingNextEmpty, staked(func(_ *economy, tx *overlay.Tx, o *shared) error { return epochChanges(tx, o) })},
	{"member without shards", stakingZeroWeight, staked(func(e *economy, tx *overlay.Tx, o *shared) error {
		inner := e.stakingInner(tx, o)
		inner.Committee[0].Value = nil
		return fixNext(tx, inner, inner.Committee)
	})},
	{"other number of shards", committeeAssignment, staked(func(e *economy, tx *overlay.Tx, o *shared) error {
		inner := e.stakingInner(tx, o)
		inner.Shards++
		return selectCommittee(tx, inner)
	})},
	{"20 nodes for 9 shards", queueEmpty, func(*reference, *overlay.Tx) error {
		_, err := dHondt(9, make20())
		return err
	}},
	{"keys of other nodes", stakingNodeOrder, staked(func(e *economy, tx *overlay.Tx, o *shared) error {
		inner := e.stakingInner(tx, o)
		e.must(selectCommittee(tx, inner))
		keys, err := publicKeys(tx, inner)
		e.must(err)
		keys.Keys = keys.Keys[1:]
		return epochChanges(tx, o)
	})},
	{"committee of another epoch", innerCommittee, staked(func(_ *economy, tx *overlay.Tx, o *shared) error {
		system, err := SystemInner(tx, o.system)
		if err != nil {
			return err
		}
		_, err = advanceSystem(tx, system, move.BLSCommittee{Epoch: 3}, 0)
		return err
	})},
	{"ring of another epoch", innerAccountingEpoch, staked(func(_ *economy, tx *overlay.Tx, o *shared) error {
		system, err := SystemInner(tx, o.system)
		if err != nil {
			return err
		}
		ringPop(&system.Accounting)
		_, err = advanceSystem(tx, system, move.BLSCommittee{Epoch: 2}, 0)
		return err
	})},
	{"active set of no size", activeSetZeroSize, func(*reference, *overlay.Tx) error {
		_, err := newActiveSet(0)
		return err
	}},
	{"more shares than WAL", exchangeInvalidRate, func(*reference, *overlay.Tx) error {
		_, err := newRate(1, 2)
		return err
	}},
	{"pool advanced twice", poolAlreadyUpdated, staked(func(e *economy, tx *overlay.Tx, o *shared) error {
		inner := e.stakingInner(tx, o)
		pool, err := Pool(tx, inner, inner.Committee[0].Key)
		e.must(err)
		return advancePool(tx, pool, 0, 1)
	})},
	{"reward without stake", poolAdvance, func(_ *reference, tx *overlay.Tx) error { return advancePool(tx, &move.StakingPool{}, 1, 1) }},
	{"key of another length", messageKeyLength, joining(func(c *Candidate) { c.PublicKey = c.PublicKey[1:] })},
	{"proof of another length", poolProof, joining(func(c *Candidate) { c.Proof = c.Proof[1:] })},
	{"no proof", poolProof, joining(func(c *Candidate) { c.Proof = make([]byte, blsSignatureSize) })},
	{"name too long", poolNameLength, joining(func(c *Candidate) { c.Name = strings.Repeat("x", 101) })},
	{"address too long", poolAddressLength, joining(func(c *Candidate) { c.NetworkAddress = strings.Repeat("x", 260) })},
	{"commission above all", poolCommission, joining(func(c *Candidate) { c.CommissionRate = 10_001 })},
	{"network key too short", nodeNetworkKey, joining(func(c *Candidate) { c.NetworkKey = c.NetworkKey[1:] })},
	{"stake with a leaver", poolNotActive, stakingWith(1e9, func(p *move.StakingPool) { p.State = move.PoolWithdrawing })},
	{"stake nothing", poolZeroStake, stakingWith(0, func(*move.StakingPool) {})},
	{"stake less than one WAL", stakedThreshold, stakingWith(minStakeFrost-1, func(*move.StakingPool) {})},
	{"stake with nobody", code{"dynamic_field", 1, "EFieldDoesNotExist"}, staked(func(e *economy, tx *overlay.Tx, o *shared) error {
		c, err := SplitCoin(tx, e.types.WALCoin(), o.coin, 1e9)
		e.must(err)
		_, err = StakeWithPool(tx, o.staking, c, move.ID{1})
		return err
	})},
}

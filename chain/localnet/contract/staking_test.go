package contract

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// economy is a ledger that begins in epoch 0 with nodes, made by the contracts.
type economy struct {
	*world
	system, staking, treasury, coinID move.ID
	caps                              []move.ID
}

const testEpochMS = 1000

func newEconomy(t *testing.T, nodes int, shards uint16) *economy {
	e := &economy{world: newWorld(t)}
	tx := e.begin()
	treasury, coin, err := CreateCurrency(tx)
	e.must(err)
	e.keep(tx, coin.ID)
	sys, err := CreateSystem(tx, 10, move.ID{9})
	e.must(err)
	clock := &move.Clock{ID: move.ClockID, TimestampMS: e.timeMS}
	e.must(tx.Hold(clock, clockTag))
	e.must(tx.Share(clock.ID))
	s, err := CreateStaking(tx, 0, testEpochMS, shards, move.ID{9}, clock)
	e.must(err)
	e.system, e.staking, e.treasury, e.coinID = sys.ID, s.ID, treasury.ID, coin.ID
	e.finish(tx)
	for i := range nodes {
		e.do(func(tx *overlay.Tx, o *shared) error {
			nodeCap, err := RegisterCandidate(tx, o.staking, candidate(t, tx, i))
			if err != nil {
				return err
			}
			e.caps = append(e.caps, nodeCap.ID)
			e.keep(tx, nodeCap.ID)
			c, err := SplitCoin(tx, e.types.WALCoin(), o.coin, 1000*minStakeFrost)
			if err != nil {
				return err
			}
			staked, err := StakeWithPool(tx, o.staking, c, nodeCap.Node)
			if err != nil {
				return err
			}
			e.keep(tx, staked.ID)
			return nil
		})
	}
	return e
}

var clockTag = move.FrameworkType("clock", "Clock")

// candidate is a node with a good proof.
func candidate(t *testing.T, tx *overlay.Tx, i int) Candidate {
	t.Helper()
	key, err := bls.SecretKeyFromBytes([32]byte{31: byte(i + 1)})
	if err != nil {
		t.Fatal(err)
	}
	public := key.PublicKey()
	proof := key.Sign(walrus.ProofOfPossessionMessage(0, tx.Sender, public))
	return Candidate{Name: fmt.Sprint("node-", i), NetworkAddress: "127.0.0.1:1", PublicKey: public[:], Proof: proof[:],
		NetworkKey: make([]byte, networkKeySize), CommissionRate: 500,
		Votes: move.VotingParams{StoragePrice: uint64(100 + i), WritePrice: uint64(20 + i), NodeCapacity: 1e12}}
}

// shared are the objects that most calls take.
type shared struct {
	system   *move.System
	staking  *move.Staking
	treasury *move.Treasury
	clock    *move.Clock
	coin     *move.Coin
}

func (e *economy) open(tx *overlay.Tx) *shared {
	e.t.Helper()
	o := new(shared)
	var err error
	o.system, err = overlay.BorrowMut[move.System](tx, e.system, e.types.System())
	e.must(err)
	o.staking, err = overlay.BorrowMut[move.Staking](tx, e.staking, e.types.Staking())
	e.must(err)
	o.treasury, err = overlay.BorrowMut[move.Treasury](tx, e.treasury, e.types.Treasury())
	e.must(err)
	o.clock, err = overlay.BorrowMut[move.Clock](tx, move.ClockID, clockTag)
	e.must(err)
	o.clock.TimestampMS = e.timeMS
	o.coin, err = overlay.BorrowMut[move.Coin](tx, e.coinID, e.types.WALCoin())
	e.must(err)
	return o
}

// do runs a transaction that must succeed.
func (e *economy) do(body func(tx *overlay.Tx, o *shared) error) *overlay.Result {
	e.t.Helper()
	tx := e.begin()
	e.must(body(tx, e.open(tx)))
	return e.finish(tx)
}

// try runs a transaction that must fail, and returns why.
func (e *economy) try(body func(tx *overlay.Tx, o *shared) error) error {
	e.t.Helper()
	tx := e.begin()
	return body(tx, e.open(tx))
}

func (e *economy) nodeCap(tx *overlay.Tx, i int) *move.NodeCap {
	e.t.Helper()
	c, err := overlay.BorrowMut[move.NodeCap](tx, e.caps[i], e.types.NodeCap())
	e.must(err)
	return c
}

func (e *economy) stakingInner(tx *overlay.Tx, o *shared) *move.StakingInner {
	e.t.Helper()
	inner, err := StakingInner(tx, o.staking)
	e.must(err)
	return inner
}

func votingEnds(tx *overlay.Tx, o *shared) error { return VotingEnd(tx, o.staking, o.clock) }

func epochChanges(tx *overlay.Tx, o *shared) error {
	return InitiateEpochChange(tx, o.staking, o.system, o.treasury, o.clock)
}

// advance changes to the next epoch and returns the events.
func (e *economy) advance() (events []overlay.Event) {
	e.t.Helper()
	e.timeMS += testEpochMS
	events = append(events, e.do(votingEnds).Events...)
	events = append(events, e.do(epochChanges).Events...)
	for i := range e.caps {
		events = append(events, e.do(func(tx *overlay.Tx, o *shared) error {
			return EpochSyncDone(tx, o.staking, e.nodeCap(tx, i), e.stakingInner(tx, o).Epoch, o.clock)
		}).Events...)
	}
	return events
}

// state reads the two inner states.
func (e *economy) state() (*move.SystemInner, *move.StakingInner) {
	e.t.Helper()
	tx := e.begin()
	o := e.open(tx)
	inner, err := SystemInner(tx, o.system)
	e.must(err)
	return inner, e.stakingInner(tx, o)
}

// held sums all WAL that is anywhere, and returns the supply beside it.
func (e *economy) held() (sum, supply uint64) {
	e.t.Helper()
	for id, o := range e.objects {
		read := func(v move.Layout) {
			e.t.Helper()
			if err := move.Unmarshal(o.Contents, v); err != nil {
				e.t.Fatalf("object %s: %v", id, err)
			}
		}
		switch name := o.Type.Name; {
		case o.Type.Equal(e.types.WALCoin()):
			var c move.Coin
			read(&c)
			sum += c.Balance
		case name == "StakedWal":
			var s move.StakedWAL
			read(&s)
			sum += s.Principal
		case name == "StakingPool":
			var p move.StakingPool
			read(&p)
			sum += p.RewardsPool + p.Commission
		case name == "TreasuryCap":
			var c move.TreasuryCap
			read(&c)
			supply = c.TotalSupply
		case o.Owner.Address == e.system && name == "Field":
			var inner move.SystemInner
			read(&move.Field{Name: make([]byte, 8), Value: &inner})
			for _, a := range inner.Accounting.Entries {
				sum += a.Rewards
			}
		}
	}
	return sum, supply
}

func TestFirstCommittee(t *testing.T) {
	e := newEconomy(t, 4, 10)
	events := e.advance()
	var names []string
	for _, ev := range events {
		names = append(names, ev.Type.Name)
	}
	want := "EpochParametersSelected EpochChangeStart PricesUpdated ShardsReceived ShardsReceived EpochChangeDone ShardsReceived ShardsReceived"
	if got := strings.Join(names, " "); got != want {
		// A quorum is 7 of 10 shards, which the third node completes.
		t.Errorf("events: got %s, want %s", got, want)
	}
	system, staking := e.state()
	var dealt []uint16
	for i, m := range staking.Committee {
		if i > 0 && bytes.Compare(staking.Committee[i-1].Key[:], m.Key[:]) >= 0 {
			t.Errorf("node %d is out of order", i)
		}
		if want := []int{3, 3, 2, 2}[i]; len(m.Value) != want || int(system.Committee.Members[i].Weight) != want {
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
		return selectCommittee(tx, inner)
	})},
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
	{"stake less than one WAL", stakedInvalidAmount, stakingWith(minStakeFrost-1, func(*move.StakingPool) {})},
	{"stake with nobody", code{"dynamic_field", 1, "EFieldDoesNotExist"}, staked(func(e *economy, tx *overlay.Tx, o *shared) error {
		c, err := SplitCoin(tx, e.types.WALCoin(), o.coin, 1e9)
		e.must(err)
		_, err = StakeWithPool(tx, o.staking, c, move.ID{1})
		return err
	})},
}

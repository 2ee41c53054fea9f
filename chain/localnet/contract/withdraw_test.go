package contract

import (
	"testing"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// stakeWith stakes with a node, by its place among those that registered.
func (e *economy) stakeWith(i int, amount uint64) (receipt move.ID) {
	e.t.Helper()
	e.do(func(tx *overlay.Tx, o *shared) error {
		c, err := SplitCoin(tx, e.types.WALCoin(), o.coin, amount)
		if err != nil {
			return err
		}
		s, err := StakeWithPool(tx, o.staking, c, e.nodeCap(tx, i).Node)
		if err != nil {
			return err
		}
		receipt = s.ID
		return tx.Transfer(s.ID, move.AddressOwner(tx.Sender))
	})
	return receipt
}

func (e *economy) receipt(tx *overlay.Tx, id move.ID) *move.StakedWAL {
	e.t.Helper()
	s, err := overlay.BorrowMut[move.StakedWAL](tx, id, e.types.StakedWAL())
	e.must(err)
	return s
}

func (e *economy) requesting(receipt move.ID) func(*overlay.Tx, *shared) error {
	return func(tx *overlay.Tx, o *shared) error {
		return RequestWithdrawStake(tx, o.staking, e.receipt(tx, receipt))
	}
}

// withdrawing pays a stake out into the coin that most calls take.
func (e *economy) withdrawing(receipt move.ID) func(*overlay.Tx, *shared) error {
	return func(tx *overlay.Tx, o *shared) error {
		s, err := overlay.Take[move.StakedWAL](tx, receipt, e.types.StakedWAL())
		if err != nil {
			return err
		}
		c, err := WithdrawStake(tx, o.staking, s)
		if err != nil {
			return err
		}
		return JoinCoin(tx, o.coin, c)
	}
}

// reward buys storage for the current epoch, which earns the nodes something.
func (e *economy) reward() {
	e.t.Helper()
	e.do(func(tx *overlay.Tx, o *shared) error {
		s, err := ReserveSpace(tx, o.system, 1<<38, 1, o.coin)
		if err != nil {
			return err
		}
		return tx.Transfer(s.ID, move.AddressOwner(tx.Sender))
	})
}

func (e *economy) selects() {
	e.t.Helper()
	e.timeMS += testEpochMS / 2
	e.do(votingEnds)
}

// changes begins the epoch that selects has chosen.
func (e *economy) changes() {
	e.t.Helper()
	e.timeMS += testEpochMS / 2
	e.do(epochChanges)
	e.sync()
}

const stakeOf5 = 5 * minStakeFrost

// TestWithdrawTimes asks for stakes back at all times of a life, and checks
// from when on they are paid, and with rewards or without.
func TestWithdrawTimes(t *testing.T) {
	cases := []struct {
		name     string
		selected bool // whether the next committee is chosen when the stake is made
		later    func(e *economy)
		direct   bool // paid at once
		wait     int  // epochs after the request
		rewarded bool
	}{
		{name: "before the choice", direct: true},
		{name: "after the choice", selected: true, direct: true},
		{name: "after the choice, an epoch later", selected: true, later: (*economy).changes, direct: true},
		{name: "counted, not yet active", later: (*economy).selects, wait: 2, rewarded: true},
		{name: "active, before the choice", later: (*economy).nextEpoch, wait: 1, rewarded: true},
		{name: "active, after the choice", later: func(e *economy) { e.nextEpoch(); e.selects() }, wait: 2, rewarded: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := newEconomy(t, 4, 10)
			e.advance()
			if c.selected {
				e.selects()
			}
			receipt := e.stakeWith(0, stakeOf5)
			if c.later != nil {
				c.later(e)
			}
			had := e.purse()
			if c.direct {
				wantAbort(t, "request", e.try(e.requesting(receipt)), poolWithdrawDirectly)
			} else {
				wantAbort(t, "payment without a request", e.try(e.withdrawing(receipt)), poolNotWithdrawing)
				e.do(e.requesting(receipt))
				wantAbort(t, "request twice", e.try(e.requesting(receipt)), poolNotStaked)
			}
			if _, staking := e.state(); c.wait > 0 && staking.NextCommittee != nil {
				wantAbort(t, "payment at once", e.try(e.withdrawing(receipt)), poolWithdrawEpoch)
				e.changes()
				c.wait--
				had = e.rewarded(had)
			}
			for range c.wait {
				wantAbort(t, "payment too early", e.try(e.withdrawing(receipt)), poolWithdrawEpoch)
				had = e.rewarded(had)
				e.nextEpoch()
			}
			e.do(e.withdrawing(receipt))
			if got := e.purse() - had; got < stakeOf5 || (got > stakeOf5) != c.rewarded {
				t.Errorf("paid %d for %d", got, uint64(stakeOf5))
			}
			e.balanced()
		})
	}
}

// rewarded makes the epoch pay, and returns what was in the purse less the price.
func (e *economy) rewarded(had uint64) uint64 {
	e.t.Helper()
	before := e.purse()
	e.reward()
	return had - (before - e.purse())
}

// TestLeavingAnInactiveNode stakes with a node that nobody chooses: the stake
// is paid at once, at any time.
func TestLeavingAnInactiveNode(t *testing.T) {
	e := newEconomy(t, 4, 10)
	e.advance()
	e.join(4, 0)
	early := e.stakeWith(4, minStakeFrost) // too little for a shard
	late := e.stakeWith(4, minStakeFrost)
	had := e.purse()
	e.do(e.withdrawing(early))
	e.nextEpoch()
	wantAbort(t, "request", e.try(e.requesting(late)), poolWithdrawDirectly)
	e.do(e.withdrawing(late))
	if got := e.purse() - had; got != 2*minStakeFrost {
		t.Errorf("paid %d, want %d", got, 2*minStakeFrost)
	}
	e.nextEpoch()
	if set := e.activeSet(); len(set.Nodes) != 4 {
		t.Errorf("%d nodes are active, want 4", len(set.Nodes))
	}
	e.balanced()
}

// TestSplitAndJoin takes receipts apart and puts them together.
func TestSplitAndJoin(t *testing.T) {
	e := newEconomy(t, 2, 10)
	receipt := e.stakeWith(0, stakeOf5)
	other := e.stakeWith(1, stakeOf5)
	var part move.ID
	e.do(func(tx *overlay.Tx, o *shared) error {
		s, err := SplitStaked(tx, e.receipt(tx, receipt), 2*minStakeFrost)
		if err != nil {
			return err
		}
		part = s.ID
		return tx.Transfer(s.ID, move.AddressOwner(tx.Sender))
	})
	wantAbort(t, "join of another node", e.try(func(tx *overlay.Tx, o *shared) error {
		return JoinStaked(tx, e.receipt(tx, receipt), e.receipt(tx, other))
	}), stakedMismatch)
	e.do(func(tx *overlay.Tx, o *shared) error {
		if got := e.receipt(tx, receipt).Principal; got != 3*minStakeFrost {
			t.Errorf("left %d", got)
		}
		s, err := overlay.Take[move.StakedWAL](tx, part, e.types.StakedWAL())
		if err != nil {
			return err
		}
		if s.Principal != 2*minStakeFrost || s.Node != e.receipt(tx, receipt).Node || s.ActivationEpoch != e.receipt(tx, receipt).ActivationEpoch {
			t.Errorf("part %+v", s)
		}
		return JoinStaked(tx, e.receipt(tx, receipt), s)
	})
	if tx := e.begin(); e.receipt(tx, receipt).Principal != stakeOf5 {
		t.Errorf("joined %d", e.receipt(tx, receipt).Principal)
	}
	e.balanced()
}

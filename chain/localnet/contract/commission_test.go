package contract

import (
	"testing"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// collects pays a node's commission into the purse and returns how much that was.
func (e *economy) collects(i int) uint64 {
	e.t.Helper()
	had := e.purse()
	e.do(func(tx *overlay.Tx, o *shared) error {
		c := e.nodeCap(tx, i)
		coin, err := CollectCommission(tx, o.staking, c.Node, AuthenticateWithObject(c.ID))
		if err != nil {
			return err
		}
		return JoinCoin(tx, o.coin, coin)
	})
	return e.purse() - had
}

func (e *economy) donates(i int, amount uint64) {
	e.t.Helper()
	e.do(func(tx *overlay.Tx, o *shared) error {
		part, err := split(&o.coin.Balance, amount)
		if err != nil {
			return err
		}
		return AddCommissionToPools(tx, o.staking, []move.ID{e.nodeCap(tx, i).Node}, []uint64{part})
	})
}

// TestCommissionIsBlocked collects commission: what came with the epoch, or as
// a gift before its votes were counted, cannot be had before they are.
func TestCommissionIsBlocked(t *testing.T) {
	e := newEconomy(t, 4, 10)
	e.advance()
	e.reward()
	e.advance()
	earned := e.commission(0)
	if earned == 0 {
		t.Fatal("no commission")
	}
	e.donates(0, 70)
	if got := e.collects(0); got != 0 {
		t.Errorf("collected %d before the votes were counted", got)
	}
	e.selects()
	e.donates(0, 5)
	if got := e.collects(0); got != earned+75 {
		t.Errorf("collected %d, want %d", got, earned+75)
	}
	if got := e.collects(0); got != 0 || e.commission(0) != 0 {
		t.Errorf("collected %d again, %d left", got, e.commission(0))
	}
	e.balanced()
}

func (e *economy) rate(i int) uint16 {
	e.t.Helper()
	tx := e.begin()
	pool, err := Pool(tx, e.stakingInner(tx, e.open(tx)), e.node(i))
	e.must(err)
	return pool.CommissionRate
}

// TestCommissionChangesLate changes a rate: it holds from the second epoch on,
// and what an epoch earned is still shared at the rate that it began with.
func TestCommissionChangesLate(t *testing.T) {
	e := newEconomy(t, 4, 12)
	e.advance()
	e.do(func(tx *overlay.Tx, o *shared) error { return SetNextCommission(tx, o.staking, e.nodeCap(tx, 0), 5000) })
	e.advance()
	if got := e.rate(0); got != 500 {
		t.Errorf("rate %d an epoch later, want 500", got)
	}
	e.reward()
	e.advance() // ends the epoch with the old rate, begins the one with the new
	if one, other := e.commission(0), e.commission(1); e.rate(0) != 5000 || one != other {
		t.Errorf("rate %d, commission %d and %d", e.rate(0), one, other)
	}
	e.reward()
	e.advance()
	if one, other := e.commission(0), e.commission(1); one < 5*other || one > 6*other {
		t.Errorf("commission %d at ten times the rate of %d, for one of two epochs", one, other)
	}
	e.balanced()
}

// TestCommissionChangesWhenBack changes the rate of a node that is in no
// committee when it is due: it holds when the node is back.
func TestCommissionChangesWhenBack(t *testing.T) {
	e := newEconomy(t, 4, 10)
	e.advance()
	e.join(4, 0)
	e.do(func(tx *overlay.Tx, o *shared) error { return SetNextCommission(tx, o.staking, e.nodeCap(tx, 4), 700) })
	for range 4 {
		e.advance()
	}
	e.stakeWith(4, 900*minStakeFrost)
	if e.rate(4) != 500 {
		t.Errorf("rate %d outside of the committee", e.rate(4))
	}
	e.advance()
	if e.rate(4) != 700 {
		t.Errorf("rate %d when it is back, want 700", e.rate(4))
	}
}

// TestWhoMayCollect hands the right to collect and to vote to others.
func TestWhoMayCollect(t *testing.T) {
	e := newEconomy(t, 4, 10)
	e.advance()
	node := e.node(0)
	e.do(func(tx *overlay.Tx, o *shared) error {
		c := e.nodeCap(tx, 0)
		if err := SetCommissionReceiver(tx, o.staking, node, AuthenticateWithObject(c.ID), AuthorizedAddress(tx.Sender)); err != nil {
			return err
		}
		return SetGovernanceAuthorized(tx, o.staking, node, AuthenticateSender(tx), AuthorizedObject(c.ID))
	})
	wantAbort(t, "collect with the capability", e.try(func(tx *overlay.Tx, o *shared) error {
		_, err := CollectCommission(tx, o.staking, node, AuthenticateWithObject(e.caps[0]))
		return err
	}), poolAuthorization)
	e.do(func(tx *overlay.Tx, o *shared) error {
		c, err := CollectCommission(tx, o.staking, node, AuthenticateSender(tx))
		if err != nil {
			return err
		}
		return DestroyZero(tx, c)
	})
	wantAbort(t, "vote as the sender", e.try(func(tx *overlay.Tx, o *shared) error {
		return SetGovernanceAuthorized(tx, o.staking, node, AuthenticateSender(tx), AuthorizedAddress(tx.Sender))
	}), poolAuthorization)
}

// TestNodeInfo changes what a node says of itself, and its signing key, which
// the committee has from the next choice on.
func TestNodeInfo(t *testing.T) {
	e := newEconomy(t, 4, 10)
	e.advance()
	secret, err := bls.SecretKeyFromBytes([32]byte{31: 99})
	e.must(err)
	public := secret.PublicKey()
	e.do(func(tx *overlay.Tx, o *shared) error {
		c := e.nodeCap(tx, 0)
		proof := secret.Sign(walrus.ProofOfPossessionMessage(1, tx.Sender, public))
		for _, err := range []error{
			SetName(tx, o.staking, c, "new name"), SetNetworkAddress(tx, o.staking, c, "example.org:1"),
			SetNetworkPublicKey(tx, o.staking, c, make([]byte, networkKeySize)),
			SetNodeMetadata(tx, o.staking, c, NewNodeMetadata("i", "p", "d")),
			SetNextPublicKey(tx, o.staking, c, public[:], proof[:]),
		} {
			if err != nil {
				return err
			}
		}
		m, err := NodeMetadata(tx, o.staking, c.Node)
		if err == nil && (m.ImageURL != "i" || m.ProjectURL != "p" || m.Description != "d") {
			t.Errorf("metadata %+v", m)
		}
		return err
	})
	long, err := bls.Uncompress(public)
	e.must(err)
	keyOf := func() (signs, says string) {
		tx := e.begin()
		o := e.open(tx)
		pool, err := Pool(tx, e.stakingInner(tx, o), e.node(0))
		e.must(err)
		if pool.Info.Name != "new name" || pool.Info.NetworkAddress != "example.org:1" {
			t.Errorf("node %+v", pool.Info)
		}
		system, err := SystemInner(tx, o.system)
		e.must(err)
		for _, m := range system.Committee.Members {
			if m.Node == pool.ID {
				signs = string(m.PublicKey)
			}
		}
		return signs, string(pool.Info.PublicKey)
	}
	if signs, says := keyOf(); signs == string(long[:]) || says != signs {
		t.Error("the new key counts at once")
	}
	e.advance()
	if signs, says := keyOf(); signs != string(long[:]) || says != signs {
		t.Error("the new key does not count an epoch later")
	}
}

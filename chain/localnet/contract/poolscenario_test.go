package contract

import (
	"slices"
	"strconv"
	"testing"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// poolState is what the vectors tell of a pool when an epoch has begun.
type poolState struct {
	Epoch      uint32
	WALBalance uint64 `json:"wal_balance,string"`
	Shares     uint64 `json:"num_shares,string"`
	Rewards    uint64 `json:"rewards_pool,string"`
	Commission uint64 `json:",string"`
}

// scenario is one pool of the vectors as its epochs pass.
type scenario struct {
	*economy
	tx      *overlay.Tx
	inner   *move.StakingInner
	pool    *move.StakingPool
	receipt map[string]*move.StakedWAL
	seen    []poolState
	paid    []string
}

func newScenario(t *testing.T, commission uint16) *scenario {
	e := newEconomy(t, 0, 10)
	s := &scenario{economy: e, tx: e.begin(), receipt: make(map[string]*move.StakedWAL)}
	o := e.open(s.tx)
	c := candidate(t, s.tx, 0)
	c.CommissionRate = commission
	nodeCap, err := RegisterCandidate(s.tx, o.staking, c)
	e.must(err)
	e.keep(s.tx, nodeCap.ID)
	s.inner = e.stakingInner(s.tx, o)
	s.pool, err = Pool(s.tx, s.inner, nodeCap.Node)
	e.must(err)
	s.inner.Committee.Set(nodeCap.Node, []uint16{0}) // in the committee, and not in the next one
	return s
}

// step is something that happens to a pool in an epoch: a stake, an epoch that
// begins with rewards for the one before, a request, a payment.
type step func(s *scenario)

func stakes(who string, wal uint64) step {
	return func(s *scenario) {
		receipt, err := stake(s.tx, s.pool, wal*minStakeFrost, s.inner)
		s.must(err)
		s.receipt[who] = receipt
	}
}

func begins(reward uint64) step {
	return func(s *scenario) {
		s.inner.Epoch++
		s.must(advancePool(s.tx, s.pool, reward, s.inner.Epoch))
		s.seen = append(s.seen, poolState{s.inner.Epoch, s.pool.WALBalance, s.pool.Shares, s.pool.RewardsPool, s.pool.Commission})
	}
}

func asks(who string) step {
	return func(s *scenario) { s.must(requestWithdraw(s.tx, s.inner, s.pool, s.receipt[who])) }
}

func isPaid(who string) step {
	return func(s *scenario) {
		amount, err := withdraw(s.tx, s.inner, s.pool, s.receipt[who])
		s.must(err)
		s.paid = append(s.paid, strconv.FormatUint(amount, 10))
	}
}

// TestReferencePools plays the scenarios of the vectors and compares the pool
// after each epoch, and what is paid in the end.
func TestReferencePools(t *testing.T) {
	const wal = minStakeFrost
	plays := []struct {
		commission uint16
		steps      []step
	}{
		{0, []step{stakes("a", 1000), begins(0), begins(1000 * wal), asks("a"), begins(0), isPaid("a")}},
		{0, []step{stakes("a", 100), stakes("b", 100), begins(0), begins(201), asks("a"), asks("b"), begins(0), isPaid("a"), isPaid("b")}},
		{1000, []step{stakes("a", 100), begins(0), begins(202), asks("a"), begins(0), isPaid("a")}},
		{0, []step{stakes("a", 1000), begins(0), stakes("b", 2000), begins(1000 * wal), asks("a"), begins(1000 * wal), asks("b"),
			isPaid("a"), begins(0), isPaid("b")}},
	}
	vectors := loadEconomics(t).PoolScenarios
	if len(vectors) != len(plays) {
		t.Fatalf("%d scenarios, want %d", len(vectors), len(plays))
	}
	for i, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			s := newScenario(t, plays[i].commission)
			for _, play := range plays[i].steps {
				play(s)
			}
			if !slices.Equal(s.seen, v.Steps) {
				t.Errorf("pool: got %+v, want %+v", s.seen, v.Steps)
			}
			if !slices.Equal(s.paid, v.Paid) {
				t.Errorf("paid: got %v, want %v", s.paid, v.Paid)
			}
		})
	}
}

package contract

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/overlay"
)

// play makes random calls and lets epochs pass between them. After each call
// all WAL in coins, rewards, stakes, pools and funds is the supply, and nothing
// was minted. It returns how often each call succeeded.
func (p *player) play(calls int) map[string]int {
	p.t.Helper()
	moves := p.moves()
	names := slices.Sorted(maps.Keys(moves))
	for range 4 { // others need what these do, and these need luck
		names = append(names, "reserve", "fuse storage", "register", "certify", "certify", "extend", "extend with storage", "pool register",
			"pool certify", "stake", "take back", "extend shared")
	}
	done := make(map[string]int)
	_, last := p.held()
	for i := range calls {
		name := names[p.rnd.IntN(len(names))]
		if p.rnd.IntN(18) == 0 {
			name = "time"
			p.pass()
			done[name]++
			p.checkStake()
		} else {
			p.call(name, moves[name], done)
		}
		sum, supply := p.held()
		if sum != supply || supply > last {
			p.t.Fatalf("call %d, %s: %d FROST are held, the supply is %d and was %d", i, name, sum, supply, last)
		}
		last = supply
	}
	return done
}

// call makes one call, which succeeds, aborts, or finds nothing to do.
func (p *player) call(name string, do func(*overlay.Tx, *shared) error, done map[string]int) {
	p.t.Helper()
	tx := p.begin()
	caps := slices.Clone(p.caps)
	err := do(tx, p.open(tx))
	var abort *chain.AbortError
	switch {
	case err == nil:
		p.finish(tx)
		done[name]++
	case errors.As(err, &abort) || errors.Is(err, errNothing):
		p.caps = caps
	default:
		p.t.Fatalf("%s: %v", name, err)
	}
}

// checkStake checks what must hold of committee and pools between epochs.
func (e *economy) checkStake() {
	e.t.Helper()
	tx := e.begin()
	inner := e.stakingInner(tx, e.open(tx))
	set := e.activeSet()
	var total uint64
	for _, n := range set.Nodes {
		total += n.Stake
	}
	if total != set.TotalStake {
		e.t.Fatalf("active set of %d, in all %d", total, set.TotalStake)
	}
	dealt := make(map[uint16]bool)
	for _, member := range inner.Committee {
		for _, shard := range member.Value {
			if dealt[shard] || shard >= inner.Shards {
				e.t.Fatalf("shard %d is dealt twice", shard)
			}
			dealt[shard] = true
		}
		pool, err := Pool(tx, inner, member.Key)
		e.must(err)
		if pool.Shares > pool.WALBalance || pool.WALBalance == 0 || pool.LatestEpoch != inner.Epoch {
			e.t.Fatalf("pool of epoch %d: %d shares of %d, epoch %d", inner.Epoch, pool.Shares, pool.WALBalance, pool.LatestEpoch)
		}
	}
	if len(dealt) != int(inner.Shards) {
		e.t.Fatalf("%d shards are dealt", len(dealt))
	}
}

// TestSupplyIsConserved plays with all functions.
func TestSupplyIsConserved(t *testing.T) {
	const seed, calls = 20261121, 2500
	t.Logf("seed %d", seed)
	p := newPlayer(t, seed)
	done := p.play(calls)
	for name := range p.moves() {
		if done[name] == 0 {
			t.Errorf("%s never succeeded: the test is too weak", name)
		}
	}
	_, supply := p.held()
	if supply == WALSupply || p.paidOut == 0 {
		t.Errorf("supply %d, paid out %d: nothing was burnt or paid", supply, p.paidOut)
	}
	if _, staking := p.state(); staking.Epoch < 20 || len(p.caps) < 6 {
		t.Errorf("epoch %d with %d nodes: the test is too weak", staking.Epoch, len(p.caps))
	}
}

// FuzzPlay plays from many seeds: nothing panics, and WAL is conserved.
func FuzzPlay(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { newPlayer(t, seed).play(150) })
}

package contract

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// economics is the part of the vectors about shards and stake.
type economics struct {
	Apportionment []struct {
		Shards uint16 `json:"n_shards"`
		Stake  []string
		Want   []uint64 `json:"shards"`
	}
	Transitions []struct {
		From [][2]any
		Want [][2]any
		To   [][2]any
	} `json:"committee_transitions"`
	PoolScenarios []struct {
		Name  string
		Steps []poolState
		Paid  []string
	} `json:"pool_scenarios"`
}

func loadEconomics(t *testing.T) (v economics) {
	t.Helper()
	loadJSON(t, "testdata/economics.json", &v)
	if len(v.Apportionment) < 8 || len(v.Transitions) < 3 || len(v.PoolScenarios) < 4 {
		t.Fatalf("%d, %d and %d vectors", len(v.Apportionment), len(v.Transitions), len(v.PoolScenarios))
	}
	return v
}

func number(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestReferenceApportionment(t *testing.T) {
	for _, c := range loadEconomics(t).Apportionment {
		var stake []uint64
		for _, s := range c.Stake {
			stake = append(stake, number(t, s))
		}
		got, err := dHondt(c.Shards, stake)
		if err != nil || !slices.Equal(got, c.Want) {
			t.Errorf("%d shards by %v: got %v, %v, want %v", c.Shards, stake, got, err, c.Want)
		}
	}
}

// assignment reads [[node, [shards]], ...].
func assignment(t *testing.T, pairs [][2]any) (c move.Committee) {
	t.Helper()
	for _, p := range pairs {
		id, err := move.ParseAddress(p[0].(string))
		if err != nil {
			t.Fatal(err)
		}
		var shards []uint16
		for _, s := range p[1].([]any) {
			shards = append(shards, uint16(s.(float64)))
		}
		c.Set(id, shards)
	}
	return c
}

func TestReferenceTransitions(t *testing.T) {
	for i, c := range loadEconomics(t).Transitions {
		var wanted move.VecMap[move.ID, uint64]
		for _, p := range c.Want {
			id, err := move.ParseAddress(p[0].(string))
			if err != nil {
				t.Fatal(err)
			}
			wanted.Set(id, uint64(p[1].(float64)))
		}
		got, err := transition(assignment(t, c.From), wanted)
		if want := assignment(t, c.To); err != nil || !sameCommittee(got, want) {
			t.Errorf("transition %d: got %v, %v, want %v", i, got, err, want)
		}
	}
}

func sameCommittee(a, b move.Committee) bool {
	return slices.EqualFunc(a, b, func(x, y move.Entry[move.ID, []uint16]) bool {
		return x.Key == y.Key && slices.Equal(x.Value, y.Value)
	})
}

// TestShardsFollowStake changes stakes at random. All shards are dealt once,
// nobody has more than the limit, and no more shards move than must.
func TestShardsFollowStake(t *testing.T) {
	const seed = 20261122
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, seed))
	for _, shards := range []uint16{7, 10, 100, 1000} {
		set := &move.ActiveSet{MaxSize: maxActiveSet}
		inner := &move.StakingInner{Shards: shards}
		for round := range 60 {
			for range 1 + rnd.IntN(4) {
				stake := rnd.Uint64N(1e15)
				if rnd.IntN(3) == 0 && len(set.Nodes) > 1 {
					stake = 0
				}
				insertOrUpdate(set, move.SmallAddress(byte(rnd.IntN(30))), stake)
			}
			if set.TotalStake == 0 || shards < 20 && len(set.Nodes) >= nodesForShardsLimit {
				continue
			}
			next, err := nextCommittee(inner, set)
			if err != nil {
				t.Fatalf("%d shards, round %d: %v", shards, round, err)
			}
			checkCommittee(t, inner.Committee, next, set, shards)
			inner.Committee = next
		}
	}
}

func checkCommittee(t *testing.T, old, next move.Committee, set *move.ActiveSet, shards uint16) {
	t.Helper()
	seen := make([]bool, shards)
	limit := maxShards(uint64(len(set.Nodes)), uint64(shards))
	kept, must := 0, 0
	for i, m := range next {
		if len(m.Value) == 0 || uint64(len(m.Value)) > limit || i > 0 && byNode(next[i-1], m) >= 0 {
			t.Fatalf("node %d of %d has %d shards, at most %d", i, len(next), len(m.Value), limit)
		}
		before, _ := old.Get(m.Key)
		must += min(len(before), len(m.Value))
		for _, s := range m.Value {
			if seen[s] {
				t.Fatalf("shard %d is dealt twice", s)
			}
			seen[s] = true
			if slices.Contains(before, s) {
				kept++
			}
		}
	}
	if slices.Contains(seen, false) {
		t.Fatal("a shard is dealt to nobody")
	}
	if len(old) > 0 && kept != must {
		t.Fatalf("%d shards stay, %d could", kept, must)
	}
}

// TestSameStakeSameShards passes many epochs with rewards, which grow the
// stakes of the nodes with more shards, and no other change of stake: not one
// shard moves.
func TestSameStakeSameShards(t *testing.T) {
	for _, size := range []struct {
		nodes  int
		shards uint16
	}{{4, 10}, {10, 100}, {7, 30}, {13, 100}, {21, 50}} {
		e := newEconomy(t, size.nodes, size.shards)
		e.advance()
		_, first := e.state()
		for epoch := range 25 {
			if epoch >= 3 { // first without rewards, when all stakes are equal
				e.do(func(tx *overlay.Tx, o *shared) error {
					s, err := ReserveSpace(tx, o.system, 1<<38, 1, o.coin)
					if err != nil {
						return err
					}
					return tx.Transfer(s.ID, move.AddressOwner(tx.Sender))
				})
			}
			e.advance()
			if _, now := e.state(); !sameCommittee(now.Committee, first.Committee) {
				t.Fatalf("%d nodes, %d shards, epoch %d: shards moved", size.nodes, size.shards, now.Epoch)
			}
		}
		if set := e.activeSet(); set.TotalStake == uint64(size.nodes)*1000*minStakeFrost {
			t.Errorf("%d nodes, %d shards: no node earned anything", size.nodes, size.shards)
		}
	}
}

// TestFixedCommittee gives one node most of the stake, and others their place
// in the active set: a ledger whose nodes cannot move shards keeps its committee,
// until a member has no stake any more.
func TestFixedCommittee(t *testing.T) {
	e := newEconomy(t, 4, 10)
	e.advance()
	e.fixed = true
	_, first := e.state()
	e.stakeWith(2, 100_000*minStakeFrost)
	e.join(4, 50_000*minStakeFrost)
	for range 4 {
		e.advance()
		if _, now := e.state(); !sameCommittee(now.Committee, first.Committee) {
			t.Fatalf("epoch %d: shards moved", now.Epoch)
		}
	}
	e.do(func(tx *overlay.Tx, o *shared) error { // as if the set were full of others
		set, err := overlay.Field[move.ActiveSet](tx, e.stakingInner(tx, o).ActiveSet, e.types.ExtendedKey(), e.types.ActiveSet())
		set.Nodes = set.Nodes[4:]
		return err
	})
	e.advance()
	if _, now := e.state(); !sameCommittee(now.Committee, first.Committee) {
		t.Fatal("shards moved to the ones that are in the active set")
	}
	var id move.ID
	for at, o := range e.objects {
		if o.Type.Equal(e.types.StakedWAL()) {
			var s move.StakedWAL
			if e.read(o, &s); s.Node == e.node(0) {
				id = at
			}
		}
	}
	e.do(e.requesting(id))
	e.advance() // the stake counts for one more epoch where the node is chosen already
	e.advance()
	if _, now := e.state(); now.Committee.Index(e.node(0)) >= 0 {
		t.Error("a node without stake is in the committee")
	}
	e.balanced()
}

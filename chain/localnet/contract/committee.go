package contract

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// newActiveSet is active_set::new, without a threshold.
func newActiveSet(maxSize uint16) (*move.ActiveSet, error) {
	if maxSize == 0 {
		return nil, activeSetZeroSize.in("new")
	}
	return &move.ActiveSet{MaxSize: maxSize}, nil
}

// insertOrUpdate sets a node's stake. A node without stake leaves the set; in
// a full set the node with the least stake makes room: active_set::insert_or_update.
func insertOrUpdate(set *move.ActiveSet, node move.ID, stake uint64) {
	i := slices.IndexFunc(set.Nodes, func(n move.ActiveNode) bool { return n.Node == node })
	if stake == 0 || stake < set.ThresholdStake {
		removeActive(set, i)
		return
	}
	if i < 0 && len(set.Nodes) < int(set.MaxSize) {
		set.Nodes = append(set.Nodes, move.ActiveNode{Node: node})
		i = len(set.Nodes) - 1
	}
	if i < 0 {
		if i = smallest(set.Nodes); set.Nodes[i].Stake >= stake {
			return
		}
	}
	set.TotalStake += stake - set.Nodes[i].Stake
	set.Nodes[i] = move.ActiveNode{Node: node, Stake: stake}
}

// smallest returns the first node with the least stake.
func smallest(nodes []move.ActiveNode) int {
	least := 0
	for i := range nodes {
		if nodes[i].Stake < nodes[least].Stake {
			least = i
		}
	}
	return least
}

// removeActive takes out the node at i, if any, and puts the last one in its
// place, as swap_remove does.
func removeActive(set *move.ActiveSet, i int) {
	if i < 0 {
		return
	}
	last := len(set.Nodes) - 1
	set.TotalStake -= set.Nodes[i].Stake
	set.Nodes[i] = set.Nodes[last]
	set.Nodes = set.Nodes[:last]
}

// nextCommittee returns the committee that the stake of the active set asks
// for: staking_inner::compute_next_committee.
func nextCommittee(inner *move.StakingInner, set *move.ActiveSet) (move.Committee, error) {
	wanted, err := apportion(inner.Shards, set)
	if err != nil {
		return nil, err
	}
	if len(inner.Committee) == 0 {
		return firstCommittee(wanted), nil
	}
	return transition(inner.Committee, wanted)
}

// chooseCommittee returns the committee that the stake asks for, or the current
// one on a ledger whose nodes cannot move shards. Stake decides there, too, when
// there is no committee yet, and when a member has none left: no pool can be
// rewarded without.
func chooseCommittee(tx *overlay.Tx, inner *move.StakingInner) (move.Committee, error) {
	if tx.FixedCommittee && len(inner.Committee) > 0 {
		can, err := canStay(tx, inner)
		if err != nil {
			return nil, err
		}
		if can {
			return slices.Clone(inner.Committee), nil
		}
	}
	set, err := overlay.Field[move.ActiveSet](tx, inner.ActiveSet, tx.Types.ExtendedKey(), tx.Types.ActiveSet())
	if err != nil {
		return nil, err
	}
	return nextCommittee(inner, set)
}

// canStay reports whether all members of the committee have stake in the next epoch.
func canStay(tx *overlay.Tx, inner *move.StakingInner) (bool, error) {
	for _, member := range inner.Committee {
		pool, err := Pool(tx, inner, member.Key)
		if err != nil {
			return false, err
		}
		balance, err := balanceAt(tx, pool, inner.Epoch+1)
		if err != nil || balance == 0 {
			return false, err
		}
	}
	return true, nil
}

func byNode[V any](a, b move.Entry[move.ID, V]) int { return bytes.Compare(a.Key[:], b.Key[:]) }

// firstCommittee deals the shards one after the other to the nodes, in order
// of their IDs: committee::initialize.
func firstCommittee(wanted move.VecMap[move.ID, uint64]) move.Committee {
	slices.SortFunc(wanted, byNode)
	var committee move.Committee
	var shard uint16
	for _, w := range wanted {
		shards := make([]uint16, w.Value)
		for i := range shards {
			shards[i] = shard
			shard++
		}
		committee.Set(w.Key, shards)
	}
	return committee
}

// transition makes another committee of one and moves as few shards as can be.
// Nodes keep what they have. Those that are to have less give from the end of
// their lists, leavers give all, and those that are to have more take what was
// given last: newcomers first, in the order of wanted: committee::transition.
func transition(old move.Committee, wanted move.VecMap[move.ID, uint64]) (move.Committee, error) {
	const function = "transition"
	needy := slices.Clone(wanted)
	var committee move.Committee
	var moving []uint16
	for _, member := range old {
		want, stays := needy.Remove(member.Key)
		have := uint64(len(member.Value))
		switch {
		case !stays:
			moving = append(moving, member.Value...)
		case have >= want:
			for i := have; i > want; i-- {
				moving = append(moving, member.Value[i-1])
			}
			committee.Set(member.Key, slices.Clone(member.Value[:want]))
		default:
			needy.Set(member.Key, want)
		}
	}
	if !sameShards(old, wanted) {
		return nil, committeeAssignment.in(function)
	}
	for _, n := range needy {
		shards, _ := old.Get(n.Key)
		shards = slices.Clone(shards)
		for uint64(len(shards)) < n.Value {
			last := len(moving) - 1
			shards = append(shards, moving[last])
			moving = moving[:last]
		}
		committee.Set(n.Key, shards)
	}
	slices.SortFunc(committee, byNode)
	return committee, nil
}

// sameShards reports whether a committee has as many shards as are wanted.
func sameShards(old move.Committee, wanted move.VecMap[move.ID, uint64]) bool {
	var have, want uint64
	for _, member := range old {
		have += uint64(len(member.Value))
	}
	for _, w := range wanted {
		want += w.Value
	}
	return have == want
}

// weightedVote is a vote and the shards of the node that cast it.
type weightedVote struct{ value, weight uint64 }

func byValueDown(a, b weightedVote) int { return cmp.Compare(b.value, a.value) }

// quorumBelow returns the lowest value that a quorum voted for or below:
// staking_inner::quorum_below.
func quorumBelow(votes []weightedVote, shards uint16) uint64 {
	slices.SortStableFunc(votes, byValueDown)
	weight := uint64(shards)
	for _, v := range votes {
		weight -= v.weight
		if !isQuorum(weight, shards) {
			return v.value
		}
	}
	return 0
}

// quorumAbove returns the highest value that a quorum voted for or above:
// staking_inner::quorum_above.
func quorumAbove(votes []weightedVote, shards uint16) uint64 {
	slices.SortStableFunc(votes, byValueDown)
	var weight uint64
	for _, v := range votes {
		weight += v.weight
		if isQuorum(weight, shards) {
			return v.value
		}
	}
	return 0
}

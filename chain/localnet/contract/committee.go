package contract

import (
	"bytes"
	"cmp"
	"slices"

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

// nextCommittee returns the committee after the current one. A fixed committee
// is the same in all epochs; the first one deals the shards evenly to the
// nodes with stake, in order of their IDs: committee::initialize.
func nextCommittee(inner *move.StakingInner, set *move.ActiveSet) (move.Committee, error) {
	if len(inner.Committee) > 0 {
		return slices.Clone(inner.Committee), nil
	}
	if set.TotalStake == 0 {
		return nil, stakingNoStake.in("dhondt")
	}
	nodes := slices.Clone(set.Nodes)
	slices.SortFunc(nodes, func(a, b move.ActiveNode) int { return bytes.Compare(a.Node[:], b.Node[:]) })
	var committee move.Committee
	shard := 0
	for i, n := range nodes {
		count := int(inner.Shards) / len(nodes)
		if i < int(inner.Shards)%len(nodes) {
			count++
		}
		if count == 0 {
			continue
		}
		var shards []uint16
		for range count {
			shards = append(shards, uint16(shard))
			shard++
		}
		committee.Set(n.Node, shards)
	}
	return committee, nil
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

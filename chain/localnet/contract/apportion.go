package contract

import (
	"math/bits"

	"github.com/walfs/walfs/chain/move"
)

// No node holds more than a part of the shards. Source: module staking_inner,
// SHARDS_LIMIT_DENOMINATOR and MIN_NODES_FOR_SHARDS_LIMIT.
const (
	shardsLimitDenominator = 10
	nodesForShardsLimit    = 20
)

// maxShards returns the most shards that one of so many nodes can have:
// staking_inner::max_shards_per_node.
func maxShards(nodes, shards uint64) uint64 {
	if nodes >= nodesForShardsLimit {
		return shards / shardsLimitDenominator
	}
	share := nodes * shardsLimitDenominator
	return (shards*nodesForShardsLimit + share - 1) / share
}

// quotient returns stake/divisor as a fixed-point number with 64 fractional
// bits: uq64_64::from_quotient.
func quotient(stake, divisor uint64) u128 {
	low, _ := bits.Div64(stake%divisor, 0, divisor)
	return u128{stake / divisor, low}
}

// dHondt deals shards to nodes by their stake: each shard goes to the node
// with the highest quotient of its stake and the shards that it would have,
// of equal ones to the first: staking_inner::dhondt.
func dHondt(shards uint16, stake []uint64) ([]uint64, error) {
	const function = "dhondt"
	var total uint64
	var err error
	for _, s := range stake {
		if total, err = add("staking_inner", function, total, s); err != nil {
			return nil, err
		}
	}
	if total == 0 {
		return nil, stakingNoStake.in(function)
	}
	limit := maxShards(uint64(len(stake)), uint64(shards))
	dealt := make([]uint64, len(stake))
	left := uint64(shards)
	for i, s := range stake { // each gets at least what no other can outbid
		dealt[i] = min(s/(total/(uint64(shards)+1)+1), limit)
		left -= dealt[i]
	}
	for ; left > 0; left-- {
		best := -1
		var highest u128
		for i, s := range stake {
			if dealt[i] == limit {
				continue
			}
			if q := quotient(s, dealt[i]+1); best < 0 || highest.less(q) {
				best, highest = i, q
			}
		}
		if best < 0 {
			return nil, queueEmpty.in("pop_max")
		}
		dealt[best]++
	}
	return dealt, nil
}

// apportion returns how many shards each node of the active set gets, without
// those that get none: staking_inner::apportionment.
func apportion(shards uint16, set *move.ActiveSet) (move.VecMap[move.ID, uint64], error) {
	stake := make([]uint64, len(set.Nodes))
	for i, n := range set.Nodes {
		stake[i] = n.Stake
	}
	dealt, err := dHondt(shards, stake)
	if err != nil {
		return nil, err
	}
	var wanted move.VecMap[move.ID, uint64]
	for i, n := range set.Nodes {
		if dealt[i] > 0 {
			wanted.Set(n.Node, dealt[i])
		}
	}
	return wanted, nil
}

package contract

import (
	"math"
	"math/bits"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// VotingEnd fixes committee and capacity of the next epoch, from the middle of
// the current one on: staking::voting_end.
func VotingEnd(tx *overlay.Tx, s *move.Staking, clock *move.Clock) error {
	inner, err := StakingInner(tx, s)
	if err != nil {
		return err
	}
	if inner.State.Kind != move.StateDone || clock.TimestampMS < VotingEndTime(inner) {
		return stakingEpochState.in("voting_end")
	}
	if err := clearBlockedCommissions(tx, inner); err != nil {
		return err
	}
	if err := selectCommittee(tx, inner); err != nil {
		return err
	}
	inner.State.Kind = move.StateSelected
	return tx.Emit(&move.EpochParametersSelected{NextEpoch: inner.Epoch + 1})
}

// VotingEndTime returns the time from which VotingEnd is due, when the epoch runs.
func VotingEndTime(inner *move.StakingInner) uint64 {
	if inner.Epoch == 0 {
		return inner.FirstEpochStart
	}
	return inner.State.TimeMS + inner.EpochDuration/2
}

// EpochEndTime returns the time from which InitiateEpochChange is due.
func EpochEndTime(inner *move.StakingInner) uint64 {
	if inner.Epoch == 0 {
		return inner.FirstEpochStart
	}
	return inner.State.TimeMS + inner.EpochDuration
}

// selectCommittee is staking_inner::select_committee_and_calculate_votes.
func selectCommittee(tx *overlay.Tx, inner *move.StakingInner) error {
	const function = "select_committee_and_calculate_votes"
	if inner.NextCommittee != nil {
		return stakingSelected.in(function)
	}
	committee, err := chooseCommittee(tx, inner)
	if err != nil {
		return err
	}
	return fixNext(tx, inner, committee)
}

// fixNext fixes a committee with its keys and the capacity that it votes for.
func fixNext(tx *overlay.Tx, inner *move.StakingInner, committee move.Committee) error {
	const function = "select_committee_and_calculate_votes"
	keys, err := publicKeys(tx, inner)
	if err != nil {
		return err
	}
	keys.Keys = nil
	var capacity []weightedVote
	for _, member := range committee {
		pool, err := Pool(tx, inner, member.Key)
		if err != nil {
			return err
		}
		weight := uint64(len(member.Value))
		if weight == 0 {
			return stakingZeroWeight.in(function)
		}
		key := pool.Info.PublicKey
		if pool.Info.NextEpochPublicKey != nil {
			key = *pool.Info.NextEpochPublicKey
		}
		keys.Keys.Set(member.Key, key)
		capacity = append(capacity, weightedVote{capacityVote(pool.Votes.NodeCapacity, inner.Shards, weight), weight})
	}
	inner.NextCommittee = &committee
	inner.NextParams = &move.EpochParams{TotalCapacity: quorumAbove(capacity, inner.Shards),
		StoragePrice: math.MaxUint64, WritePrice: math.MaxUint64}
	return nil
}

// capacityVote returns the capacity of the whole that a node of this weight
// votes for, at most what fits 64 bits.
func capacityVote(nodeCapacity uint64, shards uint16, weight uint64) uint64 {
	high, low := bits.Mul64(nodeCapacity, uint64(shards))
	if high >= weight {
		return math.MaxUint64
	}
	q, _ := bits.Div64(high, low, weight)
	return q
}

func publicKeys(tx *overlay.Tx, inner *move.StakingInner) (*move.PublicKeys, error) {
	return overlay.Field[move.PublicKeys](tx, inner.NextPublicKeys, tx.Types.ExtendedKey(), tx.Types.PublicKeys())
}

// InitiateEpochChange begins the next epoch when the current one is over:
// it burns a part of the rewards, pays the nodes the rest, and applies the
// votes on prices: staking::initiate_epoch_change_v2.
func InitiateEpochChange(tx *overlay.Tx, s *move.Staking, sys *move.System, treasury *move.Treasury, clock *move.Clock) error {
	system, err := SystemInner(tx, sys)
	if err != nil {
		return err
	}
	burnt, err := ringBurn(&system.Accounting)
	if err != nil {
		return err
	}
	coin, err := NewCoin(tx, tx.Types.WALCoin(), burnt)
	if err != nil {
		return err
	}
	if err := BurnWAL(tx, treasury, coin); err != nil {
		return err
	}
	inner, err := StakingInner(tx, s)
	if err != nil {
		return err
	}
	committee, err := nextBLSCommittee(tx, inner)
	if err != nil {
		return err
	}
	if inner.NextParams == nil {
		return stakingEpochState.in("advance_epoch")
	}
	rewards, err := advanceSystem(tx, system, committee, inner.NextParams.TotalCapacity)
	if err != nil {
		return err
	}
	if inner.State.Kind != move.StateSelected || clock.TimestampMS < EpochEndTime(inner) {
		return stakingEpochState.in("initiate_epoch_change")
	}
	if err := advanceStaking(tx, inner, rewards); err != nil {
		return err
	}
	return UpdatePrices(tx, s, sys)
}

// InitiateEpochChangeWithoutBurn is what InitiateEpochChange was before
// anything was burnt, and aborts always: staking::initiate_epoch_change.
func InitiateEpochChangeWithoutBurn() error { return stakingDeprecated.in("initiate_epoch_change") }

// nextBLSCommittee is staking_inner::next_bls_committee.
func nextBLSCommittee(tx *overlay.Tx, inner *move.StakingInner) (move.BLSCommittee, error) {
	const function = "next_bls_committee"
	if inner.NextCommittee == nil {
		return move.BLSCommittee{}, stakingNextEmpty.in(function)
	}
	keys, err := publicKeys(tx, inner)
	if err != nil {
		return move.BLSCommittee{}, err
	}
	var members []move.BLSMember
	for i, member := range *inner.NextCommittee {
		if i >= len(keys.Keys) || keys.Keys[i].Key != member.Key {
			return move.BLSCommittee{}, stakingNodeOrder.in(function)
		}
		members = append(members, move.BLSMember{PublicKey: keys.Keys[i].Value, Weight: uint16(len(member.Value)), Node: member.Key})
	}
	keys.Keys = nil
	return newBLSCommittee(inner.Epoch+1, members)
}

// advanceSystem moves System to the epoch of a committee and returns what each
// node of the old one has earned: system_state_inner::advance_epoch.
func advanceSystem(tx *overlay.Tx, inner *move.SystemInner, committee move.BLSCommittee, capacity uint64) (move.VecMap[move.ID, uint64], error) {
	const function = "advance_epoch"
	old := inner.Committee
	if committee.Epoch != old.Epoch+1 {
		return nil, innerCommittee.in(function)
	}
	inner.Committee = committee
	ended := ringPop(&inner.Accounting)
	if ended.Epoch != old.Epoch {
		return nil, innerAccountingEpoch.in(function)
	}
	inner.EventBlobWeight = nil
	current, err := ringAt(&inner.Accounting, 0)
	if err != nil {
		return nil, err
	}
	inner.UsedCapacity = current.UsedCapacity
	inner.TotalCapacity = max(capacity, inner.UsedCapacity)
	denied, err := overlay.Field[move.DenyListSizes](tx, inner.DenyListSizes, tx.Types.ExtendedKey(), tx.Types.DenyListSizes())
	if err != nil {
		return nil, err
	}
	rewards, rest := divideRewards(old.Members, denied.Sizes, ended.UsedCapacity, ended.Rewards)
	return rewards, join(&current.Rewards, rest)
}

// divideRewards shares an epoch's rewards out by weight times stored bytes,
// rounded down, and returns what is left. With nothing stored all is left.
func divideRewards(members []move.BLSMember, denied move.VecMap[move.ID, uint64], used, rewards uint64) (move.VecMap[move.ID, uint64], uint64) {
	stored := make([]u128, len(members))
	var total u128
	for i, m := range members {
		bytes, _ := denied.Get(m.Node)
		stored[i] = product(uint64(m.Weight), used-min(bytes, used))
		total = total.plus(stored[i])
	}
	var shares move.VecMap[move.ID, uint64]
	left := rewards
	for i, m := range members {
		share := stored[i].share(total, rewards)
		left -= share
		shares.Set(m.Node, share)
	}
	return shares, left
}

// advanceStaking moves Staking to the next epoch and pays the nodes: staking_inner::advance_epoch.
func advanceStaking(tx *overlay.Tx, inner *move.StakingInner, rewards move.VecMap[move.ID, uint64]) error {
	inner.Epoch++
	inner.PreviousCommittee, inner.Committee = inner.Committee, *inner.NextCommittee
	inner.NextCommittee = nil
	inner.State = move.EpochState{Kind: move.StateSync}
	for _, member := range inner.Committee {
		if inner.PreviousCommittee.Index(member.Key) < 0 {
			rewards.Set(member.Key, 0) // it joined and has earned nothing yet
		}
	}
	for _, r := range rewards {
		pool, err := Pool(tx, inner, r.Key)
		if err != nil {
			return err
		}
		if err := advancePool(tx, pool, r.Value, inner.Epoch); err != nil {
			return err
		}
		if err := updateActiveSet(tx, inner, pool); err != nil {
			return err
		}
	}
	return tx.Emit(&move.EpochChangeStart{Epoch: inner.Epoch})
}

// EpochSyncDone tells that a node holds its shards of the epoch. With a quorum
// of shards the epoch change is done: staking::epoch_sync_done.
func EpochSyncDone(tx *overlay.Tx, s *move.Staking, c *move.NodeCap, epoch uint32, clock *move.Clock) error {
	const function = "epoch_sync_done"
	inner, err := StakingInner(tx, s)
	if err != nil {
		return err
	}
	if epoch != inner.Epoch {
		return stakingSyncEpoch.in(function)
	}
	if c.LastEpochSyncDone >= inner.Epoch {
		return stakingDuplicate.in(function)
	}
	c.LastEpochSyncDone = inner.Epoch
	shards, ok := inner.Committee.Get(c.Node)
	if !ok {
		return stakingNotInvolved.in(function)
	}
	if inner.State.Kind == move.StateSync {
		inner.State.Weight += uint16(len(shards))
		if isQuorum(uint64(inner.State.Weight), inner.Shards) {
			inner.State = move.EpochState{Kind: move.StateDone, TimeMS: clock.TimestampMS}
			if err := tx.Emit(&move.EpochChangeDone{Epoch: inner.Epoch}); err != nil {
				return err
			}
		}
	}
	return tx.Emit(&move.ShardsReceived{Epoch: inner.Epoch, Shards: shards})
}

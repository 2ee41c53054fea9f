package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// involved reports in which committees a node is.
func involved(inner *move.StakingInner, node move.ID) (inCurrent, inNext bool) {
	inCurrent = inner.Committee.Index(node) >= 0
	return inCurrent, inner.NextCommittee != nil && inner.NextCommittee.Index(node) >= 0
}

// RequestWithdrawStake asks for a stake back that cannot be had at once, and
// notes in the receipt from which epoch on it can: staking::request_withdraw_stake.
func RequestWithdrawStake(tx *overlay.Tx, s *move.Staking, staked *move.StakedWAL) error {
	inner, pool, err := poolOf(tx, s, staked.Node)
	if err != nil {
		return err
	}
	if err := requestWithdraw(tx, inner, pool, staked); err != nil {
		return err
	}
	return updateActiveSet(tx, inner, pool)
}

// requestWithdraw is staking_pool::request_withdraw_stake.
func requestWithdraw(tx *overlay.Tx, inner *move.StakingInner, pool *move.StakingPool, staked *move.StakedWAL) error {
	const function = "request_withdraw_stake"
	inCurrent, inNext := involved(inner, pool.ID)
	switch {
	case staked.Principal == 0:
		return poolZeroStake.in(function)
	case staked.Withdrawing:
		return poolNotStaked.in(function)
	case canWithdrawEarly(staked, inNext, inner.Epoch):
		return poolWithdrawDirectly.in(function)
	case staked.ActivationEpoch == inner.Epoch+1: // it counts in the next committee before it is active
		if err := pendingAdd(&pool.PreActiveWithdrawals, staked.ActivationEpoch+1, staked.Principal); err != nil {
			return err
		}
		return setWithdrawing(staked, staked.ActivationEpoch+1)
	case staked.ActivationEpoch > inner.Epoch:
		return poolNotActivated.in(function)
	case !inNext && !inCurrent:
		return poolWithdrawDirectly.in(function)
	}
	epoch := inner.Epoch + 1
	if inNext {
		epoch++
	}
	shares, err := sharesAt(tx, pool, staked.Principal, staked.ActivationEpoch)
	if err != nil {
		return err
	}
	if shares == 0 {
		return poolZeroShares.in(function)
	}
	if err := pendingAdd(&pool.PendingSharesWithdraw, epoch, shares); err != nil {
		return err
	}
	return setWithdrawing(staked, epoch)
}

// WithdrawStake pays a stake out with what it has earned: staking::withdraw_stake.
func WithdrawStake(tx *overlay.Tx, s *move.Staking, staked *move.StakedWAL) (*move.Coin, error) {
	inner, pool, err := poolOf(tx, s, staked.Node)
	if err != nil {
		return nil, err
	}
	amount, err := withdraw(tx, inner, pool, staked)
	if err != nil {
		return nil, err
	}
	if err := updateActiveSet(tx, inner, pool); err != nil {
		return nil, err
	}
	return NewCoin(tx, tx.Types.WALCoin(), amount)
}

// withdraw is staking_pool::withdraw_stake.
func withdraw(tx *overlay.Tx, inner *move.StakingInner, pool *move.StakingPool, staked *move.StakedWAL) (uint64, error) {
	const function = "withdraw_stake"
	inCurrent, inNext := involved(inner, pool.ID)
	if staked.Principal == 0 {
		return 0, poolZeroStake.in(function)
	}
	if canWithdrawEarly(staked, inNext, inner.Epoch) {
		if err := pendingReduce(&pool.PendingStake, staked.ActivationEpoch, staked.Principal); err != nil {
			return 0, err
		}
		return stakedIntoBalance(tx, staked)
	}
	var rewards uint64
	var err error
	switch {
	case !inCurrent && !inNext && !staked.Withdrawing:
		rewards, err = leaveInactive(tx, inner, pool, staked)
	case !staked.Withdrawing:
		err = poolNotWithdrawing.in(function)
	case staked.WithdrawEpoch > inner.Epoch:
		err = poolWithdrawEpoch.in(function)
	case staked.ActivationEpoch > inner.Epoch:
		err = poolNotActivated.in(function)
	default:
		rewards, err = rewardsOf(tx, pool, staked.Principal, staked.ActivationEpoch, staked.WithdrawEpoch)
	}
	if err != nil {
		return 0, err
	}
	principal, err := stakedIntoBalance(tx, staked)
	if err != nil {
		return 0, err
	}
	// Shares are rounded: the last to leave may find a little less than he is due.
	if rewards, err = split(&pool.RewardsPool, min(rewards, pool.RewardsPool)); err != nil {
		return 0, err
	}
	return principal, join(&principal, rewards)
}

// leaveInactive takes a stake out of a node that is in no committee and
// returns what it has earned: the one-step part of staking_pool::withdraw_stake.
func leaveInactive(tx *overlay.Tx, inner *move.StakingInner, pool *move.StakingPool, staked *move.StakedWAL) (uint64, error) {
	if staked.ActivationEpoch > inner.Epoch {
		return 0, pendingReduce(&pool.PendingStake, staked.ActivationEpoch, staked.Principal)
	}
	shares, err := sharesAt(tx, pool, staked.Principal, staked.ActivationEpoch)
	if err != nil {
		return 0, err
	}
	if err := pendingAdd(&pool.PendingSharesWithdraw, inner.Epoch, shares); err != nil {
		return 0, err
	}
	return rewardsOf(tx, pool, staked.Principal, staked.ActivationEpoch, inner.Epoch)
}

// CanWithdrawEarly reports whether WithdrawStake pays without a request:
// staking::can_withdraw_staked_wal_early.
func CanWithdrawEarly(tx *overlay.Tx, s *move.Staking, staked *move.StakedWAL) (bool, error) {
	inner, err := StakingInner(tx, s)
	if err != nil {
		return false, err
	}
	_, inNext := involved(inner, staked.Node)
	return canWithdrawEarly(staked, inNext, inner.Epoch), nil
}

// CalculateRewards returns what a principal would earn with a node between two
// epochs: staking::calculate_rewards.
func CalculateRewards(tx *overlay.Tx, s *move.Staking, node move.ID, principal uint64, activation, withdraw uint32) (uint64, error) {
	inner, err := StakingInner(tx, s)
	if err != nil {
		return 0, err
	}
	there, err := tx.HasField(inner.Pools.ID, move.ObjectFieldKey(move.IDKey(node)))
	if err != nil {
		return 0, err
	}
	if !there {
		return 0, stakingPoolNotFound.in("calculate_rewards")
	}
	pool, err := Pool(tx, inner, node)
	if err != nil {
		return 0, err
	}
	return rewardsOf(tx, pool, principal, activation, withdraw)
}

// TryJoinActiveSet puts a node into the active set when it has more stake than
// the last of it: staking::try_join_active_set.
func TryJoinActiveSet(tx *overlay.Tx, s *move.Staking, c *move.NodeCap) error {
	inner, pool, err := poolOf(tx, s, c.Node)
	if err != nil {
		return err
	}
	return updateActiveSet(tx, inner, pool)
}

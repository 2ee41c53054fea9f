package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

const poolModule = "staking_pool"

// lateCommission says whether a commission rate that was to change while the
// node was in no committee changes when it is in one again, as from contract
// version 4 on, or never, as before.
const lateCommission = true

// advancePool pays a pool its reward for the epoch that ended and begins the
// next one: staking_pool::advance_epoch.
func advancePool(tx *overlay.Tx, pool *move.StakingPool, reward uint64, epoch uint32) error {
	const function = "advance_epoch"
	if epoch <= pool.LatestEpoch {
		return poolAlreadyUpdated.in(function)
	}
	if reward != 0 && pool.WALBalance == 0 {
		return poolAdvance.in(function)
	}
	commission, err := scale(poolModule, function, reward, uint64(pool.CommissionRate), basisPoints)
	if err != nil {
		return err
	}
	if _, err := split(&reward, commission); err != nil {
		return err
	}
	if err := addCommission(tx, pool, commission, true); err != nil {
		return err
	}
	if err := changeCommissionRate(pool, epoch); err != nil {
		return err
	}
	if err := join(&pool.RewardsPool, reward); err != nil {
		return err
	}
	if pool.WALBalance, err = add(poolModule, function, pool.WALBalance, reward); err != nil {
		return err
	}
	pool.LatestEpoch = epoch
	if pool.Info.NextEpochPublicKey != nil {
		pool.Info.PublicKey, pool.Info.NextEpochPublicKey = *pool.Info.NextEpochPublicKey, nil
	}
	return processPending(tx, pool, epoch)
}

// changeCommissionRate applies the rate that an epoch begins with.
func changeCommissionRate(pool *move.StakingPool, epoch uint32) error {
	rate, ok := pool.PendingCommissionRate.Get(epoch)
	if lateCommission {
		rate, ok = latestAt(pool.PendingCommissionRate, epoch)
	}
	if !ok {
		return nil
	}
	pool.CommissionRate = uint16(rate)
	rest := move.PendingValues{}
	for _, v := range pool.PendingCommissionRate {
		if v.Key > epoch {
			rest = append(rest, v)
		}
	}
	pool.PendingCommissionRate = rest
	return nil
}

// processPending fixes the rate of an epoch, lets stake in that becomes active
// and takes out what is withdrawn: staking_pool::process_pending_stake.
func processPending(tx *overlay.Tx, pool *move.StakingPool, epoch uint32) error {
	const function = "process_pending_stake"
	rate, err := newRate(pool.WALBalance, pool.Shares)
	if err != nil {
		return err
	}
	if err := setRate(tx, &pool.ExchangeRates, epoch, rate); err != nil {
		return err
	}
	added, err := flush(&pool.PendingStake, epoch)
	if err != nil {
		return err
	}
	if pool.WALBalance, err = add(poolModule, function, pool.WALBalance, added); err != nil {
		return err
	}
	withdrawn, err := withdrawnBy(tx, pool, &rate, epoch)
	if err != nil {
		return err
	}
	for _, values := range []*move.PendingValues{&pool.PreActiveWithdrawals, &pool.PendingSharesWithdraw} {
		if _, err := flush(values, epoch); err != nil {
			return err
		}
	}
	if pool.WALBalance < withdrawn {
		return poolCalculation.in(function)
	}
	pool.WALBalance -= withdrawn
	pool.Shares, err = toShares(&rate, pool.WALBalance)
	return err
}

// withdrawnBy returns what the withdrawals due up to an epoch are worth at a
// rate. A stake that was asked back before it was active counts the shares
// that it got for the one epoch in which it was.
func withdrawnBy(tx *overlay.Tx, pool *move.StakingPool, rate *move.ExchangeRate, epoch uint32) (uint64, error) {
	shares, err := pendingAt(pool.PendingSharesWithdraw, epoch)
	if err != nil {
		return 0, err
	}
	for _, early := range pool.PreActiveWithdrawals {
		if early.Key > epoch {
			continue
		}
		part, err := sharesAt(tx, pool, early.Value, early.Key-1)
		if err != nil {
			return 0, err
		}
		if shares, err = add(poolModule, "process_pending_stake", shares, part); err != nil {
			return 0, err
		}
	}
	return toWAL(rate, shares)
}

// balanceAt returns the stake that is active in an epoch ahead: staking_pool::wal_balance_at_epoch.
func balanceAt(tx *overlay.Tx, pool *move.StakingPool, epoch uint32) (uint64, error) {
	const function = "wal_balance_at_epoch"
	rate, err := newRate(pool.WALBalance, pool.Shares)
	if err != nil {
		return 0, err
	}
	withdrawn, err := withdrawnBy(tx, pool, &rate, epoch)
	if err != nil {
		return 0, err
	}
	coming, err := pendingAt(pool.PendingStake, epoch)
	if err != nil {
		return 0, err
	}
	sum, err := add(poolModule, function, pool.WALBalance, coming)
	if err != nil {
		return 0, err
	}
	if sum < withdrawn {
		return 0, overflow(poolModule, function)
	}
	return sum - withdrawn, nil
}

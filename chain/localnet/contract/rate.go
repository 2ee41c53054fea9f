package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

const rateModule = "pool_exchange_rate"

// newRate is pool_exchange_rate::new.
func newRate(wal, shares uint64) (move.ExchangeRate, error) {
	if shares > wal {
		return move.ExchangeRate{}, exchangeInvalidRate.in("new")
	}
	if wal == 0 || shares == 0 {
		return move.ExchangeRate{Flat: true}, nil
	}
	return move.ExchangeRate{WAL: move.U128{Lo: wal}, Shares: move.U128{Lo: shares}}, nil
}

// toShares is pool_exchange_rate::convert_to_share_amount. A rate that newRate
// made fits 64 bits and has no zeros.
func toShares(rate *move.ExchangeRate, wal uint64) (uint64, error) {
	if rate.Flat {
		return wal, nil
	}
	return scale(rateModule, "convert_to_share_amount", wal, rate.Shares.Lo, rate.WAL.Lo)
}

// toWAL is pool_exchange_rate::convert_to_wal_amount.
func toWAL(rate *move.ExchangeRate, shares uint64) (uint64, error) {
	if rate.Flat {
		return shares, nil
	}
	return scale(rateModule, "convert_to_wal_amount", shares, rate.WAL.Lo, rate.Shares.Lo)
}

// setRate adds the rate of an epoch to a pool's table.
func setRate(tx *overlay.Tx, table *move.Table, epoch uint32, rate move.ExchangeRate) error {
	table.Size++
	return tx.AddField(table.ID, move.U32Key(epoch), tx.Types.ExchangeRate(), &rate)
}

// rateAt returns the rate of an epoch, or of the newest one before it that has
// a rate: staking_pool::exchange_rate_at_epoch. Only epochs in which the pool
// advanced have one, and none lies beyond the newest of these, so the search
// begins there.
func rateAt(tx *overlay.Tx, pool *move.StakingPool, epoch uint32) (*move.ExchangeRate, error) {
	newest := max(pool.LatestEpoch, pool.ActivationEpoch)
	for e := int64(min(epoch, newest)); e >= int64(pool.ActivationEpoch); e-- {
		key := move.U32Key(uint32(e))
		there, err := tx.HasField(pool.ExchangeRates.ID, key)
		if err != nil {
			return nil, err
		}
		if there {
			return overlay.Field[move.ExchangeRate](tx, pool.ExchangeRates.ID, key, tx.Types.ExchangeRate())
		}
	}
	return &move.ExchangeRate{Flat: true}, nil
}

// sharesAt converts WAL that became active in an epoch into shares.
func sharesAt(tx *overlay.Tx, pool *move.StakingPool, wal uint64, epoch uint32) (uint64, error) {
	rate, err := rateAt(tx, pool, epoch)
	if err != nil {
		return 0, err
	}
	return toShares(rate, wal)
}

// rewardsOf returns what a principal has earned between two epochs: staking_pool::calculate_rewards.
func rewardsOf(tx *overlay.Tx, pool *move.StakingPool, principal uint64, activation, withdraw uint32) (uint64, error) {
	shares, err := sharesAt(tx, pool, principal, activation)
	if err != nil {
		return 0, err
	}
	rate, err := rateAt(tx, pool, withdraw)
	if err != nil {
		return 0, err
	}
	wal, err := toWAL(rate, shares)
	if err != nil || wal < principal {
		return 0, err
	}
	return wal - principal, nil
}

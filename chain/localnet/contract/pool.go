package contract

import (
	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// Limits of what a node may say of itself. Source: modules staking_pool and storage_node.
const (
	maxNameLength     = 100
	maxAddressLength  = 259
	basisPoints       = 10_000
	networkKeySize    = 33
	minStakeFrost     = 1_000_000_000 // Source: module staked_wal, one WAL
	poolModule        = "staking_pool"
	advanceFunction   = "advance_epoch"
	processFunction   = "process_pending_stake"
	balanceAtFunction = "wal_balance_at_epoch"
)

// newPool makes a node's pool: staking_pool::new.
func newPool(tx *overlay.Tx, inner *move.StakingInner, c Candidate) (*move.StakingPool, error) {
	id := tx.NewID()
	if err := checkProof(inner.Epoch, tx.Sender, c.PublicKey, c.Proof); err != nil {
		return nil, err
	}
	switch {
	case len(c.Name) > maxNameLength:
		return nil, poolNameLength.in("new")
	case len(c.NetworkAddress) > maxAddressLength:
		return nil, poolAddressLength.in("new")
	case c.CommissionRate > basisPoints:
		return nil, poolCommission.in("new")
	}
	activation := inner.Epoch
	if inner.NextCommittee != nil {
		activation++
	}
	rates := move.Table{ID: tx.NewID()}
	if err := setRate(tx, &rates, activation, move.ExchangeRate{Flat: true}); err != nil {
		return nil, err
	}
	info, err := newNodeInfo(tx, id, c)
	if err != nil {
		return nil, err
	}
	sender := move.Authorized{Address: tx.Sender}
	pool := &move.StakingPool{ID: id, Votes: c.Votes, Info: info, ActivationEpoch: activation, LatestEpoch: inner.Epoch,
		CommissionRate: c.CommissionRate, ExchangeRates: rates, CommissionReceiver: sender, GovernanceAuthorized: sender,
		ExtraFields: move.Table{ID: tx.NewID()}}
	return pool, tx.Hold(pool, tx.Types.StakingPool())
}

// newNodeInfo is storage_node::new. The key has been checked with its proof.
func newNodeInfo(tx *overlay.Tx, id move.ID, c Candidate) (move.NodeInfo, error) {
	info := move.NodeInfo{Name: c.Name, Node: id, NetworkAddress: c.NetworkAddress, NetworkPublicKey: c.NetworkKey}
	if len(c.NetworkKey) != networkKeySize {
		return info, nodeNetworkKey.in("new")
	}
	key, err := bls.Uncompress([blsKeySize]byte(c.PublicKey))
	if err != nil {
		return info, err
	}
	info.PublicKey = key[:]
	metadata := c.Metadata
	info.Metadata, err = newExtended(tx, tx.Types.NodeMetadata(), &metadata)
	return info, err
}

// setRate adds the rate of an epoch to a pool's table.
func setRate(tx *overlay.Tx, table *move.Table, epoch uint32, rate move.ExchangeRate) error {
	table.Size++
	return tx.AddField(table.ID, move.U32Key(epoch), tx.Types.ExchangeRate(), &rate)
}

// stake is staking_pool::stake.
func stake(tx *overlay.Tx, pool *move.StakingPool, amount uint64, inner *move.StakingInner) (*move.StakedWAL, error) {
	if pool.State != move.PoolActive {
		return nil, poolNotActive.in("stake")
	}
	if amount == 0 {
		return nil, poolZeroStake.in("stake")
	}
	activation := inner.Epoch + 1
	if inner.NextCommittee != nil {
		activation++
	}
	if amount < minStakeFrost {
		return nil, stakedInvalidAmount.in("mint")
	}
	staked := &move.StakedWAL{ID: tx.NewID(), Node: pool.ID, Principal: amount, ActivationEpoch: activation}
	pending, _ := pool.PendingStake.Get(activation)
	pending, err := add("pending_values", "insert_or_add", pending, amount)
	if err != nil {
		return nil, err
	}
	pool.PendingStake.Set(activation, pending)
	return staked, tx.Hold(staked, tx.Types.StakedWAL())
}

// advancePool pays a pool its reward for the epoch that ended and begins the
// next one: staking_pool::advance_epoch.
func advancePool(tx *overlay.Tx, pool *move.StakingPool, reward uint64, epoch uint32) error {
	if epoch <= pool.LatestEpoch {
		return poolAlreadyUpdated.in(advanceFunction)
	}
	if reward != 0 && pool.WALBalance == 0 {
		return poolAdvance.in(advanceFunction)
	}
	commission, err := mul(poolModule, advanceFunction, reward, uint64(pool.CommissionRate))
	if err != nil {
		return err
	}
	commission /= basisPoints
	if err := join(&pool.Commission, commission); err != nil {
		return err
	}
	if rate, ok := pool.PendingCommissionRate.Get(epoch); ok {
		pool.CommissionRate = uint16(rate)
		flush(&pool.PendingCommissionRate, epoch)
	}
	reward -= commission
	if err := join(&pool.RewardsPool, reward); err != nil {
		return err
	}
	if pool.WALBalance, err = add(poolModule, advanceFunction, pool.WALBalance, reward); err != nil {
		return err
	}
	pool.LatestEpoch = epoch
	if pool.Info.NextEpochPublicKey != nil {
		pool.Info.PublicKey, pool.Info.NextEpochPublicKey = *pool.Info.NextEpochPublicKey, nil
	}
	return processPending(tx, pool, epoch)
}

// processPending fixes the rate of an epoch and lets stake in that becomes
// active: staking_pool::process_pending_stake. Withdrawals never are pending here.
func processPending(tx *overlay.Tx, pool *move.StakingPool, epoch uint32) error {
	rate, err := newRate(pool.WALBalance, pool.Shares)
	if err != nil {
		return err
	}
	if err := setRate(tx, &pool.ExchangeRates, epoch, rate); err != nil {
		return err
	}
	added := flush(&pool.PendingStake, epoch)
	if pool.WALBalance, err = add(poolModule, processFunction, pool.WALBalance, added); err != nil {
		return err
	}
	pool.Shares, err = toShares(rate, pool.WALBalance)
	return err
}

// balanceAt returns the stake that is active in an epoch ahead: staking_pool::wal_balance_at_epoch.
func balanceAt(pool *move.StakingPool, epoch uint32) (uint64, error) {
	return add(poolModule, balanceAtFunction, pool.WALBalance, pendingAt(pool.PendingStake, epoch))
}

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
// made fits 64 bits.
func toShares(rate move.ExchangeRate, wal uint64) (uint64, error) {
	if rate.Flat {
		return wal, nil
	}
	return scale("pool_exchange_rate", "convert_to_share_amount", wal, rate.Shares.Lo, rate.WAL.Lo)
}

// pendingAt sums what takes effect up to an epoch: pending_values::value_at.
func pendingAt(values move.PendingValues, epoch uint32) (sum uint64) {
	for _, v := range values {
		if v.Key <= epoch {
			sum += v.Value
		}
	}
	return sum
}

// flush removes and sums what takes effect up to an epoch: pending_values::flush.
func flush(values *move.PendingValues, epoch uint32) uint64 {
	sum := pendingAt(*values, epoch)
	var rest move.PendingValues
	for _, v := range *values {
		if v.Key > epoch {
			rest = append(rest, v)
		}
	}
	*values = rest
	return sum
}

package contract

import (
	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// Limits of what a node may say of itself. Source: modules staking_pool and storage_node.
const (
	maxNameLength    = 100
	maxAddressLength = 259
	basisPoints      = 10_000
	networkKeySize   = 33
)

// newPool makes a node's pool: staking_pool::new.
func newPool(tx *overlay.Tx, inner *move.StakingInner, c Candidate) (*move.StakingPool, error) {
	id := tx.NewID()
	if err := checkProof(inner.Epoch, tx.Sender, c.PublicKey, c.Proof, "new"); err != nil {
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
	staked, err := mintStaked(tx, pool.ID, amount, activation)
	if err != nil {
		return nil, err
	}
	return staked, pendingAdd(&pool.PendingStake, activation, amount)
}

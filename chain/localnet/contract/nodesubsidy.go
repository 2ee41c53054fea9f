package contract

import (
	"math"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// Limits of package walrus_subsidies. Source: modules walrus_subsidies and walrus_subsidies_inner, version 2.
const (
	walrusSubsidiesVersion = 2
	maxSubsidyRate         = 1_000_000 // basis points
	subsidiesShards        = 1000      // that the amounts for nodes must allow for
	subsidiesInnerModule   = "walrus_subsidies_inner"
)

// CreateWalrusSubsidies makes and shares the object that adds to what nodes
// earn, and returns the right to set its rates: walrus_subsidies::new.
func CreateWalrusSubsidies(tx *overlay.Tx, sys *move.System, s *move.Staking, packageID move.ID, rate uint32,
	perNode, perShard uint64) (*move.SubsidiesAdminCap, error) {
	system, err := SystemInner(tx, sys)
	if err != nil {
		return nil, err
	}
	staking, err := StakingInner(tx, s)
	if err != nil {
		return nil, err
	}
	w := &move.WalrusSubsidies{ID: tx.NewID(), Version: walrusSubsidiesVersion, PackageID: packageID}
	inner := &move.WalrusSubsidiesInner{SystemRate: rate, BaseSubsidy: perNode, ShardSubsidy: perShard, ExtraFields: move.Table{ID: tx.NewID()}}
	if staking.Epoch > 0 {
		inner.LatestEpoch = staking.Epoch - 1
	}
	for i := range system.Accounting.Length {
		entry, err := ringAt(&system.Accounting, i)
		if err != nil {
			return nil, err
		}
		balance := move.EpochBalance{Epoch: system.Committee.Epoch + i, Balance: entry.Rewards}
		inner.Subsidised.Entries = append(inner.Subsidised.Entries, balance)
	}
	if err := tx.AddField(w.ID, tx.Types.SubsidiesKey(), tx.Types.WalrusSubsidiesInner().Tag(), inner); err != nil {
		return nil, err
	}
	if err := tx.Hold(w, tx.Types.WalrusSubsidies()); err != nil {
		return nil, err
	}
	admin := &move.SubsidiesAdminCap{ID: tx.NewID(), Subsidies: w.ID}
	if err := tx.Hold(admin, tx.Types.WalrusSubsidiesAdminCap()); err != nil {
		return nil, err
	}
	return admin, tx.Share(w.ID)
}

// subsidiesInner is walrus_subsidies::inner_mut behind check_version.
func subsidiesInner(tx *overlay.Tx, w *move.WalrusSubsidies) (*move.WalrusSubsidiesInner, error) {
	if w.Version != walrusSubsidiesVersion {
		return nil, subsidiesVersion.in("check_version")
	}
	return overlay.Field[move.WalrusSubsidiesInner](tx, w.ID, tx.Types.SubsidiesKey(), tx.Types.WalrusSubsidiesInner().Tag())
}

// AddSubsidiesBalance adds to what can be paid: walrus_subsidies::add_balance.
func AddSubsidiesBalance(tx *overlay.Tx, w *move.WalrusSubsidies, amount uint64) error {
	inner, err := subsidiesInner(tx, w)
	if err != nil {
		return err
	}
	return join(&inner.Pool, amount)
}

// AddSubsidiesCoin adds to what can be paid: walrus_subsidies::add_coin.
func AddSubsidiesCoin(tx *overlay.Tx, w *move.WalrusSubsidies, coin *move.Coin) error {
	inner, err := subsidiesInner(tx, w)
	if err != nil {
		return err
	}
	return swallow(tx, &inner.Pool, coin)
}

// administered returns the state for a call of the administrator.
func administered(tx *overlay.Tx, w *move.WalrusSubsidies, admin *move.SubsidiesAdminCap) (*move.WalrusSubsidiesInner, error) {
	if w.ID != admin.Subsidies {
		return nil, subsidiesAdmin.in("check_admin")
	}
	return subsidiesInner(tx, w)
}

// SetUsageSubsidyRate sets the part that is added to payments: walrus_subsidies::set_system_subsidy_rate.
func SetUsageSubsidyRate(tx *overlay.Tx, w *move.WalrusSubsidies, admin *move.SubsidiesAdminCap, rate uint32) error {
	inner, err := administered(tx, w, admin)
	if err != nil {
		return err
	}
	if rate > maxSubsidyRate {
		return subsidiesRate.in("set_system_subsidy_rate")
	}
	inner.SystemRate = rate
	return nil
}

// SetBaseSubsidy sets what each node gets for an epoch: walrus_subsidies::set_base_subsidy.
func SetBaseSubsidy(tx *overlay.Tx, w *move.WalrusSubsidies, admin *move.SubsidiesAdminCap, perNode uint64) error {
	inner, err := administered(tx, w, admin)
	if err != nil {
		return err
	}
	if !payable(perNode, inner.ShardSubsidy) {
		return subsidiesRate.in("set_base_subsidy")
	}
	inner.BaseSubsidy = perNode
	return nil
}

// SetPerShardSubsidy sets what each shard gets for an epoch: walrus_subsidies::set_per_shard_subsidy.
func SetPerShardSubsidy(tx *overlay.Tx, w *move.WalrusSubsidies, admin *move.SubsidiesAdminCap, perShard uint64) error {
	inner, err := administered(tx, w, admin)
	if err != nil {
		return err
	}
	if !payable(inner.BaseSubsidy, perShard) {
		return subsidiesRate.in("set_per_shard_subsidy")
	}
	inner.ShardSubsidy = perShard
	return nil
}

// payable reports whether what a node with all shards gets fits 64 bits.
func payable(perNode, perShard uint64) bool {
	return perShard <= (math.MaxUint64-perNode)/subsidiesShards
}

// ProcessSubsidies pays what is due; anybody may call it: walrus_subsidies::process_subsidies.
func ProcessSubsidies(tx *overlay.Tx, w *move.WalrusSubsidies, s *move.Staking, sys *move.System, clock *move.Clock) error {
	inner, err := subsidiesInner(tx, w)
	if err != nil {
		return err
	}
	if err := payNodes(tx, inner, s); err != nil {
		return err
	}
	if err := payUsage(tx, inner, sys); err != nil {
		return err
	}
	inner.LastProcessed = clock.TimestampMS
	return nil
}

// take takes an amount out of the pool: the balance's split behind a check of its own.
func take(inner *move.WalrusSubsidiesInner, amount uint64, function string) error {
	if inner.Pool < amount {
		return subsidiesFunds.in(function)
	}
	inner.Pool -= amount
	return nil
}

// payNodes pays the nodes of the epoch before, once: walrus_subsidies_inner::process_fixed_rate_subsidies.
func payNodes(tx *overlay.Tx, inner *move.WalrusSubsidiesInner, s *move.Staking) error {
	const function = "process_fixed_rate_subsidies"
	staking, err := StakingInner(tx, s)
	if err != nil {
		return err
	}
	if staking.Epoch == 0 || inner.LatestEpoch >= staking.Epoch-1 {
		return nil
	}
	var nodes []move.ID
	var amounts []uint64
	for _, member := range staking.PreviousCommittee {
		amount, err := mul(subsidiesInnerModule, function, uint64(len(member.Value)), inner.ShardSubsidy)
		if err != nil {
			return err
		}
		if amount, err = add(subsidiesInnerModule, function, amount, inner.BaseSubsidy); err != nil {
			return err
		}
		if err := take(inner, amount, function); err != nil {
			return err
		}
		nodes, amounts = append(nodes, member.Key), append(amounts, amount)
	}
	if err := AddCommissionToPools(tx, s, nodes, amounts); err != nil {
		return err
	}
	inner.LatestEpoch = staking.Epoch - 1
	return nil
}

// payUsage adds a part to all rewards that had none yet: walrus_subsidies_inner::process_usage_subsidies.
func payUsage(tx *overlay.Tx, inner *move.WalrusSubsidiesInner, sys *move.System) error {
	const function = "process_usage_subsidies"
	system, err := SystemInner(tx, sys)
	if err != nil {
		return err
	}
	ring := &inner.Subsidised
	length := uint32(len(ring.Entries))
	for ring.Entries[ring.Current].Epoch < system.Committee.Epoch {
		ring.Entries[ring.Current] = move.EpochBalance{Epoch: ring.Entries[ring.Current].Epoch + length}
		ring.Current = (ring.Current + 1) % length
	}
	var amounts []uint64
	for i := range system.Accounting.Length {
		entry, err := ringAt(&system.Accounting, i)
		if err != nil {
			return err
		}
		done := &ring.Entries[(ring.Current+i)%length]
		if entry.Rewards < done.Balance {
			return overflow(subsidiesInnerModule, function)
		}
		amount, err := scale(subsidiesInnerModule, function, entry.Rewards-done.Balance, uint64(inner.SystemRate), basisPoints)
		if err != nil {
			return err
		}
		if err := take(inner, amount, function); err != nil {
			return err
		}
		if done.Balance, err = add(subsidiesInnerModule, function, entry.Rewards, amount); err != nil {
			return err
		}
		amounts = append(amounts, amount)
	}
	return AddPerEpochSubsidies(tx, sys, amounts)
}

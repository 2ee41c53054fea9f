package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// addCommission adds to a pool's commission. What is blocked cannot be
// collected until the votes of the epoch are counted: staking_pool::add_commission.
func addCommission(tx *overlay.Tx, pool *move.StakingPool, amount uint64, block bool) error {
	if err := join(&pool.Commission, amount); err != nil || !block {
		return err
	}
	return blockCommission(tx, pool, amount)
}

// blockCommission is staking_pool::increase_blocked_commission.
func blockCommission(tx *overlay.Tx, pool *move.StakingPool, amount uint64) error {
	key := tx.Types.BlockedCommissionKey()
	there, err := tx.HasField(pool.ExtraFields.ID, key)
	if err != nil {
		return err
	}
	if !there {
		pool.ExtraFields.Size++
		value := move.U64(amount)
		return tx.AddField(pool.ExtraFields.ID, key, u64Type, &value)
	}
	blocked, err := overlay.Field[move.U64](tx, pool.ExtraFields.ID, key, u64Type)
	if err != nil {
		return err
	}
	sum, err := add(poolModule, "increase_blocked_commission", uint64(*blocked), amount)
	if err != nil {
		return err
	}
	*blocked = move.U64(sum)
	return nil
}

var u64Type = move.TypeTag{Kind: move.KindU64}

// clearBlocked is staking_pool::clear_blocked_commission.
func clearBlocked(tx *overlay.Tx, pool *move.StakingPool) error {
	key := tx.Types.BlockedCommissionKey()
	there, err := tx.HasField(pool.ExtraFields.ID, key)
	if err != nil || !there {
		return err
	}
	pool.ExtraFields.Size--
	_, err = overlay.RemoveField[move.U64](tx, pool.ExtraFields.ID, key, u64Type)
	return err
}

// blockedCommission is staking_pool::get_blocked_commission_amount.
func blockedCommission(tx *overlay.Tx, pool *move.StakingPool) (uint64, error) {
	key := tx.Types.BlockedCommissionKey()
	there, err := tx.HasField(pool.ExtraFields.ID, key)
	if err != nil || !there {
		return 0, err
	}
	blocked, err := overlay.Field[move.U64](tx, pool.ExtraFields.ID, key, u64Type)
	if err != nil {
		return 0, err
	}
	return uint64(*blocked), nil
}

// clearBlockedCommissions lets the nodes of this committee and the one before
// collect all that they have: staking_inner::clear_blocked_commissions.
func clearBlockedCommissions(tx *overlay.Tx, inner *move.StakingInner) error {
	for _, committee := range []move.Committee{inner.Committee, inner.PreviousCommittee} {
		for _, member := range committee {
			pool, err := Pool(tx, inner, member.Key)
			if err != nil {
				return err
			}
			if err := clearBlocked(tx, pool); err != nil {
				return err
			}
		}
	}
	return nil
}

// SetNextCommission changes the part that a node keeps of its rewards, two
// epochs from now: staking::set_next_commission.
func SetNextCommission(tx *overlay.Tx, s *move.Staking, c *move.NodeCap, rate uint16) error {
	inner, pool, err := poolOf(tx, s, c.Node)
	if err != nil {
		return err
	}
	if rate > basisPoints {
		return poolCommission.in("set_next_commission")
	}
	pool.PendingCommissionRate.Set(inner.Epoch+2, uint64(rate))
	return nil
}

// CollectCommission pays out what is not blocked of a node's commission, an
// empty coin if that is nothing: staking::collect_commission.
func CollectCommission(tx *overlay.Tx, s *move.Staking, node move.ID, auth Authenticated) (*move.Coin, error) {
	_, pool, err := poolOf(tx, s, node)
	if err != nil {
		return nil, err
	}
	if !auth.matches(pool.CommissionReceiver) {
		return nil, poolAuthorization.in("collect_commission")
	}
	blocked, err := blockedCommission(tx, pool)
	if err != nil {
		return nil, err
	}
	free := pool.Commission - min(blocked, pool.Commission)
	pool.Commission -= free
	return NewCoin(tx, tx.Types.WALCoin(), free)
}

// SetCommissionReceiver says who may collect a node's commission: staking::set_commission_receiver.
func SetCommissionReceiver(tx *overlay.Tx, s *move.Staking, node move.ID, auth Authenticated, receiver move.Authorized) error {
	_, pool, err := poolOf(tx, s, node)
	if err != nil {
		return err
	}
	if !auth.matches(pool.CommissionReceiver) {
		return poolAuthorization.in("set_commission_receiver")
	}
	pool.CommissionReceiver = receiver
	return nil
}

// SetGovernanceAuthorized says who votes for a node on upgrades and slashing: staking::set_governance_authorized.
func SetGovernanceAuthorized(tx *overlay.Tx, s *move.Staking, node move.ID, auth Authenticated, authorized move.Authorized) error {
	_, pool, err := poolOf(tx, s, node)
	if err != nil {
		return err
	}
	if !auth.matches(pool.GovernanceAuthorized) {
		return poolAuthorization.in("set_governance_authorized")
	}
	pool.GovernanceAuthorized = authorized
	return nil
}

// AddCommissionToPools gives amounts[i] to the commission of nodes[i], which
// anybody may: staking::add_commission_to_pools.
func AddCommissionToPools(tx *overlay.Tx, s *move.Staking, nodes []move.ID, amounts []uint64) error {
	inner, err := StakingInner(tx, s)
	if err != nil {
		return err
	}
	if len(nodes) != len(amounts) {
		return stakingLengths.in("add_commission_to_pools")
	}
	block := inner.State.Kind != move.StateSelected
	for i := range nodes {
		pool, err := Pool(tx, inner, nodes[i])
		if err != nil {
			return err
		}
		if err := addCommission(tx, pool, amounts[i], block); err != nil {
			return err
		}
	}
	return nil
}

// commissionToBurn takes all of a node's commission, also what is blocked:
// staking_pool::extract_commission_to_burn.
func commissionToBurn(tx *overlay.Tx, pool *move.StakingPool) (uint64, error) {
	if err := clearBlocked(tx, pool); err != nil {
		return 0, err
	}
	amount := pool.Commission
	pool.Commission = 0
	return amount, nil
}

// poolOf returns the state of Staking and the pool of a node, for reading and writing.
func poolOf(tx *overlay.Tx, s *move.Staking, node move.ID) (*move.StakingInner, *move.StakingPool, error) {
	inner, err := StakingInner(tx, s)
	if err != nil {
		return nil, nil, err
	}
	pool, err := Pool(tx, inner, node)
	return inner, pool, err
}

package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// onPool runs something with the first node of a committee.
func onPool(do func(e *economy, tx *overlay.Tx, o *shared, inner *move.StakingInner, pool *move.StakingPool) error) func(r *reference, tx *overlay.Tx) error {
	return staked(func(e *economy, tx *overlay.Tx, o *shared) error {
		inner := e.stakingInner(tx, o)
		pool, err := Pool(tx, inner, inner.Committee[0].Key)
		e.must(err)
		return do(e, tx, o, inner, pool)
	})
}

// paying returns the abort of a payment for a receipt of the first node.
func paying(change func(s *move.StakedWAL)) func(r *reference, tx *overlay.Tx) error {
	return onPool(func(_ *economy, tx *overlay.Tx, o *shared, _ *move.StakingInner, pool *move.StakingPool) error {
		s := &move.StakedWAL{Node: pool.ID, Principal: minStakeFrost, ActivationEpoch: 1}
		change(s)
		_, err := WithdrawStake(tx, o.staking, s)
		return err
	})
}

// asking returns the abort of a request for a receipt of the first node.
func asking(change func(s *move.StakedWAL)) func(r *reference, tx *overlay.Tx) error {
	return onPool(func(_ *economy, tx *overlay.Tx, o *shared, _ *move.StakingInner, pool *move.StakingPool) error {
		s := &move.StakedWAL{Node: pool.ID, Principal: minStakeFrost, ActivationEpoch: 1}
		change(s)
		return RequestWithdrawStake(tx, o.staking, s)
	})
}

// asNode runs something as the first node.
func asNode(do func(tx *overlay.Tx, o *shared, c *move.NodeCap) error) func(r *reference, tx *overlay.Tx) error {
	return staked(func(e *economy, tx *overlay.Tx, o *shared) error { return do(tx, o, e.nodeCap(tx, 0)) })
}

var stranger = AuthenticateWithObject(move.ID{0xbb})

var stakeAborts = []abortCase{
	{"pay nothing", poolZeroStake, paying(func(s *move.StakedWAL) { s.Principal = 0 })},
	{"pay what is staked", poolNotWithdrawing, paying(func(*move.StakedWAL) {})},
	{"pay too early", poolWithdrawEpoch, paying(func(s *move.StakedWAL) { s.Withdrawing, s.WithdrawEpoch = true, 2 })},
	{"pay before it is active", poolNotActivated, paying(func(s *move.StakedWAL) {
		s.Withdrawing, s.WithdrawEpoch, s.ActivationEpoch = true, 1, 2
	})},
	{"pay stake that is not pending", pendingIncorrectValue, paying(func(s *move.StakedWAL) { s.ActivationEpoch = 2 })},
	{"ask for nothing", poolZeroStake, asking(func(s *move.StakedWAL) { s.Principal = 0 })},
	{"ask twice", poolNotStaked, asking(func(s *move.StakedWAL) { s.Withdrawing = true })},
	{"ask for what is paid at once", poolWithdrawDirectly, asking(func(s *move.StakedWAL) { s.ActivationEpoch = 2 })},
	{"ask long before it is active", poolNotActivated, asking(func(s *move.StakedWAL) { s.ActivationEpoch = 5 })},
	{"ask for a stake of no shares", poolZeroShares, onPool(func(_ *economy, tx *overlay.Tx, o *shared, _ *move.StakingInner, pool *move.StakingPool) error {
		rate, err := rateAt(tx, pool, 1)
		if err != nil {
			return err
		}
		*rate = move.ExchangeRate{WAL: move.U128{Lo: 1e18}, Shares: move.U128{Lo: 1}}
		return RequestWithdrawStake(tx, o.staking, &move.StakedWAL{Node: pool.ID, Principal: minStakeFrost, ActivationEpoch: 1})
	})},
	{"withdraw more than there is", poolCalculation, onPool(func(_ *economy, tx *overlay.Tx, _ *shared, inner *move.StakingInner, pool *move.StakingPool) error {
		pool.PendingSharesWithdraw.Set(2, pool.WALBalance+1)
		return advancePool(tx, pool, 0, 2)
	})},
	{"mark a stake twice", stakedAlreadyWithdrawing, func(*reference, *overlay.Tx) error {
		return setWithdrawing(&move.StakedWAL{Withdrawing: true}, 2)
	}},
	{"split off all", stakedInvalidAmount, func(_ *reference, tx *overlay.Tx) error {
		_, err := SplitStaked(tx, &move.StakedWAL{Principal: minStakeFrost}, minStakeFrost)
		return err
	}},
	{"split off too little", stakedThreshold, func(_ *reference, tx *overlay.Tx) error {
		_, err := SplitStaked(tx, &move.StakedWAL{Principal: 3 * minStakeFrost}, minStakeFrost-1)
		return err
	}},
	{"split off too much", stakedThreshold, func(_ *reference, tx *overlay.Tx) error {
		_, err := SplitStaked(tx, &move.StakedWAL{Principal: 3 * minStakeFrost}, 2*minStakeFrost+1)
		return err
	}},
	{"join another age", stakedMismatch, func(_ *reference, tx *overlay.Tx) error {
		return JoinStaked(tx, &move.StakedWAL{}, &move.StakedWAL{ActivationEpoch: 1})
	}},
	{"join another state", stakedMismatch, func(_ *reference, tx *overlay.Tx) error {
		return JoinStaked(tx, &move.StakedWAL{}, &move.StakedWAL{Withdrawing: true})
	}},
	{"join another time", stakedMismatch, func(_ *reference, tx *overlay.Tx) error {
		return JoinStaked(tx, &move.StakedWAL{Withdrawing: true}, &move.StakedWAL{Withdrawing: true, WithdrawEpoch: 1})
	}},
	{"rewards of nobody", stakingPoolNotFound, staked(func(_ *economy, tx *overlay.Tx, o *shared) error {
		_, err := CalculateRewards(tx, o.staking, move.ID{1}, 1, 1, 2)
		return err
	})},
	{"collect for another", poolAuthorization, onPool(func(_ *economy, tx *overlay.Tx, o *shared, _ *move.StakingInner, pool *move.StakingPool) error {
		_, err := CollectCommission(tx, o.staking, pool.ID, stranger)
		return err
	})},
	{"collect as the sender", poolAuthorization, onPool(func(_ *economy, tx *overlay.Tx, o *shared, _ *move.StakingInner, pool *move.StakingPool) error {
		_, err := CollectCommission(tx, o.staking, pool.ID, AuthenticateSender(tx))
		return err
	})},
	{"redirect another's commission", poolAuthorization, onPool(func(_ *economy, tx *overlay.Tx, o *shared, _ *move.StakingInner, pool *move.StakingPool) error {
		return SetCommissionReceiver(tx, o.staking, pool.ID, stranger, AuthorizedAddress(tx.Sender))
	})},
	{"take another's vote", poolAuthorization, onPool(func(_ *economy, tx *overlay.Tx, o *shared, _ *move.StakingInner, pool *move.StakingPool) error {
		return SetGovernanceAuthorized(tx, o.staking, pool.ID, stranger, AuthorizedAddress(tx.Sender))
	})},
	{"next commission above all", poolCommission, asNode(func(tx *overlay.Tx, o *shared, c *move.NodeCap) error {
		return SetNextCommission(tx, o.staking, c, basisPoints+1)
	})},
	{"more nodes than amounts", stakingLengths, staked(func(_ *economy, tx *overlay.Tx, o *shared) error {
		return AddCommissionToPools(tx, o.staking, []move.ID{{1}}, nil)
	})},
	{"new name too long", poolNameLength, asNode(func(tx *overlay.Tx, o *shared, c *move.NodeCap) error {
		return SetName(tx, o.staking, c, string(make([]byte, maxNameLength+1)))
	})},
	{"new address too long", poolAddressLength, asNode(func(tx *overlay.Tx, o *shared, c *move.NodeCap) error {
		return SetNetworkAddress(tx, o.staking, c, string(make([]byte, maxAddressLength+1)))
	})},
	{"new network key too long", nodeNetworkKey, asNode(func(tx *overlay.Tx, o *shared, c *move.NodeCap) error {
		return SetNetworkPublicKey(tx, o.staking, c, make([]byte, networkKeySize+1))
	})},
	{"new key without proof", poolProof, asNode(func(tx *overlay.Tx, o *shared, c *move.NodeCap) error {
		return SetNextPublicKey(tx, o.staking, c, make([]byte, blsKeySize), make([]byte, blsSignatureSize))
	})},
}

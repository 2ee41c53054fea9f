package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// minStakeFrost is what a receipt stands for at least: one WAL. Source: module staked_wal, MIN_STAKING_THRESHOLD.
const minStakeFrost = 1_000_000_000

// mintStaked is staked_wal::mint.
func mintStaked(tx *overlay.Tx, node move.ID, principal uint64, activation uint32) (*move.StakedWAL, error) {
	if principal < minStakeFrost {
		return nil, stakedThreshold.in("mint")
	}
	staked := &move.StakedWAL{ID: tx.NewID(), Node: node, Principal: principal, ActivationEpoch: activation}
	return staked, tx.Hold(staked, tx.Types.StakedWAL())
}

// stakedIntoBalance destroys a receipt and returns its principal: staked_wal::into_balance.
func stakedIntoBalance(tx *overlay.Tx, s *move.StakedWAL) (uint64, error) {
	return s.Principal, tx.Delete(s.ID)
}

// setWithdrawing is staked_wal::set_withdrawing.
func setWithdrawing(s *move.StakedWAL, epoch uint32) error {
	if s.Withdrawing {
		return stakedAlreadyWithdrawing.in("set_withdrawing")
	}
	s.Withdrawing, s.WithdrawEpoch = true, epoch
	return nil
}

// canWithdrawEarly reports whether no committee has been chosen with this
// stake yet: staked_wal::can_withdraw_early.
func canWithdrawEarly(s *move.StakedWAL, inNext bool, epoch uint32) bool {
	if s.Withdrawing {
		return false
	}
	return s.ActivationEpoch == epoch+2 || s.ActivationEpoch == epoch+1 && !inNext
}

// SplitStaked takes an amount out of a receipt into one of its own, of the
// same age and state: staked_wal::split.
func SplitStaked(tx *overlay.Tx, s *move.StakedWAL, amount uint64) (*move.StakedWAL, error) {
	const function = "split"
	if s.Principal <= amount {
		return nil, stakedInvalidAmount.in(function)
	}
	if amount < minStakeFrost || s.Principal-amount < minStakeFrost {
		return nil, stakedThreshold.in(function)
	}
	part := *s
	part.ID, part.Principal = tx.NewID(), amount
	s.Principal -= amount
	return &part, tx.Hold(&part, tx.Types.StakedWAL())
}

// JoinStaked puts a receipt into another of the same node, age and state: staked_wal::join.
func JoinStaked(tx *overlay.Tx, s, other *move.StakedWAL) error {
	if s.Node != other.Node || s.ActivationEpoch != other.ActivationEpoch || s.Withdrawing != other.Withdrawing ||
		s.Withdrawing && s.WithdrawEpoch != other.WithdrawEpoch {
		return stakedMismatch.in("join")
	}
	principal, err := stakedIntoBalance(tx, other)
	if err != nil {
		return err
	}
	return join(&s.Principal, principal)
}

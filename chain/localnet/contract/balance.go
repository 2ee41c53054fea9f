package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// SplitBalance takes an amount out of a balance: balance::split.
func SplitBalance(balance *uint64, amount uint64) (uint64, error) { return split(balance, amount) }

// JoinBalance puts an amount into a balance and returns what it is then: balance::join.
func JoinBalance(balance *uint64, amount uint64) (uint64, error) {
	err := join(balance, amount)
	return *balance, err
}

// DestroyZeroBalance destroys an empty balance: balance::destroy_zero.
func DestroyZeroBalance(balance uint64) error {
	if balance != 0 {
		return balanceNonZero.in("destroy_zero")
	}
	return nil
}

// IntoBalance destroys a coin and returns what was in it: coin::into_balance.
func IntoBalance(tx *overlay.Tx, coin *move.Coin) (uint64, error) { return intoBalance(tx, coin) }

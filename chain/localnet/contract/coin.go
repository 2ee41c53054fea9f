package contract

import (
	"math"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// WALSupply is the amount of WAL that exists at first, in FROST. Source: module wal, TOTAL_WAL_SUPPLY_TO_MINT.
const WALSupply = 5_000_000_000 * 1_000_000_000

// split takes an amount out of a balance: balance::split.
func split(balance *uint64, amount uint64) (uint64, error) {
	if *balance < amount {
		return 0, balanceNotEnough.in("split")
	}
	*balance -= amount
	return amount, nil
}

// join puts an amount into a balance: balance::join.
func join(balance *uint64, amount uint64) error {
	sum, err := add("balance", "join", *balance, amount)
	if err != nil {
		return err
	}
	*balance = sum
	return nil
}

// NewCoin makes a coin of a balance: coin::from_balance.
func NewCoin(tx *overlay.Tx, coinType move.StructTag, amount uint64) (*move.Coin, error) {
	c := &move.Coin{ID: tx.NewID(), Balance: amount}
	return c, tx.Hold(c, coinType)
}

// SplitCoin takes a new coin out of another: coin::split.
func SplitCoin(tx *overlay.Tx, coinType move.StructTag, coin *move.Coin, amount uint64) (*move.Coin, error) {
	part, err := split(&coin.Balance, amount)
	if err != nil {
		return nil, err
	}
	return NewCoin(tx, coinType, part)
}

// JoinCoin puts one coin into another: coin::join.
func JoinCoin(tx *overlay.Tx, coin, other *move.Coin) error {
	amount, err := intoBalance(tx, other)
	if err != nil {
		return err
	}
	return join(&coin.Balance, amount)
}

// intoBalance destroys a coin and returns what was in it: coin::into_balance.
func intoBalance(tx *overlay.Tx, coin *move.Coin) (uint64, error) {
	return coin.Balance, tx.Delete(coin.ID)
}

// DestroyZero destroys an empty coin: coin::destroy_zero.
func DestroyZero(tx *overlay.Tx, coin *move.Coin) error {
	if coin.Balance != 0 {
		return balanceNonZero.in("destroy_zero")
	}
	return tx.Delete(coin.ID)
}

// CreateCurrency makes the treasury of WAL and mints all of it: the
// initialiser of module wal.
func CreateCurrency(tx *overlay.Tx) (*move.Treasury, *move.Coin, error) {
	treasuryCap := &move.TreasuryCap{ID: tx.NewID()}
	capType := move.FrameworkType("coin", "TreasuryCap", tx.Types.WALType().Tag())
	if err := tx.Hold(treasuryCap, capType); err != nil {
		return nil, nil, err
	}
	coin, err := mint(tx, treasuryCap, WALSupply)
	if err != nil {
		return nil, nil, err
	}
	treasury := &move.Treasury{ID: tx.NewID()}
	if err := tx.Hold(treasury, tx.Types.Treasury()); err != nil {
		return nil, nil, err
	}
	if err := tx.AddObjectField(treasury.ID, tx.Types.TreasuryKey(), treasuryCap.ID); err != nil {
		return nil, nil, err
	}
	return treasury, coin, tx.Share(treasury.ID)
}

// mint is coin::mint.
func mint(tx *overlay.Tx, treasuryCap *move.TreasuryCap, amount uint64) (*move.Coin, error) {
	if amount >= math.MaxUint64-treasuryCap.TotalSupply {
		return nil, balanceOverflow.in("increase_supply")
	}
	treasuryCap.TotalSupply += amount
	return NewCoin(tx, tx.Types.WALCoin(), amount)
}

// treasuryCap returns what the treasury keeps: wal::borrow_cap.
func treasuryCap(tx *overlay.Tx, treasury *move.Treasury) (*move.TreasuryCap, error) {
	capType := move.FrameworkType("coin", "TreasuryCap", tx.Types.WALType().Tag())
	return overlay.ObjectField[move.TreasuryCap](tx, treasury.ID, tx.Types.TreasuryKey(), capType)
}

// TotalSupply returns how much WAL there is, in FROST: wal::total_supply.
func TotalSupply(tx *overlay.Tx, treasury *move.Treasury) (uint64, error) {
	c, err := treasuryCap(tx, treasury)
	if err != nil {
		return 0, err
	}
	return c.TotalSupply, nil
}

// BurnWAL destroys a coin and lowers the supply: wal::burn.
func BurnWAL(tx *overlay.Tx, treasury *move.Treasury, coin *move.Coin) error {
	c, err := treasuryCap(tx, treasury)
	if err != nil {
		return err
	}
	amount, err := intoBalance(tx, coin)
	if err != nil {
		return err
	}
	if c.TotalSupply < amount {
		return balanceOverflow.in("decrease_supply")
	}
	c.TotalSupply -= amount
	return nil
}

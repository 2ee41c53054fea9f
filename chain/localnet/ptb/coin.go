package ptb

import (
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

var coinModule = module{inFramework, "coin", []declared{
	{"value<T>(&Coin<T>): u64", func(c *move.Coin) uint64 { return c.Balance }},
	{"zero<T>(ctx): Coin<T>", func(c *call) (*move.Coin, error) { return contract.NewCoin(c.Tx, c.coin(), 0) }},
	{"destroy_zero<T>(Coin<T>)", contract.DestroyZero},
	{"split<T>(&mut Coin<T>, u64, ctx): Coin<T>", func(c *call, from *move.Coin, amount uint64) (*move.Coin, error) {
		return contract.SplitCoin(c.Tx, c.coin(), from, amount)
	}},
	{"join<T>(&mut Coin<T>, Coin<T>)", contract.JoinCoin},
	{"into_balance<T>(Coin<T>): Balance<T>", contract.IntoBalance},
	{"from_balance<T>(Balance<T>, ctx): Coin<T>", fromBalance},
	{"take<T>(&mut Balance<T>, u64, ctx): Coin<T>", func(c *call, from *uint64, amount uint64) (*move.Coin, error) {
		amount, err := contract.SplitBalance(from, amount)
		if err != nil {
			return nil, err
		}
		return fromBalance(c, amount)
	}},
	{"put<T>(&mut Balance<T>, Coin<T>)", func(c *call, to *uint64, coin *move.Coin) error {
		amount, err := contract.IntoBalance(c.Tx, coin)
		if err != nil {
			return err
		}
		_, err = contract.JoinBalance(to, amount)
		return err
	}},
}}

func fromBalance(c *call, amount uint64) (*move.Coin, error) {
	return contract.NewCoin(c.Tx, c.coin(), amount)
}

var balanceModule = module{inFramework, "balance", []declared{
	{"value<T>(&Balance<T>): u64", func(b uint64) uint64 { return b }},
	{"zero<T>(): Balance<T>", func() uint64 { return 0 }},
	{"destroy_zero<T>(Balance<T>)", contract.DestroyZeroBalance},
	{"split<T>(&mut Balance<T>, u64): Balance<T>", contract.SplitBalance},
	{"join<T>(&mut Balance<T>, Balance<T>): u64", contract.JoinBalance},
	{"withdraw_all<T>(&mut Balance<T>): Balance<T>", func(b *uint64) (uint64, error) { return contract.SplitBalance(b, *b) }},
}}

var payModule = module{inFramework, "pay", []declared{
	{"keep<T>(Coin<T>, ctx)", func(tx *overlay.Tx, c *move.Coin) error { return tx.Transfer(c.ID, move.AddressOwner(tx.Sender)) }},
	{"join<T>(&mut Coin<T>, Coin<T>)", contract.JoinCoin},
	{"join_vec<T>(&mut Coin<T>, vector<Coin<T>>)", func(tx *overlay.Tx, to *move.Coin, coins []*move.Coin) error {
		for i := range coins {
			if err := contract.JoinCoin(tx, to, coins[len(coins)-1-i]); err != nil { // it pops from the end
				return err
			}
		}
		return nil
	}},
	{"split<T>(&mut Coin<T>, u64, ctx)", func(c *call, from *move.Coin, amount uint64) error {
		part, err := contract.SplitCoin(c.Tx, c.coin(), from, amount)
		if err != nil {
			return err
		}
		return c.Transfer(part.ID, move.AddressOwner(c.Sender))
	}},
}}

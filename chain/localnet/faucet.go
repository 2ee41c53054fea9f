package localnet

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/ptb"
	"github.com/walfs/walfs/chain/move"
)

// Faucet pays walFrost and suiMist to an address, once per transaction ID. It
// returns chain.ErrNoFunds when the play money of genesis is used up.
func (n *Net) Faucet(ctx context.Context, tx chain.TxID, to chain.Address, walFrost, suiMist uint64) error {
	asked := faucetRequest(to, walFrost, suiMist)
	hash, err := asked.hash(n.facts.faucet)
	if err != nil {
		return fmt.Errorf("%s: %w", asked.kind, err)
	}
	return n.submitOwn(ctx, own{kind: asked.kind, key: tx, hash: hash, build: func(ctx context.Context, tx *sql.Tx, d *draft) error {
		return n.give(ctx, tx, d, move.Address(to), walFrost, suiMist)
	}})
}

// give gives coins of the house to an address.
func (n *Net) give(ctx context.Context, tx *sql.Tx, d *draft, to move.Address, walFrost, suiMist uint64) error {
	var coins []move.Argument
	if walFrost > 0 {
		purse, err := n.purse(ctx, tx, d, n.facts.packages.WALCoin(), walFrost)
		if err != nil {
			return err
		}
		coins = append(coins, d.split(purse, walFrost))
	}
	if suiMist > 0 {
		_, total, err := n.ownedCoins(ctx, tx, d.Sender, move.CoinType(move.SUI))
		if err != nil {
			return err
		}
		if total < suiMist || total-suiMist < resolvedBudget {
			return fmt.Errorf("%d MIST do not cover %d: %w", total, suiMist, chain.ErrNoFunds)
		}
		coins = append(coins, d.split(gasCoin, suiMist))
	}
	if len(coins) > 0 {
		d.transfer(to, coins...)
	}
	return nil
}

// purse merges as many coins of the sender as an amount takes, the largest
// first. It returns chain.ErrNoFunds when all of them are not enough.
func (n *Net) purse(ctx context.Context, tx *sql.Tx, d *draft, coinType move.StructTag, amount uint64) (move.Argument, error) {
	coins, total, err := n.ownedCoins(ctx, tx, d.Sender, coinType)
	if err != nil {
		return move.Argument{}, err
	}
	if total < amount {
		return move.Argument{}, fmt.Errorf("%d do not cover %d: %w", total, amount, chain.ErrNoFunds)
	}
	slices.SortFunc(coins, func(a, b move.Coin) int { return cmp.Compare(b.Balance, a.Balance) })
	purse := d.object(coins[0].ID)
	var merged []move.Argument
	for sum, i := coins[0].Balance, 1; sum < amount; i++ {
		merged = append(merged, d.object(coins[i].ID))
		sum += coins[i].Balance
	}
	for some := range slices.Chunk(merged, ptb.MaxArguments) {
		d.add(move.Command{Kind: move.CommandMergeCoins, Target: purse, Arguments: some})
	}
	return purse, nil
}

package sui

import (
	"context"
	"fmt"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"golang.org/x/sync/errgroup"

	"github.com/walfs/walfs/chain/move"
)

// Funds is the money of an owner, in coins and beside them.
type Funds struct {
	WALCoins uint64 // FROST in coin objects
	SUICoins uint64 // MIST in coin objects
	// What the ledger counts beyond the coin objects, in address balances. A
	// client cannot pay with it before it has been redeemed into a coin.
	WALAside uint64
	SUIAside uint64
}

// WALType returns the type of WAL on this network.
func (c *Client) WALType(ctx context.Context) (move.StructTag, error) {
	w, err := c.world(ctx, false)
	if err != nil {
		return move.StructTag{}, fmt.Errorf("type of WAL: %w", err)
	}
	return w.types.WALType(), nil
}

// Funds sums the owner's coins, and compares them with what the ledger says the owner has.
func (c *Client) Funds(ctx context.Context) (f Funds, err error) {
	w, err := c.world(ctx, false)
	if err != nil {
		return f, fmt.Errorf("balance: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, one := range []struct {
		currency    move.StructTag
		coins, more *uint64
	}{{w.types.WALType(), &f.WALCoins, &f.WALAside}, {move.SUI, &f.SUICoins, &f.SUIAside}} {
		group.Go(func() error {
			list, err := c.coins(ctx, move.CoinType(one.currency))
			if err != nil {
				return err
			}
			*one.coins = total(list)
			owner, currency := c.me().String(), one.currency.String()
			answer, err := ask(ctx, c.conn, c.conn.state.GetBalance, &pb.GetBalanceRequest{Owner: &owner, CoinType: &currency})
			if err != nil {
				return fmt.Errorf("balance of %s: %w", one.currency.Name, err)
			}
			// Both are read one after the other: a payment in between is no address balance.
			if all := answer.GetBalance().GetBalance(); all > *one.coins {
				*one.more = all - *one.coins
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return f, fmt.Errorf("balance: %w", err)
	}
	return f, nil
}

package localnet

import (
	"context"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/move"
)

// Faucet pays walFrost and suiMist to an address, once per transaction ID. It
// returns chain.ErrNoFunds when the play money of genesis is used up.
func (n *Net) Faucet(ctx context.Context, tx chain.TxID, to chain.Address, walFrost, suiMist uint64) error {
	_, err := n.execute(ctx, call{tx, n.facts.faucet, faucetRequest(to, walFrost, suiMist), func(e *env) (*chain.Outcome, error) {
		if err := e.pay(e.Types.WALCoin(), to, walFrost); err != nil {
			return nil, err
		}
		return new(chain.Outcome), e.pay(move.CoinType(move.SUI), to, suiMist)
	}})
	return err
}

// Transfer pays walFrost from one address to another, once per transaction ID.
// It returns chain.ErrNoFunds when the sender does not have so much.
func (n *Net) Transfer(ctx context.Context, tx chain.TxID, from, to chain.Address, walFrost uint64) error {
	_, err := n.execute(ctx, call{tx, from, transferRequest(to, walFrost), func(e *env) (*chain.Outcome, error) {
		return new(chain.Outcome), e.pay(e.Types.WALCoin(), to, walFrost)
	}})
	return err
}

// pay gives a new coin of the sender's money to an address.
func (e *env) pay(coinType move.StructTag, to chain.Address, amount uint64) error {
	if amount == 0 {
		return nil
	}
	purse, err := e.purse(coinType)
	if err != nil {
		return err
	}
	coin, err := contract.SplitCoin(e.Tx, coinType, purse, amount)
	if err != nil {
		return payment(err, purse.Balance)
	}
	return e.Transfer(coin.ID, move.AddressOwner(move.Address(to)))
}

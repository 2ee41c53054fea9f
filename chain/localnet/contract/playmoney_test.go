package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// splitOff takes a coin out of the purse.
func (p *player) splitOff(tx *overlay.Tx, o *shared, most uint64) (*move.Coin, error) {
	return SplitCoin(tx, p.types.WALCoin(), o.coin, p.amount(most))
}

func (p *player) someExchange(tx *overlay.Tx) (*move.Exchange, *move.Coin) {
	x, err := overlay.BorrowMut[move.Exchange](tx, p.exchange, p.types.ExchangeType())
	p.must(err)
	sui, err := overlay.BorrowMut[move.Coin](tx, p.sui, move.CoinType(move.SUI))
	p.must(err)
	return x, sui
}

// changeCoins changes whole coins.
func (p *player) changeCoins(tx *overlay.Tx, o *shared) error {
	x, sui := p.someExchange(tx)
	if p.rnd.IntN(2) == 0 {
		part, err := SplitCoin(tx, move.CoinType(move.SUI), sui, p.amount(1e9))
		if err != nil {
			return err
		}
		c, err := ExchangeAllForWAL(tx, x, part)
		return own(tx, c, err)
	}
	part, err := p.splitOff(tx, o, 1e9)
	if err != nil {
		return err
	}
	c, err := ExchangeAllForSUI(tx, x, part)
	if err != nil {
		return err
	}
	return JoinCoin(tx, sui, c)
}

// stockExchange puts into the exchange, and takes out, what its owner may, who also sets another rate.
func (p *player) stockExchange(tx *overlay.Tx, o *shared) error {
	x, sui := p.someExchange(tx)
	admin, err := overlay.Borrow[move.ExchangeAdminCap](tx, p.exchanger, p.types.ExchangeAdminCap())
	p.must(err)
	switch p.rnd.IntN(6) {
	case 0:
		return AddWAL(x, o.coin, p.amount(1e10))
	case 1:
		c, err := p.splitOff(tx, o, 1e10)
		if err != nil {
			return err
		}
		return AddAllWAL(tx, x, c)
	case 2:
		return AddSUI(x, sui, p.amount(1e9))
	case 3:
		c, err := WithdrawWAL(tx, x, p.amount(1e10), admin)
		return own(tx, c, err)
	case 4:
		c, err := WithdrawSUI(tx, x, p.amount(1e9), admin)
		if err != nil {
			return err
		}
		return JoinCoin(tx, sui, c)
	}
	return SetExchangeRate(x, 1+p.rnd.Uint64N(3), 1+p.rnd.Uint64N(3), admin)
}

// handleBalances makes a coin a balance, cuts that and puts it together again, and makes coins of
// it, or what can be paid out of a subsidy.
func (p *player) handleBalances(tx *overlay.Tx, o *shared) error {
	c, err := p.splitOff(tx, o, 1e9)
	if err != nil {
		return err
	}
	whole, err := IntoBalance(tx, c)
	if err != nil {
		return err
	}
	part, err := SplitBalance(&whole, p.amount(1e9))
	if err != nil {
		return err
	}
	if _, err := JoinBalance(&part, whole); err != nil {
		return err
	}
	if err := DestroyZeroBalance(0); err != nil {
		return err
	}
	if p.rnd.IntN(2) == 0 {
		return AddSubsidiesBalance(tx, p.walrusSubsidies(tx), part)
	}
	made, err := NewCoin(tx, p.types.WALCoin(), part)
	if err != nil {
		return err
	}
	if part > 0 {
		return own(tx, made, nil)
	}
	return DestroyZero(tx, made)
}

// registerSubsidised registers a blob by way of the buyer's subsidies.
func (p *player) registerSubsidised(tx *overlay.Tx, o *shared) error {
	s, err := overlay.BorrowMut[move.BuyerSubsidies](tx, p.buyers, p.types.BuyerSubsidies())
	p.must(err)
	storage, err := taken[move.Storage](p, tx, p.types.Storage())
	if err != nil {
		return err
	}
	root, size := move.U256{0: byte(p.rnd.Uint32())}, p.amount(5000)
	b, err := SubsidisedRegisterBlob(tx, s, o.system, storage, move.BlobID(root, 1, size), root, size, 1, true, o.coin)
	return own(tx, b, err)
}

// takeBuyerFunds takes out what the buyer's subsidies could pay.
func (p *player) takeBuyerFunds(tx *overlay.Tx, _ *shared) error {
	s, err := overlay.BorrowMut[move.BuyerSubsidies](tx, p.buyers, p.types.BuyerSubsidies())
	p.must(err)
	admin, err := overlay.Borrow[move.SubsidiesAdminCap](tx, p.buyersAdmin, p.types.BuyerSubsidiesAdminCap())
	p.must(err)
	amount, err := WithdrawBuyerFunds(s, admin)
	if err != nil {
		return err
	}
	c, err := NewCoin(tx, p.types.WALCoin(), amount)
	return own(tx, c, err)
}

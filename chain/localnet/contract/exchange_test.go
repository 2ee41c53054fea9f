package contract

import (
	"testing"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// bureau is an economy with an exchange, and some SUI.
type bureau struct {
	*economy
	id, admin, sui move.ID
}

func newBureau(t *testing.T) *bureau {
	t.Helper()
	b := &bureau{economy: newEconomy(t, 1, 10)}
	b.do(func(tx *overlay.Tx, o *shared) error {
		x, admin, err := CreateExchange(tx)
		if err != nil {
			return err
		}
		coin, err := NewCoin(tx, move.CoinType(move.SUI), 1_000_000)
		if err != nil {
			return err
		}
		b.id, b.admin, b.sui = x.ID, admin.ID, coin.ID
		if err := tx.Transfer(coin.ID, move.AddressOwner(tx.Sender)); err != nil {
			return err
		}
		return tx.Transfer(admin.ID, move.AddressOwner(tx.Sender))
	})
	b.do(func(tx *overlay.Tx, o *shared) error {
		x, admin, sui := b.open2(tx)
		if err := AddWAL(x, o.coin, 1_000_000); err != nil {
			return err
		}
		if err := AddSUI(x, sui, 500_000); err != nil {
			return err
		}
		return SetExchangeRate(x, 4, 2, admin)
	})
	return b
}

func (b *bureau) open2(tx *overlay.Tx) (*move.Exchange, *move.ExchangeAdminCap, *move.Coin) {
	b.t.Helper()
	x, err := overlay.BorrowMut[move.Exchange](tx, b.id, b.types.ExchangeType())
	b.must(err)
	admin, err := overlay.BorrowMut[move.ExchangeAdminCap](tx, b.admin, b.types.ExchangeAdminCap())
	b.must(err)
	sui, err := overlay.BorrowMut[move.Coin](tx, b.sui, move.CoinType(move.SUI))
	b.must(err)
	return x, admin, sui
}

// TestExchange changes money back and forth, at two WAL for one SUI.
func TestExchange(t *testing.T) {
	b := newBureau(t)
	b.do(func(tx *overlay.Tx, o *shared) error {
		x, admin, sui := b.open2(tx)
		wal, err := ExchangeForWAL(tx, x, sui, 42)
		if err != nil {
			return err
		}
		if wal.Balance != 84 || x.SUI != 500_042 || x.WAL != 999_916 {
			t.Errorf("got %d WAL, exchange %+v", wal.Balance, x)
		}
		back, err := ExchangeForSUI(tx, x, wal, 9)
		if err != nil {
			return err
		}
		if back.Balance != 4 || wal.Balance != 75 {
			t.Errorf("got %d SUI, %d WAL left", back.Balance, wal.Balance)
		}
		rest, err := ExchangeAllForSUI(tx, x, wal)
		if err != nil {
			return err
		}
		all, err := ExchangeAllForWAL(tx, x, rest)
		if err != nil {
			return err
		}
		taken, err := WithdrawWAL(tx, x, 13, admin)
		if err != nil {
			return err
		}
		takenSUI, err := WithdrawSUI(tx, x, 17, admin)
		if err != nil {
			return err
		}
		for _, c := range []*move.Coin{all, taken} {
			if err := JoinCoin(tx, o.coin, c); err != nil {
				return err
			}
		}
		if err := AddAllSUI(tx, x, takenSUI); err != nil {
			return err
		}
		return JoinCoin(tx, sui, back)
	})
	b.balanced()
	b.do(func(tx *overlay.Tx, o *shared) error {
		x, _, _ := b.open2(tx)
		c, err := SplitCoin(tx, b.types.WALCoin(), o.coin, 5)
		if err != nil {
			return err
		}
		return AddAllWAL(tx, x, c)
	})
	b.balanced()
}

// changing runs something at an exchange.
func changing(do func(tx *overlay.Tx, o *shared, x *move.Exchange, admin *move.ExchangeAdminCap, sui *move.Coin) error) func(r *reference, tx *overlay.Tx) error {
	return func(r *reference, _ *overlay.Tx) error {
		b := newBureau(r.t)
		return b.try(func(tx *overlay.Tx, o *shared) error {
			x, admin, sui := b.open2(tx)
			return do(tx, o, x, admin, sui)
		})
	}
}

var exchangeAborts = []abortCase{
	{"more WAL than there is", exchangeFunds, changing(func(tx *overlay.Tx, _ *shared, x *move.Exchange, _ *move.ExchangeAdminCap, sui *move.Coin) error {
		x.WAL = 1
		_, err := ExchangeForWAL(tx, x, sui, 1)
		return err
	})},
	{"more SUI than there is", exchangeFunds, changing(func(tx *overlay.Tx, o *shared, x *move.Exchange, _ *move.ExchangeAdminCap, _ *move.Coin) error {
		_, err := ExchangeForSUI(tx, x, o.coin, 10_000_000)
		return err
	})},
	{"withdraw more than there is", exchangeFunds, changing(func(tx *overlay.Tx, _ *shared, x *move.Exchange, admin *move.ExchangeAdminCap, _ *move.Coin) error {
		_, err := WithdrawWAL(tx, x, 2_000_000, admin)
		return err
	})},
	{"more SUI than the coin has", exchangeInput, changing(func(tx *overlay.Tx, _ *shared, x *move.Exchange, _ *move.ExchangeAdminCap, sui *move.Coin) error {
		_, err := ExchangeForWAL(tx, x, sui, 2_000_000)
		return err
	})},
	{"more WAL than the coin has", exchangeInput, changing(func(tx *overlay.Tx, o *shared, x *move.Exchange, _ *move.ExchangeAdminCap, _ *move.Coin) error {
		_, err := ExchangeForSUI(tx, x, o.coin, o.coin.Balance+1)
		return err
	})},
	{"rate of another's exchange", exchangeAdmin, changing(func(_ *overlay.Tx, _ *shared, x *move.Exchange, _ *move.ExchangeAdminCap, _ *move.Coin) error {
		return SetExchangeRate(x, 1, 1, &move.ExchangeAdminCap{})
	})},
	{"funds of another's exchange", exchangeAdmin, changing(func(tx *overlay.Tx, _ *shared, x *move.Exchange, _ *move.ExchangeAdminCap, _ *move.Coin) error {
		_, err := WithdrawSUI(tx, x, 1, &move.ExchangeAdminCap{})
		return err
	})},
	{"rate of nothing", exchangeRate, changing(func(_ *overlay.Tx, _ *shared, x *move.Exchange, admin *move.ExchangeAdminCap, _ *move.Coin) error {
		return SetExchangeRate(x, 1, 0, admin)
	})},
	{"rate beyond 64 bits", code{"wal_exchange", arithmeticError, "ARITHMETIC_ERROR"}, changing(
		func(tx *overlay.Tx, _ *shared, x *move.Exchange, admin *move.ExchangeAdminCap, sui *move.Coin) error {
			x.RateWAL = 1 << 62
			_, err := ExchangeForWAL(tx, x, sui, 16)
			return err
		})},
}

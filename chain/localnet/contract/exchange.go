package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// CreateExchange makes and shares an object that changes SUI into WAL and back
// one to one, and returns the right to change its rate: wal_exchange::new.
func CreateExchange(tx *overlay.Tx) (*move.Exchange, *move.ExchangeAdminCap, error) {
	admin := &move.ExchangeAdminCap{ID: tx.NewID()}
	if err := tx.Hold(admin, tx.Types.ExchangeAdminCap()); err != nil {
		return nil, nil, err
	}
	x := &move.Exchange{ID: tx.NewID(), RateWAL: 1, RateSUI: 1, Admin: admin.ID}
	if err := tx.Hold(x, tx.Types.ExchangeType()); err != nil {
		return nil, nil, err
	}
	return x, admin, tx.Share(x.ID)
}

// AddWAL puts an amount of a coin into an exchange: wal_exchange::add_wal.
func AddWAL(x *move.Exchange, coin *move.Coin, amount uint64) error {
	return moveBalance(&coin.Balance, &x.WAL, amount)
}

// AddSUI puts an amount of a coin into an exchange: wal_exchange::add_sui.
func AddSUI(x *move.Exchange, coin *move.Coin, amount uint64) error {
	return moveBalance(&coin.Balance, &x.SUI, amount)
}

// AddAllWAL puts a coin into an exchange: wal_exchange::add_all_wal.
func AddAllWAL(tx *overlay.Tx, x *move.Exchange, coin *move.Coin) error {
	return swallow(tx, &x.WAL, coin)
}

// AddAllSUI puts a coin into an exchange: wal_exchange::add_all_sui.
func AddAllSUI(tx *overlay.Tx, x *move.Exchange, coin *move.Coin) error {
	return swallow(tx, &x.SUI, coin)
}

// moveBalance takes an amount out of one balance and puts it into another.
func moveBalance(from, to *uint64, amount uint64) error {
	part, err := split(from, amount)
	if err != nil {
		return err
	}
	return join(to, part)
}

// swallow destroys a coin and puts what was in it into a balance.
func swallow(tx *overlay.Tx, balance *uint64, coin *move.Coin) error {
	amount, err := intoBalance(tx, coin)
	if err != nil {
		return err
	}
	return join(balance, amount)
}

// pay makes a coin of an amount of an exchange's balance, if it has so much.
func pay(tx *overlay.Tx, balance *uint64, amount uint64, coinType move.StructTag, function string) (*move.Coin, error) {
	if *balance < amount {
		return nil, exchangeFunds.in(function)
	}
	*balance -= amount
	return NewCoin(tx, coinType, amount)
}

// convert returns amount*to/from, or aborts as Move does when the product does not fit.
func convert(amount, to, from uint64, function string) (uint64, error) {
	product, err := mul("wal_exchange", function, amount, to)
	if err != nil {
		return 0, err
	}
	return product / from, nil
}

// ExchangeAllForWAL changes a coin of SUI: wal_exchange::exchange_all_for_wal.
func ExchangeAllForWAL(tx *overlay.Tx, x *move.Exchange, sui *move.Coin) (*move.Coin, error) {
	amount, err := convert(sui.Balance, x.RateWAL, x.RateSUI, "sui_to_wal")
	if err != nil {
		return nil, err
	}
	if x.WAL < amount {
		return nil, exchangeFunds.in("exchange_all_for_wal")
	}
	if err := swallow(tx, &x.SUI, sui); err != nil {
		return nil, err
	}
	return pay(tx, &x.WAL, amount, tx.Types.WALCoin(), "exchange_all_for_wal")
}

// ExchangeForWAL changes an amount of SUI: wal_exchange::exchange_for_wal.
func ExchangeForWAL(tx *overlay.Tx, x *move.Exchange, sui *move.Coin, amount uint64) (*move.Coin, error) {
	if sui.Balance < amount {
		return nil, exchangeInput.in("exchange_for_wal")
	}
	part, err := SplitCoin(tx, move.CoinType(move.SUI), sui, amount)
	if err != nil {
		return nil, err
	}
	return ExchangeAllForWAL(tx, x, part)
}

// ExchangeAllForSUI changes a coin of WAL: wal_exchange::exchange_all_for_sui.
func ExchangeAllForSUI(tx *overlay.Tx, x *move.Exchange, wal *move.Coin) (*move.Coin, error) {
	amount, err := convert(wal.Balance, x.RateSUI, x.RateWAL, "wal_to_sui")
	if err != nil {
		return nil, err
	}
	if x.SUI < amount {
		return nil, exchangeFunds.in("exchange_all_for_sui")
	}
	if err := swallow(tx, &x.WAL, wal); err != nil {
		return nil, err
	}
	return pay(tx, &x.SUI, amount, move.CoinType(move.SUI), "exchange_all_for_sui")
}

// ExchangeForSUI changes an amount of WAL: wal_exchange::exchange_for_sui.
func ExchangeForSUI(tx *overlay.Tx, x *move.Exchange, wal *move.Coin, amount uint64) (*move.Coin, error) {
	if wal.Balance < amount {
		return nil, exchangeInput.in("exchange_for_sui")
	}
	part, err := SplitCoin(tx, tx.Types.WALCoin(), wal, amount)
	if err != nil {
		return nil, err
	}
	return ExchangeAllForSUI(tx, x, part)
}

// SetExchangeRate makes wal WAL worth sui SUI: wal_exchange::set_exchange_rate.
func SetExchangeRate(x *move.Exchange, wal, sui uint64, admin *move.ExchangeAdminCap) error {
	if x.Admin != admin.ID {
		return exchangeAdmin.in("check_admin")
	}
	if wal == 0 || sui == 0 {
		return exchangeRate.in("new_exchange_rate")
	}
	x.RateWAL, x.RateSUI = wal, sui
	return nil
}

// WithdrawWAL takes WAL out of an exchange: wal_exchange::withdraw_wal.
func WithdrawWAL(tx *overlay.Tx, x *move.Exchange, amount uint64, admin *move.ExchangeAdminCap) (*move.Coin, error) {
	if x.Admin != admin.ID {
		return nil, exchangeAdmin.in("check_admin")
	}
	return pay(tx, &x.WAL, amount, tx.Types.WALCoin(), "withdraw_wal")
}

// WithdrawSUI takes SUI out of an exchange: wal_exchange::withdraw_sui.
func WithdrawSUI(tx *overlay.Tx, x *move.Exchange, amount uint64, admin *move.ExchangeAdminCap) (*move.Coin, error) {
	if x.Admin != admin.ID {
		return nil, exchangeAdmin.in("check_admin")
	}
	return pay(tx, &x.SUI, amount, move.CoinType(move.SUI), "withdraw_sui")
}

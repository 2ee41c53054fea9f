package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// buyerSubsidiesVersion is that of package subsidies. Source: module subsidies, VERSION.
const buyerSubsidiesVersion = 3

// CreateBuyerSubsidies makes and shares the object that pays a part of what
// buyers pay, and returns the right to set its rates: subsidies::new_with_initial_rates_and_funds.
func CreateBuyerSubsidies(tx *overlay.Tx, packageID move.ID, buyerRate, systemRate uint16, funds *move.Coin) (*move.SubsidiesAdminCap, error) {
	if buyerRate > basisPoints || systemRate > basisPoints {
		return nil, buyersRate.in("new_with_initial_rates_and_funds")
	}
	amount, err := intoBalance(tx, funds)
	if err != nil {
		return nil, err
	}
	return placeBuyerSubsidies(tx, &move.BuyerSubsidies{BuyerRate: buyerRate, SystemRate: systemRate, Pool: amount, PackageID: packageID})
}

// CreateEmptyBuyerSubsidies does so without rates and funds: subsidies::new.
func CreateEmptyBuyerSubsidies(tx *overlay.Tx, packageID move.ID) (*move.SubsidiesAdminCap, error) {
	return placeBuyerSubsidies(tx, &move.BuyerSubsidies{PackageID: packageID})
}

func placeBuyerSubsidies(tx *overlay.Tx, s *move.BuyerSubsidies) (*move.SubsidiesAdminCap, error) {
	s.ID, s.Version = tx.NewID(), buyerSubsidiesVersion
	if err := tx.Hold(s, tx.Types.BuyerSubsidies()); err != nil {
		return nil, err
	}
	admin := &move.SubsidiesAdminCap{ID: tx.NewID(), Subsidies: s.ID}
	if err := tx.Hold(admin, tx.Types.BuyerSubsidiesAdminCap()); err != nil {
		return nil, err
	}
	return admin, tx.Share(s.ID)
}

// AddBuyerFunds adds to what can be paid: subsidies::add_funds.
func AddBuyerFunds(tx *overlay.Tx, s *move.BuyerSubsidies, funds *move.Coin) error {
	return swallow(tx, &s.Pool, funds)
}

// SetBuyerSubsidyRate sets the part that buyers get: subsidies::set_buyer_subsidy_rate.
func SetBuyerSubsidyRate(s *move.BuyerSubsidies, admin *move.SubsidiesAdminCap, rate uint16) error {
	return setBuyersRate(s, admin, &s.BuyerRate, rate, "set_buyer_subsidy_rate")
}

// SetSystemSubsidyRate sets the part that nodes get on top: subsidies::set_system_subsidy_rate.
func SetSystemSubsidyRate(s *move.BuyerSubsidies, admin *move.SubsidiesAdminCap, rate uint16) error {
	return setBuyersRate(s, admin, &s.SystemRate, rate, "set_system_subsidy_rate")
}

func setBuyersRate(s *move.BuyerSubsidies, admin *move.SubsidiesAdminCap, which *uint16, rate uint16, function string) error {
	if s.ID != admin.Subsidies {
		return buyersAdmin.in("check_admin")
	}
	if rate > basisPoints {
		return buyersRate.in(function)
	}
	*which = rate
	return nil
}

// WithdrawBuyerFunds takes out all that could be paid: subsidies::withdraw_balance.
func WithdrawBuyerFunds(s *move.BuyerSubsidies, admin *move.SubsidiesAdminCap) (uint64, error) {
	if s.ID != admin.Subsidies {
		return 0, buyersAdmin.in("check_admin")
	}
	amount := s.Pool
	s.Pool = 0
	return amount, nil
}

// SubsidisedExtendBlob is ExtendBlob at the buyer's part of the price: subsidies::extend_blob.
func SubsidisedExtendBlob(tx *overlay.Tx, s *move.BuyerSubsidies, sys *move.System, b *move.Blob, epochs uint32, payment *move.Coin) error {
	return subsidised(tx, s, sys, epochs, payment, "extend_blob", func(payment *move.Coin) error {
		return ExtendBlob(tx, sys, b, epochs, payment)
	})
}

// SubsidisedReserveSpace is ReserveSpace at the buyer's part of the price: subsidies::reserve_space.
func SubsidisedReserveSpace(tx *overlay.Tx, s *move.BuyerSubsidies, sys *move.System, amount uint64, epochsAhead uint32,
	payment *move.Coin) (storage *move.Storage, err error) {
	err = subsidised(tx, s, sys, epochsAhead, payment, "reserve_space", func(payment *move.Coin) error {
		storage, err = ReserveSpace(tx, sys, amount, epochsAhead, payment)
		return err
	})
	return storage, err
}

// SubsidisedRegisterBlob is RegisterBlob, which has no subsidy: subsidies::register_blob.
func SubsidisedRegisterBlob(tx *overlay.Tx, s *move.BuyerSubsidies, sys *move.System, storage *move.Storage, blob, root move.U256,
	size uint64, encodingType uint8, deletable bool, payment *move.Coin) (*move.Blob, error) {
	if s.Version != buyerSubsidiesVersion {
		return nil, buyersVersion.in("register_blob")
	}
	return RegisterBlob(tx, sys, storage, blob, root, size, encodingType, deletable, payment)
}

// subsidised buys something with the buyer's money and the pool's together,
// gives the buyer back what he has left and his part of the cost, and the
// nodes theirs: subsidies::combine_payment_with_pool and handle_subsidies_and_payment.
func subsidised(tx *overlay.Tx, s *move.BuyerSubsidies, sys *move.System, epochs uint32, payment *move.Coin, function string,
	buy func(payment *move.Coin) error) error {
	if s.Version != buyerSubsidiesVersion {
		return buyersVersion.in(function)
	}
	if s.Pool == 0 {
		return buy(payment)
	}
	had, pool := payment.Balance, s.Pool
	both, err := NewCoin(tx, tx.Types.WALCoin(), pool)
	if err != nil {
		return err
	}
	s.Pool = 0
	if err := moveBalance(&payment.Balance, &both.Balance, had); err != nil {
		return err
	}
	combined := both.Balance
	if err := buy(both); err != nil {
		return err
	}
	cost := combined - both.Balance
	if err := swallow(tx, &s.Pool, both); err != nil {
		return err
	}
	forBuyer, forSystem, err := allocate(s, cost, pool)
	if err != nil {
		return err
	}
	if had+forBuyer < cost {
		return overflow("subsidies", "handle_subsidies_and_payment")
	}
	if err := moveBalance(&s.Pool, &payment.Balance, had+forBuyer-cost); err != nil {
		return err
	}
	part, err := split(&s.Pool, forSystem)
	if err != nil {
		return err
	}
	subsidy, err := NewCoin(tx, tx.Types.WALCoin(), part)
	if err != nil {
		return err
	}
	return AddSubsidy(tx, sys, subsidy, epochs)
}

// allocate returns what buyer and nodes get of a cost, in proportion when the
// pool has less: subsidies::allocate_subsidies.
func allocate(s *move.BuyerSubsidies, cost, pool uint64) (buyer, system uint64, err error) {
	if buyer, system, err = shares(s, cost, basisPoints); err != nil || buyer+system <= pool {
		return buyer, system, err
	}
	return shares(s, pool, uint64(s.BuyerRate)+uint64(s.SystemRate))
}

// shares returns the parts of an amount that the two rates are of a whole.
func shares(s *move.BuyerSubsidies, amount, whole uint64) (buyer, system uint64, err error) {
	if buyer, err = mul("subsidies", "allocate_subsidies", amount, uint64(s.BuyerRate)); err != nil {
		return 0, 0, err
	}
	if system, err = mul("subsidies", "allocate_subsidies", amount, uint64(s.SystemRate)); err != nil {
		return 0, 0, err
	}
	return buyer / whole, system / whole, nil
}

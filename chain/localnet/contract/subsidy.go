package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// AddSubsidy spreads a coin over the rewards of the epochs ahead; what does
// not divide goes to the current one: system::add_subsidy.
func AddSubsidy(tx *overlay.Tx, sys *move.System, subsidy *move.Coin, epochsAhead uint32) error {
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return err
	}
	if epochsAhead == 0 || epochsAhead > inner.Accounting.Length {
		return innerEpochsAhead.in("add_subsidy")
	}
	amount, err := intoBalance(tx, subsidy)
	if err != nil {
		return err
	}
	share := amount / uint64(epochsAhead)
	for i := range epochsAhead {
		part := share
		if i == 0 {
			part += amount % uint64(epochsAhead)
		}
		entry, err := ringAt(&inner.Accounting, i)
		if err != nil {
			return err
		}
		if err := join(&entry.Rewards, part); err != nil {
			return err
		}
	}
	return nil
}

// AddPerEpochSubsidies adds amounts[i] to the rewards of the epoch i ahead: system::add_per_epoch_subsidies.
func AddPerEpochSubsidies(tx *overlay.Tx, sys *move.System, amounts []uint64) error {
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return err
	}
	if uint64(len(amounts)) > uint64(inner.Accounting.Length) {
		return innerEpochsAhead.in("add_per_epoch_subsidies")
	}
	for i, amount := range amounts {
		entry, err := ringAt(&inner.Accounting, uint32(i))
		if err != nil {
			return err
		}
		if err := join(&entry.Rewards, amount); err != nil {
			return err
		}
	}
	return nil
}

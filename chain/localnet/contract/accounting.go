package contract

import "github.com/walfs/walfs/chain/move"

// The burnt part of an epoch's rewards: 3 %. Source: module storage_accounting.
const (
	burnNumerator   = 3
	burnDenominator = 100
)

// newRing is storage_accounting::ring_new.
func newRing(length uint32) move.Ring {
	r := move.Ring{Length: length}
	for epoch := range length {
		r.Entries = append(r.Entries, move.Accounting{Epoch: epoch})
	}
	return r
}

// ringAt returns the entry of the epoch so many ahead: storage_accounting::ring_lookup_mut.
func ringAt(r *move.Ring, ahead uint32) (*move.Accounting, error) {
	if ahead >= r.Length {
		return nil, accountingTooFar.in("ring_lookup_mut")
	}
	return &r.Entries[(uint64(ahead)+uint64(r.Current))%uint64(r.Length)], nil
}

// ringPop takes out the entry of the current epoch and puts in one for the
// epoch beyond the last: storage_accounting::ring_pop_expand.
func ringPop(r *move.Ring) move.Accounting {
	entry := &r.Entries[r.Current]
	popped := *entry
	*entry = move.Accounting{Epoch: popped.Epoch + r.Length}
	r.Current = (r.Current + 1) % r.Length
	return popped
}

// ringBurn takes out what is burnt of the current epoch's rewards:
// storage_accounting::extract_burn_balance.
func ringBurn(r *move.Ring) (uint64, error) {
	entry := &r.Entries[r.Current]
	amount, err := mul("storage_accounting", "extract_burn_balance", entry.Rewards, burnNumerator)
	if err != nil {
		return 0, err
	}
	return split(&entry.Rewards, amount/burnDenominator)
}

// use adds to the storage sold for an epoch: storage_accounting::increase_used_capacity.
func use(a *move.Accounting, amount uint64) (uint64, error) {
	used, err := add("storage_accounting", "increase_used_capacity", a.UsedCapacity, amount)
	if err != nil {
		return 0, err
	}
	a.UsedCapacity = used
	return used, nil
}

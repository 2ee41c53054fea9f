package contract

import "github.com/walfs/walfs/chain/move"

// pendingAdd adds to what takes effect in an epoch: pending_values::insert_or_add.
func pendingAdd(values *move.PendingValues, epoch uint32, amount uint64) error {
	sum, _ := values.Get(epoch)
	sum, err := add("pending_values", "insert_or_add", sum, amount)
	if err != nil {
		return err
	}
	values.Set(epoch, sum)
	return nil
}

// pendingReduce takes from what takes effect in an epoch: pending_values::reduce.
func pendingReduce(values *move.PendingValues, epoch uint32, amount uint64) error {
	const function = "reduce"
	sum, ok := values.Get(epoch)
	if !ok {
		return pendingIncorrectValue.in(function)
	}
	if sum < amount {
		return overflow("pending_values", function)
	}
	values.Set(epoch, sum-amount)
	return nil
}

// pendingAt sums what takes effect up to an epoch: pending_values::value_at.
func pendingAt(values move.PendingValues, epoch uint32) (sum uint64, err error) {
	for _, v := range values {
		if v.Key > epoch {
			continue
		}
		if sum, err = add("pending_values", "value_at", sum, v.Value); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// flush removes and sums what takes effect up to an epoch: pending_values::flush.
func flush(values *move.PendingValues, epoch uint32) (uint64, error) {
	sum, err := pendingAt(*values, epoch)
	if err != nil {
		return 0, err
	}
	var rest move.PendingValues
	for _, v := range *values {
		if v.Key > epoch {
			rest = append(rest, v)
		}
	}
	*values = rest
	return sum, nil
}

// latestAt returns the value with the latest epoch up to one, if there is any:
// pending_values::latest_value_at of contract version 4.
func latestAt(values move.PendingValues, epoch uint32) (value uint64, ok bool) {
	var latest uint32
	for _, v := range values {
		if v.Key <= epoch && (!ok || v.Key > latest) {
			latest, value, ok = v.Key, v.Value, true
		}
	}
	return value, ok
}

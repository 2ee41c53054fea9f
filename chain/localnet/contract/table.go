package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// layoutOf is the pointer to T that has the layout.
type layoutOf[T any] interface {
	*T
	move.Layout
}

// tableAdd is table::add. It aborts when the key is taken.
func tableAdd(tx *overlay.Tx, table *move.Table, key move.FieldKey, valueType move.TypeTag, value move.Layout) error {
	if err := tx.AddField(table.ID, key, valueType, value); err != nil {
		return err
	}
	table.Size++
	return nil
}

// tableGet is table::contains with table::borrow_mut: nil when there is no such entry.
func tableGet[T any, P layoutOf[T]](tx *overlay.Tx, table *move.Table, key move.FieldKey, valueType move.TypeTag) (P, error) {
	there, err := tx.HasField(table.ID, key)
	if err != nil || !there {
		return nil, err
	}
	return overlay.Field[T, P](tx, table.ID, key, valueType)
}

// tableRemove is table::remove. It aborts when there is no such entry.
func tableRemove[T any, P layoutOf[T]](tx *overlay.Tx, table *move.Table, key move.FieldKey, valueType move.TypeTag) (P, error) {
	value, err := overlay.RemoveField[T, P](tx, table.ID, key, valueType)
	if err != nil {
		return nil, err
	}
	table.Size--
	return value, nil
}

package overlay

import (
	"errors"
	"fmt"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// Abort codes of dynamic fields. Source: Sui, module dynamic_field.
const (
	fieldExists  = 0
	fieldMissing = 1
)

// AddField hangs a value below an object. It aborts when the key is taken.
func (t *Tx) AddField(parent move.ID, key move.FieldKey, valueType move.TypeTag, value move.Layout) error {
	id, err := move.FieldID(parent, key)
	if err != nil {
		return err
	}
	there, err := t.hasField(id)
	if err != nil {
		return err
	}
	if there {
		return &chain.AbortError{Module: "dynamic_field", Function: "add", Code: fieldExists, Name: "EFieldAlreadyExists"}
	}
	e := t.entries[id] // a field that was removed before in this transaction
	if e == nil {
		e = &entry{field: true}
		t.entries[id] = e
	}
	e.tag = move.FieldType(key.Type, valueType)
	e.value = &move.Field{ID: id, Name: key.BCS, Value: value}
	e.place, e.owner = placed, move.ObjectOwner(parent)
	return nil
}

// HasField reports whether an object has a value under key.
func (t *Tx) HasField(parent move.ID, key move.FieldKey) (bool, error) {
	id, err := move.FieldID(parent, key)
	if err != nil {
		return false, err
	}
	return t.hasField(id)
}

func (t *Tx) hasField(id move.ID) (bool, error) {
	if e, ok := t.entries[id]; ok {
		return e.place == placed, nil
	}
	_, err := t.Peek(id)
	if errors.Is(err, chain.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Field returns the value under key of an object, for reading and writing. It aborts when there is none.
func Field[T any, P pointer[T]](t *Tx, parent move.ID, key move.FieldKey, valueType move.TypeTag) (P, error) {
	v, _, err := field[T, P](t, parent, key, valueType)
	return v, err
}

// RemoveField takes the value under key away from an object. It aborts when there is none.
func RemoveField[T any, P pointer[T]](t *Tx, parent move.ID, key move.FieldKey, valueType move.TypeTag) (P, error) {
	v, e, err := field[T, P](t, parent, key, valueType)
	if err != nil {
		return nil, err
	}
	e.place = deleted
	return v, nil
}

func field[T any, P pointer[T]](t *Tx, parent move.ID, key move.FieldKey, valueType move.TypeTag) (P, *entry, error) {
	id, err := move.FieldID(parent, key)
	if err != nil {
		return nil, nil, err
	}
	there, err := t.hasField(id)
	if err != nil {
		return nil, nil, err
	}
	if !there {
		return nil, nil, &chain.AbortError{Module: "dynamic_field", Function: "borrow_child_object",
			Code: fieldMissing, Name: "EFieldDoesNotExist"}
	}
	fresh := &move.Field{Name: make([]byte, len(key.BCS)), Value: P(new(T))}
	e, err := t.entry(id, move.FieldType(key.Type, valueType), fresh)
	if err != nil {
		return nil, nil, err
	}
	e.field = true
	f, ok := e.value.(*move.Field)
	if !ok {
		return nil, nil, fmt.Errorf("object %s is a %s: %w", id, e.tag, ErrType)
	}
	v, ok := f.Value.(P)
	if !ok {
		return nil, nil, fmt.Errorf("field %s is a %s: %w", id, e.tag, ErrType)
	}
	return v, e, nil
}

// idType is the type of an ID as a value.
var idType = move.FrameworkType("object", "ID").Tag()

// AddObjectField hangs an object that is held below another one, where it
// stays an object of its own: the field object owns it.
func (t *Tx) AddObjectField(parent move.ID, key move.FieldKey, child move.ID) error {
	key = move.ObjectFieldKey(key)
	if err := t.AddField(parent, key, idType, &child); err != nil {
		return err
	}
	id, err := move.FieldID(parent, key)
	if err != nil {
		return err
	}
	return t.Transfer(child, move.ObjectOwner(id))
}

// ObjectField returns the object that hangs below parent under key. It aborts when there is none.
func ObjectField[T any, P pointer[T]](t *Tx, parent move.ID, key move.FieldKey, tag move.StructTag) (P, error) {
	id, err := Field[move.ID](t, parent, move.ObjectFieldKey(key), idType)
	if err != nil {
		return nil, err
	}
	return Borrow[T, P](t, *id, tag)
}

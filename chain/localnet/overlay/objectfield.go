package overlay

import "github.com/walfs/walfs/chain/move"

// HasObjectField reports whether an object hangs below parent under key.
func (t *Tx) HasObjectField(parent move.ID, key move.FieldKey) (bool, error) {
	return t.HasField(parent, move.ObjectFieldKey(key))
}

// TakeObjectField takes the object that hangs below parent under key away from
// there: it is held from now on. It aborts when there is none.
func TakeObjectField[T any, P pointer[T]](t *Tx, parent move.ID, key move.FieldKey, tag move.StructTag) (P, error) {
	id, err := RemoveField[move.ID](t, parent, move.ObjectFieldKey(key), idType)
	if err != nil {
		return nil, err
	}
	return Take[T, P](t, *id, tag)
}

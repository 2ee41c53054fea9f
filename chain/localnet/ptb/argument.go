package ptb

import (
	"reflect"

	"github.com/walfs/walfs/chain/move"
)

// slot finds what an argument names. The index is that of the argument in its command.
func (m *machine) slot(index int, a move.Argument) (*slot, error) {
	var s *slot
	switch a.Kind {
	case move.ArgumentGasCoin:
		s = m.gas
	case move.ArgumentInput:
		if int(a.Index) >= len(m.inputs) {
			return nil, outOfBounds(index, a.Index)
		}
		s = m.inputs[a.Index]
	default:
		if int(a.Index) >= len(m.results) {
			return nil, outOfBounds(index, a.Index)
		}
		results := m.results[a.Index]
		if a.Kind == move.ArgumentResult && len(results) != 1 {
			f := badArgument(index, move.ArgumentResultArity)
			f.Argument.Index = a.Index
			return nil, f
		}
		if int(a.Result) >= len(results) {
			f := badArgument(index, move.ArgumentSecondaryBounds)
			f.Argument.Index, f.Argument.Secondary = a.Index, a.Result
			return nil, f
		}
		s = results[a.Result]
	}
	if s.gone {
		return nil, badArgument(index, move.ArgumentWithoutValue)
	}
	return s, nil
}

func outOfBounds(index int, named uint16) error {
	f := badArgument(index, move.ArgumentOutOfBounds)
	f.Argument.Index = named
	return f
}

// argument returns a value of a type, passed as a parameter wants it.
func (m *machine) argument(index int, a move.Argument, ref Ref, want *form) (any, error) {
	s, err := m.slot(index, a)
	if err != nil {
		return nil, err
	}
	if s.form == nil {
		if !want.plain {
			return nil, badArgument(index, move.ArgumentPureUsage)
		}
		v, err := want.decode(s.pure)
		if err != nil {
			return nil, badArgument(index, move.ArgumentInvalidBCS)
		}
		return v, nil
	}
	if !s.form.tag.Equal(want.tag) {
		return nil, badArgument(index, move.ArgumentTypeMismatch)
	}
	return m.use(index, s, ref)
}

// use borrows a value, or takes it.
func (m *machine) use(index int, s *slot, ref Ref) (any, error) {
	held, isBorrowed := m.borrowed[s]
	switch ref {
	case ByRef:
		if isBorrowed && held == ByMut {
			return nil, badArgument(index, move.ArgumentValueUsage)
		}
		m.borrowed[s] = ByRef
		return s.value, nil
	case ByMut:
		if s.in != nil && !s.in.mutable {
			return nil, badArgument(index, move.ArgumentObjectByMutRef)
		}
		if isBorrowed {
			return nil, badArgument(index, move.ArgumentValueUsage)
		}
		m.borrowed[s] = ByMut
		return s.value, nil
	}
	if isBorrowed {
		return nil, badArgument(index, move.ArgumentValueUsage)
	}
	if s.form.abilities.has(Copy) {
		twin := reflect.New(s.form.goType)
		twin.Elem().Set(reflect.ValueOf(s.value).Elem())
		return twin.Interface(), nil
	}
	if s.isGas {
		return nil, badArgument(index, move.ArgumentGasUsage)
	}
	return s.value, m.take(index, s)
}

// take uses a value up.
func (m *machine) take(index int, s *slot) error {
	if s.in != nil {
		if !s.in.mutable {
			return badArgument(index, move.ArgumentObjectByValue)
		}
		if s.in.object.Owner.Kind == move.OwnerShared {
			return badArgument(index, move.ArgumentSharedNotAllowed)
		}
		if err := m.over.TakeInput(s.in.object.ID()); err != nil {
			return err
		}
	}
	s.gone = true
	return nil
}

// plain returns a plain value of a Go type: an amount or an address.
func plain[T any](m *machine, index int, a move.Argument, kind move.Kind) (v T, err error) {
	f, err := m.env.Table.form(move.TypeTag{Kind: kind})
	if err != nil {
		return v, err
	}
	p, err := m.argument(index, a, ByValue, f)
	if err != nil {
		return v, err
	}
	return *p.(*T), nil
}

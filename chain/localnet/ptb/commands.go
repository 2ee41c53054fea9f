package ptb

import (
	"errors"
	"reflect"

	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// moveCall calls a function of the table.
func (m *machine) moveCall(c *move.Call) ([]*slot, error) {
	n := m.env.Table.native(m.env.Versions, c.Package, c.Module, c.Function)
	if n == nil {
		return nil, failed(move.FailedFunctionNotFound)
	}
	if err := m.typeArguments(n, c); err != nil {
		return nil, err
	}
	if len(c.Arguments) != n.Arity() {
		return nil, failed(move.FailedArity)
	}
	args := make([]any, len(c.Arguments))
	for i, a := range c.Arguments {
		want, err := m.parameter(&n.Params[i], c.Types)
		if err != nil {
			return nil, err
		}
		if args[i], err = m.argument(i, a, n.Params[i].Ref, want); err != nil {
			return nil, err
		}
	}
	m.over.PackageVersion = m.env.Versions[c.Package]
	return m.invoke(n, c, args)
}

// parameter returns the form of a parameter.
func (m *machine) parameter(p *Param, types []move.TypeTag) (*form, error) {
	tag := p.Type.tag(types)
	f, err := m.env.Table.form(tag)
	if errors.Is(err, errNoType) && p.Type.IsOpen {
		return &form{tag: tag}, nil // an object of a type that only its owner knows
	}
	return f, err
}

// invoke calls a function and wraps its results.
func (m *machine) invoke(n *native, c *move.Call, args []any) ([]*slot, error) {
	var forms []*form
	for i := range n.Results {
		f, err := m.parameter(&n.Results[i], c.Types)
		if err != nil {
			return nil, err
		}
		forms = append(forms, f)
	}
	values, err := n.invoke(m.over, c.Types, args, forms)
	if err != nil {
		return nil, m.env.aborted(err, c.Package)
	}
	var slots []*slot
	for i, v := range values {
		slots = append(slots, &slot{form: forms[i], value: v})
	}
	return slots, nil
}

// typeArguments checks that type arguments are there and have the abilities that the function wants.
func (m *machine) typeArguments(n *native, c *move.Call) error {
	if len(c.Types) != len(n.TypeParams) {
		return failed(move.FailedTypeArity)
	}
	for i, tag := range c.Types {
		f, err := m.env.Table.form(tag)
		if err != nil && !m.isInput(tag) {
			bad := failed(move.FailedTypeArgument)
			bad.Index = uint16(i)
			return bad
		}
		for _, ability := range n.TypeParams[i].Constraints {
			if err == nil && !f.abilities.has(ability) {
				bad := failed(move.FailedTypeArgument)
				bad.Index, bad.TypeArgument = uint16(i), 1
				return bad
			}
		}
	}
	return nil
}

// isInput reports whether an input has a type.
func (m *machine) isInput(tag move.TypeTag) bool {
	for _, s := range m.inputs {
		if s.form != nil && s.form.tag.Equal(tag) {
			return true
		}
	}
	return false
}

// transferObjects gives objects to an address.
func (m *machine) transferObjects(c *move.Command) error {
	last := len(c.Arguments)
	var ids []move.ID
	for i, a := range c.Arguments {
		s, err := m.slot(i, a)
		if err != nil {
			return err
		}
		if s.form == nil {
			return badArgument(i, move.ArgumentPureUsage)
		}
		object, ok := s.value.(overlay.Object)
		if !ok || !s.form.abilities.has(Key) {
			return badArgument(i, move.ArgumentTypeMismatch)
		}
		if !s.form.abilities.has(Store) {
			return badArgument(i, move.ArgumentTransferObject)
		}
		if err := m.take(i, s); err != nil {
			return err
		}
		ids = append(ids, object.ObjectID())
	}
	to, err := plain[move.Address](m, last, c.Target, move.KindAddress)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := m.over.Transfer(id, move.AddressOwner(to)); err != nil {
			return err
		}
	}
	return nil
}

// coin borrows a coin to change it.
func (m *machine) coin(index int, a move.Argument) (*move.Coin, *form, error) {
	s, err := m.slot(index, a)
	if err != nil {
		return nil, nil, err
	}
	coin, ok := s.value.(*move.Coin)
	if !ok {
		return nil, nil, badArgument(index, move.ArgumentTypeMismatch)
	}
	_, err = m.use(index, s, ByMut)
	return coin, s.form, err
}

// splitCoins takes new coins out of one.
func (m *machine) splitCoins(c *move.Command) ([]*slot, error) {
	coin, f, err := m.coin(0, c.Target)
	if err != nil {
		return nil, err
	}
	var parts []*slot
	for i, a := range c.Arguments {
		amount, err := plain[uint64](m, i+1, a, move.KindU64)
		if err != nil {
			return nil, err
		}
		if amount > coin.Balance {
			return nil, failed(move.FailedCoinBalance)
		}
		part, err := contract.SplitCoin(m.over, *f.tag.Struct, coin, amount)
		if err != nil {
			return nil, err
		}
		parts = append(parts, &slot{form: f, value: part})
	}
	return parts, nil
}

// mergeCoins puts coins into one.
func (m *machine) mergeCoins(c *move.Command) error {
	to, f, err := m.coin(0, c.Target)
	if err != nil {
		return err
	}
	for i, a := range c.Arguments {
		v, err := m.argument(i+1, a, ByValue, f)
		if err != nil {
			return err
		}
		coin, ok := v.(*move.Coin)
		if !ok {
			return badArgument(i+1, move.ArgumentTypeMismatch)
		}
		if to.Balance+coin.Balance < to.Balance {
			return failed(move.FailedCoinOverflow)
		}
		if err := contract.JoinCoin(m.over, to, coin); err != nil {
			return err
		}
	}
	return nil
}

// makeVector makes a vector of its arguments, which are objects when no type is given.
func (m *machine) makeVector(c *move.Command) ([]*slot, error) {
	elem, err := m.elementForm(c)
	if err != nil {
		return nil, err
	}
	f, err := m.env.Table.form(move.TypeTag{Kind: move.KindVector, Elem: &elem.tag})
	if err != nil {
		return nil, err
	}
	vector := reflect.New(f.goType)
	for i, a := range c.Arguments {
		v, err := m.argument(i, a, ByValue, elem)
		if err != nil {
			return nil, err
		}
		element := reflect.ValueOf(v)
		if !elem.abilities.has(Key) {
			element = element.Elem()
		}
		vector.Elem().Set(reflect.Append(vector.Elem(), element))
	}
	return []*slot{{form: f, value: vector.Interface()}}, nil
}

// elementForm returns the form of the elements of a vector to be made.
func (m *machine) elementForm(c *move.Command) (*form, error) {
	if c.Type != nil {
		f, err := m.env.Table.form(*c.Type)
		if errors.Is(err, errNoType) {
			return nil, failed(move.FailedTypeArgument)
		}
		return f, err
	}
	s, err := m.slot(0, c.Arguments[0])
	if err != nil {
		return nil, err
	}
	if s.form == nil || !s.form.abilities.has(Key) || s.form.goType == goType[raw]() {
		return nil, badArgument(0, move.ArgumentVectorElement)
	}
	return s.form, nil
}

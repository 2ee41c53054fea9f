package ptb

import (
	"fmt"
	"reflect"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

var (
	txType    = reflect.TypeFor[*overlay.Tx]()
	callType  = reflect.TypeFor[*call]()
	errorType = reflect.TypeFor[error]()
)

// takesTx reports whether the Go function wants the transaction first.
func (n *native) takesTx() bool {
	t := n.function.Type()
	return t.NumIn() > 0 && (t.In(0) == txType || t.In(0) == callType)
}

// returnsError reports whether the last result of the Go function is an error.
func (n *native) returnsError() bool {
	t := n.function.Type()
	return t.NumOut() > 0 && t.Out(t.NumOut()-1) == errorType
}

// check compares the Go function with the signature.
func (n *native) check(t *Table) error {
	g := n.function.Type()
	first, last := 0, g.NumOut()
	if n.takesTx() {
		first = 1
	}
	if n.returnsError() {
		last--
	}
	if g.NumIn()-first != n.Arity() || last != len(n.Results) {
		return fmt.Errorf("%s does not fit", g)
	}
	stand := make([]move.TypeTag, len(n.TypeParams)) // for any type: one that is an object
	for i := range stand {
		stand[i] = move.CoinType(move.SUI).Tag()
	}
	for i := range n.Arity() {
		f, err := t.form(n.Params[i].Type.tag(stand))
		if err != nil {
			return err
		}
		if _, ok := passed(reflect.New(f.goType), g.In(first+i)); !ok {
			return fmt.Errorf("parameter %d is %s, not %s", i, g.In(first+i), f.goType)
		}
	}
	for i := range n.Results {
		f, err := t.form(n.Results[i].Type.tag(stand))
		if err != nil {
			return err
		}
		if out := g.Out(i); out != reflect.PointerTo(f.goType) && !out.ConvertibleTo(f.goType) {
			return fmt.Errorf("result %d is %s, not %s", i, out, f.goType)
		}
	}
	return nil
}

// passed returns an argument, a pointer to a value, in the form that a Go parameter has.
func passed(v reflect.Value, want reflect.Type) (reflect.Value, bool) {
	switch {
	case v.Type().AssignableTo(want):
		return v, true
	case v.Type().Elem().AssignableTo(want):
		return v.Elem(), true
	case v.Type().Elem().Kind() == want.Kind() && v.Type().Elem().ConvertibleTo(want):
		return v.Elem().Convert(want), true
	}
	return reflect.Value{}, false
}

// invoke calls the Go function. Arguments and results are pointers to values.
func (n *native) invoke(tx *overlay.Tx, types []move.TypeTag, args []any, results []*form) ([]any, error) {
	g := n.function.Type()
	var in []reflect.Value
	if n.takesTx() {
		in = append(in, reflect.ValueOf(tx))
		if g.In(0) == callType {
			in[0] = reflect.ValueOf(&call{tx, types})
		}
	}
	for _, arg := range args {
		v, ok := passed(reflect.ValueOf(arg), g.In(len(in)))
		if !ok { // an object that no program knows, as a type argument
			return nil, fmt.Errorf("%s: argument of type %T", n.Name, arg)
		}
		in = append(in, v)
	}
	out := n.function.Call(in)
	if n.returnsError() {
		if err, _ := out[len(out)-1].Interface().(error); err != nil {
			return nil, err
		}
	}
	values := make([]any, len(results))
	for i, f := range results {
		if out[i].Type() == reflect.PointerTo(f.goType) {
			values[i] = out[i].Interface()
			continue
		}
		v := reflect.New(f.goType)
		v.Elem().Set(out[i].Convert(f.goType))
		values[i] = v.Interface()
	}
	return values, nil
}

package ptb

import (
	"fmt"
	"reflect"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// form is how the values of a Move type are held in Go: as a pointer to goType.
// Integers are integers, a balance is its amount, an Option is a pointer that may be
// nil, a vector is a slice: of pointers when its elements are objects.
type form struct {
	tag       move.TypeTag
	abilities abilities
	goType    reflect.Type
	plain     bool  // a pure input can be of this type
	elem      *form // of a vector or an Option
	option    bool
}

// plainGo are the Go types of the primitives.
var plainGo = map[move.Kind]reflect.Type{
	move.KindBool: goType[bool](), move.KindU8: goType[uint8](), move.KindU16: goType[uint16](),
	move.KindU32: goType[uint32](), move.KindU64: goType[uint64](), move.KindU128: goType[move.U128](),
	move.KindU256: goType[move.U256](), move.KindAddress: goType[move.Address](),
}

const everything = abilities(1<<Copy | 1<<Drop | 1<<Store)

// errNoType reports a type that the ledger does not know.
var errNoType = fmt.Errorf("no such type")

// form returns the form of a type. It returns errNoType for one that is not there.
func (t *Table) form(tag move.TypeTag) (*form, error) {
	switch tag.Kind {
	case move.KindVector:
		return t.vectorForm(tag)
	case move.KindStruct:
		return t.structForm(tag)
	}
	g, ok := plainGo[tag.Kind]
	if !ok {
		return nil, fmt.Errorf("%s: %w", tag, errNoType)
	}
	return &form{tag: tag, abilities: everything, goType: g, plain: true}, nil
}

func (t *Table) vectorForm(tag move.TypeTag) (*form, error) {
	elem, err := t.form(*tag.Elem)
	if err != nil {
		return nil, err
	}
	f := &form{tag: tag, abilities: elem.abilities & everything, plain: elem.plain, elem: elem}
	f.goType = reflect.SliceOf(elem.goType)
	if elem.abilities.has(Key) {
		f.goType = reflect.SliceOf(reflect.PointerTo(elem.goType))
	}
	return f, nil
}

func (t *Table) structForm(tag move.TypeTag) (*form, error) {
	d := t.datatype(tag.Struct)
	if d == nil || len(tag.Struct.Params) != len(d.params) {
		return nil, fmt.Errorf("%s: %w", tag, errNoType)
	}
	f := &form{tag: tag, abilities: d.abilities, goType: d.goType}
	for i, param := range tag.Struct.Params {
		p, err := t.form(param)
		if err != nil {
			return nil, err
		}
		if !d.params[i].Phantom {
			f.abilities &= p.abilities | 1<<Key
		}
		f.elem = p
	}
	f.option = d.module == "option"
	if f.option {
		f.goType, f.plain = reflect.PointerTo(f.elem.goType), f.elem.plain
		return f, nil
	}
	f.elem = nil
	f.plain = d.goType == goType[string]() || d.goType == goType[move.ID]()
	if f.goType == nil {
		f.goType = goType[struct{}]() // no value of it stands alone
	}
	return f, nil
}

// datatype returns what is known of a struct, or nil.
func (t *Table) datatype(s *move.StructTag) *datatype {
	d := t.types[s.Module+"::"+s.Name]
	if d == nil || d.address != s.Address {
		return nil
	}
	return d
}

// encode returns the BCS of a value.
func (f *form) encode(v any) ([]byte, error) {
	return move.Marshal(&formed{f, reflect.ValueOf(v).Elem()})
}

// decode reads a value: a pointer to the form's Go type.
func (f *form) decode(bcs []byte) (any, error) {
	v := reflect.New(f.goType)
	if err := move.Unmarshal(bcs, &formed{f, v.Elem()}); err != nil {
		return nil, err
	}
	return v.Interface(), nil
}

// decodePrefix reads a value from the head of b and returns the rest.
func (f *form) decodePrefix(b []byte) ([]byte, error) {
	return move.UnmarshalPrefix(b, &formed{f, reflect.New(f.goType).Elem()})
}

// formed is a value with its form; its Layout is that of the Move type.
type formed struct {
	*form
	v reflect.Value // settable
}

// BCS is the layout.
func (f *formed) BCS(c *move.Codec) {
	switch {
	case f.option:
		f.optionBCS(c)
	case f.elem != nil:
		f.vectorBCS(c)
	default:
		scalarBCS(c, f.v.Addr().Interface())
	}
}

func (f *formed) optionBCS(c *move.Codec) {
	some := !f.v.IsNil()
	c.Bool(&some)
	if c.Reading() && some {
		f.v.Set(reflect.New(f.elem.goType))
	}
	if some {
		(&formed{f.elem, f.v.Elem()}).BCS(c)
	}
}

func (f *formed) vectorBCS(c *move.Codec) {
	if b, ok := f.v.Addr().Interface().(*[]byte); ok {
		c.Bytes(b)
		return
	}
	n := c.Length(f.v.Len())
	for i := 0; i < n && c.Err() == nil; i++ {
		if c.Reading() {
			f.v.Set(reflect.Append(f.v, f.fresh()))
		}
		v := f.v.Index(i)
		if v.Kind() == reflect.Pointer && f.elem.abilities.has(Key) {
			v = v.Elem()
		}
		(&formed{f.elem, v}).BCS(c)
	}
}

// fresh returns an empty element of a vector.
func (f *formed) fresh() reflect.Value {
	if f.elem.abilities.has(Key) {
		return reflect.New(f.elem.goType)
	}
	return reflect.Zero(f.elem.goType)
}

// scalarBCS is the layout of a value without elements.
func scalarBCS(c *move.Codec, v any) {
	switch v := v.(type) {
	case move.Layout:
		v.BCS(c)
	case *bool:
		c.Bool(v)
	case *uint8:
		c.U8(v)
	case *uint16:
		c.U16(v)
	case *uint32:
		c.U32(v)
	case *uint64:
		c.U64(v)
	case *move.U128:
		c.U128(v)
	case *move.U256:
		c.U256(v)
	case *string:
		c.String(v)
	default:
		c.Empty()
	}
}

// raw is an object whose contents this program need not know: it can be owned and transferred.
type raw struct {
	id   move.ID
	rest []byte
}

// BCS is the layout.
func (r *raw) BCS(c *move.Codec) {
	c.ID(&r.id)
	c.Rest(&r.rest)
}

// ObjectID returns the ID of the object.
func (r *raw) ObjectID() move.ID { return r.id }

// object returns an empty value for an object of a type.
func (t *Table) object(tag move.StructTag) overlay.Object {
	f, err := t.form(tag.Tag())
	if err == nil {
		if o, ok := reflect.New(f.goType).Interface().(overlay.Object); ok {
			return o
		}
	}
	return new(raw)
}

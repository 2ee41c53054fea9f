package move

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind is the variant of a TypeTag. Source: Move, enum TypeTag.
type Kind = uint8

// The kinds of types.
const (
	KindBool Kind = iota
	KindU8
	KindU64
	KindU128
	KindAddress
	KindSigner
	KindVector
	KindStruct
	KindU16
	KindU32
	KindU256
	kindCount
)

// primitives are the names of the kinds that stand alone.
var primitives = map[Kind]string{
	KindBool: "bool", KindU8: "u8", KindU64: "u64", KindU128: "u128", KindAddress: "address",
	KindSigner: "signer", KindU16: "u16", KindU32: "u32", KindU256: "u256",
}

// maxTypeDepth bounds how deep types nest. Source: Sui, max_type_argument_depth = 16.
const maxTypeDepth = 16

// ErrType reports a text that names no type.
var ErrType = errors.New("malformed type name")

// TypeTag is a Move type.
type TypeTag struct {
	Kind   Kind
	Elem   *TypeTag   // of a KindVector
	Struct *StructTag // of a KindStruct
}

// StructTag is the type of a Move struct. Address is the package that first
// defined it, not the one of a later version.
type StructTag struct {
	Address Address
	Module  string
	Name    string
	Params  []TypeTag
}

// Tag returns s as a TypeTag.
func (s StructTag) Tag() TypeTag { return TypeTag{Kind: KindStruct, Struct: &s} }

// Equal reports whether two structs are the same type.
func (s StructTag) Equal(o StructTag) bool {
	return s.Name == o.Name && s.Module == o.Module && s.Address == o.Address &&
		slices.EqualFunc(s.Params, o.Params, TypeTag.Equal)
}

// Equal reports whether two types are the same.
func (t TypeTag) Equal(o TypeTag) bool {
	switch {
	case t.Kind != o.Kind:
		return false
	case t.Kind == KindVector:
		return t.Elem != nil && o.Elem != nil && t.Elem.Equal(*o.Elem)
	case t.Kind == KindStruct:
		return t.Struct != nil && o.Struct != nil && t.Struct.Equal(*o.Struct)
	}
	return true
}

// BCS is the layout.
func (t *TypeTag) BCS(c *Codec) {
	if c.depth++; c.depth > maxTypeDepth {
		c.fail("type nests deeper than %d", maxTypeDepth)
	}
	defer func() { c.depth-- }()
	c.Variant(&t.Kind, kindCount)
	switch t.Kind {
	case KindVector:
		if c.reading {
			t.Elem = new(TypeTag)
		}
		nested(c, t.Elem)
	case KindStruct:
		if c.reading {
			t.Struct = new(StructTag)
		}
		nested(c, t.Struct)
	}
}

// nested goes on with a part of a type, if there is one and nothing failed.
func nested[T any, P interface {
	*T
	Layout
}](c *Codec, part P) {
	switch {
	case c.err != nil:
	case part == nil:
		c.fail("type lacks its part")
	default:
		part.BCS(c)
	}
}

// BCS is the layout.
func (s *StructTag) BCS(c *Codec) {
	c.ID(&s.Address)
	c.String(&s.Module)
	c.String(&s.Name)
	Vector(c, &s.Params, Struct[TypeTag])
}

// String returns the name with long addresses and no blanks.
func (t TypeTag) String() string {
	switch {
	case t.Kind == KindVector && t.Elem != nil:
		return "vector<" + t.Elem.String() + ">"
	case t.Kind == KindStruct && t.Struct != nil:
		return t.Struct.String()
	}
	if name, ok := primitives[t.Kind]; ok {
		return name
	}
	return "?"
}

// String returns the name with long addresses and no blanks.
func (s StructTag) String() string {
	name := s.Address.String() + "::" + s.Module + "::" + s.Name
	if len(s.Params) == 0 {
		return name
	}
	params := make([]string, len(s.Params))
	for i, p := range s.Params {
		params[i] = p.String()
	}
	return name + "<" + strings.Join(params, ",") + ">"
}

// ParseTypeTag reads a type name. Addresses may be short, and blanks may stand after commas.
func ParseTypeTag(s string) (TypeTag, error) {
	p := typeParser{rest: s}
	t, err := p.tag(1)
	if err == nil && p.rest != "" {
		err = ErrType
	}
	if err != nil {
		return TypeTag{}, fmt.Errorf("parse type %q: %w", s, err)
	}
	return t, nil
}

// ParseStructTag reads the name of a struct type.
func ParseStructTag(s string) (StructTag, error) {
	t, err := ParseTypeTag(s)
	if err != nil {
		return StructTag{}, err
	}
	if t.Kind != KindStruct {
		return StructTag{}, fmt.Errorf("parse type %q: not a struct: %w", s, ErrType)
	}
	return *t.Struct, nil
}

// typeParser reads a type name from the left.
type typeParser struct{ rest string }

func (p *typeParser) eat(token string) bool {
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = rest
	}
	return ok
}

// word takes everything up to the next punctuation.
func (p *typeParser) word() string {
	end := strings.IndexAny(p.rest, "<>,: ")
	if end < 0 {
		end = len(p.rest)
	}
	w := p.rest[:end]
	p.rest = p.rest[end:]
	return w
}

func (p *typeParser) tag(depth int) (TypeTag, error) {
	if depth > maxTypeDepth {
		return TypeTag{}, ErrType
	}
	head := p.word()
	if head == "vector" && p.eat("<") {
		elem, err := p.tag(depth + 1)
		if err != nil {
			return TypeTag{}, err
		}
		if !p.eat(">") {
			return TypeTag{}, ErrType
		}
		return TypeTag{Kind: KindVector, Elem: &elem}, nil
	}
	for kind, name := range primitives {
		if name == head {
			return TypeTag{Kind: kind}, nil
		}
	}
	s, err := p.structTag(head, depth)
	if err != nil {
		return TypeTag{}, err
	}
	return s.Tag(), nil
}

func (p *typeParser) structTag(address string, depth int) (StructTag, error) {
	var s StructTag
	var err error
	if s.Address, err = ParseAddress(address); err != nil {
		return s, ErrType
	}
	if !p.eat("::") {
		return s, ErrType
	}
	s.Module = p.word()
	if !p.eat("::") {
		return s, ErrType
	}
	s.Name = p.word()
	if !isIdentifier(s.Module) || !isIdentifier(s.Name) {
		return s, ErrType
	}
	if !p.eat("<") {
		return s, nil
	}
	for {
		param, err := p.tag(depth + 1)
		if err != nil {
			return s, err
		}
		s.Params = append(s.Params, param)
		if p.eat(">") {
			return s, nil
		}
		if !p.eat(",") {
			return s, ErrType
		}
		for p.eat(" ") {
		}
	}
}

// isIdentifier reports whether s is a Move identifier: letters, digits and
// underscores, not starting with a digit.
func isIdentifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

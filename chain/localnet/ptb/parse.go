package ptb

import (
	"fmt"
	"slices"
	"strings"

	"github.com/walfs/walfs/chain/move"
)

// scope is what the names in a signature mean.
type scope struct {
	types  map[string]*datatype // by name, and by module::Name
	params []string             // the type parameters of the function
}

// parseFunction reads a signature as Move writes it, without names of
// parameters: "split<T>(&mut Coin<T>, u64, ctx): Coin<T>".
func parseFunction(types map[string]*datatype, text string) (*Function, error) {
	head, rest, ok := strings.Cut(text, "(")
	arguments, results, closed := strings.Cut(rest, ")")
	if !ok || !closed {
		return nil, fmt.Errorf("signature %q", text)
	}
	f := &Function{}
	s := &scope{types: types}
	var err error
	if f.Name, f.TypeParams, err = s.head(head); err != nil {
		return nil, fmt.Errorf("signature %q: %w", text, err)
	}
	if f.Params, err = s.list(arguments); err != nil {
		return nil, fmt.Errorf("signature %q: %w", text, err)
	}
	results = strings.TrimPrefix(strings.TrimSpace(results), ":")
	if f.Results, err = s.list(results); err != nil {
		return nil, fmt.Errorf("signature %q: %w", text, err)
	}
	return f, nil
}

// head reads a function's name and its type parameters with their constraints.
func (s *scope) head(text string) (name string, params []TypeParam, err error) {
	name, rest, generic := strings.Cut(text, "<")
	if !generic {
		return name, nil, nil
	}
	for _, part := range split(strings.TrimSuffix(rest, ">")) {
		param, constraints, _ := strings.Cut(part, ":")
		s.params = append(s.params, strings.TrimSpace(param))
		abilities, err := parseAbilities(strings.ReplaceAll(constraints, "+", " "))
		if err != nil {
			return "", nil, err
		}
		params = append(params, TypeParam{Constraints: abilities.list()})
	}
	return name, params, nil
}

// list reads parameters or results.
func (s *scope) list(text string) ([]Param, error) {
	var all []Param
	for _, part := range split(text) {
		p := Param{}
		switch {
		case part == "ctx":
			part = "&mut TxContext"
			fallthrough
		case strings.HasPrefix(part, "&mut "):
			p.Ref, part = ByMut, strings.TrimPrefix(part, "&mut ")
		case strings.HasPrefix(part, "&"):
			p.Ref, part = ByRef, part[1:]
		}
		t, err := s.parse(part)
		if err != nil {
			return nil, err
		}
		p.Type = t
		all = append(all, p)
	}
	return all, nil
}

// primitiveKinds are the types that are words of the language.
var primitiveKinds = map[string]move.Kind{
	"bool": move.KindBool, "u8": move.KindU8, "u16": move.KindU16, "u32": move.KindU32, "u64": move.KindU64,
	"u128": move.KindU128, "u256": move.KindU256, "address": move.KindAddress,
}

// parse reads one type.
func (s *scope) parse(text string) (Type, error) {
	name, rest, _ := strings.Cut(text, "<")
	var params []Type
	for _, part := range split(strings.TrimSuffix(rest, ">")) {
		p, err := s.parse(part)
		if err != nil {
			return Type{}, err
		}
		params = append(params, p)
	}
	if i := slices.Index(s.params, name); i >= 0 {
		return Type{IsOpen: true, Open: uint16(i)}, nil
	}
	if kind, ok := primitiveKinds[name]; ok {
		return Type{Kind: kind}, nil
	}
	if name == "vector" && len(params) == 1 {
		return Type{Kind: move.KindVector, Params: params}, nil
	}
	d, ok := s.types[name]
	if !ok || len(d.params) != len(params) {
		return Type{}, fmt.Errorf("no type %s", text)
	}
	return Type{Kind: move.KindStruct, Params: params, Address: d.address, Module: d.module, Name: d.name}, nil
}

// split cuts a list at the commas that stand outside of angle brackets.
func split(text string) []string {
	var parts []string
	depth, start := 0, 0
	for i, c := range text {
		switch c {
		case '<':
			depth++
		case '>':
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, strings.TrimSpace(text[start:i]))
				start = i + 1
			}
		}
	}
	if last := strings.TrimSpace(text[start:]); last != "" {
		parts = append(parts, last)
	}
	return parts
}

// abilities is a set of Ability.
type abilities uint8

func (a abilities) has(ability Ability) bool { return a&(1<<ability) != 0 }

// list returns the members, in the order of their numbers.
func (a abilities) list() []Ability {
	var all []Ability
	for ability := Copy; ability <= Key; ability++ {
		if a.has(ability) {
			all = append(all, ability)
		}
	}
	return all
}

// abilityNames are the words for abilities.
var abilityNames = map[string]Ability{"copy": Copy, "drop": Drop, "store": Store, "key": Key}

func parseAbilities(text string) (abilities, error) {
	var a abilities
	for word := range strings.FieldsSeq(text) {
		ability, ok := abilityNames[word]
		if !ok {
			return 0, fmt.Errorf("no ability %s", word)
		}
		a |= 1 << ability
	}
	return a, nil
}

// String writes a signature as it is read.
func (f *Function) String() string {
	var b strings.Builder
	b.WriteString(f.Name + "(")
	for i, p := range f.Params {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString([]string{"", "&", "&mut "}[p.Ref] + p.Type.String())
	}
	return b.String() + ")"
}

// String names a type with its package; a type parameter is T and its number.
func (t Type) String() string {
	if t.IsOpen {
		return fmt.Sprintf("T%d", t.Open)
	}
	params := make([]string, len(t.Params))
	for i, p := range t.Params {
		params[i] = p.String()
	}
	inner := ""
	if len(params) > 0 {
		inner = "<" + strings.Join(params, ",") + ">"
	}
	switch t.Kind {
	case move.KindVector:
		return "vector" + inner
	case move.KindStruct:
		return t.Address.String() + "::" + t.Module + "::" + t.Name + inner
	}
	return move.TypeTag{Kind: t.Kind}.String()
}

// tag puts the arguments in the place of the type parameters.
func (t Type) tag(arguments []move.TypeTag) move.TypeTag {
	if t.IsOpen {
		return arguments[t.Open]
	}
	switch t.Kind {
	case move.KindVector:
		elem := t.Params[0].tag(arguments)
		return move.TypeTag{Kind: move.KindVector, Elem: &elem}
	case move.KindStruct:
		s := move.StructTag{Address: t.Address, Module: t.Module, Name: t.Name}
		for _, p := range t.Params {
			s.Params = append(s.Params, p.tag(arguments))
		}
		return s.Tag()
	}
	return move.TypeTag{Kind: t.Kind}
}

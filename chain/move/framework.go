package move

// FrameworkType returns the type of a struct of package 0x2.
func FrameworkType(module, name string, params ...TypeTag) StructTag {
	return StructTag{Address: Framework, Module: module, Name: name, Params: params}
}

// SUI is the type of the gas coin's currency.
var SUI = FrameworkType("sui", "SUI")

// CoinType returns Coin<currency>.
func CoinType(currency StructTag) StructTag { return FrameworkType("coin", "Coin", currency.Tag()) }

// Coin is 0x2::coin::Coin<T>; what T is stands in its type alone.
type Coin struct {
	ID      ID
	Balance uint64
}

// BCS is the layout.
func (v *Coin) BCS(c *Codec) {
	c.ID(&v.ID)
	c.U64(&v.Balance)
}

// ObjectID returns the coin's ID.
func (v *Coin) ObjectID() ID { return v.ID }

// Clock is 0x2::clock::Clock, of which there is one.
type Clock struct {
	ID          ID
	TimestampMS uint64
}

// BCS is the layout.
func (v *Clock) BCS(c *Codec) {
	c.ID(&v.ID)
	c.U64(&v.TimestampMS)
}

// ObjectID returns ClockID.
func (v *Clock) ObjectID() ID { return v.ID }

// TreasuryCap is 0x2::coin::TreasuryCap<T>.
type TreasuryCap struct {
	ID          ID
	TotalSupply uint64
}

// BCS is the layout.
func (v *TreasuryCap) BCS(c *Codec) {
	c.ID(&v.ID)
	c.U64(&v.TotalSupply)
}

// ObjectID returns the ID of the capability.
func (v *TreasuryCap) ObjectID() ID { return v.ID }

// Field is 0x2::dynamic_field::Field<K, V>. Name is the BCS of the key; a
// reader knows the key that it looked up, and sets Name to as many bytes.
type Field struct {
	ID    ID
	Name  []byte
	Value Layout
}

// BCS is the layout.
func (f *Field) BCS(c *Codec) {
	c.ID(&f.ID)
	c.Fixed(f.Name)
	f.Value.BCS(c)
}

// ObjectID returns the ID of the field object.
func (f *Field) ObjectID() ID { return f.ID }

// FieldKey is the key of a dynamic field.
type FieldKey struct {
	Type TypeTag
	BCS  []byte
}

// FieldType returns Field<key, value>.
func FieldType(key, value TypeTag) StructTag {
	return FrameworkType("dynamic_field", "Field", key, value)
}

// U64Key is the key of a versioned inner state.
func U64Key(n uint64) FieldKey {
	var c Codec
	c.U64(&n)
	return FieldKey{TypeTag{Kind: KindU64}, c.buf}
}

// U32Key is the key of an epoch in a table.
func U32Key(n uint32) FieldKey {
	var c Codec
	c.U32(&n)
	return FieldKey{TypeTag{Kind: KindU32}, c.buf}
}

// BytesKey is a vector<u8> as key.
func BytesKey(b []byte) FieldKey {
	var c Codec
	c.Bytes(&b)
	return FieldKey{TypeTag{Kind: KindVector, Elem: &TypeTag{Kind: KindU8}}, c.buf}
}

// IDKey is an ID as key.
func IDKey(id ID) FieldKey {
	return FieldKey{FrameworkType("object", "ID").Tag(), id[:]}
}

// EmptyKey is a struct without fields as key.
func EmptyKey(t StructTag) FieldKey { return FieldKey{t.Tag(), []byte{0}} }

// ObjectFieldKey returns the key under which a dynamic object field hangs: the
// field's value is the ID of the object, and the field object owns it.
func ObjectFieldKey(k FieldKey) FieldKey {
	return FieldKey{FrameworkType("dynamic_object_field", "Wrapper", k.Type).Tag(), k.BCS}
}

// MetadataKey is the key of a blob object's attributes. Source: Walrus, module blob, METADATA_DF.
func MetadataKey() FieldKey { return BytesKey([]byte("metadata")) }

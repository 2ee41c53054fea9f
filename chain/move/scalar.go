package move

// U64 is a u64 as the value of a dynamic field.
type U64 uint64

// BCS is the layout.
func (v *U64) BCS(c *Codec) { c.U64((*uint64)(v)) }

// U32 is a u32 as the value of a dynamic field.
type U32 uint32

// BCS is the layout.
func (v *U32) BCS(c *Codec) { c.U32((*uint32)(v)) }

// U256Key is a u256 as key, such as a blob ID.
func U256Key(n U256) FieldKey {
	var c Codec
	c.U256(&n)
	return FieldKey{TypeTag{Kind: KindU256}, c.buf}
}

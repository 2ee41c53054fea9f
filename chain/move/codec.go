// Package move holds what Sui and the Walrus contracts put into bytes: BCS,
// addresses and type names, the layouts of objects, events and transactions,
// and the identifiers that derive from them. It does no I/O.
//
// BCS is little-endian and has no tags: a reader must know the layout. So each
// type describes its layout once, in a method BCS that names its fields in the
// order of the wire, and the same description serves both directions:
//
//	func (s *Storage) BCS(c *Codec) {
//		c.ID(&s.ID)
//		c.U32(&s.StartEpoch)
//		…
//	}
//
// Reading is strict: a value has exactly one encoding, and every byte of the
// input belongs to it.
package move

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// MaxSize is the length in bytes of the longest encoding that Unmarshal reads.
// Source: Sui, max_move_object_size; a transaction is shorter.
const MaxSize = 250 << 10

// ErrEncoding reports bytes that are not the BCS of the wanted type.
var ErrEncoding = errors.New("malformed BCS")

// Layout is a type that describes its BCS. When c reads, BCS fills the value;
// when c writes, it leaves the value alone. Errors stay in the Codec.
type Layout interface {
	// BCS reads or writes the value, field by field.
	BCS(c *Codec)
}

// Codec reads or writes one value. After the first error its methods do nothing.
type Codec struct {
	buf     []byte
	off     int // of the next byte to read
	reading bool
	depth   int // of nested type tags
	err     error
}

// Marshal returns the BCS of v. It fails only for values that have none, such
// as an enum with an unknown variant or a string that is not UTF-8.
func Marshal(v Layout) ([]byte, error) {
	c := &Codec{buf: make([]byte, 0, 128)}
	v.BCS(c)
	if c.err != nil {
		return nil, c.err
	}
	return c.buf, nil
}

// Unmarshal reads v, all of b and nothing else. It keeps no reference to b.
func Unmarshal(b []byte, v Layout) error {
	if len(b) > MaxSize {
		return fmt.Errorf("%d bytes, at most %d: %w", len(b), MaxSize, ErrEncoding)
	}
	c := &Codec{buf: b, reading: true}
	v.BCS(c)
	if c.err == nil && c.off != len(b) {
		c.fail("%d bytes left over", len(b)-c.off)
	}
	return c.err
}

// UnmarshalPrefix reads v from the head of b and returns the rest of b.
func UnmarshalPrefix(b []byte, v Layout) ([]byte, error) {
	c := &Codec{buf: b, reading: true}
	v.BCS(c)
	if c.err != nil {
		return nil, c.err
	}
	return b[c.off:], nil
}

func (c *Codec) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("at byte %d: %s: %w", c.off, fmt.Sprintf(format, args...), ErrEncoding)
	}
}

// next returns the next n bytes of the input, or nil after an error.
func (c *Codec) next(n int) []byte {
	if c.err != nil {
		return nil
	}
	if n > len(c.buf)-c.off {
		c.fail("%d bytes wanted, %d left", n, len(c.buf)-c.off)
		return nil
	}
	b := c.buf[c.off : c.off+n]
	c.off += n
	return b
}

// Reading reports whether c reads, not writes.
func (c *Codec) Reading() bool { return c.reading }

// Err returns the first error.
func (c *Codec) Err() error { return c.err }

// Rest is all bytes that are left: what nobody needs to know.
func (c *Codec) Rest(v *[]byte) {
	if !c.reading {
		c.buf = append(c.buf, *v...)
	} else {
		*v = append([]byte(nil), c.next(len(c.buf)-c.off)...)
	}
}

// Fixed is len(b) bytes without a length.
func (c *Codec) Fixed(b []byte) {
	if !c.reading {
		c.buf = append(c.buf, b...)
		return
	}
	if in := c.next(len(b)); in != nil {
		copy(b, in)
	}
}

// U8 is a byte.
func (c *Codec) U8(v *uint8) {
	if !c.reading {
		c.buf = append(c.buf, *v)
	} else if in := c.next(1); in != nil {
		*v = in[0]
	}
}

// Bool is a byte, 0 or 1.
func (c *Codec) Bool(v *bool) {
	var b uint8
	if *v {
		b = 1
	}
	c.U8(&b)
	if b > 1 {
		c.fail("boolean %d", b)
	}
	if c.reading {
		*v = b == 1
	}
}

// U16 is two bytes.
func (c *Codec) U16(v *uint16) {
	if !c.reading {
		c.buf = binary.LittleEndian.AppendUint16(c.buf, *v)
	} else if in := c.next(2); in != nil {
		*v = binary.LittleEndian.Uint16(in)
	}
}

// U32 is four bytes.
func (c *Codec) U32(v *uint32) {
	if !c.reading {
		c.buf = binary.LittleEndian.AppendUint32(c.buf, *v)
	} else if in := c.next(4); in != nil {
		*v = binary.LittleEndian.Uint32(in)
	}
}

// U64 is eight bytes.
func (c *Codec) U64(v *uint64) {
	if !c.reading {
		c.buf = binary.LittleEndian.AppendUint64(c.buf, *v)
	} else if in := c.next(8); in != nil {
		*v = binary.LittleEndian.Uint64(in)
	}
}

// U128 is sixteen bytes.
func (c *Codec) U128(v *U128) {
	c.U64(&v.Lo)
	c.U64(&v.Hi)
}

// U256 is 32 bytes.
func (c *Codec) U256(v *U256) { c.Fixed(v[:]) }

// ID is the 32 bytes of an address, an object ID or a UID.
func (c *Codec) ID(v *ID) { c.Fixed(v[:]) }

// Length is the number of elements that follow, in ULEB128. It returns n when
// writing and the number read otherwise, which is never above the number of
// bytes left: no Move value is shorter than a byte.
func (c *Codec) Length(n int) int {
	if !c.reading {
		if n > math.MaxUint32 {
			c.fail("length %d", n)
			return 0
		}
		c.buf = binary.AppendUvarint(c.buf, uint64(n))
		return n
	}
	v := c.uleb()
	if left := len(c.buf) - c.off; int64(v) > int64(left) {
		c.fail("length %d, %d bytes left", v, left)
		return 0
	}
	return int(v)
}

// uleb reads a uint32 in its shortest ULEB128 form.
func (c *Codec) uleb() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		in := c.next(1)
		if in == nil {
			return 0
		}
		v |= uint64(in[0]&0x7f) << shift
		if in[0]&0x80 != 0 {
			continue
		}
		if v > math.MaxUint32 || shift > 0 && in[0] == 0 {
			break
		}
		return uint32(v)
	}
	c.fail("number not in its shortest form")
	return 0
}

// Variant is the index of an enum's variant, below count.
func (c *Codec) Variant(v *uint8, count uint8) {
	if c.reading {
		*v = uint8(min(c.uleb(), math.MaxUint8))
	}
	if *v >= count {
		c.fail("variant %d of %d", *v, count)
		return
	}
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, uint64(*v))
	}
}

// Bytes is a vector<u8>.
func (c *Codec) Bytes(v *[]byte) {
	n := c.Length(len(*v))
	if !c.reading {
		c.buf = append(c.buf, *v...)
		return
	}
	*v = append(make([]byte, 0, n), c.next(n)...)
}

// String is a vector<u8> of valid UTF-8.
func (c *Codec) String(v *string) {
	b := []byte(*v)
	c.Bytes(&b)
	if !utf8.Valid(b) {
		c.fail("string is not UTF-8")
	}
	if c.reading {
		*v = string(b)
	}
}

// Empty is a Move struct without fields, which BCS writes as one zero byte.
func (c *Codec) Empty() {
	var dummy bool
	c.Bool(&dummy)
	if dummy {
		c.fail("empty struct is not zero")
	}
}

// maxPrealloc bounds the memory that a length alone can ask for.
const maxPrealloc = 64

// Vector is a vector whose elements elem reads or writes, for example
// (*Codec).U16. One without elements is read as nil.
func Vector[T any](c *Codec, v *[]T, elem func(*Codec, *T)) {
	n := c.Length(len(*v))
	if c.reading {
		*v = nil
		if n > 0 {
			*v = make([]T, 0, min(n, maxPrealloc))
		}
	}
	for i := 0; i < n && c.err == nil; i++ {
		if c.reading {
			var zero T
			*v = append(*v, zero)
		}
		elem(c, &(*v)[i])
	}
}

// Option is an Option<T>: nil is none.
func Option[T any](c *Codec, v **T, elem func(*Codec, *T)) {
	some := *v != nil
	c.Bool(&some)
	if c.reading {
		*v = nil
		if some {
			*v = new(T)
		}
	}
	if some {
		elem(c, *v)
	}
}

// Struct reads or writes a nested value; it makes a Layout an element of Vector and Option.
func Struct[T any, P interface {
	*T
	Layout
}](c *Codec, v *T) {
	P(v).BCS(c)
}

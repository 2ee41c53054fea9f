package redstuff

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// crcShift turns the CRC of a string a into what it contributes to the CRC of
// a followed by a symbol: crc(a+b) = shift(crc(a)) ^ crc(b). Slivers get their
// CRC from those of their symbols this way, each taken where the symbol was
// hashed.
type crcShift [4][256]uint32

// newCRCShift prepares the shift by size bytes. It is linear, and the image of
// one bit is that bit followed by size zero bytes.
func newCRCShift(size int) *crcShift {
	power := crcPower(uint64(size) * 8)
	s := new(crcShift)
	for i := range s {
		for bit := range 8 {
			image := crcMultiply(power, 1<<(8*i+bit))
			for low := range 1 << bit {
				s[i][1<<bit|low] = s[i][low] ^ image
			}
		}
	}
	return s
}

// then returns the CRC of a followed by b from their CRCs.
func (s *crcShift) then(a, b uint32) uint32 {
	return s[0][a&0xff] ^ s[1][a>>8&0xff] ^ s[2][a>>16&0xff] ^ s[3][a>>24] ^ b
}

// Polynomials modulo that of the CRC have their highest coefficient in bit 0.
const crcOne, crcX = 1 << 31, 1 << 30

// crcMultiply multiplies two polynomials modulo that of the CRC.
func crcMultiply(a, b uint32) uint32 {
	product := uint32(0)
	for ; a != 0; a <<= 1 {
		if a&crcOne != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= crc32.Castagnoli
		}
	}
	return product
}

// crcPower returns x^n modulo the polynomial of the CRC.
func crcPower(n uint64) uint32 {
	result, square := uint32(crcOne), uint32(crcX)
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			result = crcMultiply(result, square)
		}
		square = crcMultiply(square, square)
	}
	return result
}

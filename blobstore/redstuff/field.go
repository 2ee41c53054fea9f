package redstuff

import "github.com/klauspost/reedsolomon"

// The field is GF(2^16) in the coordinates of a Cantor basis. Addition is XOR,
// the other operations borrow the tables of the Reed-Solomon library.
var field reedsolomon.LowLevel

func mul(a, b uint16) uint16 { return field.GF16Mul(a, b) }

// inverse returns 1/a as a^(2^16-2). The inverse of zero comes out as zero.
func inverse(a uint16) uint16 {
	result := uint16(1)
	for range 15 {
		a = mul(a, a)
		result = mul(result, a)
	}
	return result
}

// inverses returns 1/a for all a below limit; the entry for zero is zero. It
// divides once and multiplies its way back through the running products.
func inverses(limit int) []uint16 {
	table := make([]uint16, limit)
	product := uint16(1)
	for a := 1; a < limit; a++ {
		table[a] = product // of all before a
		product = mul(product, uint16(a))
	}
	rest := inverse(product)
	for a := limit - 1; a > 0; a-- {
		table[a] = mul(table[a], rest)
		rest = mul(rest, uint16(a))
	}
	return table
}

func ceilPow2(x int) int {
	p := 1
	for p < x {
		p *= 2
	}
	return p
}

package redstuff_test

import (
	"encoding/binary"

	"golang.org/x/crypto/blake2b"

	"github.com/walfs/walfs/blobstore/walrus"
)

// The oracle is a second, slow implementation of the encoding, written from its
// definition: explicit generator matrices over GF(2^16), no batches, no
// incremental trees. It shares nothing with the package but the geometry.

// basis is the Cantor basis in which the 16 bits of an element are coordinates.
var basis = [16]uint32{
	0x0001, 0xACCA, 0x3C0E, 0x163E, 0xC582, 0xED2E, 0x914C, 0x4012,
	0x6C98, 0x10D8, 0x6A72, 0xB900, 0xFDB8, 0xFB34, 0xFF38, 0x991E,
}

func toPolynomial(v uint16) (p uint32) {
	for b := range 16 {
		if v>>b&1 == 1 {
			p ^= basis[b]
		}
	}
	return p
}

// fromPolynomialTable is the inverse of toPolynomial.
var fromPolynomialTable = func() *[1 << 16]uint16 {
	var t [1 << 16]uint16
	for v := range 1 << 16 {
		t[toPolynomial(uint16(v))] = uint16(v)
	}
	return &t
}()

func slowMul(a, b uint16) uint16 {
	x, y := toPolynomial(a), toPolynomial(b)
	product := uint32(0)
	for bit := 15; bit >= 0; bit-- {
		product <<= 1
		if product&0x10000 != 0 {
			product ^= 0x1002D
		}
		if y>>bit&1 == 1 {
			product ^= x
		}
	}
	return fromPolynomialTable[product]
}

func slowDiv(a, b uint16) uint16 {
	inverse := uint16(1)
	for range 15 { // b^(2^16-2)
		b = slowMul(b, b)
		inverse = slowMul(inverse, b)
	}
	return slowMul(a, inverse)
}

func power2(x int) int {
	p := 1
	for p < x {
		p *= 2
	}
	return p
}

// generator returns the r rows of k elements that make repair symbols.
func generator(k, r int) [][]uint16 {
	K, m := power2(k), power2(r)
	low := K < m || K == m && k > r
	rows := make([][]uint16, r)
	for j := range rows {
		rows[j] = make([]uint16, k)
		for i := range rows[j] {
			if low {
				q := K + j
				rows[j][i] = slowDiv(uint16(q/K), uint16(q^i))
			} else {
				p := m + i
				rows[j][i] = slowDiv(uint16(p/m), uint16(j^p))
			}
		}
	}
	return rows
}

// elements unpacks a symbol: in each full block of 64 bytes, and in what is
// left after them, low bytes come first and high bytes second.
func elements(symbol []byte) []uint16 {
	var e []uint16
	for len(symbol) > 0 {
		part := symbol[:min(64, len(symbol))]
		half := len(part) / 2
		for i := range half {
			e = append(e, uint16(part[i])|uint16(part[half+i])<<8)
		}
		symbol = symbol[len(part):]
	}
	return e
}

func symbolOf(e []uint16) []byte {
	var symbol []byte
	for len(e) > 0 {
		part := e[:min(32, len(e))]
		for _, v := range part {
			symbol = append(symbol, byte(v))
		}
		for _, v := range part {
			symbol = append(symbol, byte(v>>8))
		}
		e = e[len(part):]
	}
	return symbol
}

// times multiplies one row of a generator with elements that step through data.
func times(row []uint16, data func(i int) []uint16) []uint16 {
	sum := make([]uint16, len(data(0)))
	for i, factor := range row {
		for x, v := range data(i) {
			sum[x] ^= slowMul(factor, v)
		}
	}
	return sum
}

func hashLeaf(b []byte) [32]byte { return blake2b.Sum256(append([]byte{0}, b...)) }

func merkleRoot(level [][32]byte) [32]byte {
	for len(level) > 1 {
		if len(level)%2 == 1 {
			level = append(level, [32]byte{})
		}
		var next [][32]byte
		for i := 0; i < len(level); i += 2 {
			pair := append([]byte{1}, level[i][:]...)
			next = append(next, blake2b.Sum256(append(pair, level[i+1][:]...)))
		}
		level = next
	}
	return level[0]
}

// oracle is an expanded matrix with its hashes.
type oracle struct {
	matrix             [][][]byte // n*n symbols
	primary, secondary [][32]byte
	root, id           [32]byte
}

func newOracle(g walrus.Geometry, blob []byte) *oracle {
	n, kp, ks := g.Shards, g.SourcePrimary(), g.SourceSecondary()
	s := (max(len(blob), 1) + kp*ks - 1) / (kp * ks)
	s += s % 2
	padded := make([]byte, kp*ks*s)
	copy(padded, blob)
	m := make([][][]uint16, n)
	for r := range m {
		m[r] = make([][]uint16, n)
		for c := range ks {
			if r < kp {
				m[r][c] = elements(padded[(r*ks+c)*s : (r*ks+c+1)*s])
			}
		}
	}
	for j, row := range generator(ks, n-ks) {
		for r := range kp {
			m[r][ks+j] = times(row, func(i int) []uint16 { return m[r][i] })
		}
	}
	for j, row := range generator(kp, n-kp) {
		for c := range n {
			m[kp+j][c] = times(row, func(i int) []uint16 { return m[i][c] })
		}
	}
	return hashMatrix(m, len(blob))
}

func hashMatrix(m [][][]uint16, size int) *oracle {
	n := len(m)
	o := &oracle{matrix: make([][][]byte, n)}
	columns := make([][][32]byte, n)
	for r := range m {
		var leaves [][32]byte
		for c := range m[r] {
			symbol := symbolOf(m[r][c])
			o.matrix[r] = append(o.matrix[r], symbol)
			leaves = append(leaves, hashLeaf(symbol))
			columns[c] = append(columns[c], hashLeaf(symbol))
		}
		o.primary = append(o.primary, merkleRoot(leaves))
	}
	for _, leaves := range columns {
		o.secondary = append(o.secondary, merkleRoot(leaves))
	}
	var pairs [][32]byte
	for i := range n {
		pairs = append(pairs, hashLeaf(append(o.primary[i][:], o.secondary[n-1-i][:]...)))
	}
	o.root = merkleRoot(pairs)
	id := binary.LittleEndian.AppendUint64([]byte{1}, uint64(size))
	o.id = blake2b.Sum256(append(id, o.root[:]...))
	return o
}

// sliver returns the symbols of a sliver, joined.
func (o *oracle) sliver(g walrus.Geometry, axis walrus.Axis, index int) []byte {
	var b []byte
	if axis == walrus.Primary {
		for c := range g.SourceSecondary() {
			b = append(b, o.matrix[index][c]...)
		}
		return b
	}
	for r := range g.SourcePrimary() {
		b = append(b, o.matrix[r][index]...)
	}
	return b
}

package redstuff

import (
	"fmt"

	"github.com/klauspost/reedsolomon"
)

// code is a systematic Reed-Solomon code with k data and r repair symbols.
//
// Symbol t of the codeword, data first, is weight[t]*p(point[t]) for one
// polynomial p of degree below k, so any k symbols determine the others. Where
// the points lie depends on the rate, see newCode.
//
// Encode is a job for the library's additive FFT. It knows only the high rate,
// but the map from one block of block points to another depends on nothing but
// the XOR of their positions, so that low rate takes two calls: repair symbols
// below block from an encoder for block parities, the others either from one
// that believes in block more data symbols, all zero, or, if they are few,
// from the rows of the generator matrix.
type code struct {
	k, r   int
	point  []uint16 // of all k+r symbols
	weight []uint16
	inv    []uint16 // 1/x for every x that is the XOR of two points

	first  reedsolomon.Encoder // high rate: everything; low rate: repair symbols below block
	second reedsolomon.Encoder // low rate: the others; nil if there are few
	direct [][]uint16          // low rate: generator rows of the others if they are few
	block  int                 // low rate: number of points in a block; else 0
}

// directRows is up to how many repair symbols of the second block are cheaper
// to get from the generator matrix than from a second transform, by measurement.
const directRows = 8

func newCode(k, r int) (*code, error) {
	c := &code{k: k, r: r}
	blockK, blockR := ceilPow2(k), ceilPow2(r)
	low := blockK < blockR || blockK == blockR && k > r
	if low {
		c.block = blockK
	}
	c.place(blockK, blockR, low)
	if !low {
		return c, c.build(&c.first, k, r)
	}
	if err := c.build(&c.first, k, blockK); err != nil {
		return nil, err
	}
	if r-blockK > directRows {
		// More than half a block of parities, so that the library takes blocks of this size.
		return c, c.build(&c.second, blockK+k, max(r-blockK, blockK/2+1))
	}
	data := make([]int, k)
	for i := range data {
		data[i] = i
	}
	others := make([]int, r-blockK)
	for i := range others {
		others[i] = k + blockK + i
	}
	c.direct = c.solve(data, others)
	return c, nil
}

func (c *code) build(e *reedsolomon.Encoder, data, parity int) error {
	encoder, err := reedsolomon.New(data, parity, reedsolomon.WithLeopardGF16(true))
	if err != nil {
		return fmt.Errorf("code of %d and %d symbols: %w", data, parity, err)
	}
	*e = encoder
	return nil
}

// place computes points and weights. High rate has the repair symbols at points
// 0.. and the data at blockR.., low rate the data at 0.. and repair at blockK...
// Row j of the generator matrix is up(i)*vp(j)/(x^y) with x and y the points of
// j and i: up is the number of i's block for high rate and 1 otherwise, vp that
// of j's block for low rate and 1 otherwise. The weights follow by comparing
// with Lagrange interpolation through the data points.
func (c *code) place(blockK, blockR int, low bool) {
	data, repair := blockR, 0
	if low {
		data, repair = 0, blockK
	}
	c.point = make([]uint16, c.k+c.r)
	c.weight = make([]uint16, c.k+c.r)
	last := 0
	for t := range c.point {
		p := data + t
		if t >= c.k {
			p = repair + t - c.k
		}
		c.point[t] = uint16(p)
		last = max(last, p)
	}
	c.inv = inverses(ceilPow2(last + 1))
	for t := range c.weight {
		product := c.product(c.point[t], c.point[:c.k])
		switch number := int(c.point[t]); {
		case t < c.k && low:
			c.weight[t] = inverse(product)
		case t < c.k:
			c.weight[t] = inverse(mul(product, uint16(number/blockR)))
		case low:
			c.weight[t] = mul(inverse(product), uint16(number/blockK))
		default:
			c.weight[t] = inverse(product)
		}
	}
}

// product multiplies the differences between x and all points other than x.
func (c *code) product(x uint16, points []uint16) uint16 {
	product := uint16(1)
	for _, p := range points {
		if p != x {
			product = mul(product, x^p)
		}
	}
	return product
}

// solve returns the rows of coefficients that turn k known symbols into the
// wanted ones. Known and wanted are positions in the codeword and have none in common.
func (c *code) solve(known, wanted []int) [][]uint16 {
	points := make([]uint16, len(known))
	for i, t := range known {
		points[i] = c.point[t]
	}
	column := make([]uint16, len(known))
	for i, t := range known {
		column[i] = inverse(mul(c.weight[t], c.product(points[i], points)))
	}
	rows := make([][]uint16, len(wanted))
	for i, t := range wanted {
		x := c.point[t]
		scale := mul(c.weight[t], c.product(x, points))
		row := make([]uint16, len(known))
		for j, p := range points {
			row[j] = mul(mul(scale, column[j]), c.inv[x^p])
		}
		rows[i] = row
	}
	return rows
}

// combine computes out[i] as the sum of rows[i][j]*in[j], eight at a time for
// the sake of the cache. Lengths are equal multiples of 64.
func combine(rows [][]uint16, in, out [][]byte) {
	for _, b := range out {
		clear(b)
	}
	for len(rows) >= 8 {
		outs := (*[8][]byte)(out)
		for j := range in {
			var factors [8]uint16
			for i := range factors {
				factors[i] = rows[i][j]
			}
			field.GF16MulSliceXor8(&factors, in[j], outs)
		}
		rows, out = rows[8:], out[8:]
	}
	for i, row := range rows {
		for j, factor := range row {
			field.GF16MulSliceXor(factor, in[j], out[i])
		}
	}
}

// zeroShard stands in for the data symbols that the second encoder believes in.
// Packed shards are up to a block longer than maxShard.
var zeroShard [maxShard + blockSize]byte

// encode fills shards[k:] from shards[:k]. All have the same length, a multiple
// of 64 and at most that of zeroShard.
func (c *code) encode(w *scratch, shards [][]byte) error {
	if c.block == 0 {
		return c.first.Encode(shards)
	}
	data, others := shards[:c.k], shards[c.k+c.block:]
	if err := c.first.Encode(shards[:c.k+c.block]); err != nil {
		return err
	}
	if c.second == nil {
		combine(c.direct, data, others)
		return nil
	}
	size := len(data[0])
	wide := w.wide[:0]
	for range c.block {
		wide = append(wide, zeroShard[:size])
	}
	wide = append(append(wide, data...), others...)
	if surplus := max(c.block/2+1-len(others), 0); surplus > 0 {
		w.surplus = grow(w.surplus, surplus*size)
		for i := range surplus {
			wide = append(wide, w.surplus[i*size:(i+1)*size])
		}
	}
	w.wide = wide
	return c.second.Encode(wide)
}

package redstuff

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
)

// The oracle of this file is the closed form of the generator matrices.

func divide(a, b uint16) uint16 { return mul(a, inverse(b)) }

func closedForm(k, r int) [][]uint16 {
	blockK, blockR := ceilPow2(k), ceilPow2(r)
	low := blockK < blockR || blockK == blockR && k > r
	rows := make([][]uint16, r)
	for j := range rows {
		for i := range k {
			if low {
				rows[j] = append(rows[j], divide(uint16((blockK+j)/blockK), uint16((blockK+j)^i)))
			} else {
				rows[j] = append(rows[j], divide(uint16((blockR+i)/blockR), uint16(j^(blockR+i))))
			}
		}
	}
	return rows
}

func TestField(t *testing.T) {
	// Source: checks in the specification of the encoding.
	products := [][3]uint16{{2, 2, 3}, {2, 0x0201, 0x039d}, {0x1234, 0xabcd, 0x43c1}, {0xffff, 0xffff, 0x8000}, {0x100, 0x100, 0x180}}
	for _, p := range products {
		if got := mul(p[0], p[1]); got != p[2] {
			t.Errorf("%#x*%#x: got %#x, want %#x", p[0], p[1], got, p[2])
		}
	}
	for a, want := range map[uint16]uint16{1: 1, 2: 3, 0x1234: 0x371e, 0: 0} {
		if got := inverse(a); got != want {
			t.Errorf("1/%#x: got %#x, want %#x", a, got, want)
		}
	}
	for a, got := range inverses(1 << 16) {
		if want := inverse(uint16(a)); got != want {
			t.Fatalf("table of inverses at %#x: got %#x, want %#x", a, got, want)
		}
	}
}

func TestClosedForm(t *testing.T) {
	tests := []struct {
		k, r int
		want [][]uint16
	}{
		{2, 2, [][]uint16{{3, 2}, {2, 3}}},
		{3, 1, [][]uint16{{1, 1, 1}}},
		{4, 6, [][]uint16{{0xc, 0xf, 0xa, 8}, {0xf, 0xc, 8, 0xa}, {0xa, 8, 0xc, 0xf}, {8, 0xa, 0xf, 0xc}, {0xa, 0xf, 8, 0xc}, {0xf, 0xa, 0xc, 8}}},
	}
	for _, test := range tests {
		if got := closedForm(test.k, test.r); !slices.EqualFunc(got, test.want, slices.Equal) {
			t.Errorf("code (%d,%d): got %x, want %x", test.k, test.r, got, test.want)
		}
	}
}

// shapes returns numbers of shards whose codes take every path: high rate, low
// rate with a few and with many symbols in the second block.
func shapes() []int {
	var n []int
	for i := 4; i <= 40; i++ {
		n = append(n, i)
	}
	return append(n, 46, 48, 52, 67, 92, 96, 100, 104, 130, 190, 250, 334)
}

func TestCodes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	seen := map[string]bool{}
	for _, n := range shapes() {
		g := walrus.Geometry{Shards: n}
		for _, shape := range [][2]int{{g.SourceSecondary(), g.Faulty()}, {g.SourcePrimary(), 2 * g.Faulty()}} {
			c, err := newCode(shape[0], shape[1])
			if err != nil {
				t.Fatal(err)
			}
			seen[fmt.Sprintf("low=%t second=%t", c.block > 0, c.second != nil)] = true
			t.Run(fmt.Sprintf("%d-%d", c.k, c.r), func(t *testing.T) { checkCode(t, c, rng) })
		}
	}
	if len(seen) != 3 {
		t.Errorf("paths taken: %v, want three", seen)
	}
}

func checkCode(t *testing.T, c *code, rng *rand.Rand) {
	generator := closedForm(c.k, c.r)
	data := make([]int, c.k)
	repair := make([]int, c.r)
	for i := range data {
		data[i] = i
	}
	for j := range repair {
		repair[j] = c.k + j
	}
	if got := c.solve(data, repair); !slices.EqualFunc(got, generator, slices.Equal) {
		t.Fatal("solve of the repair symbols is not the generator")
	}

	const size = 2 * blockSize
	shards := make([][]byte, c.k+c.r)
	for i := range shards {
		shards[i] = make([]byte, size)
		for x := range shards[i] {
			shards[i][x] = byte(rng.Uint32())
		}
	}
	if err := c.encode(&scratch{}, shards); err != nil {
		t.Fatal(err)
	}
	want := make([][]byte, c.r)
	for j := range want {
		want[j] = make([]byte, size)
	}
	combine(generator, shards[:c.k], want)
	for j := range want {
		if !bytes.Equal(shards[c.k+j], want[j]) {
			t.Fatalf("repair symbol %d: got %x, want %x", j, shards[c.k+j], want[j])
		}
	}

	order := rng.Perm(c.k + c.r)
	known, wanted := order[:c.k], order[c.k:]
	in := make([][]byte, c.k)
	for i, position := range known {
		in[i] = shards[position]
	}
	out := make([][]byte, c.r)
	for i := range out {
		out[i] = make([]byte, size)
	}
	combine(c.solve(known, wanted), in, out)
	for i, position := range wanted {
		if !bytes.Equal(out[i], shards[position]) {
			t.Fatalf("symbol %d from %v: got %x, want %x", position, known, out[i], shards[position])
		}
	}
}

func TestPacking(t *testing.T) {
	for _, size := range []int{2, 6, 62, 64, 66, 130, 190, 1022} {
		for _, count := range []int{1, 2, 3, 16, 17, 40} {
			p := newPacking(size, count)
			if p.length()%blockSize != 0 || p.length() < size*count {
				t.Fatalf("size %d, count %d: length %d", size, count, p.length())
			}
			shard := bytes.Repeat([]byte{0xff}, p.length())
			strings := make([][]byte, count)
			for i := range strings {
				strings[i] = make([]byte, size)
				for x := range strings[i] {
					strings[i][x] = byte(1 + i*size + x)
				}
				p.put(shard, i, strings[i])
			}
			p.finish(shard)
			for i, want := range strings {
				got := make([]byte, size)
				p.take(shard, i, got)
				if !bytes.Equal(got, want) {
					t.Errorf("size %d, count %d, string %d: got %x, want %x", size, count, i, got, want)
				}
			}
		}
	}
}

func TestCRCShift(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{1, 2, 64, 3648, 65534} {
		b := make([]byte, 3*size)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		shift := newCRCShift(size)
		sum := uint32(0)
		for i := range 3 {
			sum = shift.then(sum, checksum(b[i*size:(i+1)*size]))
		}
		if want := checksum(b); sum != want {
			t.Errorf("size %d: got %#x, want %#x", size, sum, want)
		}
	}
}

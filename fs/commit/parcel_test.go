package commit

import (
	"slices"
	"testing"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

func TestOpsAreJoined(t *testing.T) {
	par := &parcel{pack: &staging.Pack{Base: 1000}}
	for _, o := range []index.Op{
		{Off: 0, Len: 10, Segment: 3, Pos: 50},
		{Off: 10, Len: 10, Segment: 3, Pos: 60}, // goes on
		{Off: 20, Len: 10, Segment: 3, Pos: 90}, // is elsewhere in the segment
		{Off: 30, Len: 10, Segment: 4, Pos: 100},
		{Off: 50, Len: 10, Segment: 4, Pos: 110}, // is elsewhere in the file
	} {
		par.op(o)
	}
	par.hole(60, 40)
	par.hole(100, 500)
	par.hole(600, 500)  // partly behind the base
	par.hole(1100, 500) // behind it
	want := []index.Op{
		{Off: 0, Len: 20, Segment: 3, Pos: 50},
		{Off: 20, Len: 10, Segment: 3, Pos: 90},
		{Off: 30, Len: 10, Segment: 4, Pos: 100},
		{Off: 50, Len: 10, Segment: 4, Pos: 110},
		{Off: 60, Len: 940},
	}
	if !slices.Equal(par.ops, want) {
		t.Errorf("got %+v\nwant %+v", par.ops, want)
	}
}

func TestSubtract(t *testing.T) {
	data := func(list ...int64) (ranges []staging.PackRange) {
		for i := 0; i < len(list); i += 2 {
			ranges = append(ranges, staging.PackRange{Off: list[i], Len: list[i+1] - list[i]})
		}
		return ranges
	}
	for _, c := range []struct {
		name         string
		ranges, less []staging.PackRange
		want         []staging.PackRange
	}{
		{"nothing", data(0, 10), nil, data(0, 10)},
		{"all", data(0, 10, 20, 30), data(0, 30), nil},
		{"head", data(0, 10), data(0, 4), data(4, 10)},
		{"tail", data(0, 10), data(6, 12), data(0, 6)},
		{"middle", data(0, 10), data(2, 3, 5, 7), data(0, 2, 3, 5, 7, 10)},
		{"between", data(0, 10, 20, 30), data(10, 20), data(0, 10, 20, 30)},
		{"across", data(0, 10, 20, 30), data(8, 22), data(0, 8, 22, 30)},
	} {
		var partials []index.Partial
		for _, l := range c.less {
			partials = append(partials, index.Partial{Off: l.Off, Len: l.Len})
		}
		if got := subtract(c.ranges, partials); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestSplit(t *testing.T) {
	const k = staging.BlockSize
	fill := func(total int, data ...[2]int) []byte {
		b := make([]byte, total)
		for _, d := range data {
			for i := d[0]; i < d[1]; i++ {
				b[i] = 1
			}
		}
		return b
	}
	for _, c := range []struct {
		name        string
		b           []byte
		data, zeros int
	}{
		{"data", fill(3*k, [2]int{0, 3 * k}), 3 * k, 0},
		{"all zeros", fill(3 * k), 0, 3 * k},
		{"zeros behind", fill(20*k, [2]int{0, k}), k, 19 * k},
		{"zeros before", fill(20*k, [2]int{17 * k, 20 * k}), 0, 17 * k},
		{"too few zeros", fill(20*k, [2]int{0, 2 * k}, [2]int{17 * k, 20 * k}), 20 * k, 0},
		{"zeros within", fill(40*k, [2]int{0, k + 1}, [2]int{39 * k, 40 * k}), 2 * k, 37 * k},
		{"short tail", fill(17*k+100, [2]int{0, 1}), k, 16*k + 100},
	} {
		if data, zeros := split(c.b); data != c.data || zeros != c.zeros {
			t.Errorf("%s: %d and %d, want %d and %d", c.name, data, zeros, c.data, c.zeros)
		}
	}
}

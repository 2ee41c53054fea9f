package staging

import (
	"cmp"
	"os"
	"slices"

	"github.com/walfs/walfs/index"
)

// Same reports whether bytes are, to the last one, what is published of a file from off
// on. It is asked for whole ranges of index.HashRange, and for the last one of a file.
type Same func(off int64, b []byte) bool

// known are the ranges of index.HashRange, by number, that a copy leaves out since they are
// what is published, and how long they are: the last one of a file may be shorter.
type known map[int64]int64

// wholeRange reports whether n bytes at off are all that a file of some size has of a range.
func wholeRange(off, n, size int64) bool {
	return off%index.HashRange == 0 && (n == index.HashRange || off+n == size)
}

func (k known) add(off, n int64) known {
	if k == nil {
		k = known{}
	}
	k[off/index.HashRange] = n
	return k
}

func (k known) drop(off int64) { delete(k, off/index.HashRange) }

// is reports whether n bytes at off are one of the ranges.
func (k known) is(off, n int64) bool {
	return off%index.HashRange == 0 && n > 0 && k[off/index.HashRange] == n
}

// touches reports whether n bytes at off have some in common with one of the ranges.
func (k known) touches(off, n int64) bool {
	if len(k) == 0 {
		return false
	}
	for i := off / index.HashRange; i*index.HashRange < off+n; i++ {
		if have, ok := k[i]; ok && off < i*index.HashRange+have {
			return true
		}
	}
	return false
}

// ranges returns what a copy of some size holds, and what it leaves out, in order.
func (k known) ranges(copy *os.File, size int64) (ranges []PackRange, err error) {
	err = eachData(copy, 0, size, func(off, end int64) error {
		for off < end {
			next := min(end, (off/index.HashRange+1)*index.HashRange)
			last := len(ranges) - 1
			switch {
			case k.touches(off, next-off): // not all file systems have holes
			case last >= 0 && ranges[last].Off+ranges[last].Len == off:
				ranges[last].Len += next - off
			default:
				ranges = append(ranges, PackRange{Off: off, Len: next - off})
			}
			off = next
		}
		return nil
	})
	for i, n := range k {
		ranges = append(ranges, PackRange{Off: i * index.HashRange, Len: n, Same: true})
	}
	slices.SortFunc(ranges, func(a, b PackRange) int { return cmp.Compare(a.Off, b.Off) })
	return ranges, err
}

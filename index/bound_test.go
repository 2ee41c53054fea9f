package index_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/walfs/walfs/index"
)

// manyRows is a MiB that claims to hold as many rows as can be, each as short as can be.
func manyRows(head []byte, row func(i int) []byte, tail int) []byte {
	var rows []byte
	n := 0
	for ; len(rows) < 1<<20; n++ {
		rows = append(rows, row(n)...)
	}
	return append(append(binary.AppendUvarint(head, uint64(n)), rows...), make([]byte, tail)...)
}

// TestBoundedMemory decodes a MiB of the rows that take the most room. No more
// than 64 MiB may be allocated for it, what is garbage by then included.
func TestBoundedMemory(t *testing.T) {
	step := func(n int) func(int) []byte {
		return func(i int) []byte {
			row := make([]byte, n)
			row[0] = 1 // the next number
			return row
		}
	}
	name := func(i int) []byte { return []byte{byte(min(i, 1)), 0, 1} } // no name, another parent each
	head := index.MarshalRows(&index.Trailer{})
	for what, rows := range map[string][]byte{
		"segments of a full snapshot": manyRows([]byte{2}, step(5), 0),
		"inodes of a full snapshot":   manyRows([]byte{3}, step(13), 1),
		"contents":                    manyRows([]byte{3, 0}, step(6), 0),
		"names of a full snapshot":    manyRows([]byte{4}, name, 0),
		"names of a trailer":          manyRows(bytes.Clone(head[:len(head)-1]), name, 0),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var err error
		if what == "names of a trailer" {
			_, err = index.UnmarshalRows(rows)
		} else {
			err = index.DecodeFrame(rows)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
			t.Errorf("%s: %d MiB", what, n>>20)
		} else {
			t.Logf("%s: %d MiB, %v", what, n>>20, err)
		}
	}
}

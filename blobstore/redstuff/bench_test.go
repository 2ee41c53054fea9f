package redstuff_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// noise returns bytes that look random and are the same every time.
func noise(size int) []byte {
	b := make([]byte, size)
	x := uint32(20240607)
	for i := range b {
		x = 1664525*x + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// benchSizes is geometries with blobs that fill them well.
var benchSizes = []struct{ shards, size int }{
	{10, 4 << 10}, {10, 128 << 10}, {10, 1 << 20}, {10, 1720320}, {100, 1 << 20}, {100, 8310144}, {1000, 14257792},
}

func encodeForBench(b *testing.B, shards, size int) (*redstuff.Codec, *redstuff.Encoded) {
	b.Helper()
	c := codecFor(b, shards)
	e, err := c.Encode(context.Background(), noise(size))
	if err != nil {
		b.Fatal(err)
	}
	return c, e
}

func BenchmarkNew(b *testing.B) {
	for _, shards := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("n=%d", shards), func(b *testing.B) {
			for b.Loop() {
				codecFor(b, shards)
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, x := range benchSizes {
		b.Run(fmt.Sprintf("n=%d/size=%d", x.shards, x.size), func(b *testing.B) {
			c, blob := codecFor(b, x.shards), noise(x.size)
			b.SetBytes(int64(x.size))
			b.ReportAllocs()
			for b.Loop() {
				e, err := c.Encode(context.Background(), blob)
				if err != nil {
					b.Fatal(err)
				}
				e.Release()
			}
		})
	}
}

func BenchmarkComputeMetadata(b *testing.B) {
	for _, x := range benchSizes {
		b.Run(fmt.Sprintf("n=%d/size=%d", x.shards, x.size), func(b *testing.B) {
			c, blob := codecFor(b, x.shards), noise(x.size)
			b.SetBytes(int64(x.size))
			for b.Loop() {
				if _, err := c.ComputeMetadata(context.Background(), blob); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, x := range benchSizes {
		for _, axis := range []walrus.Axis{walrus.Primary, walrus.Secondary} {
			b.Run(fmt.Sprintf("n=%d/size=%d/%s", x.shards, x.size, axis), func(b *testing.B) {
				c, e := encodeForBench(b, x.shards, x.size)
				s := e.Slot(axis, 1)
				b.SetBytes(int64(len(s.Data())))
				b.ReportAllocs()
				for b.Loop() {
					if err := c.Verify(e.Metadata(), walrus.SliverID{Axis: axis, Index: 1}, s.Data()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkDecode decodes from slivers of which a tenth or all are repair slivers, not counting the check.
func BenchmarkDecode(b *testing.B) {
	for _, x := range benchSizes {
		for _, axis := range []walrus.Axis{walrus.Primary, walrus.Secondary} {
			for _, missing := range []string{"tenth", "most"} {
				b.Run(fmt.Sprintf("n=%d/size=%d/%s/%s", x.shards, x.size, axis, missing), func(b *testing.B) {
					c, e := encodeForBench(b, x.shards, x.size)
					skip := (x.shards + 9) / 10
					if missing == "most" {
						skip = x.shards / 3
					}
					slivers := map[int][]byte{}
					for i := skip; i < x.shards; i++ {
						slivers[i] = e.Slot(axis, i).Data()
					}
					b.SetBytes(int64(x.size))
					for b.Loop() {
						if _, err := c.Decode(context.Background(), e.Metadata(), axis, slivers, redstuff.DecodeOptions{Verified: true}); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

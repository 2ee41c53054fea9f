package blobstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/walrus"
)

// benchSize is the capacity of 100 shards with a symbol size of 64 times 57:
// the size of a full segment of the embedded default.
const benchSize = 8_310_144

func BenchmarkPut(b *testing.B) {
	for _, parallel := range []int{1, 2} {
		b.Run(map[int]string{1: "alone", 2: "two at a time"}[parallel], func(b *testing.B) {
			w := newWorld(b, 0, 0)
			w.config.Parallel = parallel
			w.reconnect()
			b.SetBytes(benchSize)
			b.SetParallelism(parallel) // times GOMAXPROCS
			var seed atomic.Uint64
			blobs := make([][]byte, 8)
			for i := range blobs {
				blobs[i] = randomBlob(uint64(i), benchSize)
			}
			put := func() {
				i := seed.Add(1)
				blob := append([]byte(nil), blobs[i%8]...)
				blob[0], blob[1], blob[2] = byte(i), byte(i>>8), byte(i>>16)
				if _, err := w.client.Put(b.Context(), blob, blobstore.PutOptions{Epochs: 2}); err != nil {
					b.Error(err)
				}
			}
			put() // makes tables and folders
			b.ResetTimer()
			began := processorTime(b)
			if parallel == 1 {
				for b.Loop() {
					put()
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						put()
					}
				})
			}
			b.ReportMetric((processorTime(b)-began).Seconds()*1000/float64(seed.Load()-1), "cpu-ms/blob")
		})
	}
}

// processorTime is what this process has taken of all processors.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func BenchmarkReadAt(b *testing.B) {
	const piece = 128 << 10
	readAll := func(b *testing.B, w *world, id walrus.BlobID, p []byte) {
		for off := int64(0); off < benchSize; off += piece {
			if _, err := w.client.ReadAt(b.Context(), id, p[:min(piece, benchSize-off)], off); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, down := range []int{0, 6} {
		for _, cold := range []bool{true, false} {
			b.Run(fmt.Sprintf("%d nodes down, cold %t", down, cold), func(b *testing.B) {
				w := newWorld(b, 0, 0)
				cache := w.withCache(1 << 30)
				id := w.put(randomBlob(1, benchSize)).Blob
				for i := range down {
					if err := w.net.Stop(w.node(i)); err != nil {
						b.Fatal(err)
					}
				}
				p := make([]byte, piece)
				readAll(b, w, id, p)
				b.SetBytes(benchSize)
				for b.Loop() {
					b.StopTimer()
					if cold {
						if err := cache.Clear(); err != nil {
							b.Fatal(err)
						}
					}
					w.reconnect() // an empty memory
					b.StartTimer()
					readAll(b, w, id, p)
				}
			})
		}
	}
	b.Run("memory", func(b *testing.B) {
		w := newWorld(b, 0, 0)
		id := w.put(randomBlob(1, benchSize)).Blob
		p := make([]byte, piece)
		readAll(b, w, id, p)
		b.SetBytes(piece)
		for b.Loop() {
			if _, err := w.client.ReadAt(b.Context(), id, p, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkHeal fills a wiped node: bytes per second of what it then holds, and
// bytes that others gave for each byte rebuilt, by symbols and by decoding.
func BenchmarkHeal(b *testing.B) {
	for _, size := range []int{benchSize, 1 << 20, 64 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			w := newWorld(b, 0, 0)
			sizes := make([]int, max(min((64<<20)/size, 64), 8))
			for i := range sizes {
				sizes[i] = size
			}
			all := w.some(1, sizes...)
			w.settle()
			var t blobstore.Traffic
			b.ResetTimer()
			for b.Loop() {
				b.StopTimer()
				w.wipe(3)
				w.start(3)
				b.StartTimer()
				h, stop := w.running()
				w.until(h, 3, blobstore.Healthy)
				stop()
				_, t = h.Status()
			}
			if t.Blobs != len(all) {
				b.Fatalf("healed %+v", t)
			}
			b.SetBytes(t.Rebuilt)
			b.ReportMetric(float64(t.Read)/float64(t.Rebuilt), "read/rebuilt")
			whole := int64(len(all)) * int64(size)
			b.ReportMetric(float64(whole)/float64(t.Rebuilt), "decoding/rebuilt")
		})
	}
}

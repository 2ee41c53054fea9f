package blobstore_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cache"
)

// stalling is a disk cache whose writers hang as they do on a disk that hangs: each
// fails once, and the log takes no word of it until release.
type stalling struct {
	*cache.Cache
	w       *world
	puts    sync.WaitGroup
	release func()
}

// hangingLog does not return until it is closed.
type hangingLog chan struct{}

func (hangingLog) Enabled(context.Context, slog.Level) bool    { return true }
func (h hangingLog) Handle(context.Context, slog.Record) error { <-h; return nil }
func (h hangingLog) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h hangingLog) WithGroup(string) slog.Handler             { return h }

// withStalling gives the client a disk cache that hangs already. It runs in a bubble.
func (w *world) withStalling() *stalling {
	w.t.Helper()
	dir, log := w.t.TempDir(), make(hangingLog)
	c, err := cache.Open(cache.Config{Dir: dir, Budget: 1 << 30, MinFree: -1, Log: slog.New(log)})
	if err != nil {
		w.t.Fatal(err)
	}
	s := &stalling{Cache: c, w: w, release: sync.OnceFunc(func() { close(log) })}
	w.t.Cleanup(func() {
		s.release()
		s.puts.Wait()
		if err := c.Close(); err != nil {
			w.t.Error(err)
		}
	})
	// A file in the place of a folder makes writing fail, which is told once until something was written.
	const writers = 2
	inTheWay := filepath.Join(dir, "ff")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		w.t.Fatal(err)
	}
	for i := range uint16(writers) {
		if err := c.Put(w.t.Context(), walrus.SliverID{Index: i}, []byte("x")); err != nil {
			w.t.Fatal(err)
		}
		s.puts.Go(func() {
			if c.Put(context.Background(), walrus.SliverID{Blob: walrus.BlobID{0xff}, Index: i}, []byte("x")) == nil {
				w.t.Error("a write that should fail did not")
			}
		})
		synctest.Wait()
	}
	if err := os.Remove(inTheWay); err != nil {
		w.t.Fatal(err)
	}
	w.config.Cache = c
	w.reconnect()
	return s
}

// readsRow reads the start of a row that one of the given nodes holds.
func (w *world) readsRow(s stored, nodes ...int) {
	w.t.Helper()
	off := w.heldBy(s.Receipt, nodes...)
	p := make([]byte, 1000)
	if n, err := w.client.ReadAt(w.t.Context(), s.Blob, p, off); err != nil || !bytes.Equal(p[:n], s.blob[off:off+int64(n)]) {
		w.t.Fatalf("read at %d: %d bytes, %v", off, n, err)
	}
}

// While the disk cache hangs, bytes that were decoded are read, those of all rows
// from one decoding; once it works, all rows are in it.
func TestDecodedWhileTheDiskHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, 0)
		s := w.some(1, 400_000)[0]
		down := w.holders(s.Receipt)[:3]
		for _, i := range down {
			w.stop(i)
		}
		disk := w.withStalling()
		w.readsRow(s, down[0])
		before := w.sliverReads()
		w.readsRow(s, down[1])
		w.readsRow(s, down[2])
		if n := w.sliverReads() - before; n > 0 {
			t.Errorf("%d slivers read for rows that were decoded", n)
		}
		disk.release()
		synctest.Wait()
		for i := range w.client.Geometry().SourcePrimary() {
			if !disk.Has(walrus.SliverID{Blob: s.Blob, Axis: walrus.Primary, Index: uint16(i)}) {
				t.Errorf("row %d is not in the cache", i)
			}
		}
	})
}

// A client closes while decoded rows wait for a disk that hangs.
func TestCloseWhileTheDiskHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, 0)
		s := w.some(1, 400_000)[0]
		down := w.holders(s.Receipt)[0]
		w.stop(down)
		w.withStalling()
		w.readsRow(s, down)
		if err := w.client.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A disk that hangs does not keep other blobs from being decoded, and the rows
// that it did not take are in memory.
func TestDecodingsPastADiskThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, 0)
		all := w.some(1, 400_000, 400_000, 400_000, 400_000, 400_000, 400_000)
		down := []int{0, 1, 2, 3, 4}
		for _, i := range down {
			w.stop(i)
		}
		w.withStalling()
		for _, s := range all {
			w.readsRow(s, down...)
		}
		before := w.sliverReads()
		for _, s := range all {
			w.reads(s.Receipt, s.blob)
		}
		if n := w.sliverReads() - before; n > 0 {
			t.Errorf("%d slivers read of blobs that were decoded", n)
		}
	})
}

package cache

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/walrus"
)

// patience is how long a test waits for what has to come, on a machine that does much else.
const patience = 2 * time.Minute

// within wants what to end.
func within(t *testing.T, what string, run func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		run()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s: no end after %s", what, patience)
	}
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after %s", what, patience)
		}
	}
}

// keeping is a cache with slivers on disk and none in memory.
func keeping(t *testing.T, log *slog.Logger) (c *Cache, dir string, ids []walrus.SliverID) {
	t.Helper()
	dir = t.TempDir()
	c, err := Open(Config{Dir: dir, Budget: 1 << 30, MinFree: -1, Memory: -1, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	for i := range mostStalled + 1 {
		ids = append(ids, walrus.SliverID{Index: uint16(i)})
		if err := c.Put(t.Context(), ids[i], []byte("from the disk")); err != nil {
			t.Fatal(err)
		}
	}
	return c, dir, ids
}

// hang makes a file one that does not let itself be opened. Release lets in those who wait.
func hang(t *testing.T, path string) (release func()) {
	t.Helper()
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	return func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err == nil {
			err = f.Close() // they read an empty file, and remove it
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
}

// idle reports whether no loader does anything.
func (l *loaders) idle() bool {
	for i := range l.hired.Load() {
		if l.began[i].Load() != 0 {
			return false
		}
	}
	return true
}

func fromNodes(context.Context) ([]byte, error) { return []byte("from the nodes"), nil }

// TestHungDisk: who reads what lies on a disk that hangs gets it from the nodes, so many wait for the disk and no
// more, and it is used again once it answers.
func TestHungDisk(t *testing.T) {
	c, dir, ids := keeping(t, nil)
	stuck, whole := ids[:mostStalled], ids[mostStalled]
	var release []func()
	for _, id := range stuck {
		release = append(release, hang(t, filepath.Join(dir, pathOf(id))))
	}
	get := func(ctx context.Context, id walrus.SliverID) string {
		data, err := c.Get(ctx, id, fromNodes)
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	within(t, "a read that is given up", func() {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := c.Get(ctx, stuck[0], func(ctx context.Context) ([]byte, error) {
			cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a read that is given up: %v", err)
		}
	})
	within(t, "reads of a disk that hangs", func() {
		var all sync.WaitGroup
		for i := range 3 * mostLoaders {
			all.Go(func() {
				if got := get(t.Context(), stuck[i%len(stuck)]); got != "from the nodes" {
					t.Errorf("got %q, want it from the nodes", got)
				}
			})
		}
		all.Wait()
	})
	if n := c.loaders.hired.Load(); n > mostLoaders {
		t.Errorf("%d wait for the disk, want at most %d", n, mostLoaders)
	}
	until(t, "the disk is taken to hang", c.loaders.hang)
	hired := c.loaders.hired.Load()
	for range 10 {
		within(t, "a read past the disk", func() {
			if got := get(t.Context(), whole); got != "from the nodes" {
				t.Errorf("while the disk hangs: got %q, want it from the nodes", got)
			}
		})
	}
	if n := c.loaders.hired.Load(); n != hired {
		t.Errorf("%d more wait for a disk that is known to hang", n-hired)
	}
	until(t, "the disk answers", func() bool {
		for _, let := range release {
			let()
		}
		return c.loaders.idle()
	})
	if got := get(t.Context(), whole); got != "from the disk" {
		t.Errorf("when the disk answers: got %q", got)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestLateReading: what a slow disk has in the end is taken when the nodes do not have it sooner.
func TestLateReading(t *testing.T) {
	c, dir, ids := keeping(t, nil)
	f, err := os.OpenFile(filepath.Join(dir, pathOf(ids[0])), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Who opens a file waits until the lease on it is given back. Source: fcntl(2).
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skip("no leases on this file system: ", err)
	}
	within(t, "a read of a slow disk", func() {
		ended := make(chan struct{})
		data, err := c.Get(t.Context(), ids[0], func(ctx context.Context) ([]byte, error) {
			defer close(ended)
			if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
				t.Error(err)
			}
			<-ctx.Done() // nobody wants it any more
			return nil, ctx.Err()
		})
		if err != nil || string(data) != "from the disk" {
			t.Errorf("got %q, %v", data, err)
		}
		<-ended
	})
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestCloseWhileDiskHangs: Close does not wait for the disk, and what the disk gives later does no harm.
func TestCloseWhileDiskHangs(t *testing.T) {
	var log bytes.Buffer
	c, dir, ids := keeping(t, slog.New(slog.NewTextHandler(&log, nil)))
	release := hang(t, filepath.Join(dir, pathOf(ids[0])))
	within(t, "a read", func() {
		if data, err := c.Get(t.Context(), ids[0], fromNodes); err != nil || string(data) != "from the nodes" {
			t.Errorf("got %q, %v", data, err)
		}
	})
	within(t, "Close", func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if n := strings.Count(log.String(), "disk does not answer"); n != 2 {
		t.Errorf("%d lines about the disk, want one of a read and one of Close: %s", n, log.String())
	}
	left := len(c.loaders.left)
	until(t, "the loader ends", func() bool {
		release()
		return len(c.loaders.left) == left+1
	})
	if _, err := os.Lstat(filepath.Join(dir, pathOf(ids[0]))); err != nil {
		t.Errorf("a file of a closed cache: %v", err)
	}
}

package index_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/index"
)

var ctx = context.Background()

// File types in st_mode. Source: inode(7).
const (
	dirMode     = 0o040755
	fileMode    = 0o100644
	symlinkMode = 0o120777
)

// clock gives ascending times, a microsecond apart.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Unix(0, 1_700_000_000_000_000_000+c.ns.Add(1000))
}

// open opens a fresh index with a drive, which is closed at the end of the test.
func open(t testing.TB) *index.DB {
	t.Helper()
	return openAt(t, new(clock).now)
}

// openAt is open by another clock.
func openAt(t testing.TB, now func() time.Time) *index.DB {
	t.Helper()
	db, err := index.Open(ctx, index.Config{Path: filepath.Join(t.TempDir(), "index"), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !errors.Is(err, index.ErrClosed) {
			t.Error(err)
		}
	})
	if err := db.Init(ctx, index.Drive{ID: [16]byte{1}, Writer: [16]byte{2}}); err != nil {
		t.Fatal(err)
	}
	return db
}

// must returns v, and ends the test if err is not nil.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("%+v", err))
	}
	return v
}

func create(t testing.TB, db *index.DB, parent index.Ino, name string, mode uint32) index.Attr {
	t.Helper()
	r := index.CreateRequest{Parent: parent, Name: []byte(name), Mode: mode, UID: 1000, GID: 100}
	if mode == symlinkMode {
		r.Target = []byte("target of " + name)
	}
	a, err := db.Create(ctx, r)
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	return a
}

// segment returns what a commit says of the segment with a number.
func segment(number uint64) index.SegmentRow {
	s := index.SegmentRow{Number: number, Parts: 1, Size: 1 << 20}
	s.Blob = blob(number)
	s.Header[0] = byte(number)
	return s
}

func blob(number uint64) walrus.BlobID {
	return walrus.BlobID{byte(number), byte(number >> 8), 0xb1}
}

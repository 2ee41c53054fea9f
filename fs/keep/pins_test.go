package keep_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// TestPinsRest looks for pinned files again and again while one cannot be had, and not at
// all while nothing changes.
func TestPinsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := index.Open(t.Context(), index.Config{Path: filepath.Join(t.TempDir(), "index.db")})
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(err)
		defer func() { must(db.Close()) }()
		must(db.Init(t.Context(), index.Drive{ID: [16]byte{1}, Writer: [16]byte{2}}))
		must(db.SetPin(t.Context(), published(t, db), true))
		asked, away := 0, errors.New("nodes are away")
		pins := keep.NewPins(keep.PinsConfig{Index: db, Hold: func(context.Context, index.Ino) error {
			asked++
			return away
		}})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- pins.Run(ctx) }()
		after := func(d time.Duration, least, most int) {
			t.Helper()
			asked = 0
			time.Sleep(d)
			synctest.Wait()
			if asked < least || asked > most {
				t.Errorf("asked for %d times in %s, want %d to %d", asked, d, least, most)
			}
		}
		after(10*time.Minute, 5, 11)
		away = nil
		after(10*time.Minute, 1, 2)
		after(time.Hour, 0, 0)
		_, err = db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte("another"), Mode: 0o100644})
		must(err)
		after(10*time.Minute, 1, 2)
		after(time.Hour, 0, 0)
		pins.Wake()
		after(time.Second, 1, 1)
		stop()
		must(<-done)
	})
}

// published makes a file that is stored and not here.
func published(t *testing.T, db *index.DB) index.Ino {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	attr, err := db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte("file"), Mode: 0o100644})
	must(err)
	must(db.Queue(ctx, attr.Ino, index.Queued{Size: 5}))
	number, err := db.NextSegment(ctx)
	must(err)
	packed := []index.Packed{{Ino: attr.Ino, Version: attr.Version, Size: 5, Ops: []index.Op{{Len: 5, Segment: number}}}}
	trailer, err := db.CutTrailer(ctx, packed)
	must(err)
	must(db.CommitSegments(ctx, index.Commit{Trailer: trailer, Packed: packed, Segments: []index.SegmentRow{{
		Number: number, Generation: number, Parts: 1, Blob: walrus.BlobID{1}, Size: 1000, Stage: walrus.Encoded, PackedAt: time.Now(),
	}}}))
	return attr.Ino
}

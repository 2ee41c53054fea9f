package keep_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// TestRestoreAtWhileCollecting restores older generations while the drive collects all that
// it may, without a grace period. What was collected is told as that; what is restored is
// what was there then.
func TestRestoreAtWhileCollecting(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := newLive(t, 256<<10)
	for range 10 {
		l.change()
	}
	collector := keep.NewCollector(keep.CollectConfig{Index: l.db, Ledger: l.world.ledger, Blobs: l.blobs, Keys: l.keys, Committer: l.c})
	none := time.Duration(0)
	var wait sync.WaitGroup
	wait.Go(func() {
		for range 4 {
			if _, err := collector.Collect(ctx, keep.CollectOptions{Grace: &none, Compact: true, Asked: true}); err != nil {
				t.Error(err)
			}
		}
	})
	restored, collected, dirs := 0, 0, map[string]moment{}
	for _, m := range l.moments {
		dir := t.TempDir()
		report, err := l.restore(dir, func(cfg *keep.RestoreConfig) {
			cfg.ReadOnly, cfg.At, cfg.Verify = true, keep.At{Generation: m.generation}, true
		})
		switch {
		case errors.Is(err, keep.ErrCollected), errors.Is(err, keep.ErrNoGeneration), errors.Is(err, blobstore.ErrUnavailable), errors.Is(err, index.ErrTrailer):
			collected++
		case err != nil:
			t.Errorf("generation %d: %v", m.generation, err)
		case report.LostIn > 0 || len(report.Problems) > 0 || len(report.Passed) > 0:
			collected++ // it is told, and what cannot be read gives errors
		default:
			restored++
			dirs[dir] = m
			if report.Generation != m.generation {
				t.Errorf("restored generation %d, want %d", report.Generation, m.generation)
			}
		}
	}
	wait.Wait()
	for dir, m := range dirs {
		l.neverWrong(dir, m.files)
	}
	t.Logf("%d restored, %d collected", restored, collected)
	last := l.moments[len(l.moments)-1]
	l.restoreLive(moment{l.newest(), last.time, last.files}, readOnly)
}

// neverWrong reads what was restored: bytes that were written, or an error.
func (l *live) neverWrong(dir string, want map[string][]byte) {
	l.Helper()
	ctx := context.Background()
	db, err := index.Open(ctx, index.Config{Path: filepath.Join(dir, "index.db")})
	l.must(err)
	defer func() { l.must(db.Close()) }()
	for name, content := range want {
		attr, err := db.Lookup(ctx, index.Root, []byte(name))
		l.must(err)
		extents, err := db.Extents(ctx, attr.Ino, 0, -1)
		l.must(err)
		for _, x := range extents {
			opener, err := l.keys.Open(x.Header, x.SealedSize)
			l.must(err)
			got := make([]byte, x.Len)
			n, _ := opener.ReadAt(ctx, func(ctx context.Context, p []byte, off int64) (int, error) {
				return l.blobs.ReadAt(ctx, x.Blob, p, off)
			}, got, x.Pos)
			if !bytes.Equal(got[:n], content[x.Off:x.Off+int64(n)]) || attr.Size != int64(len(content)) {
				l.Errorf("%s: %d bytes at %d are not what was written", name, n, x.Off)
			}
		}
	}
}

// newest returns the generation that the anchor names.
func (l *live) newest() uint64 {
	l.Helper()
	state, err := l.db.Anchored(context.Background())
	l.must(err)
	return state.Anchor.Generation
}

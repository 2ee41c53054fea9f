package keep_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// moment is a drive as it was once.
type moment struct {
	generation uint64
	time       time.Time
	files      map[string][]byte
}

// live is a drive in which files come, change and go.
type live struct {
	*machine
	rng     *rand.Rand
	files   map[string][]byte
	moments []moment
}

func newLive(t *testing.T, fullAfter int64) *live {
	w := newWorld(t)
	w.fullAfter = fullAfter
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return &live{machine: w.machine(t.TempDir()), rng: rand.New(rand.NewPCG(seed, 1)), files: map[string][]byte{}}
}

// change makes, rewrites, renames or deletes a file, and drains.
func (l *live) change() {
	l.Helper()
	ctx := context.Background()
	name := fmt.Sprintf("f%d", l.rng.IntN(6))
	fresh := content(byte(l.rng.IntN(256)), 1+l.rng.IntN(40_000))
	switch old := l.files[name]; {
	case old == nil:
		l.put(name, fresh)
		l.files[name] = fresh
	case l.rng.IntN(4) == 0:
		_, err := l.db.Unlink(ctx, index.Root, []byte(name))
		l.must(err)
		delete(l.files, name)
		l.c.Wake()
	case l.rng.IntN(3) == 0:
		to := fmt.Sprintf("f%d", l.rng.IntN(6))
		_, err := l.db.Rename(ctx, index.RenameRequest{OldParent: index.Root, OldName: []byte(name), NewParent: index.Root, NewName: []byte(to)})
		l.must(err)
		delete(l.files, name)
		l.files[to] = old
		l.c.Wake()
	default:
		l.files[name] = l.rewrite(name, old, fresh)
	}
	l.reap()
	l.drain()
	s, err := l.c.Status(ctx)
	l.must(err)
	l.moments = append(l.moments, moment{s.Generation, time.Now(), maps.Clone(l.files)})
}

// reap lets go of files that have no name any more.
func (l *live) reap() {
	l.Helper()
	ctx := context.Background()
	orphans, err := l.db.Orphans(ctx)
	l.must(err)
	for _, ino := range orphans {
		_, err := l.db.Reap(ctx, ino)
		l.must(err)
	}
}

// rewrite writes over the begin of a file.
func (l *live) rewrite(name string, old, fresh []byte) []byte {
	l.Helper()
	ctx := context.Background()
	attr, err := l.db.Lookup(ctx, index.Root, []byte(name))
	l.must(err)
	f, err := l.stage.File(ctx, attr.Ino, staging.Shape{Size: attr.Size, Base: attr.PubSize, Under: attr.PubVersion})
	l.must(err)
	defer f.Release()
	_, err = f.WriteAt(ctx, fresh, 0, func(_ context.Context, p []byte, off int64) error {
		clear(p)
		copy(p, old[off:])
		return nil
	})
	l.must(err)
	l.must(l.db.Queue(ctx, attr.Ino, index.Queued{Size: f.Size(), Mtime: f.Mtime()}))
	l.c.Wake()
	now := bytes.Clone(old)
	return append(fresh, now[min(len(fresh), len(now)):]...)
}

// wants compares a restored index with what the drive was.
func (l *live) wants(dir string, want map[string][]byte) {
	l.Helper()
	ctx := context.Background()
	db, err := index.Open(ctx, index.Config{Path: filepath.Join(dir, "index.db")})
	l.must(err)
	defer func() { l.must(db.Close()) }()
	problems, err := db.Check(ctx)
	l.must(err)
	if len(problems) > 0 {
		l.Errorf("not sound: %q", problems)
	}
	list, err := db.ReadDir(ctx, index.Root, 0, 100)
	l.must(err)
	list = slices.DeleteFunc(list, func(e index.Entry) bool { return string(e.Name) == index.LostFolder })
	if len(list) != len(want) {
		l.Errorf("%d files, want %d", len(list), len(want))
	}
	for _, e := range list {
		extents, err := db.Extents(ctx, e.Attr.Ino, 0, -1)
		l.must(err)
		got := make([]byte, e.Attr.Size)
		for _, x := range extents {
			opener, err := l.keys.Open(x.Header, x.SealedSize)
			l.must(err)
			source := func(ctx context.Context, p []byte, off int64) (int, error) {
				return l.blobs.ReadAt(ctx, x.Blob, p, off)
			}
			if _, err := opener.ReadAt(ctx, source, got[x.Off:x.Off+x.Len], x.Pos); err != nil && !errors.Is(err, io.EOF) {
				l.Fatalf("%s: %v", e.Name, err)
			}
		}
		if w, ok := want[string(e.Name)]; !ok || !bytes.Equal(got, w) {
			l.Errorf("%s: %d bytes that differ from the %d that were written", e.Name, len(got), len(w))
		}
	}
}

// TestRestoreFromFull restores from the newest full snapshot and the trailers
// since, and goes on; and from each older generation.
func TestRestoreFromFull(t *testing.T) {
	t.Parallel()
	l := newLive(t, 3*256<<10) // after three trailers
	for range 16 {
		l.change()
	}
	state, err := l.db.Anchored(context.Background())
	l.must(err)
	if state.Anchor.Snapshot == nil {
		t.Fatal("the anchor names no full snapshot")
	}
	dir := t.TempDir()
	report, err := l.restore(dir, func(cfg *keep.RestoreConfig) { cfg.ReadOnly = true })
	l.must(err)
	last := l.moments[len(l.moments)-1]
	if report.Generation != last.generation || report.Generations > 6 || len(report.Problems) > 0 {
		t.Errorf("read %d generations up to %d, want at most 6 up to %d: %q", report.Generations, report.Generation, last.generation, report.Problems)
	}
	l.wants(dir, last.files)

	for i, m := range l.moments {
		ways := []keep.At{{Generation: m.generation}, {Time: m.time}}
		if os.Getenv("WALFS_SOAK") == "" {
			ways = ways[i%2:][:1] // in turn
		}
		for _, at := range ways {
			dir := t.TempDir()
			report, err := l.restore(dir, func(cfg *keep.RestoreConfig) { cfg.ReadOnly, cfg.At = true, at })
			l.must(err)
			if report.Generation != m.generation || report.Time.After(m.time) {
				t.Errorf("restored generation %d of %v, want %d of %v", report.Generation, report.Time, m.generation, m.time)
			}
			l.wants(dir, m.files)
		}
	}
	_, err = l.restore(t.TempDir(), func(cfg *keep.RestoreConfig) { cfg.ReadOnly, cfg.At = true, keep.At{Time: time.Unix(1, 0)} })
	if !errors.Is(err, keep.ErrNoGeneration) {
		t.Errorf("before there was a drive: %v", err)
	}

	// The drive goes on elsewhere, with snapshots that name segments of both machines.
	dir = t.TempDir()
	_, err = l.restore(dir, nil)
	l.must(err)
	moved := &live{machine: l.machine.machine(dir), rng: l.rng, files: l.files}
	for range 8 {
		moved.change()
	}
	dir = t.TempDir()
	_, err = l.restore(dir, nil)
	l.must(err)
	moved.wants(dir, moved.files)
}

// TestReadOnlyRestore: what was restored to be read does not write the drive.
func TestReadOnlyRestore(t *testing.T) {
	t.Parallel()
	l := newLive(t, 1)
	for range 4 {
		l.change()
	}
	for _, at := range []keep.At{{}, {Generation: l.moments[1].generation}} {
		dir := t.TempDir()
		_, err := l.restore(dir, func(cfg *keep.RestoreConfig) { cfg.ReadOnly, cfg.At = true, at })
		l.must(err)
		reader := l.machine.machine(dir)
		reader.put("mine", content(1, 100))
		if err := reader.c.Drain(context.Background(), nil); !errors.Is(err, commit.ErrTakenOver) {
			t.Errorf("at %+v it writes: %v", at, err)
		}
	}
	l.change() // the writer is still the writer
}

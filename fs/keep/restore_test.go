package keep_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// restore rebuilds the index in dir.
func (w *world) restore(dir string, change func(*keep.RestoreConfig)) (keep.Report, error) {
	w.Helper()
	blobs := w.client(nil)
	defer func() { w.must(blobs.Close()) }()
	cfg := keep.RestoreConfig{
		Ledger: w.ledger, Blobs: blobs, Keys: w.keys, Path: filepath.Join(dir, "index.db"),
	}
	if change != nil {
		change(&cfg)
	}
	return keep.Restore(context.Background(), cfg)
}

// A drive goes on where it was, on another machine, and its old one stops.
func TestRestoreTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.machine(t.TempDir())
	a, b := content(1, 10_000), content(2, 2_000_000)
	before.put("a", a)
	before.drain()
	last := before.put("b", b)
	before.drain()

	dir := t.TempDir()
	report, err := w.restore(dir, nil)
	w.must(err)
	if report.Drive != id || report.Generation == 0 || report.Generations < 2 || report.Inodes != 3 || report.Bytes != 2_010_000 || len(report.Problems) > 0 {
		t.Errorf("report: %+v", report)
	}
	after := w.machine(dir)
	after.same("a", a)
	after.same("b", b)
	if ino := after.put("c", content(3, 5000)); ino <= last {
		t.Errorf("inode %d was used before", ino)
	}
	after.drain()
	after.same("c", content(3, 5000))

	before.put("d", content(4, 100))
	if err := before.c.Drain(context.Background(), nil); !errors.Is(err, commit.ErrTakenOver) {
		t.Errorf("the machine before still commits: %v", err)
	}
	// And once more, now that two machines wrote the chain of trailers.
	third := t.TempDir()
	_, err = w.restore(third, nil)
	w.must(err)
	again := w.machine(third)
	again.same("b", b)
	again.same("c", content(3, 5000))
	if _, err := again.db.Lookup(context.Background(), index.Root, []byte("d")); !errors.Is(err, index.ErrNotExist) {
		t.Errorf("what the stopped machine wrote is there: %v", err)
	}
}

// A reader leaves the drive to its writer.
func TestRestoreReadOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	m.put("a", content(1, 1000))
	m.drain()
	_, err := w.restore(t.TempDir(), func(cfg *keep.RestoreConfig) { cfg.ReadOnly = true })
	w.must(err)
	m.put("b", content(2, 1000))
	m.drain()
}

func TestRestoreEmptyDrive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.machine(t.TempDir())
	dir := t.TempDir()
	report, err := w.restore(dir, nil)
	w.must(err)
	if report.Inodes != 1 || len(report.Problems) > 0 {
		t.Errorf("report: %+v", report)
	}
	m := w.machine(dir)
	m.put("a", content(1, 1000))
	m.drain()
	m.same("a", content(1, 1000))
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	m.put("a", content(1, 1000))
	m.drain()
	for _, c := range []struct {
		name   string
		change func(*keep.RestoreConfig)
		want   error
	}{
		{"another key", func(cfg *keep.RestoreConfig) { cfg.Keys = seal.NewKeyring(1, seal.Key{8}) }, keep.ErrNoAnchor},
		{"another drive", func(cfg *keep.RestoreConfig) { cfg.Drive = [16]byte{9} }, keep.ErrNoAnchor},
		{"another wallet", func(cfg *keep.RestoreConfig) { _, cfg.Ledger = w.owner(9) }, keep.ErrNoAnchor},
		{"an index is there", func(cfg *keep.RestoreConfig) { w.must(os.WriteFile(cfg.Path, nil, 0o600)) }, index.ErrExist},
	} {
		dir := t.TempDir()
		if _, err := w.restore(dir, c.change); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) > 1 {
			t.Errorf("%s: left %v, %v", c.name, list, err)
		}
	}
	m.put("b", content(2, 1000))
	m.drain() // nothing was taken over
}

// What an earlier index left in staging belongs to no version and goes to lost+found.
func TestRestoreShelvesStaging(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	m.put("a", content(1, 1000))
	m.drain()
	dir := t.TempDir()
	stage, err := staging.Open(staging.Config{Dir: filepath.Join(dir, "staging"), NoSync: true})
	w.must(err)
	const stray = index.Ino(70_000)
	f, err := stage.File(context.Background(), stray, staging.Shape{Version: 1})
	w.must(err)
	_, err = f.WriteAt(context.Background(), content(5, 100), 0, nil)
	w.must(err)
	f.Release()
	_, err = w.restore(dir, func(cfg *keep.RestoreConfig) { cfg.Staging = stage })
	w.must(err)
	if stage.Has(stray) {
		t.Errorf("the stray file is still in use")
	}
	if list, err := os.ReadDir(filepath.Join(dir, "staging", "lost+found")); err != nil || len(list) == 0 {
		t.Errorf("lost+found has %v, %v", list, err)
	}
	w.must(stage.Close())
	if ino := w.machine(dir).put("b", nil); ino <= stray {
		t.Errorf("inode %d is not above the stray one", ino)
	}
}

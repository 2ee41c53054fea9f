package keep_test

import (
	"context"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// hide moves what all nodes have of a blob away, lets them notice it, and returns what puts it back.
func (w *world) hide(blob walrus.BlobID) (back func()) {
	w.Helper()
	var moved []string
	w.must(filepath.WalkDir(w.dir, func(path string, de fs.DirEntry, err error) error {
		if err == nil && de.Name() == hex.EncodeToString(blob[:]) {
			moved = append(moved, path)
			return os.Rename(path, path+".hidden")
		}
		return err
	}))
	for _, n := range w.net.Up() {
		w.must(n.Survey(context.Background(), node.Marks, walrus.BlobID{}, func(node.Gap) error { return nil }))
	}
	return func() {
		for _, path := range moved {
			w.must(os.Rename(path+".hidden", path))
		}
	}
}

// watch looks once.
func (m *machine) watch(restage func([]index.Ino)) keep.Watched {
	m.Helper()
	blobs := m.client(nil)
	defer func() { m.must(blobs.Close()) }()
	w := keep.NewWatch(keep.WatchConfig{
		Index: m.db, Ledger: m.world.ledger, Blobs: blobs, Keys: m.keys, Committer: m.c, Nodes: m.net.Up,
		Restage: func(_ context.Context, files []index.Ino) error {
			restage(files)
			return nil
		},
	})
	done, err := w.Look(context.Background())
	m.must(err)
	return done
}

// TestWatch: a generation that the nodes have lost is made superfluous while the
// index still knows all of it, what was in it is told, and found again when it is back.
func TestWatch(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	w.fullAfter = 1 << 30
	m := w.machine(t.TempDir())
	m.put("below", content(1, 1000))
	m.drain()
	inside := m.put("inside", content(2, 1000))
	m.drain()
	hole := m.head()
	m.put("above", content(3, 1000))
	m.drain()
	var restaged []index.Ino
	restage := func(files []index.Ino) { restaged = files }
	if done := m.watch(restage); done != (keep.Watched{}) || restaged != nil {
		t.Errorf("nothing is wrong: %+v, %v", done, restaged)
	}
	back := w.hide(hole.Blob)
	if done := m.watch(restage); done != (keep.Watched{Lost: 1, Snapshot: true}) || !slices.Equal(restaged, []index.Ino{inside}) {
		t.Errorf("a blob is lost: %+v, %v", done, restaged)
	}
	lost, n, err := keep.LostFiles(ctx, m.db)
	w.must(err)
	if n != 1 || lost[0].Path != "/inside" {
		t.Errorf("lost: %+v", lost)
	}
	if done := m.watch(restage); done != (keep.Watched{Lost: 1}) {
		t.Errorf("it is lost still: %+v", done)
	}
	dir := t.TempDir()
	report, err := w.restore(dir, func(cfg *keep.RestoreConfig) { cfg.ReadOnly, cfg.Verify = true, true })
	w.must(err)
	if len(report.Passed) > 0 || report.LostIn != 1 || report.Inodes != 4 {
		t.Errorf("restored: %+v", report)
	}
	w.machine(dir).same("above", content(3, 1000))

	back()
	if done := m.watch(restage); done.Found != 1 {
		t.Errorf("it is back: %+v", done)
	}
	if _, n, err = keep.LostFiles(ctx, m.db); err != nil || n != 0 {
		t.Errorf("%d files are lost: %v", n, err)
	}
	state, err := m.db.State(ctx, inside)
	w.must(err)
	if state.State != index.StateCertified {
		t.Errorf("the file is %s", state.State)
	}
}

// TestWatchLess: nodes that are down, or one that was wiped, are no reason to do anything.
func TestWatchLess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine(t.TempDir())
	m.put("a", content(1, 1000))
	m.drain()
	healing := m.client(nil)
	defer func() { w.must(healing.Close()) }()
	w.stored(blobstore.NewHealer(blobstore.HealerConfig{Client: healing, Nodes: w.net.Up}), 1)
	blob := m.head().Blob
	name := hex.EncodeToString(blob[:])
	files, err := filepath.Glob(filepath.Join(w.dir, "nodes", "*", "blobs", name[:2], name))
	w.must(err)
	if len(files) != 4 {
		t.Fatalf("node files %q", files)
	}
	w.must(os.Remove(files[0]))
	for _, n := range w.net.Up() {
		w.must(n.Survey(context.Background(), node.Marks, walrus.BlobID{}, func(node.Gap) error { return nil }))
	}
	never := func([]index.Ino) { t.Error("something is stored anew") }
	if done := m.watch(never); done != (keep.Watched{}) {
		t.Errorf("one node was wiped: %+v", done)
	}
	w.stop()
	if done := m.watch(never); done.Snapshot || done.Lost > 0 {
		t.Errorf("nodes are down: %+v", done)
	}
	w.start()
}

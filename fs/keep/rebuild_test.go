package keep_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// broken is the state folder of a machine as kill -9 left it.
type broken struct {
	*world
	dir string
}

// kill copies the state folder of a machine as it is.
func (m *machine) kill() *broken {
	m.Helper()
	dir := m.TempDir()
	m.must(os.CopyFS(dir, os.DirFS(m.dir)))
	return &broken{m.world, dir}
}

func (b *broken) path() string { return filepath.Join(b.dir, "index.db") }

// spoil damages a page of the database file that is not in its log, and that no name or file needs.
func (b *broken) spoil() {
	b.Helper()
	dir := b.TempDir() // SQLite changes what it opens
	for _, suffix := range []string{"", "-wal"} {
		file, err := os.ReadFile(b.path() + suffix)
		b.must(err)
		b.must(os.WriteFile(filepath.Join(dir, "index.db"+suffix), file, 0o600))
	}
	db, err := sql.Open("sqlite3", filepath.Join(dir, "index.db"))
	b.must(err)
	var page int64
	b.must(errors.Join(db.QueryRow("SELECT rootpage FROM sqlite_schema WHERE name = 'trash'").Scan(&page), db.Close()))
	f, err := os.OpenFile(b.path(), os.O_RDWR, 0)
	b.must(err)
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, 64), (page-1)*4096)
	b.must(errors.Join(err, f.Close()))
	log, err := os.ReadFile(b.path() + "-wal")
	b.must(err)
	for off := 32; off+24+4096 <= len(log); off += 24 + 4096 {
		if bytes.Equal(log[off+8:off+16], log[16:24]) && int64(binary.BigEndian.Uint32(log[off:])) == page {
			b.Fatal("the page is in the log")
		}
	}
}

// rebuild makes the index anew.
func (b *broken) rebuild(change func(*keep.RebuildConfig)) (keep.Rebuilt, error) {
	b.Helper()
	dir, err := staging.Open(staging.Config{Dir: filepath.Join(b.dir, "staging"), NoSync: true})
	b.must(err)
	defer dir.Close()
	blobs := b.client(nil)
	defer blobs.Close()
	cfg := keep.RebuildConfig{
		Restore: keep.RestoreConfig{Ledger: b.ledger, Blobs: blobs, Keys: b.keys, Drive: id, Path: b.path(), Staging: dir},
		Backups: filepath.Join(b.dir, "backups"),
	}
	if change != nil {
		change(&cfg)
	}
	return keep.Rebuild(context.Background(), cfg)
}

// scene is a drive with a certified file, a part of which was written since, and
// a file that was never certified.
func scene(t *testing.T) (m *machine, old, newer []byte) {
	w := newWorld(t)
	m = w.machine(t.TempDir())
	l := &live{machine: m}
	old = content(1, 200_000)
	m.put("certified", old)
	m.drain()
	m.must(m.stage.Remove(m.ino("certified")))
	w.stop()
	newer = l.rewrite("certified", old, []byte("newer"))
	m.put("fresh", content(2, 30_000))
	return m, old, newer
}

func (m *machine) ino(name string) index.Ino {
	m.Helper()
	attr, err := m.db.Lookup(context.Background(), index.Root, []byte(name))
	m.must(err)
	return attr.Ino
}

// stop takes so many nodes down that nothing can be stored, but all be read.
func (w *world) stop() {
	w.Helper()
	for _, n := range w.net.Nodes()[:2] {
		w.must(w.net.Stop(n.Name))
	}
}

func (w *world) start() {
	w.Helper()
	for _, n := range w.net.Nodes()[:2] {
		w.must(w.net.Start(context.Background(), n.Name))
	}
}

// TestRebuild makes a damaged index anew from the network, and keeps what was not certified.
func TestRebuild(t *testing.T) {
	t.Parallel()
	m, _, newer := scene(t)
	b := m.kill()
	b.spoil()
	if _, err := index.Open(context.Background(), index.Config{Path: b.path()}); !errors.Is(err, index.ErrCorrupt) {
		t.Fatalf("the damaged index: %v", err)
	}
	r, err := b.rebuild(nil)
	b.must(err)
	if r.Newer != 1 || r.Placed != 1 || len(r.Shelved) != 0 || r.Backup != "" {
		t.Errorf("rebuilt %+v", r)
	}
	if _, err := os.Stat(filepath.Join(r.Aside, "index.db")); err != nil {
		t.Errorf("the damaged index: %v", err)
	}
	b.start()
	again := b.machine(b.dir)
	again.drain()
	again.same("certified", newer)
	again.same("fresh", content(2, 30_000))
}

// TestRebuildPacked kills a machine that has packed everything and stored nothing of it: what
// the damaged index calls published the new one knows nothing of.
func TestRebuildPacked(t *testing.T) {
	t.Parallel()
	m, _, newer := scene(t)
	m.pack(1)
	fresh := (&live{machine: m}).rewrite("fresh", content(2, 30_000), []byte("again")) // gets a block map
	m.pack(2)
	b := m.kill()
	b.spoil()
	r, err := b.rebuild(nil)
	b.must(err)
	if r.Newer != 1 || r.Placed != 1 || len(r.Shelved) != 0 {
		t.Errorf("rebuilt %+v", r)
	}
	b.start()
	again := b.machine(b.dir)
	again.drain()
	again.same("certified", newer)
	again.same("fresh", fresh)
}

// forget removes all that is left of the index.
func (b *broken) forget() {
	b.Helper()
	left, err := filepath.Glob(b.path() + "*")
	b.must(errors.Join(err, os.RemoveAll(filepath.Join(b.dir, "backups"))))
	for _, path := range left {
		b.must(os.Remove(path))
	}
}

func claimed(cfg *keep.RebuildConfig) { cfg.Claimed = [16]byte{1} }

// TestRebuildFromNothing has neither index nor copy: block maps tell to which version the parts
// of a file belong that are here. What never had a name on the network goes to lost+found.
func TestRebuildFromNothing(t *testing.T) {
	t.Parallel()
	for name, packed := range map[string]bool{"written": false, "packed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, _, newer := scene(t)
			if packed {
				m.pack(1)
			}
			b := m.kill()
			b.forget()
			for _, change := range []func(*keep.RebuildConfig){nil, func(cfg *keep.RebuildConfig) {
				claimed(cfg)
				cfg.Copied = "another copy of it has"
			}} {
				c := &broken{b.world, t.TempDir()}
				b.must(os.CopyFS(c.dir, os.DirFS(b.dir)))
				r, err := c.rebuild(change)
				b.must(err)
				if r.Newer != 0 || len(r.Shelved) != 2 || r.Writer {
					t.Errorf("nobody says that the drive is ours, and it was rebuilt: %+v", r)
				}
			}
			r, err := b.rebuild(claimed)
			b.must(err)
			if r.Newer != 1 || r.Placed != 0 || len(r.Shelved) != 1 || !r.Writer {
				t.Errorf("rebuilt %+v", r)
			}
			b.start()
			again := b.machine(b.dir)
			again.drain()
			again.same("certified", newer)
		})
	}
}

// TestRebuildFromNothingOfOld has the parts of a file that belong to a version which is not
// the one on the network: they are not laid over that.
func TestRebuildFromNothingOfOld(t *testing.T) {
	t.Parallel()
	m, _, newer := scene(t)
	b := m.kill()
	b.start()
	m.drain() // the writer goes on, and this is a copy of its folder of before
	m.must(m.stage.Remove(m.ino("certified")))
	newest := (&live{machine: m}).rewrite("certified", newer, []byte("newest of all"))
	m.drain()
	b.forget()
	r, err := b.rebuild(claimed)
	b.must(err)
	if r.Newer != 0 && len(r.Shelved) != 1 {
		t.Errorf("rebuilt %+v", r)
	}
	b.machine(b.dir).same("certified", newest)
}

// TestRebuildDropsCopies has a clean copy of a part of a file: the network has all of it.
func TestRebuildDropsCopies(t *testing.T) {
	t.Parallel()
	m, _, newer := scene(t)
	m.start()
	m.drain()
	b := m.kill()
	b.forget()
	r, err := b.rebuild(claimed)
	b.must(err)
	if r.Clean != 1 || len(r.Shelved) != 0 {
		t.Errorf("rebuilt %+v", r)
	}
	b.machine(b.dir).same("certified", newer)
}

// TestRebuildTwice loses the index on the day on which it was rebuilt: the copy
// that tells who wrote the drive last is not the one of before.
func TestRebuildTwice(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	m, old, _ := scene(t)
	look := func(m *machine) {
		t.Helper()
		_, err := keep.NewBackups(keep.BackupConfig{Index: m.db, Dir: filepath.Join(m.dir, "backups")}).Look(ctx)
		m.must(err)
	}
	look(m)
	b := m.kill()
	b.spoil()
	_, err := b.rebuild(nil)
	b.must(err)
	b.start()
	again := b.machine(b.dir)
	look(again)
	again.drain()
	newer := (&live{machine: again}).rewrite("certified", nil, old)
	b = again.kill()
	b.must(errors.Join(os.Remove(b.path()), os.Remove(b.path()+"-wal")))
	r, err := b.rebuild(nil)
	b.must(err)
	if !r.Writer || len(r.Shelved) != 0 || r.Newer == 0 {
		t.Errorf("rebuilt %+v", r)
	}
	again = b.machine(b.dir)
	again.drain()
	again.same("certified", newer)
}

// TestRebuildInterrupted ends what a crash left at each step of the exchange.
func TestRebuildInterrupted(t *testing.T) {
	t.Parallel()
	m, _, newer := scene(t)
	b := m.kill()
	b.spoil()
	_, err := b.rebuild(nil)
	b.must(err)
	good, err := os.ReadFile(b.path())
	b.must(err)
	for step := range 3 {
		// As if the process had ended after so many files of the old index had moved.
		path, aside := b.path(), filepath.Join(b.dir, "damaged-9")
		b.must(errors.Join(os.RemoveAll(aside), os.Mkdir(aside, 0o700)))
		b.must(os.WriteFile(path+".new", good, 0o600))
		b.must(os.WriteFile(path+".swap", []byte("damaged-9"), 0o600))
		b.must(os.WriteFile(path, []byte("damaged"), 0o600))
		b.must(os.WriteFile(path+"-wal", []byte("old log"), 0o600))
		if step > 0 {
			b.must(os.Rename(path+"-wal", filepath.Join(aside, "index.db-wal")))
		}
		if step > 1 {
			b.must(os.Rename(path, filepath.Join(aside, "index.db")))
		}
		b.must(keep.FinishRebuild(path))
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, good) {
			t.Errorf("step %d: the new index is not in place: %v", step, err)
		}
		for _, left := range []string{path + ".new", path + ".swap", path + "-wal"} {
			if _, err := os.Stat(left); err == nil {
				t.Errorf("step %d: %s is left", step, left)
			}
		}
		if _, err := os.Stat(filepath.Join(aside, "index.db")); err != nil {
			t.Errorf("step %d: the old one: %v", step, err)
		}
	}
	b.start()
	again := b.machine(b.dir)
	again.drain()
	again.same("certified", newer)
}

// TestRebuildTaken keeps local changes apart when another machine has written the drive since.
func TestRebuildTaken(t *testing.T) {
	t.Parallel()
	m, old, _ := scene(t)
	b := m.kill()
	b.spoil()
	_, err := b.world.machineRestore(t.TempDir())
	b.must(err)
	r, err := b.rebuild(nil)
	b.must(err)
	if r.Newer != 0 || len(r.Shelved) != 1 || r.Writer || r.Before != r.Anchor {
		t.Errorf("rebuilt, and the drive is taken back: %+v", r)
	}
	again := b.machine(b.dir)
	again.same("certified", old)
	if left, err := filepath.Glob(filepath.Join(b.dir, "staging", "lost+found", "*.name")); err != nil || len(left) != 1 {
		t.Errorf("names in lost+found: %q, %v", left, err)
	}
}

// machineRestore restores the drive on another machine, which becomes its writer.
func (w *world) machineRestore(dir string) (keep.Report, error) {
	w.Helper()
	blobs := w.client(nil)
	defer blobs.Close()
	return keep.Restore(context.Background(), keep.RestoreConfig{
		Ledger: w.ledger, Blobs: blobs, Keys: w.keys, Drive: id, Path: filepath.Join(dir, "index.db"),
	})
}

// TestRebuildOffline makes the index of a copy when there is no network: to be read only,
// until it is made anew from the network.
func TestRebuildOffline(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	m, _, newer := scene(t)
	backups := keep.NewBackups(keep.BackupConfig{Index: m.db, Dir: filepath.Join(m.dir, "backups")})
	_, err := backups.Look(ctx)
	m.must(err)
	b := m.kill()
	b.spoil()
	away := errors.New("no network")
	r, err := b.rebuild(func(cfg *keep.RebuildConfig) { cfg.Network = away })
	b.must(err)
	if r.Backup == "" || !errors.Is(r.Reason, away) {
		t.Errorf("rebuilt %+v", r)
	}
	db, err := index.Open(ctx, index.Config{Path: b.path()})
	b.must(err)
	anchor, err := db.Anchored(ctx)
	if err != nil || anchor.Version != 0 {
		t.Errorf("the anchor would be written: %+v, %v", anchor, err)
	}
	fresh, err := db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte("offline"), Mode: 0o100600})
	b.must(err)
	if fresh.Ino < 1<<32 {
		t.Errorf("inode %d may be in use on the network", fresh.Ino)
	}
	b.must(db.Close())
	r, err = b.rebuild(nil)
	b.must(err)
	if r.Backup != "" || r.Newer != 1 {
		t.Errorf("rebuilt %+v", r)
	}
	b.start()
	again := b.machine(b.dir)
	again.drain()
	again.same("certified", newer)
}

package integration

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// onDisk returns the bytes of slivers that all nodes keep, and the number of files.
func (d *drive) onDisk() (files int, size int64) {
	d.t.Helper()
	root := filepath.Join(d.home, "network", "nodes")
	must(d.t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // removed meanwhile
		}
		if err != nil || e.IsDir() || filepath.Base(filepath.Dir(filepath.Dir(path))) != "blobs" {
			return err
		}
		if info, err := e.Info(); err == nil {
			files++
			size += info.Size()
		}
		return nil
	}))
	return files, size
}

// TestCollect deletes most of a drive: what nothing needs goes from the nodes'
// disks, with a node down, and comes back by no healing; compaction runs while
// files are rewritten, renamed and deleted. All else is there after a restart
// and after a restore.
func TestCollect(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.env = []string{"WALFS_TRASH_RETENTION=0"} // the trash keeps what it refers to
	d.mount()
	for i := range 30 {
		writeRandom(t, d.path(fmt.Sprintf("f%02d", i)), 700_000, uint64(i))
	}
	must(t, os.Mkdir(d.path("tree"), 0o755))
	makeTree(t, d.path("tree"), 100, 1)
	d.sync()
	d.untilStored()
	_, before := d.onDisk()
	for i := range 30 {
		if i%6 != 0 {
			must(t, os.Remove(d.path(fmt.Sprintf("f%02d", i))))
		}
	}
	d.sync()
	if _, stderr, code := d.run("gc", "--grace", "0s"); code != 2 {
		t.Fatalf("history was given up without being asked: exit %d, %s", code, stderr)
	}
	d.mustRun("gc")
	if _, now := d.onDisk(); now < before {
		t.Errorf("%d bytes on the nodes within the grace period, before %d", now, before)
	}
	d.mustRun("node", "stop", "node-07")
	d.mustRun("gc", "--grace", "0s", "--yes")

	w := startChurn(t, d)
	for range 3 {
		d.mustRun("gc", "--grace", "0s", "--yes", "--compact")
	}
	w.stop()
	d.sync()
	d.mustRun("gc", "--grace", "0s", "--yes", "--compact")
	d.mustRun("node", "start", "node-07")
	d.untilHealed("node-07")
	for _, n := range d.status().Nodes {
		d.mustRun("node", "scrub", n.Name)
		d.untilHealed(n.Name)
	}
	var files int
	var now int64
	waitFor(t, "the nodes to remove what was deleted", func() bool {
		files, now = d.onDisk()
		s := d.status()
		return now < before/2 && files == s.Blobs*len(s.Nodes)
	})
	t.Logf("%d bytes before, %d after, in %d files", before, now, files)
	if s := d.status(); len(s.Problems) > 0 {
		t.Errorf("problems: %q", s.Problems)
	}
	want := readTree(t, d.mnt)
	d.umount()
	d.forgetLocal()
	d.mount()
	diffTrees(t, "after a restart", want, readTree(t, d.mnt))
	w.check(d.mnt)
	d.umount()
	r := d.restoreCopy()
	r.mount()
	diffTrees(t, "restored", want, readTree(t, r.mnt))
	if s := r.status(); len(s.Problems) > 0 {
		t.Errorf("problems of the restored drive: %q", s.Problems)
	}
	r.mustRun("gc", "--grace", "0s", "--yes", "--compact")
	r.umount()
	r.forgetLocal()
	r.mount()
	diffTrees(t, "restored and collected", want, readTree(t, r.mnt))
	r.umount()
}

// churn rewrites, renames and deletes files.
type churn struct {
	t    *testing.T
	d    *drive
	quit chan struct{}
	done chan error
	want map[string][]byte // content of the files that it made or changed
}

func startChurn(t *testing.T, d *drive) *churn {
	w := &churn{t: t, d: d, quit: make(chan struct{}), done: make(chan error, 1), want: map[string][]byte{}}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	go func() { w.done <- w.run(rand.New(rand.NewPCG(seed, 1))) }()
	t.Cleanup(w.stop)
	return w
}

func (w *churn) run(rng *rand.Rand) error {
	for n := 0; ; n++ {
		select {
		case <-w.quit:
			return nil
		case <-time.After(20 * time.Millisecond):
		}
		name := fmt.Sprintf("f%02d", rng.IntN(5)*6)
		path := w.d.path(name)
		switch rng.IntN(5) {
		case 0: // overwrite a part
			body, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			p := bytes.Repeat([]byte{byte(n)}, 5000)
			off := rng.IntN(max(1, len(body)))
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt(p, int64(off))
			if err = firstOf(err, f.Close()); err != nil {
				return err
			}
			w.want[name] = append(body[:off:off], append(p, body[min(len(body), off+len(p)):]...)...)
		case 1: // rename over another, or to a new name
			to := fmt.Sprintf("f%02d", rng.IntN(8)*6)
			body, err := os.ReadFile(path)
			if err != nil || to == name {
				continue
			}
			if err := os.Rename(path, w.d.path(to)); err != nil {
				return err
			}
			delete(w.want, name)
			w.want[to] = body
		case 2:
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				return err
			}
			delete(w.want, name)
		default:
			body := make([]byte, 100_000+rng.IntN(400_000))
			for i := range body {
				body[i] = byte(rng.Uint32())
			}
			if err := os.WriteFile(path, body, 0o644); err != nil {
				return err
			}
			w.want[name] = body
		}
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *churn) stop() {
	select {
	case <-w.quit:
		return
	default:
	}
	close(w.quit)
	if err := <-w.done; err != nil {
		w.t.Error(err)
	}
}

// check compares the files with what was written.
func (w *churn) check(dir string) {
	w.t.Helper()
	for name, body := range w.want {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, body) {
			w.t.Errorf("%s: %d bytes, want %d, %v", name, len(got), len(body), err)
		}
	}
}

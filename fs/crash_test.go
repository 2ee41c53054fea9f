package fs_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestKill kills the serving process under load, again and again. Every write
// that was answered is there afterwards, and every file that was renamed over
// another one is one of both, whole.
func TestKill(t *testing.T) {
	for _, pass := range []string{"", "off"} { // as root has it, and as other users do
		t.Run("passthrough "+pass, func(t *testing.T) { testKill(t, "WALFS_TEST_PASS="+pass) })
	}
}

func testKill(t *testing.T, pass string) {
	rounds := 3
	if os.Getenv("WALFS_SOAK") != "" {
		rounds = 200
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	d := newDrive(t, pass)
	for round := range rounds {
		w := &writers{t: t, d: d, round: round, stop: make(chan struct{})}
		var group sync.WaitGroup
		for i := range 4 {
			group.Go(func() { w.appendAndSync(i) })
			group.Go(func() { w.saveByRename(i) })
		}
		for deadline := time.Now().Add(time.Duration(50+rng.IntN(400)) * time.Millisecond); time.Now().Before(deadline); {
			if rng.IntN(3) == 0 {
				d.do("publish")
				d.do("certify")
			}
			d.do("check")
		}
		if err := d.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = d.cmd.Wait() // killed
		close(w.stop)
		group.Wait()
		d.detach()
		d.mount()
		w.verify()
		if problems := d.do("check"); problems != "" {
			t.Error(problems)
		}
		if t.Failed() {
			return
		}
	}
}

// writers are programs that write until the mount dies.
type writers struct {
	t     *testing.T
	d     *drive
	round int
	stop  chan struct{}
	mu    sync.Mutex
	wrote map[string]int // bytes answered for, or the version renamed last
}

func (w *writers) note(path string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrote == nil {
		w.wrote = map[string]int{}
	}
	w.wrote[path] = n
}

func (w *writers) stopped() bool {
	select {
	case <-w.stop:
		return true
	default:
		return false
	}
}

func (w *writers) appendAndSync(i int) {
	path := w.d.path(fmt.Sprintf("append-%d-%d", w.round, i))
	f, err := os.Create(path)
	if err != nil {
		return
	}
	defer f.Close()
	want := content(uint64(i), 1<<20)
	for off := 0; off < len(want) && !w.stopped(); {
		n := min(len(want)-off, 1+off%9000)
		if _, err := f.WriteAt(want[off:off+n], int64(off)); err != nil {
			return
		}
		off += n
		w.note(path, off)
		if i%2 == 0 && f.Sync() != nil {
			return
		}
	}
}

func (w *writers) saveByRename(i int) {
	path := w.d.path(fmt.Sprintf("save-%d-%d", w.round, i))
	for v := 1; v < 250 && !w.stopped(); v++ {
		if os.WriteFile(path+".tmp", saved(i, v), 0o644) != nil || os.Rename(path+".tmp", path) != nil {
			return
		}
		w.note(path, v)
	}
}

// saved is version v of a file that is saved by rename.
func saved(i, v int) []byte { return bytes.Repeat([]byte{byte(v)}, 500+(i*997+v*4099)%20000) }

func (w *writers) verify() {
	for path, n := range w.wrote {
		got, err := os.ReadFile(path)
		if err != nil {
			w.t.Errorf("%s: %v", filepath.Base(path), err)
			continue
		}
		var i, round int
		if _, err := fmt.Sscanf(filepath.Base(path), "append-%d-%d", &round, &i); err == nil {
			want := content(uint64(i), 1<<20)
			if len(got) < n || !bytes.Equal(got, want[:len(got)]) {
				w.t.Errorf("%s: %d bytes, %d were answered", filepath.Base(path), len(got), n)
			}
			continue
		}
		if _, err := fmt.Sscanf(filepath.Base(path), "save-%d-%d", &round, &i); err != nil {
			w.t.Fatal(err)
		}
		if !bytes.Equal(got, saved(i, n)) && !bytes.Equal(got, saved(i, n+1)) {
			w.t.Errorf("%s: %d bytes of version %d or so, %d was answered", filepath.Base(path), len(got), firstByte(got), n)
		}
	}
}

func firstByte(b []byte) int {
	if len(b) == 0 {
		return -1
	}
	return int(b[0])
}

// TestReboot stops the machine, as far as a test can: the process dies, block
// maps are what a power cut may leave of them, and the boot is another one.
func TestReboot(t *testing.T) {
	d := newDrive(t, "WALFS_TEST_BOOT=1", "WALFS_TEST_FLUSH=never")
	base := content(1, 200000)
	write := func(name string, p []byte, off int64, sync bool) {
		t.Helper()
		f, err := os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE, 0o644)
		must(t, err)
		defer f.Close()
		_, err = f.WriteAt(p, off)
		must(t, err)
		if sync {
			must(t, f.Sync())
		}
	}
	for _, name := range []string{"synced", "unsynced", "clean", "cut"} {
		write(name, base, 0, true)
	}
	d.forget()
	write("clean2", base, 0, true)
	d.do("publish")
	d.do("certify") // its copy stays

	patch := content(2, 10000)
	write("synced", patch, 50000, true)
	write("unsynced", patch, 50000, false)
	must(t, os.Truncate(d.path("cut"), 1000))
	must(t, os.Truncate(d.path("cut"), 100000))
	write("new", base, 0, true)
	d.kill()

	maps, err := filepath.Glob(filepath.Join(d.home, "staging", "files", "*", "*.map"))
	must(t, err)
	if len(maps) == 0 {
		t.Error("no block maps to damage")
	}
	for i, path := range maps {
		if i%2 == 0 {
			must(t, os.Truncate(path, 10))
		} else {
			must(t, os.WriteFile(path, bytes.Repeat([]byte{0xff}, 500), 0o600))
		}
	}
	d.env = []string{"WALFS_TEST_BOOT=2"}
	d.mount()

	patched := bytes.Clone(base)
	copy(patched[50000:], patch)
	for name, want := range map[string][]byte{
		"synced": patched, "unsynced": base, "clean": base, "clean2": base, "new": base,
		"cut": append(bytes.Clone(base[:1000]), make([]byte, 99000)...),
	} {
		got, err := os.ReadFile(d.path(name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "cut" { // only the first truncate was a barrier
			want = want[:max(1000, min(len(got), len(want)))]
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d; other content", name, len(got), len(want))
		}
	}
	d.do("publish") // all that is left over can be packed
	d.forget()
	for name, want := range map[string][]byte{"synced": patched, "unsynced": base, "new": base} {
		dropCache(t, d.path(name))
		if got, err := os.ReadFile(d.path(name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s, packed after the reboot: %d bytes, %v", name, len(got), err)
		}
	}
}

// TestFlusher writes and never syncs: a barrier comes by itself. What is
// certified and not here any more is written anew, few files and many.
func TestFlusher(t *testing.T) {
	t.Parallel()
	for _, many := range []int{1, 40} {
		t.Run(strconv.Itoa(many), func(t *testing.T) {
			t.Parallel()
			testFlusher(t, many)
		})
	}
}

func testFlusher(t *testing.T, many int) {
	d := newDrive(t, "WALFS_TEST_BOOT=1")
	want := map[string][]byte{"file": content(1, 10000)}
	must(t, os.WriteFile(d.path("file"), want["file"], 0o644))
	for i := range many {
		name := fmt.Sprintf("empty-%d", i)
		want[name] = nil
		must(t, os.WriteFile(d.path(name), nil, 0o644))
	}
	d.forget()
	if held := d.do("held file"); held != "no" {
		t.Errorf("held before anything was written: %s", held)
	}
	f, err := os.OpenFile(d.path("file"), os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("never synced"), 5000)
	must(t, err)
	copy(want["file"][5000:], "never synced")
	for i := range many {
		name := fmt.Sprintf("empty-%d", i)
		want[name] = content(uint64(i), 5000+i)
		must(t, os.WriteFile(d.path(name), want[name], 0o644))
		want[fmt.Sprintf("new-%d", i)] = want[name]
		must(t, os.WriteFile(d.path(fmt.Sprintf("new-%d", i)), want[name], 0o644))
	}
	last := fmt.Sprintf("empty-%d", many-1)
	for deadline := time.Now().Add(patience); d.do("held file") == "no" || d.do("held "+last) == "no"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no flush")
		}
	}
	d.kill()
	d.env = []string{"WALFS_TEST_BOOT=2"}
	d.mount()
	for name, want := range want {
		if got, err := os.ReadFile(d.path(name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s after a reboot: %d bytes, %v", name, len(got), err)
		}
	}
}

// TestHalf packs a file that is half written. It is finished and renamed over
// another one before the half is published: a power cut then leaves the whole.
func TestHalf(t *testing.T) {
	d := newDrive(t, "WALFS_TEST_BOOT=1")
	must(t, os.WriteFile(d.path("file"), content(1, 10000), 0o644))
	d.forget()
	f, err := os.Create(d.path("tmp"))
	must(t, err)
	defer f.Close()
	_, err = f.Write(content(2, 50000))
	must(t, err)
	must(t, f.Sync())
	d.do("snap")
	_, err = f.WriteAt(content(3, 50000), 50000)
	must(t, err)
	must(t, os.Rename(d.path("tmp"), d.path("file")))
	d.do("publish")
	d.kill()
	d.env = []string{"WALFS_TEST_BOOT=2"}
	d.mount()
	want := append(content(2, 50000), content(3, 50000)...)
	if got, err := os.ReadFile(d.path("file")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("after a reboot: %d bytes, %v", len(got), err)
	}
}

// TestTimesStay compares times after a kill and after a remount with those that
// were told before.
func TestTimesStay(t *testing.T) {
	d := newDrive(t)
	want := map[string]time.Time{}
	for _, name := range []string{"synced", "closed", "set"} {
		f, err := os.Create(d.path(name))
		must(t, err)
		defer f.Close()
		_, err = f.Write(content(1, 5000))
		must(t, err)
		switch name {
		case "synced":
			must(t, f.Sync())
		case "set":
			must(t, os.Chtimes(d.path(name), time.Time{}, time.Unix(1e9, 123456789)))
		}
		info, err := f.Stat()
		must(t, err)
		must(t, f.Close())
		want[name] = info.ModTime()
	}
	compare := func(when string) {
		t.Helper()
		for name, want := range want {
			info, err := os.Stat(d.path(name))
			must(t, err)
			if !info.ModTime().Equal(want) {
				t.Errorf("%s, %s: %v, want %v", name, when, info.ModTime(), want)
			}
		}
	}
	d.kill()
	d.mount()
	compare("after a kill")
	d.do("publish")
	d.unmount()
	d.mount()
	compare("packed and mounted again")
}

// TestTimesFarOff sets a time that ext4 cannot hold: what is told then, the nearest, goes on
// being told.
func TestTimesFarOff(t *testing.T) {
	for _, pass := range []string{"", "off"} {
		d := newDrive(t, "WALFS_TEST_PASS="+pass)
		path := d.path("file")
		f, err := os.Create(path)
		must(t, err)
		_, err = f.Write(content(1, 5000))
		must(t, err)
		must(t, os.Chtimes(path, time.Time{}, time.Date(1850, 1, 2, 3, 4, 5, 6, time.UTC)))
		info, err := f.Stat()
		must(t, err)
		must(t, f.Close())
		want := info.ModTime()
		t.Logf("passthrough %s: %s", pass, want)
		if want.Year() != 1850 && want.Unix() != math.MinInt32 {
			t.Errorf("passthrough %s: %s", pass, want)
		}
		for i, step := range []func(){
			func() {}, func() { d.kill(); d.mount() }, func() { d.do("publish") }, func() { d.unmount(); d.mount() }, d.forget, func() { d.kill(); d.mount() },
		} {
			step()
			if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(want) {
				t.Fatalf("passthrough %s, step %d: %v, %v, want %s", pass, i, info.ModTime(), err, want)
			}
		}
	}
}

// TestDeletedAgain brings names back that were deleted, as a power cut does when
// the index was not synced: what is deleted in part is deleted.
func TestDeletedAgain(t *testing.T) {
	d := newDrive(t, "WALFS_TEST_BOOT=1", "WALFS_TEST_FLUSH=never")
	must(t, os.Mkdir(d.path("dir"), 0o755))
	for i, name := range []string{"dir/old", "dir/new", "kept"} {
		f, err := os.Create(d.path(name))
		must(t, err)
		_, err = f.Write(content(uint64(i), 10000))
		must(t, err)
		must(t, f.Sync())
		must(t, f.Close())
		if name == "dir/old" {
			d.do("publish")
		}
	}
	must(t, os.Link(d.path("dir/new"), d.path("link")))
	saved := t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(filepath.Join(d.home, "index.db"+suffix))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(saved, "index.db"+suffix), b, 0o600))
	}
	for _, name := range []string{"dir/old", "dir/new", "link"} {
		must(t, os.Remove(d.path(name)))
	}
	graves := func() int {
		list, err := filepath.Glob(filepath.Join(d.home, "staging", "files", "*", "*.grave"))
		must(t, err)
		return len(list)
	}
	for deadline := time.Now().Add(patience); graves() != 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d graves, want 2", graves())
		}
	}
	d.kill()
	must(t, errors.Join(os.RemoveAll(filepath.Join(d.home, "index.db-shm")), os.RemoveAll(filepath.Join(d.home, "index.db.ahead"))))
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(filepath.Join(saved, "index.db"+suffix))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(d.home, "index.db"+suffix), b, 0o600))
	}
	d.env = []string{"WALFS_TEST_BOOT=2"}
	d.mount()
	if want := "{Queued:1 Reaped:0 Shelved:0 Lost:0 Deleted:2 Damaged:0}"; d.said != want {
		t.Errorf("recovered %s, want %s", d.said, want)
	}
	for _, dir := range []string{"", "dir"} {
		list, err := os.ReadDir(d.path(dir))
		must(t, err)
		for _, e := range list {
			if e.Name() != "dir" && e.Name() != "kept" {
				t.Errorf("%s is back", filepath.Join(dir, e.Name()))
			}
		}
	}
	if got, err := os.ReadFile(d.path("kept")); err != nil || !bytes.Equal(got, content(2, 10000)) {
		t.Errorf("kept: %d bytes, %v", len(got), err)
	}
	if problems := d.do("check"); problems != "" {
		t.Error(problems)
	}
	if n := graves(); n != 0 {
		t.Errorf("%d graves are left", n)
	}
	d.do("publish")
	d.do("certify")
}

// TestLost removes what staging held behind the drive's back: an error, never zeros.
func TestLost(t *testing.T) {
	d := newDrive(t)
	must(t, os.WriteFile(d.path("file"), content(1, 10000), 0o644))
	must(t, os.WriteFile(d.path("other"), content(2, 10000), 0o644))
	dir, err := os.Open(d.mnt)
	must(t, err)
	must(t, errors.Join(dir.Sync(), dir.Close())) // so that the index has their sizes
	d.kill()
	files, err := filepath.Glob(filepath.Join(d.home, "staging", "files", "*", "*.data"))
	must(t, err)
	must(t, os.Remove(files[0]))
	must(t, os.WriteFile(filepath.Join(d.home, "staging", "files", "86", "99999.data"), []byte("whose?"), 0o600))
	d.mount()
	if want := "{Queued:1 Reaped:0 Shelved:1 Lost:1 Deleted:0 Damaged:0}"; d.said != want {
		t.Errorf("recovered %s, want %s", d.said, want)
	}
	lost := 0
	for _, name := range []string{"file", "other"} {
		if _, err := os.ReadFile(d.path(name)); err == nil {
			continue
		} else if !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
		lost++
		must(t, os.WriteFile(d.path(name), []byte("anew"), 0o644))
		if b, err := os.ReadFile(d.path(name)); err != nil || string(b) != "anew" {
			t.Errorf("written anew: %q, %v", b, err)
		}
	}
	if lost != 1 {
		t.Errorf("%d files are lost, want 1", lost)
	}
	kept, err := os.ReadFile(filepath.Join(d.home, "staging", "lost+found", "99999.data"))
	if err != nil || string(kept) != "whose?" {
		t.Errorf("lost+found: %q, %v", kept, err)
	}
}

// TestHistory does random things to a file and compares it with a slice of
// bytes, while versions are published, evicted, and the process is killed.
func TestHistory(t *testing.T) {
	steps := 400
	if os.Getenv("WALFS_SOAK") != "" {
		steps = 20000
	}
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("WALFS_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("seed %d", seed)
	h := &history{t: t, d: newDrive(t), rng: rand.New(rand.NewPCG(seed, 2))}
	h.reopen()
	for step := range steps {
		h.step()
		h.verify(step)
	}
	must(t, h.f.Close())
	if problems := h.d.do("check"); problems != "" {
		t.Error(problems)
	}
}

type history struct {
	t    *testing.T
	d    *drive
	rng  *rand.Rand
	f    *os.File
	live []byte
	did  []string
}

func (h *history) reopen() {
	h.t.Helper()
	if h.f != nil {
		must(h.t, h.f.Close())
	}
	var err error
	h.f, err = os.OpenFile(h.d.path("file"), os.O_RDWR|os.O_CREATE, 0o644)
	must(h.t, err)
}

func (h *history) step() {
	h.t.Helper()
	off := h.rng.IntN(1 << 20)
	if h.rng.IntN(2) == 0 {
		off &^= 4095
	}
	n := 1 + h.rng.IntN(200000>>h.rng.IntN(8))
	var name string
	switch r := h.rng.IntN(100); {
	case r < 45:
		name = fmt.Sprintf("write %d+%d", off, n)
		p := content(h.rng.Uint64(), n)
		if off+n > len(h.live) {
			h.live = append(h.live, make([]byte, off+n-len(h.live))...)
		}
		copy(h.live[off:], p)
		_, err := h.f.WriteAt(p, int64(off))
		must(h.t, err)
	case r < 55:
		name = fmt.Sprintf("truncate %d", off)
		must(h.t, h.f.Truncate(int64(off)))
		h.live = append(h.live[:min(len(h.live), off)], make([]byte, max(0, off-len(h.live)))...)
	case r < 62:
		name = fmt.Sprintf("punch %d+%d", off, n)
		must(h.t, syscall.Fallocate(int(h.f.Fd()), 3, int64(off), int64(n)))
		if off < len(h.live) {
			clear(h.live[off:min(len(h.live), off+n)])
		}
	case r < 70:
		name = "reopen"
		h.reopen()
	case r < 75:
		name = "sync"
		must(h.t, h.f.Sync())
	case r < 85:
		name = "publish"
		h.d.do("publish")
	case r < 90:
		name = "certify"
		h.d.do("certify")
	case r < 97:
		name = "evict"
		must(h.t, h.f.Close())
		h.f = nil
		h.d.do("publish")
		h.d.do("evict")
		h.reopen()
	default:
		name = "kill"
		h.d.kill()
		_ = h.f.Close()
		h.f = nil
		h.d.mount()
		h.reopen()
	}
	h.did = append(h.did, name)
}

func (h *history) verify(step int) {
	h.t.Helper()
	if h.rng.IntN(3) == 0 {
		dropCache(h.t, h.d.path("file"))
	}
	got, err := os.ReadFile(h.d.path("file"))
	if err == nil && bytes.Equal(got, h.live) {
		return
	}
	at := 0
	for at < min(len(got), len(h.live)) && got[at] == h.live[at] {
		at++
	}
	h.t.Fatalf("step %d: %d bytes, want %d; first difference at %d; %v\n%v", step, len(got), len(h.live), at, err,
		h.did[max(0, len(h.did)-30):])
}

package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// flips is how many bytes of each kind of file are changed; 100 in all.
func flips(n int) int {
	if soak() {
		return 10 * n
	}
	return n
}

// flipByte changes one byte of a file.
func flipByte(t *testing.T, rng *rand.Rand, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	if info.Size() == 0 {
		return
	}
	off, b := rng.Int64N(info.Size()), make([]byte, 1)
	_, err = f.ReadAt(b, off)
	must(t, err)
	b[0] ^= byte(1 + rng.IntN(255))
	_, err = f.WriteAt(b, off)
	must(t, err)
}

// filesBelow lists the files below a folder with a suffix, in order.
func filesBelow(t *testing.T, dir, suffix string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, de fs.DirEntry, err error) error {
		if err == nil && de.Type().IsRegular() && strings.HasSuffix(path, suffix) {
			list = append(list, path)
		}
		return err
	})
	must(t, err)
	slices.Sort(list)
	return list
}

func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 7))
}

// TestFlippedSlots flips bytes in the files of nodes, while they are stopped and while they
// run: reads are right, and a scrub finds and heals everything.
func TestFlippedSlots(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	d := newDrive(t)
	d.mount()
	must(t, os.Mkdir(d.path("tree"), 0o755))
	makeTree(t, d.path("tree"), 60, 1)
	writeRandom(t, d.path("big"), 5<<20, 2)
	d.sync()
	d.untilStored() // what flips take away is what may be missing
	want := readTree(t, d.mnt)
	d.umount()
	d.forgetLocal()
	var files, names []string
	for i := range 10 {
		files = append(files, d.nodeFiles(i)...)
		names = append(names, fmt.Sprintf("node-%02d", i))
	}
	rounds := 1
	if soak() {
		rounds = 10 // and not more flips in each: 34 of 100 slivers must be left
	}
	for range rounds {
		d.flippedSlots(rng, files, names, want)
	}
}

// flippedSlots is a round of TestFlippedSlots.
func (d *drive) flippedSlots(rng *rand.Rand, files, names []string, want map[string]entry) {
	t := d.t
	t.Helper()
	for range 30 {
		flipByte(t, rng, files[rng.IntN(len(files))])
	}
	d.mount()
	diffTrees(t, "with flipped slots", want, readTree(t, d.mnt))
	for range 10 {
		flipByte(t, rng, files[rng.IntN(len(files))])
	}
	d.mustRun("cache", "clear")
	diffTrees(t, "with slots flipped under it", want, readTree(t, d.mnt))
	d.run(append([]string{"node", "scrub"}, names...)...)
	for _, name := range names {
		d.untilHealed(name)
	}
	for _, path := range files {
		f := openNodeFile(t, path)
		for i, s := range f.slots {
			if err := f.checkSlot(s); err != nil {
				t.Errorf("%s slot %d is not healed: %v", path, i, err)
			}
		}
	}
	if out, _, code := d.run("check", "--read-data"); code != 0 {
		t.Errorf("check after healing: exit %d\n%s", code, out)
	}
	d.umount()
	d.forgetLocal()
}

// TestFlippedCache flips bytes in the sliver cache: check tells, and reads are right.
func TestFlippedCache(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	d := newDrive(t)
	d.mount()
	writeRandom(t, d.path("big"), 6<<20, 2)
	d.sync()
	want := readTree(t, d.mnt)
	d.umount()
	d.forgetLocal()
	d.mount()
	diffTrees(t, "from nodes", want, readTree(t, d.mnt))
	d.untilCached()
	d.umount()
	cached := filesBelow(t, filepath.Join(d.home, "cache"), "")
	for range flips(20) {
		flipByte(t, rng, cached[rng.IntN(len(cached))])
	}
	if out, _, code := d.run("check"); code != 0 || !strings.Contains(out, "torn or damaged") {
		t.Errorf("check: exit %d\n%s", code, out)
	}
	d.mount()
	diffTrees(t, "with a flipped cache", want, readTree(t, d.mnt))
	cached = d.untilCached()
	for range flips(10) {
		flipByte(t, rng, cached[rng.IntN(len(cached))])
	}
	forget(t, d.path("big"))
	diffTrees(t, "with a cache flipped under it", want, readTree(t, d.mnt))
	d.run("check", "--repair")
	if out, _, code := d.run("check"); code != 0 {
		t.Errorf("check after repair: exit %d\n%s", code, out)
	}
	d.umount()
}

// forget has the kernel let go of what it keeps of a file's content.
func forget(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	must(t, errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close()))
}

// partial makes a drive that was killed with files of which staging has a part, and that
// nothing could be stored of since. It returns what they are to be.
func (d *drive) partial(n int, rng *rand.Rand) map[string]entry {
	d.t.Helper()
	d.mount()
	for i := range n {
		writeRandom(d.t, d.path(fmt.Sprintf("file-%02d", i)), 300<<10, uint64(i))
	}
	d.sync()
	d.untilStored() // with four nodes down those that were late are needed
	d.umount()
	d.forgetLocal()
	d.mount()
	d.stopNodes(4)
	for i := range n {
		f, err := os.OpenFile(d.path(fmt.Sprintf("file-%02d", i)), os.O_RDWR, 0)
		must(d.t, err)
		defer f.Close() // once it was killed: what is open is not packed meanwhile
		for range 5 {
			_, err = f.WriteAt([]byte("newer than what is certified"), rng.Int64N(290<<10))
			must(d.t, err)
		}
		must(d.t, f.Sync())
	}
	must(d.t, os.Mkdir(d.path("made"), 0o750))
	for i := range 5 {
		writeRandom(d.t, d.path("made", fmt.Sprintf("new-%d", i)), 50<<10, uint64(100+i))
	}
	shell(d.t, "sync %s", d.mnt)
	want := readTree(d.t, d.mnt)
	d.kill()
	return want
}

// TestFlippedMaps flips bytes in block maps: a file whose map is damaged gives EIO, and check
// names it; the others are right; a repair brings all back, from what the last sync wrote down.
func TestFlippedMaps(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	d := newDrive(t)
	want := d.partial(20, rng)
	maps := filesBelow(t, filepath.Join(d.home, "staging", "files"), ".map")
	if len(maps) < 20 {
		t.Fatalf("%d block maps", len(maps))
	}
	for i := range flips(20) {
		flipByte(t, rng, maps[i%len(maps)])
	}
	d.mount()
	failed := 0
	for i := range 20 {
		_, err := os.ReadFile(d.path(fmt.Sprintf("file-%02d", i)))
		switch {
		case errors.Is(err, syscall.EIO):
			failed++
		case err != nil:
			t.Errorf("file %d: %v", i, err)
		}
	}
	if problems := strings.Join(d.status().Problems, "\n"); !strings.Contains(problems, fmt.Sprintf("%d files could not be read", failed)) {
		t.Errorf("status says nothing of %d files: %s", failed, problems)
	}
	out, _, code := d.run("check")
	if named := strings.Count(out, "the map of local blocks is damaged"); named != failed || code != 3 || failed == 0 {
		t.Errorf("%d files fail, %d are named, exit %d\n%s", failed, named, code, out)
	}
	d.umount()
	d.run("check", "--repair")
	d.mount()
	diffTrees(t, "after repair", want, readTree(t, d.mnt))
	d.startNodes()
	d.sync()
	d.umount()
	d.forgetLocal()
	d.mount()
	diffTrees(t, "from nodes", want, readTree(t, d.mnt))
	d.umount()
}

// TestFlippedIndex flips bytes of an index that was killed: the drive says that it is damaged, or
// is what it was. Then it is repaired, and nothing is wrong or lost.
func TestFlippedIndex(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	d := newDrive(t)
	want := d.partial(8, rng)
	saved := filepath.Join(filepath.Dir(d.home), "saved")
	shell(t, "mkdir %s && cp -a %s/index.db* %s/", saved, d.home, saved)
	names := d.mustRun("ls", "-R", "/")
	put := func() { shell(t, "rm -f %s/index.db* && cp -a %s/* %s/", d.home, saved, d.home) }
	refused := 0
	for i := range flips(9) {
		put()
		kind := []string{"index.db", "index.db", "index.db-wal"}[i%3]
		flipByte(t, rng, filepath.Join(d.home, kind))
		out, errb, code := d.run("ls", "-R", "/")
		switch {
		case code == 0 && out == names:
		case code == 0:
			t.Errorf("a byte of %s: names differ:\n%s", kind, out)
		case !strings.Contains(errb, "check --repair"):
			t.Errorf("a byte of %s: exit %d, and no word of what to do:\n%s", kind, code, errb)
		default:
			refused++
		}
	}
	t.Logf("%d of %d flips were noticed", refused, flips(9))
	if refused == 0 {
		t.Error("no flip was noticed")
	}
	put()
	for range 5 {
		flipByte(t, rng, filepath.Join(d.home, "index.db"))
	}
	if out, _, code := d.run("check"); code != 3 || !strings.Contains(out, "check --repair") {
		t.Errorf("check: exit %d\n%s", code, out)
	}
	out, errb, code := d.run("check", "--repair")
	t.Logf("check --repair: exit %d\n%s%s", code, out, errb)
	d.mount()
	d.notLost(want)
	d.startNodes()
	d.sync()
	d.umount()
	if damaged, err := filepath.Glob(filepath.Join(d.home, "damaged-*", "index.db")); err != nil || len(damaged) != 1 {
		t.Errorf("the damaged index is kept: %q, %v", damaged, err)
	}
}

// notLost looks that every file of a drive is what it was, or lies in lost+found of staging.
func (d *drive) notLost(want map[string]entry) {
	d.t.Helper()
	shelved := map[string]bool{}
	parts := 0
	for _, path := range filesBelow(d.t, filepath.Join(d.home, "staging", "lost+found"), ".data") {
		sum, err := sumFile(path)
		must(d.t, err)
		shelved[sum] = true
		parts++
	}
	now := readTree(d.t, d.mnt)
	placed := map[string]bool{}
	for _, e := range now {
		placed[e.Sum] = true
	}
	for path, w := range want {
		switch {
		case w.Sum == "" || now[path].Sum == w.Sum:
		case strings.HasPrefix(path, "made/") && (placed[w.Sum] || shelved[w.Sum]):
			d.t.Logf("%s was not certified, and its name is not known any more", path)
		case strings.HasPrefix(path, "file-") && parts > 0:
			parts-- // the changes lie there, and the certified version stands
			d.t.Logf("%s is the certified version, its changes are in lost+found", path)
		default:
			d.t.Errorf("%s is gone, or not what it was", path)
		}
	}
}

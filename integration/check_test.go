package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckStoresAnew loses so many slivers that content cannot be read any more, and has it
// stored anew from the local copy.
func TestCheckStoresAnew(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	writeRandom(t, d.path("big"), 5<<20, 1)
	writeRandom(t, d.path("small"), 20<<10, 2)
	d.sync()
	waitFor(t, "no note of what nodes have not got yet", func() bool { return !strings.Contains(d.mustRun("check"), "note") })
	want := readTree(t, d.mnt)
	if out := d.mustRun("check", "--read-data"); !strings.HasPrefix(out, "all is well; 5.0 MiB") {
		t.Errorf("a sound drive: %s", out)
	}
	d.umount()
	for i := range 8 {
		for _, path := range d.nodeFiles(i) {
			must(t, os.Remove(path))
		}
	}
	must(t, os.RemoveAll(filepath.Join(d.home, "cache")))
	d.mount()
	out, _, code := d.run("check")
	if code != 3 || !strings.Contains(out, "it cannot be read any more") {
		t.Errorf("check: exit %d\n%s", code, out)
	}
	out, _, _ = d.run("check", "--repair")
	if strings.Count(out, "the local copy is stored anew") == 0 {
		t.Errorf("check --repair:\n%s", out)
	}
	d.sync()
	d.umount()
	d.forgetLocal()
	d.mount()
	diffTrees(t, "stored anew", want, readTree(t, d.mnt))
	d.umount()
}

// TestCheckCopies damages clean local copies of which the index has hashes, and one of which it has none.
func TestCheckCopies(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	writeRandom(t, d.path("big"), 3<<20, 1)
	writeRandom(t, d.path("tiny"), 3000, 2)
	d.sync()
	want := readTree(t, d.mnt)
	d.umount()
	damaged := 0
	for _, path := range filesBelow(t, filepath.Join(d.home, "staging", "files"), ".data") {
		info, err := os.Stat(path)
		must(t, err)
		b, err := os.ReadFile(path)
		must(t, err)
		b[len(b)/2] ^= 4
		must(t, os.WriteFile(path, b, 0o600))
		must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		damaged++
	}
	must(t, os.WriteFile(filepath.Join(d.home, "staging", "files", "ff", "65535.data"), []byte("nobody's"), 0o600))
	out, _, code := d.run("check", "--json")
	bad := 0
	for line := range bytes.Lines([]byte(out)) {
		var f struct{ Type, Part, Kind, Path string }
		must(t, json.Unmarshal(line, &f))
		if f.Type == "finding" && f.Part == "copies" && f.Kind == "damage" && f.Path != "" {
			bad++
		}
	}
	if bad != damaged || damaged != 2 || code != 3 {
		t.Errorf("%d of %d damaged copies are found, exit %d\n%s", bad, damaged, code, out)
	}
	if !strings.Contains(out, "the index did not know") {
		t.Errorf("nothing is said of the file that no row knows:\n%s", out)
	}
	if out, _, code := d.run("check", "--repair"); code != 0 {
		t.Errorf("check --repair: exit %d\n%s", code, out)
	}
	d.mount()
	diffTrees(t, "from the nodes", want, readTree(t, d.mnt))
	if out := d.mustRun("check", "--read-data", d.path("big")); !strings.Contains(out, "all is well") {
		t.Errorf("one file: %s", out)
	}
	d.umount()
	if left := filesBelow(t, filepath.Join(d.home, "staging", "lost+found"), ".data"); len(left) != 3 {
		t.Errorf("in lost+found: %q", left)
	}
}

// storing makes a drive that is not mounted, with a file of which the last version is packed
// and not certified: the nodes that are up have it, and then down nodes are. Staging has a
// part of the file, and its block map is damaged. It returns what there is in the drive, and
// the sealed segment.
func (d *drive) storing(down int) (want map[string]entry, segment string) {
	d.t.Helper()
	d.mount()
	writeRandom(d.t, d.path("file"), 300<<10, 1)
	d.sync()
	d.untilStored() // with four nodes down those that were late are needed
	d.umount()
	d.forgetLocal()
	d.mount()
	d.stopNodes(4)
	f, err := os.OpenFile(d.path("file"), os.O_RDWR, 0)
	must(d.t, err)
	_, err = f.WriteAt([]byte("newer than what is certified"), 100_000)
	must(d.t, errors.Join(err, f.Close()))
	waitFor(d.t, "the nodes to have the file", func() bool {
		return d.state(d.path("file")) == "storing" && strings.Contains(d.mustRun("status", "--json"), "60 of 67 shards")
	})
	want = readTree(d.t, d.mnt)
	d.stopNodes(down)
	d.umount()
	maps := filesBelow(d.t, filepath.Join(d.home, "staging", "files"), ".map")
	segments := filesBelow(d.t, filepath.Join(d.home, "staging", "outbox"), "")
	if len(maps) != 1 || len(segments) != 1 {
		d.t.Fatalf("%d block maps, and %d sealed segments", len(maps), len(segments))
	}
	flipAt(d.t, maps[0], 20)
	return want, segments[0]
}

// stored lets the nodes have all of a mounted drive, and reads it back from them.
func (d *drive) stored(want map[string]entry) {
	d.t.Helper()
	d.startNodes()
	d.sync()
	d.umount()
	d.forgetLocal()
	d.mount()
	diffTrees(d.t, "from the nodes", want, readTree(d.t, d.mnt))
	d.umount()
}

func flipAt(t *testing.T, path string, off int) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	b[off] ^= 4
	must(t, os.WriteFile(path, b, 0o600))
}

// TestCheckStoring damages the block map of a file that is packed and not certified: a repair
// has it read from the outbox at once.
func TestCheckStoring(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	want, _ := d.storing(4)
	if out, _, _ := d.run("check", "--repair"); !strings.Contains(out, "0 damaged, 1 repaired") || !strings.Contains(out, "from the outbox") {
		t.Errorf("check --repair:\n%s", out)
	}
	d.mount()
	diffTrees(t, "not certified yet", want, readTree(t, d.mnt))
	d.stored(want)
}

// TestCheckStoringSealed damages the sealed segment too. It comes back from the nodes that have
// it, and what staging has is put aside only when it has come.
func TestCheckStoringSealed(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	want, segment := d.storing(4)
	flipAt(t, segment, 100)
	waitFor(t, "the segment to come back", func() bool {
		out, _, _ := d.run("check", "--repair")
		if !strings.Contains(out, "cannot be repaired now") && !strings.Contains(out, "0 damaged, 1 repaired") {
			t.Fatalf("check --repair:\n%s", out)
		}
		return strings.Contains(out, "0 damaged, 1 repaired")
	})
	d.mount()
	diffTrees(t, "not certified yet", want, readTree(t, d.mnt))
	d.stored(want)
}

// TestCheckStoringLost has too few nodes for that: what staging has is not put aside until there are enough.
func TestCheckStoringLost(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	want, segment := d.storing(7)
	flipAt(t, segment, 100)
	if out, _, code := d.run("check", "--repair"); code != 3 || !strings.Contains(out, "the map of local blocks is damaged") || !strings.Contains(out, "cannot be repaired now") {
		t.Errorf("check --repair: exit %d\n%s", code, out)
	}
	if left := filesBelow(t, filepath.Join(d.home, "staging", "files"), ".data"); len(left) != 1 {
		t.Errorf("in staging: %q", left)
	}
	d.mount()
	d.startNodes()
	d.sync()
	if out, _, code := d.run("check", "--repair"); code != 0 {
		t.Errorf("check --repair with all nodes: exit %d\n%s", code, out)
	}
	diffTrees(t, "from the nodes", want, readTree(t, d.mnt))
	d.umount()
}

// TestCheckBusy checks a drive while it is written: what is under way is no damage.
func TestCheckBusy(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	must(t, os.Mkdir(d.path("tree"), 0o755))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range uint64(6) {
			dir := d.path("tree", string(rune('a'+i)))
			if os.Mkdir(dir, 0o755) == nil {
				makeTree(t, dir, 40, i)
			}
			_ = os.RemoveAll(d.path("tree", "gone"))
			_ = os.Mkdir(d.path("tree", "gone"), 0o755)
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if out, _, code := d.run("check", "--read-data"); code != 0 {
			t.Errorf("check: exit %d\n%s", code, out)
		}
	}
	d.umount()
}

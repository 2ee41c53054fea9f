package integration

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

// TestCopyShares copies a stored file while no node is up and nothing of it is
// here: cp stores no new bytes. After a restore both are there.
func TestCopyShares(t *testing.T) {
	t.Parallel()
	needTool(t, "cp")
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	d.mount("-o", "passthrough=off")
	writeRandom(t, d.path("big"), 8<<20, 5)
	want, err := os.ReadFile(d.path("big"))
	must(t, err)
	d.sync()
	d.untilStored() // what comes late is no cost of what follows
	d.umount()
	d.forgetLocal()
	d.mount("-o", "passthrough=off")
	before := d.status()
	for _, node := range before.Nodes {
		d.mustRun("node", "stop", node.Name)
	}
	for _, args := range [][]string{{"big", "copy"}, {"--reflink=auto", "-p", "big", "clone"}} {
		cmd := exec.Command("cp", args...)
		cmd.Dir = d.mnt
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cp %q: %v\n%s", args, err, out)
		}
	}
	d.kill() // at once: nothing of it is synced
	d.mount("-o", "passthrough=off")
	d.startNodes()
	d.sync()
	if grown := d.status().StoredBytes - before.StoredBytes; grown > before.StoredBytes/8 {
		t.Errorf("two copies take %d bytes on the nodes, beside %d", grown, before.StoredBytes)
	}
	f, err := os.OpenFile(d.path("copy"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("changed"), 3<<20+5)
	must(t, err)
	must(t, f.Close())
	must(t, os.Remove(d.path("big")))
	d.sync()
	changed := bytes.Clone(want)
	copy(changed[3<<20+5:], "changed")
	check := func(d *drive) {
		t.Helper()
		for name, content := range map[string][]byte{"copy": changed, "clone": want} {
			if got, err := os.ReadFile(d.path(name)); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
	}
	check(d)
	d.umount()
	r := d.restoreCopy()
	r.mount()
	check(r)
	r.umount()
}

// passes tells whether the kernel uses whole local files by itself in the mount of d.
func (d *drive) passes() bool {
	d.t.Helper()
	var s struct {
		Passthrough struct {
			On bool `json:"on"`
		} `json:"passthrough"`
	}
	must(d.t, json.Unmarshal([]byte(d.mustRun("status", "--json")), &s))
	return s.Passthrough.On
}

// TestCopyPassedShares copies a stored file, and a copy of it, where the kernel writes the copies
// by itself: what is the same is stored once, and what was changed in between is not lost.
func TestCopyPassedShares(t *testing.T) {
	t.Parallel()
	needTool(t, "cp")
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	d.mount()
	if !d.passes() {
		t.Skip("no passthrough here")
	}
	const size = 16<<20 + 12345
	writeRandom(t, d.path("big"), size, 6)
	want, err := os.ReadFile(d.path("big"))
	must(t, err)
	d.sync()
	d.untilStored() // what comes late is no cost of what follows
	before := d.status().StoredBytes
	shell(t, "cd %s && cp big copy && cp --sparse=never big changed", d.mnt)
	f, err := os.OpenFile(d.path("changed"), os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("other"), 5<<20+7)
	must(t, err)
	must(t, f.Close())
	d.sync()
	shell(t, "cd %s && cp copy again", d.mnt)
	d.sync()
	if grown := d.status().StoredBytes - before; grown > before/4 { // a range of 1 MiB, and trailers
		t.Errorf("copies take %d bytes on the nodes, beside %d", grown, before)
	}
	// A source that is overwritten after it was copied, and one that goes.
	shell(t, "cd %s && cp again third && cp again fourth", d.mnt)
	must(t, os.WriteFile(d.path("again"), []byte("something else"), 0o644))
	must(t, os.Remove(d.path("big")))
	d.sync()
	d.mustRun("check")
	changed := bytes.Clone(want)
	copy(changed[5<<20+7:], "other")
	d.umount()
	r := d.restoreCopy()
	r.mount()
	for name, content := range map[string][]byte{"copy": want, "changed": changed, "third": want, "fourth": want, "again": []byte("something else")} {
		if got, err := os.ReadFile(r.path(name)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s restored: %d bytes, %v", name, len(got), err)
		}
	}
	r.umount()
}

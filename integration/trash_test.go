package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kept is what of a tree comes back from the trash: files and symbolic links.
func kept(tree map[string]entry) map[string]entry {
	for path, e := range tree {
		if e.Mode.IsDir() || e.Mode&(os.ModeNamedPipe|os.ModeSocket|os.ModeDevice) != 0 {
			delete(tree, path)
			continue
		}
	}
	return tree
}

// TestTrash deletes a tree and gets it back, is killed on the way, changes
// what came back before and after it is stored, and finds the same on a fresh
// home from the nodes alone.
func TestTrash(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	must(t, os.Mkdir(d.path("tree"), 0o755))
	makeTree(t, d.path("tree"), 300, 21)
	big := filepath.Join(t.TempDir(), "big")
	writeRandom(t, big, 12<<20, 3)
	shell(t, "cp %s %s", big, d.path("tree", "big"))
	for i := range 4 {
		must(t, os.WriteFile(d.path("tree", fmt.Sprint("used", i)), []byte(strings.Repeat(fmt.Sprint("part ", i, "\n"), 4000)), 0o640))
	}
	d.sync()
	d.untilStored() // with four nodes down those that were late are needed
	want := kept(readTree(t, d.path("tree")))
	shell(t, "rm -r %s", d.path("tree"))
	if names, err := os.ReadDir(d.mnt); err != nil || len(names) != 0 {
		t.Fatalf("after the deletion: %v, %v", names, err)
	}
	d.stopNodes(4) // what is restored cannot be stored for now
	d.mustRun("trash", "restore", d.path("tree"))
	diffTrees(t, "restored", want, kept(readTree(t, d.path("tree"))))
	d.kill()
	d.reboot()
	d.mount()
	diffTrees(t, "after kill -9", want, kept(readTree(t, d.path("tree"))))

	change := func(name string, work func(path string) error) { must(t, work(d.path("tree", name))) }
	change("used0", func(path string) error { return writeAt(path, []byte("CHANGED"), 20_000) })
	change("used1", func(path string) error { return os.Truncate(path, 12_345) })
	change("used2", os.Remove)
	change("used3", func(path string) error { return os.Rename(path, d.path("moved")) })
	change("big", func(path string) error { return writeAt(path, []byte("CHANGED"), 5<<20) })
	changed := kept(readTree(t, d.mnt))
	shell(t, "cd %s && sync big used0 used1 . ../moved", d.path("tree"))
	d.kill()
	d.reboot()
	d.mount()
	d.startNodes()
	d.sync()
	diffTrees(t, "changed and stored", changed, kept(readTree(t, d.mnt)))
	d.umount()
	d.forgetLocal()
	d.mount()
	diffTrees(t, "from the nodes", changed, kept(readTree(t, d.mnt)))
	if d.sliverReads() == 0 {
		t.Error("nothing was read from nodes")
	}
	d.umount()

	r := d.restoreCopy()
	r.mount()
	diffTrees(t, "on a fresh home", changed, kept(readTree(t, r.mnt)))
	if out := r.mustRun("trash", "list"); out != "" {
		t.Errorf("the trash came along:\n%s", out)
	}
	r.umount()
}

// reboot makes the next start believe that the machine was: staging counts only
// as far as it was synced.
func (d *drive) reboot() {
	d.t.Helper()
	must(d.t, os.WriteFile(filepath.Join(d.home, "boot"), []byte("another"), 0o600))
}

// TestTrashIsSeen restores a file below a folder that the kernel has listed and
// one whose absence it has noticed, and finds both at once.
func TestTrashIsSeen(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	must(t, os.Mkdir(d.path("dir"), 0o755))
	for _, name := range []string{"listed", "looked"} {
		must(t, os.WriteFile(d.path("dir", name), []byte(name), 0o644))
	}
	d.sync()
	for _, name := range []string{"listed", "looked"} {
		must(t, os.Remove(d.path("dir", name)))
	}
	d.umount()
	d.mount() // the kernel knows nothing of the names
	for range 2 {
		if names, err := os.ReadDir(d.path("dir")); err != nil || len(names) != 0 {
			t.Fatalf("dir has %v, %v", names, err)
		}
	}
	if _, err := os.Stat(d.path("dir", "looked")); !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for i, name := range []string{"listed", "looked"} {
		d.mustRun("trash", "restore", d.path("dir", name))
		if got, err := os.ReadFile(d.path("dir", name)); err != nil || string(got) != name {
			t.Errorf("%s reads %q, %v", name, got, err)
		}
		if names, err := os.ReadDir(d.path("dir")); err != nil || len(names) != i+1 {
			t.Errorf("dir lists %v, %v", names, err)
		}
	}
	d.umount()
}

// TestTrashReplaced finds every stored version of a file that an editor saves.
func TestTrashReplaced(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	for i := range 3 {
		must(t, os.WriteFile(d.path("new"), fmt.Appendf(nil, "version %d", i), 0o644))
		must(t, os.Rename(d.path("new"), d.path("text")))
		d.sync()
	}
	var entries []struct {
		ID       int    `json:"id"`
		Path     string `json:"path"`
		Replaced bool   `json:"replaced"`
	}
	for line := range strings.Lines(d.mustRun("trash", "list", "--json")) {
		entries = append(entries, struct {
			ID       int    `json:"id"`
			Path     string `json:"path"`
			Replaced bool   `json:"replaced"`
		}{})
		must(t, json.Unmarshal([]byte(line), &entries[len(entries)-1]))
	}
	if len(entries) != 2 {
		t.Fatalf("in the trash: %+v", entries)
	}
	for i, e := range entries {
		if e.Path != "text" || !e.Replaced {
			t.Errorf("in the trash: %+v", e)
		}
		d.mustRun("trash", "restore", fmt.Sprint(e.ID), "--to", fmt.Sprint("old", i))
		if got, err := os.ReadFile(d.path(fmt.Sprint("old", i))); err != nil || string(got) != fmt.Sprint("version ", 1-i) {
			t.Errorf("%+v reads %q, %v", e, got, err)
		}
	}
	d.umount()
}

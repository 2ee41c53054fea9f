package integration

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestIgnore saves as vim does: the swap file never leaves the machine, and what is
// saved does. The swap file survives kill -9, eviction and a check, and is in no restore,
// until it gets a name that is not on the list.
func TestIgnore(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount("-o", "fsync=certified")
	synced := func(path, text string) {
		t.Helper()
		f, err := os.Create(d.path(path))
		must(t, err)
		_, err = f.WriteString(text)
		must(t, errors.Join(err, f.Sync(), f.Close()))
	}
	must(t, os.WriteFile(d.path("doc"), []byte("first"), 0o644))
	d.sync()
	synced(".doc.swp", "what was typed") // waits for nothing
	must(t, os.Rename(d.path("doc"), d.path("doc~")))
	synced("doc", "second")
	must(t, os.Remove(d.path("doc~")))
	held, err := os.Create(d.path(".open.swp"))
	must(t, err)
	defer held.Close()
	_, err = held.WriteString("open all the time")
	must(t, err)

	local := func(when string) {
		t.Helper()
		if got := d.state("/.doc.swp"); got != "local" {
			t.Errorf("%s: the swap file is %s", when, got)
		}
		if got := d.state("/doc"); got != "certified" {
			t.Errorf("%s: what was saved is %s", when, got)
		}
		var s struct {
			Files   int64 `json:"ignored_files"`
			Bytes   int64 `json:"ignored_bytes"`
			Staged  int64 `json:"staged_bytes"`
			Pending int   `json:"pending_jobs"`
		}
		must(t, json.Unmarshal([]byte(d.mustRun("status", "--json")), &s))
		if s.Files != 2 || s.Bytes != 31 || s.Staged != 0 || s.Pending != 0 {
			t.Errorf("%s: status %+v", when, s)
		}
		if got, err := os.ReadFile(d.path(".doc.swp")); err != nil || string(got) != "what was typed" {
			t.Errorf("%s: the swap file has %q, %v", when, got, err)
		}
	}
	_, note, code := d.run("sync")
	if code != 0 || !strings.Contains(note, "only on this machine") || !strings.Contains(note, "2 files") {
		t.Errorf("sync: exit %d, %q", code, note)
	}
	local("synced")
	value := make([]byte, 16)
	if n, err := unix.Getxattr(d.path(".doc.swp"), "user.walfs.state", value); err != nil || string(value[:n]) != "local" {
		t.Errorf("user.walfs.state is %q, %v", value[:max(n, 0)], err)
	}
	d.mustRun("cache", "clear")
	if _, said, code := d.run("cache", "evict", d.path(".doc.swp")); code != 1 || !strings.Contains(said, "not certified") {
		t.Errorf("evicting the only copy: exit %d, %q", code, said)
	}
	d.mustRun("check")
	d.mustRun("gc")
	local("evicted and checked")
	must(t, held.Close())
	d.kill()
	d.mount()
	local("after kill -9")

	if _, note, code := d.run("umount"); code != 0 || !strings.Contains(note, "only on this machine") {
		t.Errorf("umount: exit %d, %q", code, note)
	}
	d.waitExit()
	r := d.restoreCopy()
	r.mount()
	names, err := os.ReadDir(r.mnt)
	if err != nil || len(names) != 1 || names[0].Name() != "doc" {
		t.Errorf("restored %v, %v", names, err)
	}
	r.umount()

	// The list is a setting; a file that is not on it any more is stored.
	config := filepath.Join(d.home, "config.toml")
	text, err := os.ReadFile(config)
	must(t, err)
	must(t, os.WriteFile(config, append(text, "\nignore = [\"*.scratch\", \".open.swp\"]\n"...), 0o600))
	d.mount()
	must(t, os.WriteFile(d.path("a.scratch"), []byte("x"), 0o644))
	d.sync()
	for path, want := range map[string]string{"/.doc.swp": "certified", "/.open.swp": "local", "/a.scratch": "local"} {
		if got := d.state(path); got != want {
			t.Errorf("with another list %s is %s, want %s", path, got, want)
		}
	}
	must(t, os.Rename(d.path("a.scratch"), d.path("kept")))
	waitFor(t, "the renamed file to be certified without a sync", func() bool { return d.state("/kept") == "certified" })
	must(t, os.Rename(d.path("kept"), d.path("kept.scratch")))
	d.sync()
	if got := d.state("/kept.scratch"); got != "certified" {
		t.Errorf("what was certified is %s under a name on the list", got)
	}
	d.umount()
	must(t, os.WriteFile(config, append(text, "\nignore = [\"folder/*\"]\n"...), 0o600))
	if _, said, code := d.run("status"); code != 2 || !strings.Contains(said, "folder/*") {
		t.Errorf("a pattern with a slash: exit %d, %q", code, said)
	}
}

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// own reads an attribute of the drive's own.
func own(path, name string) (string, error) {
	b := make([]byte, 1<<16)
	n, err := unix.Getxattr(path, "user.walfs."+name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// TestOwnAttributes reads what attributes tell of a file, and lets them sync,
// evict and pin it.
func TestOwnAttributes(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	d.mount("-o", "passthrough=off") // a file that the kernel writes by itself counts as dirty while it is open
	want := func(path, name, value string) {
		t.Helper()
		got, err := own(d.path(path), name)
		if err != nil || !regexp.MustCompile("^"+value+"$").MatchString(got) {
			t.Errorf("%s of %s: %q, %v, want %s", name, path, got, err, value)
		}
	}
	set := func(path, name, value string) error {
		return unix.Setxattr(d.path(path), "user.walfs."+name, []byte(value), 0)
	}
	content := bytes.Repeat([]byte("walfs\n"), 100_000)
	must(t, os.Mkdir(d.path("d"), 0o700))
	f, err := os.Create(d.path("d/a"))
	must(t, err)
	_, err = f.Write(content)
	must(t, err)
	want("d/a", "state", "dirty")
	want("d/a", "blob_id", "")
	want("d/a", "progress", "0/600000")
	want("d/a", "cached", "600000/600000")
	want("d/a", "pin", "0")
	if err := set("d/a", "evict", "1"); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("evict the only copy: %v", err)
	}
	must(t, set("d/a", "sync", "1")) // the file is open: who waited here would wait for long
	waitFor(t, "sync", func() bool { s, _ := own(d.path("d/a"), "state"); return s == "certified" })
	must(t, f.Close())
	want("d/a", "progress", "600000/600000")
	want("d/a", "blob_id", "[-_A-Za-z0-9]{43}")
	want("d/a", "object_id", "0x[0-9a-f]{64}")
	want("d/a", "end_epoch", `[1-9][0-9]* 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
	want("d/a", "error", "")
	want("d", "state", "certified")
	var stat struct {
		Extents []struct {
			BlobID string `json:"blob_id"`
		} `json:"extents"`
		EndEpoch int `json:"end_epoch"`
	}
	must(t, json.Unmarshal([]byte(d.mustRun("stat", "--json", d.path("d/a"))), &stat))
	if id, _ := own(d.path("d/a"), "blob_id"); len(stat.Extents) == 0 || id != stat.Extents[0].BlobID {
		t.Errorf("blob_id %s, stat says %+v", id, stat.Extents)
	}
	for _, name := range []string{"sha256", "sync", "evict", "nothing"} {
		if v, err := own(d.path("d/a"), name); !errors.Is(err, syscall.ENODATA) {
			t.Errorf("%s: %q, %v", name, v, err)
		}
		if err := unix.Removexattr(d.path("d/a"), "user.walfs."+name); !errors.Is(err, syscall.EPERM) {
			t.Errorf("remove %s: %v", name, err)
		}
	}
	for name, want := range map[string]error{"state": syscall.EPERM, "nothing": syscall.EPERM, "pin": syscall.EINVAL} {
		if err := set("d/a", name, "x"); !errors.Is(err, want) {
			t.Errorf("set %s: %v", name, err)
		}
	}
	if n, err := unix.Listxattr(d.path("d/a"), nil); n != 0 || err != nil {
		t.Errorf("%d bytes of names are listed, %v", n, err)
	}
	waitFor(t, "eviction", func() bool { return set("d/a", "evict", "1") == nil }) // until its last use has ended
	want("d/a", "cached", "0/600000")
	if err := set("d", "evict", "1"); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("evict a folder: %v", err)
	}
	d.pinBelow(t, content)
	d.umount()
}

// pinBelow pins the folder d with the file a, which is not here.
func (d *drive) pinBelow(t *testing.T, content []byte) {
	t.Helper()
	a := d.path("d/a")
	out := d.mustRun("cache", "pin", d.path("d"))
	if !strings.Contains(out, "pinned: /d") {
		t.Errorf("pin says %q", out)
	}
	whole := fmt.Sprintf("%d/%[1]d", len(content))
	waitFor(t, "the pinned file", func() bool { s, _ := own(a, "cached"); return s == whole })
	for _, node := range d.status().Nodes {
		d.mustRun("node", "stop", node.Name)
	}
	if b, err := os.ReadFile(a); err != nil || !bytes.Equal(b, content) {
		t.Errorf("a pinned file without nodes: %d bytes, %v", len(b), err)
	}
	d.startNodes()
	if err := unix.Setxattr(a, "user.walfs.evict", []byte("1"), 0); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("evict what is pinned: %v", err)
	}
	must(t, os.WriteFile(d.path("d/b"), content, 0o600))
	if v, err := own(d.path("d/b"), "pin"); v != "1" {
		t.Errorf("a new file below a pin: %q, %v", v, err)
	}
	d.sync()
	d.mustRun("cache", "clear")
	d.umount()
	d.mount()
	for _, name := range []string{"d/a", "d/b"} {
		waitFor(t, "all that is pinned", func() bool { s, _ := own(d.path(name), "cached"); return s == whole })
	}
	d.mustRun("cache", "unpin", d.path("d/b"))
	if v, _ := own(d.path("d/b"), "pin"); v != "0" {
		t.Errorf("unpinned below a pin: %q", v)
	}
	must(t, unix.Removexattr(d.path("d/b"), "user.walfs.pin"))
	if v, _ := own(d.path("d/b"), "pin"); v != "1" {
		t.Errorf("the exception is gone: %q", v)
	}
	d.mustRun("cache", "unpin", d.path("d"))
	files := 0
	waitFor(t, "both to be evicted", func() bool { // a copy stays until its last use has ended
		var e struct{ Files, Kept int }
		must(t, json.Unmarshal([]byte(d.mustRun("--json", "cache", "evict", d.path("d"))), &e))
		files += e.Files
		return e.Kept == 0
	})
	if files != 2 {
		t.Errorf("evict took %d files", files)
	}
	if b, err := os.ReadFile(a); err != nil || !bytes.Equal(b, content) {
		t.Errorf("an evicted file: %d bytes, %v", len(b), err)
	}
}

package integration

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestVirtualFolder reads what tells about the drive, and finds that listings,
// archives and changes do not reach it.
func TestVirtualFolder(t *testing.T) {
	t.Parallel()
	needTool(t, "tar", "rsync")
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	d.mustRun("put", d.home+"/config.toml", "/.walfs")
	d.mount("-o", "passthrough=off") // writes by the kernel are not counted
	// What another program has stored under that name is there, and hides the folder.
	if info, err := os.Lstat(d.path(".walfs")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("a stored file of that name: %v, %v", info, err)
	}
	must(t, os.Remove(d.path(".walfs")))
	d.sync()
	if text, err := os.ReadFile(d.path(".walfs", "queue")); err != nil || len(text) != 0 {
		t.Errorf("all is stored, and queue is %q, %v", text, err)
	}
	for _, node := range d.status().Nodes {
		d.mustRun("node", "stop", node.Name)
	}
	must(t, os.WriteFile(d.path("a file"), []byte("waits"), 0o600))
	f, err := os.OpenFile(d.path("a file"), os.O_RDWR, 0)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	read := func(name string) string {
		t.Helper()
		out, err := exec.Command("cat", d.path(".walfs", name)).Output()
		must(t, err)
		info, err := os.Stat(d.path(".walfs", name))
		if err != nil || info.Mode() != 0o400 || len(out) > 0 && info.Size() == 0 {
			t.Errorf("%s is %v with %d bytes, %v", name, info.Mode(), info.Size(), err)
		}
		return string(out)
	}
	var s struct {
		status
		Type string `json:"type"`
	}
	if text := read("status.json"); json.Unmarshal([]byte(text), &s) != nil || !s.Mounted || len(s.Nodes) != 4 || s.Type != "status" {
		t.Errorf("status.json is %s", text)
	}
	if text := read("queue"); !strings.Contains(text, "/a file") && !strings.Contains(text, "segment ") {
		t.Errorf("queue is %q", text)
	}
	for _, want := range []string{"\n" + `walfs_requests_total{op="write"} 1` + "\n", "# TYPE walfs_requests_total counter\n", "\nwalfs_panics_total 0\n",
		"\nwalfs_written_bytes_total 5\n", "\nwalfs_cache_hits_total ", "\nwalfs_queue_files "} {
		if text := read("metrics"); !strings.Contains(text, want) {
			t.Errorf("metrics lack %q:\n%s", want, text)
		}
	}
	_ = read("errors")

	entries, err := os.ReadDir(d.mnt)
	if err != nil || len(entries) != 1 {
		t.Errorf("a listing has %d names, %v", len(entries), err)
	}
	copied := t.TempDir()
	shell(t, "tar -C %s -cf - . | tar -C %s -xf -", d.mnt, copied)
	shell(t, "rsync -a %s/ %s/", d.mnt, copied)
	if entries, err := os.ReadDir(copied); err != nil || len(entries) != 1 {
		t.Errorf("a copy has %d names, %v", len(entries), err)
	}
	must(t, os.Mkdir(d.path("dir"), 0o700))
	inner, err := os.ReadDir(d.path(".walfs"))
	if err != nil || len(inner) != 4 {
		t.Errorf("the folder has %d names, %v", len(inner), err)
	}
	for what, tt := range map[string]struct{ got, want error }{
		"mkdir":      {os.Mkdir(d.path(".walfs"), 0o700), syscall.EEXIST},
		"symlink":    {os.Symlink("x", d.path(".walfs")), syscall.EEXIST},
		"link":       {os.Link(d.path("a file"), d.path(".walfs")), syscall.EEXIST},
		"rmdir":      {syscall.Rmdir(d.path(".walfs")), syscall.EPERM},
		"move away":  {os.Rename(d.path(".walfs"), d.path("x")), syscall.EPERM},
		"move over":  {unix.Rename(d.path("dir"), d.path(".walfs")), syscall.EPERM},
		"move in":    {os.Rename(d.path("a file"), d.path(".walfs", "x")), syscall.EPERM},
		"make in":    {os.WriteFile(d.path(".walfs", "x"), nil, 0o600), syscall.EPERM},
		"write":      {os.WriteFile(d.path(".walfs", "queue"), nil, 0o600), syscall.EPERM},
		"remove":     {syscall.Unlink(d.path(".walfs", "queue")), syscall.EPERM},
		"chmod":      {os.Chmod(d.path(".walfs", "queue"), 0o777), syscall.EPERM},
		"below":      {os.Mkdir(d.path("dir", ".walfs"), 0o700), nil},
		"no such":    {func() error { _, err := os.Stat(d.path(".walfs", "none")); return err }(), syscall.ENOENT},
		"not a link": {func() error { _, err := os.Readlink(d.path(".walfs")); return err }(), syscall.EINVAL},
	} {
		if !errors.Is(tt.got, tt.want) || tt.want == nil && tt.got != nil {
			t.Errorf("%s: %v, want %v", what, tt.got, tt.want)
		}
	}
	d.umount()
}

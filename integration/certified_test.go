package integration

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// state returns what walfs stat says of a path in the drive.
func (d *drive) state(path string) string {
	d.t.Helper()
	var s struct {
		State string `json:"state"`
	}
	must(d.t, json.Unmarshal([]byte(d.mustRun("stat", "--json", path)), &s))
	return s.State
}

// TestFsyncCertified mounts with fsync=certified: when fsync of a file returns,
// a fresh home finds it; with the nodes away it ends in EIO after its time, and
// nothing is lost.
func TestFsyncCertified(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount("-o", "fsync=certified")
	must(t, os.Mkdir(d.path("dir"), 0o755))
	f, err := os.Create(d.path("dir", "file"))
	must(t, err)
	_, err = f.WriteString("first")
	must(t, err)
	must(t, f.Sync())
	if s := d.state("/dir/file"); s != "certified" {
		t.Errorf("after fsync the file is %s", s)
	}
	must(t, os.Rename(d.path("dir", "file"), d.path("renamed")))
	must(t, f.Sync())
	if s := d.state("/renamed"); s != "certified" {
		t.Errorf("after a rename and fsync the file is %s", s)
	}
	must(t, os.MkdirAll(d.path("outer", "inner"), 0o755))
	must(t, os.Rename(d.path("renamed"), d.path("outer", "inner", "renamed")))
	must(t, f.Sync())
	must(t, os.Rename(d.path("outer"), d.path("moved")))
	must(t, f.Sync())
	if s := d.state("/moved"); s != "certified" {
		t.Errorf("after a rename of a folder above and fsync of the file the folder is %s", s)
	}
	must(t, os.Rename(d.path("moved", "inner", "renamed"), d.path("renamed")))
	must(t, errors.Join(f.Sync(), f.Close()))
	d.umount()

	d.env = []string{"WALFS_FSYNC_TIMEOUT=1s"}
	d.mount("-o", "fsync=certified")
	d.stopNodes(4)
	f, err = os.OpenFile(d.path("renamed"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("SECOND"), 0)
	must(t, err)
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("fsync with the nodes away: %v", err)
	}
	must(t, f.Close())
	d.kill() // what was synced is staged all the same
	d.env = nil
	d.mount("-o", "fsync=certified")
	must(t, os.Mkdir(d.path("dir", "below"), 0o755))
	dir, err := os.Open(d.path("dir"))
	must(t, err)
	must(t, errors.Join(dir.Sync(), dir.Close())) // never waits: this would be EIO, after minutes
	d.startNodes()
	if got, err := os.ReadFile(d.path("renamed")); err != nil || string(got) != "SECOND" {
		t.Errorf("after kill -9: %q, %v", got, err)
	}
	reader, err := os.Open(d.path("renamed")) // the kernel must not get the file for itself on its account either
	must(t, err)
	defer reader.Close()
	f, err = os.OpenFile(d.path("renamed"), os.O_WRONLY, 0)
	must(t, err)
	must(t, f.Sync())
	if s := d.state("/renamed"); s != "certified" {
		t.Errorf("with the nodes back the file is %s", s)
	}
	must(t, f.Close())
	if s := d.state("/renamed"); s != "certified" {
		t.Errorf("after it was closed the file is %s", s)
	}
	d.kill() // no time for anything else
	r := d.restoreCopy()
	r.mount()
	if got, err := os.ReadFile(r.path("renamed")); err != nil || string(got) != "SECOND" {
		t.Errorf("restored: %q, %v", got, err)
	}
	r.umount()
}

// TestFsyncCertifiedEnds waits for nodes that are away, and is ended by a
// signal that kills the program, and by the end of the mount.
func TestFsyncCertifiedEnds(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount("-o", "fsync=certified")
	d.stopNodes(4)
	for _, end := range []struct {
		name string
		with func(program *exec.Cmd)
		says string
	}{
		{"a signal to the program", func(program *exec.Cmd) { must(t, program.Process.Signal(syscall.SIGTERM)) }, "signal: terminated"},
		{"a signal to the mount", func(*exec.Cmd) { must(t, d.daemon.Process.Signal(syscall.SIGTERM)) },
			"Input/output error"}, // not that of a mount that is taken away from those who do not leave it
	} {
		must(t, os.WriteFile(d.path("file"), []byte(end.name), 0o644))
		program := exec.Command("sync", d.path("file"))
		var said strings.Builder
		program.Stderr = &said
		must(t, program.Start())
		done := make(chan error, 1)
		go func() { done <- program.Wait() }()
		waitSyscall(t, program.Process.Pid)
		end.with(program)
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error()+said.String(), end.says) {
				t.Errorf("%s: %v, %s", end.name, err, said.String())
			}
		case <-time.After(patience):
			_ = program.Process.Kill()
			t.Fatalf("%s does not end an fsync", end.name)
		}
	}
	d.waitExit()
}

// waitSyscall waits until a process waits in fsync(2).
func waitSyscall(t *testing.T, pid int) {
	t.Helper()
	want := strconv.Itoa(syscall.SYS_FSYNC) + " "
	waitFor(t, "the program to come to its fsync", func() bool {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "syscall"))
		return err == nil && strings.HasPrefix(string(b), want)
	})
}

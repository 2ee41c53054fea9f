package integration

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	d := newDrive(t)
	d.env = []string{"WALFS_FSYNC_TIMEOUT=2s"}
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

	d.stopNodes(4)
	_, err = f.WriteAt([]byte("SECOND"), 0)
	must(t, err)
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("fsync with the nodes away: %v", err)
	}
	dir, err := os.Open(d.path("dir"))
	must(t, err)
	begun := time.Now()
	must(t, errors.Join(dir.Sync(), dir.Close())) // never waits
	if took := time.Since(begun); took > 1500*time.Millisecond {
		t.Errorf("fsync of a folder took %s", took)
	}
	must(t, f.Close())
	d.kill() // what was synced is staged all the same
	d.mount("-o", "fsync=certified")
	d.startNodes()
	if got, err := os.ReadFile(d.path("renamed")); err != nil || string(got) != "SECOND" {
		t.Errorf("after kill -9: %q, %v", got, err)
	}
	f, err = os.OpenFile(d.path("renamed"), os.O_WRONLY, 0)
	must(t, err)
	must(t, errors.Join(f.Sync(), f.Close()))
	if s := d.state("/renamed"); s != "certified" {
		t.Errorf("with the nodes back the file is %s", s)
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
	d := newDrive(t)
	d.mount("-o", "fsync=certified")
	d.stopNodes(4)
	for _, end := range []struct {
		name string
		with func(program *exec.Cmd)
	}{
		{"a signal to the program", func(program *exec.Cmd) { must(t, program.Process.Signal(syscall.SIGTERM)) }},
		{"a signal to the mount", func(*exec.Cmd) { must(t, d.daemon.Process.Signal(syscall.SIGTERM)) }},
	} {
		must(t, os.WriteFile(d.path("file"), []byte(end.name), 0o644))
		program := exec.Command("sync", d.path("file"))
		must(t, program.Start())
		done := make(chan error, 1)
		go func() { done <- program.Wait() }()
		waitSyscall(t, program.Process.Pid)
		end.with(program)
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("%s: fsync succeeded", end.name)
			}
		case <-time.After(9 * time.Second): // the mount gives programs 10 s, then takes what is open away
			_ = program.Process.Kill()
			t.Fatalf("%s does not end an fsync", end.name)
		}
	}
	d.waitExit(20 * time.Second)
}

// waitSyscall waits until a process waits in fsync(2).
func waitSyscall(t *testing.T, pid int) {
	t.Helper()
	want := strconv.Itoa(syscall.SYS_FSYNC) + " "
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "syscall"))
		if err == nil && len(b) > len(want) && string(b[:len(want)]) == want {
			return
		}
	}
	t.Fatal("the program does not come to its fsync")
}

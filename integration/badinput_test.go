package integration

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refusal is a command that must be refused with a clear line.
type refusal struct {
	name string
	args []string
	code int
	want string // in the error line
}

func (d *drive) refuse(t *testing.T, r refusal) {
	t.Helper()
	out, errb, code := d.run(r.args...)
	line, _, _ := strings.Cut(errb, "\n")
	if code != r.code || !strings.HasPrefix(line, "walfs: error: ") || !strings.Contains(errb, r.want) {
		t.Errorf("%s: exit %d, want %d and %q:\nstdout %s\nstderr %s", r.name, code, r.code, r.want, out, errb)
	}
	if strings.Contains(errb, "goroutine") || strings.Contains(errb, "Usage:") {
		t.Errorf("%s: a stack or usage dump:\n%s", r.name, errb)
	}
}

// TestBadInput gives walfs what it must refuse, and looks that nothing is lost.
func TestBadInput(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "full", "x"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644))
	must(t, os.Mkdir(filepath.Join(dir, "other"), 0o755))
	d.refuse(t, refusal{"status without a drive", []string{"status"}, 10, "no drive"})
	d.refuse(t, refusal{"unknown flag", []string{"mount", "--bogus", d.mnt}, 2, "bogus"})
	d.refuse(t, refusal{"no argument", []string{"mount"}, 2, ""})
	d.refuse(t, refusal{"mount point not empty", []string{"mount", filepath.Join(dir, "full")}, 1, "not empty"})
	d.refuse(t, refusal{"mount point is a file", []string{"mount", filepath.Join(dir, "file")}, 1, "not a folder"})
	d.refuse(t, refusal{"mount point is missing", []string{"mount", filepath.Join(dir, "file", "below")}, 1, ""})

	d.mount()
	must(t, os.WriteFile(d.path("kept"), []byte("kept"), 0o600))
	d.sync()
	d.refuse(t, refusal{"mounted already", []string{"mount", d.mnt}, 11, ""})
	d.refuse(t, refusal{"a second mounter", []string{"mount", filepath.Join(dir, "other")}, 11, "has the drive"})
	d.refuse(t, refusal{"unknown node", []string{"node", "stop", "nobody"}, 1, "nobody"})
	d.refuse(t, refusal{"stat beside the mount", []string{"stat", filepath.Join(dir, "file")}, 1, "is not in the drive, which is mounted at " + d.mnt})
	d.refuse(t, refusal{"sync beside the mount", []string{"sync", dir}, 1, "is not in the drive"})
	must(t, os.MkdirAll(d.path(dir), 0o755))
	must(t, os.WriteFile(d.path(filepath.Join(dir, "file")), []byte("in the drive"), 0o644))
	if out := d.mustRun("stat", filepath.Join(dir, "file")); !strings.Contains(out, "12 B") {
		t.Errorf("stat of a path in the drive that is on the machine too: %s", out)
	}
	d.refuse(t, refusal{"stat of nothing", []string{"stat", d.path("missing")}, 1, "missing"})
	d.umount()

	d.withKeyMode(t, 0o644, refusal{"readable key", []string{"mount", d.mnt}, 12, "identity.txt"})
	d.withWrongIdentity(t, refusal{"wrong identity", []string{"mount", d.mnt}, 12, ""})
	d.withNewerIndex(t, refusal{"newer index", []string{"mount", d.mnt}, 1, "newer"})
	d.withOwner(t, 65534, refusal{"state folder of another user", []string{"mount", d.mnt}, 1, "owner"})

	d.mount()
	if got, err := os.ReadFile(d.path("kept")); err != nil || string(got) != "kept" {
		t.Errorf("after all refusals: %q, %v", got, err)
	}
	d.umount()
}

func (d *drive) withKeyMode(t *testing.T, mode os.FileMode, r refusal) {
	t.Helper()
	path := filepath.Join(d.home, "identity.txt")
	must(t, os.Chmod(path, mode))
	d.refuse(t, r)
	must(t, os.Chmod(path, 0o600))
}

func (d *drive) withWrongIdentity(t *testing.T, r refusal) {
	t.Helper()
	path := filepath.Join(d.home, "identity.txt")
	right, err := os.ReadFile(path)
	must(t, err)
	other := newDriveIn(t, t.TempDir())
	other.mustRun("init")
	wrong, err := os.ReadFile(filepath.Join(other.home, "identity.txt"))
	must(t, err)
	must(t, os.WriteFile(path, wrong, 0o600))
	d.refuse(t, r)
	must(t, os.WriteFile(path, right, 0o600))
}

func (d *drive) withNewerIndex(t *testing.T, r refusal) {
	t.Helper()
	index := filepath.Join(d.home, "index.db")
	version := strings.TrimSpace(strings.Join(d.query(index, "PRAGMA user_version"), ""))
	d.query(index, "PRAGMA user_version=999")
	d.refuse(t, r)
	d.query(index, "PRAGMA user_version="+version)
}

func (d *drive) withOwner(t *testing.T, uid int, r refusal) {
	t.Helper()
	if os.Geteuid() != 0 {
		return // only root can give a folder away
	}
	must(t, os.Chown(d.home, uid, uid))
	d.refuse(t, r)
	must(t, os.Chown(d.home, 0, 0))
}

// TestDeadMount: a mount left by a killed daemon is cleaned up by the next start.
func TestDeadMount(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	must(t, os.WriteFile(d.path("file"), []byte("still here"), 0o600))
	d.kill()
	if _, err := os.Stat(d.path("file")); err == nil {
		t.Fatal("the mount of a killed daemon answers")
	}
	d.mount()
	if got, err := os.ReadFile(d.path("file")); err != nil || string(got) != "still here" {
		t.Errorf("after kill -9: %q, %v", got, err)
	}
	d.umount()
}

// TestOddNames: names that are not UTF-8 or 255 bytes long work, longer ones are refused.
func TestOddNames(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mount()
	for _, name := range []string{strings.Repeat("n", 255), "\xff\xfe\x01", strings.Repeat("\xc3", 255), " ", "-", "new\nline"} {
		must(t, os.WriteFile(d.path(name), []byte(name), 0o600))
	}
	if err := os.WriteFile(d.path(strings.Repeat("n", 256)), nil, 0o600); err == nil || err.(*os.PathError).Err != syscall.ENAMETOOLONG {
		t.Errorf("256 bytes: got %v, want ENAMETOOLONG", err)
	}
	want := readTree(t, d.mnt)
	d.sync()
	d.umount()
	d.forgetLocal()
	d.mount()
	diffTrees(t, "odd names", want, readTree(t, d.mnt))
	d.umount()
}

// TestSIGTERM in the middle of everything: the daemon ends by itself, the mount
// is gone, and what was fsynced is there.
func TestSIGTERM(t *testing.T) {
	t.Parallel()
	needTool(t, "rsync", "sqlite3")
	d := newDrive(t)
	w := newWriters(t, d)
	for range 3 {
		d.mount()
		w.start()
		time.Sleep(1500 * time.Millisecond) // the signal comes while all writers run
		must(t, d.daemon.Process.Signal(syscall.SIGTERM))
		select {
		case <-d.exited:
			d.daemon = nil
		case <-time.After(patience):
			t.Fatal("the daemon still runs long after SIGTERM")
		}
		w.stop()
		if mounted(d.mnt) {
			t.Fatal("the mount is still there after SIGTERM")
		}
		w.checkRound("SIGTERM", true)
	}
	w.checkEnd()
}

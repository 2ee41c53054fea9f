package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asNobody runs a command line as a user without privilege.
func asNobody(line string, args ...any) (string, error) {
	cmd := exec.Command("bash", "-c", fmt.Sprintf(line, args...))
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinaryUID, Gid: ordinaryUID}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// openWay lets other users come as far as a folder.
func openWay(t *testing.T, dir string) {
	t.Helper()
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755))
	}
}

// TestOtherUsers: another user of the machine gets nothing of a drive, from
// the mount, the state folder, the socket or the process.
func TestOtherUsers(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can act as somebody else")
	}
	needTool(t, "python3")
	d := newDriveIn(t, shortDir(t))
	d.env = []string{"WALFS_SECRET=in the environment"}
	openWay(t, d.mnt)
	d.mount()
	must(t, os.WriteFile(d.path("open"), []byte("open to all"), 0o666))
	must(t, os.Chmod(d.path("open"), 0o666))
	must(t, os.WriteFile(d.path("closed"), []byte("closed"), 0o600))
	must(t, os.Chmod(d.mnt, 0o777))
	d.sync()
	pid := d.daemon.Process.Pid
	tries := map[string]string{
		"list the mount":       "ls " + d.mnt,
		"stat the mount":       "stat " + d.path("open"),
		"read a file":          "cat " + d.path("open"),
		"write a file":         "echo x > " + d.path("new"),
		"list the home":        "ls " + d.home,
		"read the identity":    "cat " + filepath.Join(d.home, "identity.txt"),
		"read the key file":    "cat " + filepath.Join(d.home, "key.age"),
		"read the index":       "cat " + filepath.Join(d.home, "index.db"),
		"list the nodes":       "ls " + filepath.Join(d.home, "network"),
		"list the cache":       "ls " + filepath.Join(d.home, "cache"),
		"list staging":         "ls " + filepath.Join(d.home, "staging"),
		"talk to the socket":   fmt.Sprintf(`/usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect("%s")'`, filepath.Join(d.home, "control.sock")),
		"read the environment": fmt.Sprintf("cat /proc/%d/environ", pid),
		"read the memory":      fmt.Sprintf("cat /proc/%d/mem", pid),
		"see the mappings":     fmt.Sprintf("cat /proc/%d/maps | grep .", pid),
		"list open files":      fmt.Sprintf("ls /proc/%d/fd/", pid),
		"see where it works":   fmt.Sprintf("readlink /proc/%d/cwd", pid),
		"attach to it":         fmt.Sprintf(`/usr/bin/python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(0x4206, %d, 0, 0) != 0)'`, pid),
		"use walfs":            fmt.Sprintf("%s --home %s status", d.bin, d.home),
	}
	must(t, os.Chmod(filepath.Dir(d.bin), 0o755))
	for what, line := range tries {
		if out, err := asNobody("%s", line); err == nil {
			t.Errorf("another user can %s:\n%.300s", what, out)
		}
	}
	for _, what := range []string{"list the home", "read the environment", "list open files", "talk to the socket", "use walfs"} {
		shell(t, "%s", tries[what]) // it is not the command that fails
	}
	d.umount()

	d.mount("-o", "allow_other")
	if out, err := asNobody("cat %s", d.path("open")); err != nil || out != "open to all" {
		t.Errorf("with allow_other: %q, %v", out, err)
	}
	if out, err := asNobody("echo more >> %s && mkdir %s", d.path("open"), d.path("theirs")); err != nil {
		t.Errorf("with allow_other: %q, %v", out, err)
	}
	for what, line := range map[string]string{
		"read a file of mode 0600":   "cat " + d.path("closed"),
		"open its mode":              "chmod 666 " + d.path("closed"),
		"take it":                    "chown nobody " + d.path("closed"),
		"name its attributes":        "setfattr -n user.x -v y " + d.path("closed"),
		"list the home":              tries["list the home"],
		"read the memory":            tries["read the memory"],
		"make a device":              "mknod " + d.path("null") + " c 1 3",
		"use walfs, with a new home": tries["use walfs"],
	} {
		if out, err := asNobody("%s", line); err == nil {
			t.Errorf("with allow_other another user can %s:\n%.300s", what, out)
		}
	}
	d.umount()
}

// TestHomeIsClosed looks at all that a daemon leaves in its home: nothing
// there is open to anybody but its owner, whatever umask it was started with.
func TestHomeIsClosed(t *testing.T) {
	if !apart(t) {
		return
	}
	old := unix.Umask(0)
	defer unix.Umask(old)
	d := newDriveIn(t, shortDir(t))
	d.mustRun("mount", "--background", "-vv", d.mnt)
	defer d.run("umount", "--lazy", d.mnt)
	plant(t, d.mnt, "stored")
	d.sync()
	d.mustRun("cache", "clear")
	readTree(t, d.mnt)
	writeRandom(t, d.path("big"), 3<<20, 5)
	f, err := os.OpenFile(d.path("big"), os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("a part"), 1<<20)
	must(t, err)
	must(t, f.Sync())
	checkClosed(t, d.home)
	copied := filepath.Join(filepath.Dir(d.home), "keys")
	d.mustRun("key", "export", "--out", copied)
	checkClosed(t, copied)
	must(t, f.Close())
	d.mustRun("umount", d.mnt)
	checkClosed(t, d.home)
}

func checkClosed(t *testing.T, dir string) {
	t.Helper()
	seen := 0
	must(t, filepath.WalkDir(dir, func(path string, de fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was at work
		}
		if err != nil {
			return err
		}
		info, err := de.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		seen++
		return err
	}))
	if seen < 2 {
		t.Errorf("%s holds nothing", dir)
	}
}

// TestNoCore: a daemon that crashes leaves no image of its memory.
func TestNoCore(t *testing.T) {
	if !apart(t) {
		return
	}
	var had unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_CORE, &had))
	must(t, unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: had.Max, Max: had.Max}))
	defer func() { must(t, unix.Setrlimit(unix.RLIMIT_CORE, &had)) }()
	t.Chdir(t.TempDir()) // where others leave theirs
	control := exec.Command("sleep", "60")
	must(t, control.Start())
	must(t, control.Process.Signal(syscall.SIGABRT))
	if err := control.Wait(); !dumped(err) {
		t.Logf("no process leaves a core file here: %v", err)
	}
	d := newDrive(t)
	d.env = []string{"GOTRACEBACK=crash"} // else the runtime ends without one
	d.mount()
	must(t, d.daemon.Process.Signal(syscall.SIGABRT))
	select {
	case err := <-d.exited:
		d.daemon = nil
		if dumped(err) || err == nil || !strings.Contains(err.Error(), "abort") {
			t.Errorf("the daemon ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the daemon does not end")
	}
}

func dumped(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.CoreDump()
}

// TestSameUser: not even other processes of its own user look into a daemon.
func TestSameUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		asOrdinaryUser(t, "^TestSameUser$")
		return
	}
	d := newDriveIn(t, shortDir(t))
	d.env = []string{"WALFS_SECRET=in the environment"}
	d.mount()
	other := exec.Command("sleep", "600")
	must(t, other.Start())
	defer func() { _, _ = other.Process.Kill(), other.Wait() }()
	looks := map[string]func(pid int) error{
		"environ": func(pid int) error { _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); return err },
		"fd":      func(pid int) error { _, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); return err },
		"mem": func(pid int) error {
			f, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
			if err == nil {
				err = f.Close()
			}
			return err
		},
		"process_vm_readv": func(pid int) error {
			local, remote := make([]byte, 8), []unix.RemoteIovec{{Base: 1 << 22, Len: 8}}
			_, err := unix.ProcessVMReadv(pid, []unix.Iovec{{Base: &local[0], Len: 8}}, remote, 0)
			if errors.Is(err, unix.EFAULT) {
				err = nil // it was allowed
			}
			return err
		},
	}
	for name, look := range looks {
		if err := look(d.daemon.Process.Pid); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
			t.Errorf("%s of the daemon: %v", name, err)
		}
		if err := look(other.Process.Pid); err != nil {
			t.Errorf("%s of another process of this user: %v: the test shows nothing", name, err)
		}
	}
	d.umount()
}

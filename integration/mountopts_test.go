package integration

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOptions mounts with options that do not exist, with those of others, and
// with such as change what files look like.
func TestOptions(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	for _, bad := range []string{"bogus", "ro,umask=9", "fsync=never"} {
		_, errb, code := d.run("mount", "-o", bad, d.mnt)
		if code != 2 || !strings.Contains(errb, "-o "+bad[strings.LastIndexByte(bad, ',')+1:]) {
			t.Errorf("-o %s: exit %d, %s", bad, code, errb)
		}
	}
	if _, err := os.Stat(d.home); !errors.Is(err, os.ErrNotExist) {
		t.Error("an option that was refused left a state folder")
	}
	d.mount()
	must(t, os.WriteFile(d.path("a"), []byte("a"), 0o640))
	must(t, os.Mkdir(d.path("d"), 0o700))
	d.umount()
	d.mount("-o", "x-systemd.automount,x-nobody-knows=1,_netdev,nofail,user,noauto,x-gvfs-show,uid=1234,gid=4321,umask=027")
	look := func(name string) (mode os.FileMode, uid, gid uint32) {
		info, err := os.Lstat(d.path(name))
		must(t, err)
		st := info.Sys().(*syscall.Stat_t)
		return info.Mode(), st.Uid, st.Gid
	}
	for name, want := range map[string]os.FileMode{"a": 0o750, "d": 0o750 | os.ModeDir, ".": 0o750 | os.ModeDir} {
		if mode, uid, gid := look(name); mode != want || uid != 1234 || gid != 4321 {
			t.Errorf("%s: %v of %d and %d", name, mode, uid, gid)
		}
	}
	entries, err := os.ReadDir(d.mnt)
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("%d entries", len(entries))
	}
	must(t, os.WriteFile(d.path("new"), []byte("b"), 0o600))
	if mode, uid, _ := look("new"); mode != 0o750 || uid != 1234 {
		t.Errorf("a new file: %v of %d", mode, uid)
	}
	if _, _, code := d.run("mount", d.mnt); code != 11 {
		t.Errorf("a mount over a mount: exit %d", code)
	}
	d.umount()
	d.mount()
	for name, want := range map[string]os.FileMode{"a": 0o640, "d": 0o700 | os.ModeDir, "new": 0o600} {
		if mode, uid, _ := look(name); mode != want || uid != uint32(os.Getuid()) {
			t.Errorf("what is stored of %s: %v of %d", name, mode, uid)
		}
	}
	d.umount()
}

// TestHelper mounts as mount(8) does for a line of fstab.
func TestHelper(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	helper := filepath.Join(t.TempDir(), "mount.walfs")
	must(t, os.Symlink(d.bin, helper))
	call := func(args ...string) (int, string) {
		cmd := exec.Command(helper, args...)
		cmd.Env = d.environ()
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	if code, out := call(d.home, d.mnt, "-o", "rw"); code != 32 || !strings.Contains(out, "no drive in") {
		t.Errorf("without a drive: exit %d, %s", code, out)
	}
	if _, err := os.Stat(d.home); !errors.Is(err, os.ErrNotExist) {
		t.Error("a line of fstab made a drive")
	}
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	if code, out := call(d.home, d.mnt, "-o", "rw,bogus"); code != 1 || !strings.Contains(out, "bogus") {
		t.Errorf("a wrong option: exit %d, %s", code, out)
	}
	if code, out := call(d.home, d.mnt, "-o", "rw,_netdev,noexec,x-systemd.automount", "-f"); code != 0 || mounted(d.mnt) {
		t.Errorf("a fake mount: exit %d, %s", code, out)
	}
	if code, out := call(d.home, d.mnt, "-o", "rw,_netdev,noexec,x-systemd.automount", "-n"); code != 0 || !answers(d.mnt) {
		t.Fatalf("exit %d, %s", code, out)
	}
	must(t, os.WriteFile(d.path("a"), []byte("a"), 0o600))
	if code, out := call(d.home, d.mnt); code != 32 || !strings.Contains(out, "already") {
		t.Errorf("a second time: exit %d, %s", code, out)
	}
	d.mustRun("umount", d.mnt)
}

// TestService starts the daemon as a service manager does, and hears that it is
// ready when the mount answers, and that it is about to end.
func TestService(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	name := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	must(t, err)
	defer socket.Close()
	heard := make(chan string, 8)
	go func() {
		defer close(heard)
		for b := make([]byte, 4096); ; {
			n, err := socket.Read(b)
			if err != nil {
				return
			}
			text := string(b[:n])
			if strings.HasPrefix(text, "READY=1\n") && !answers(d.mnt) {
				text = "too early"
			}
			heard <- text
		}
	}()
	hear := func(want string) {
		t.Helper()
		select {
		case text := <-heard:
			if !strings.HasPrefix(text, want) {
				t.Errorf("heard %q, want %q", text, want)
			}
		case <-time.After(patience):
			t.Errorf("never heard %q", want)
		}
	}
	d.env = append(d.env, "NOTIFY_SOCKET="+name)
	d.mount()
	hear("READY=1\nMAINPID=")
	must(t, d.daemon.Process.Signal(syscall.SIGTERM))
	hear("STOPPING=1\n")
	d.waitExit()
}

// TestReadOnlyHome mounts a drive whose state folder cannot be written: that is
// refused, nothing is left behind, and once it can be written all is there.
func TestReadOnlyHome(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	d.mount()
	must(t, os.WriteFile(d.path("a"), []byte("kept"), 0o600))
	d.sync()
	d.umount()
	must(t, syscall.Mount(d.home, d.home, "", syscall.MS_BIND, ""))
	t.Cleanup(func() { _ = syscall.Unmount(d.home, syscall.MNT_DETACH) })
	must(t, syscall.Mount("", d.home, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	for _, args := range [][]string{{"mount", d.mnt}, {"mount", "--background", d.mnt}, {"mount", "-o", "ro", d.mnt}, {"status"}} {
		d.refuse(t, refusal{strings.Join(args, " "), args, 1, "read-only file system"})
		if mounted(d.mnt) {
			t.Fatalf("%q left a mount", args)
		}
	}
	must(t, syscall.Unmount(d.home, 0))
	d.mount()
	if b, err := os.ReadFile(d.path("a")); err != nil || string(b) != "kept" {
		t.Errorf("%q, %v", b, err)
	}
	d.umount()
}

// TestLockedOut mounts so that the user who does may not enter. It fails, and no dead mount stays.
func TestLockedOut(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		asOrdinaryUser(t, "^TestLockedOut$")
		return
	}
	d := newDrive(t)
	_, errb, code := d.run("mount", "-o", "uid=12,umask=077", d.mnt)
	if code != 1 || !strings.Contains(errb, "may not enter the root folder") {
		t.Errorf("exit %d, %s", code, errb)
	}
	if table, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(table), " "+d.mnt+" ") {
		t.Errorf("a mount stays behind: %v", err)
	}
	d.mount()
	must(t, os.WriteFile(d.path("a"), []byte("a"), 0o600))
	d.umount()
}

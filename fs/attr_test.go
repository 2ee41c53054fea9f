package fs_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestXattrs(t *testing.T) {
	d := newDrive(t)
	path := d.path("file")
	must(t, os.WriteFile(path, []byte("x"), 0o644))
	get := func(name string, size int) (string, error) {
		b := make([]byte, size)
		n, err := unix.Getxattr(path, name, b)
		return string(b[:max(0, min(n, size))]), err
	}
	must(t, unix.Setxattr(path, "user.a", []byte("one"), unix.XATTR_CREATE))
	must(t, unix.Setxattr(path, "user.empty", nil, 0))
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"create what exists":     {unix.Setxattr(path, "user.a", nil, unix.XATTR_CREATE), syscall.EEXIST},
		"replace what is absent": {unix.Setxattr(path, "user.b", nil, unix.XATTR_REPLACE), syscall.ENODATA},
		"unknown namespace":      {unix.Setxattr(path, "system.walfs", nil, 0), syscall.EOPNOTSUPP},
		"our prefix":             {unix.Setxattr(path, "user.walfs.state", []byte("certified"), 0), syscall.EPERM},
		"long name":              {unix.Setxattr(path, "user."+strings.Repeat("n", 256), nil, 0), syscall.ERANGE},
		"remove what is absent":  {unix.Removexattr(path, "user.b"), syscall.ENODATA},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: got %v, want %v", name, c.err, c.want)
		}
	}
	if _, err := get("user.a", 2); !errors.Is(err, syscall.ERANGE) {
		t.Errorf("short buffer: %v", err)
	}
	if v, err := get("user.a", 100); v != "one" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	if n, err := unix.Getxattr(path, "user.a", nil); n != 3 || err != nil {
		t.Errorf("size: %d, %v", n, err)
	}
	list := make([]byte, 100)
	if n, err := unix.Listxattr(path, list); err != nil || string(list[:n]) != "user.a\x00user.empty\x00" {
		t.Errorf("list: %q, %v", list[:n], err)
	}
	big := bytes.Repeat([]byte("v"), 64<<10)
	must(t, unix.Setxattr(path, "user.big", big, 0))
	if v, err := get("user.big", 64<<10); v != string(big) || err != nil {
		t.Errorf("a value of 64 KiB: %d bytes, %v", len(v), err)
	}
	for _, c := range []struct{ command, state string }{{"check", "staged"}, {"publish", "storing"}, {"certify", "certified"}} {
		d.do(c.command)
		if v, err := get("user.walfs.state", 100); v != c.state || err != nil {
			t.Errorf("after %s: state %q, %v; want %s", c.command, v, err, c.state)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteString("y")
	must(t, err)
	if v, err := get("user.walfs.state", 100); v != "dirty" || err != nil {
		t.Errorf("while it is written: state %q, %v", v, err)
	}
}

// asNobody runs a script as a user without privilege.
func (d *drive) asNobody(script string) (string, error) {
	cmd := exec.Command("bash", "-euc", `cd "$0"; `+script, d.mnt)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mode(t *testing.T, path string) uint32 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	return st.Mode & 0o7777
}

// reachable opens the way to a mount in a test's folder for other users.
func reachable(t *testing.T, d *drive) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can act as somebody else")
	}
	for dir := d.mnt; dir != os.TempDir() && len(dir) > 1; {
		dir = dir[:strings.LastIndexByte(dir, '/')]
		if dir != os.TempDir() && dir != "" {
			must(t, os.Chmod(dir, 0o755))
		}
	}
}

func TestOthers(t *testing.T) {
	d := newDrive(t)
	reachable(t, d)
	must(t, os.WriteFile(d.path("closed"), []byte("secret"), 0o600))
	if out, err := d.asNobody("cat closed"); err == nil {
		t.Errorf("somebody else read %q", out)
	}
	for name, script := range map[string]string{
		"written":   "echo more >> file",
		"cut":       "truncate -s 1 file",
		"allocated": "fallocate -l 100000 file",
	} {
		must(t, os.WriteFile(d.path("file"), []byte("content"), 0o644))
		must(t, unix.Chmod(d.path("file"), 0o6777))
		if out, err := d.asNobody(script); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		if m := mode(t, d.path("file")); m != 0o777 {
			t.Errorf("%s: mode %o", name, m)
		}
		must(t, os.Remove(d.path("file")))
	}
	must(t, os.WriteFile(d.path("file"), []byte("content"), 0o644))
	must(t, unix.Chmod(d.path("file"), 0o6755))
	must(t, os.WriteFile(d.path("file"), []byte("by root"), 0o644))
	if m := mode(t, d.path("file")); m != 0o6755 {
		t.Errorf("written by root: mode %o", m)
	}
	must(t, os.Chown(d.path("file"), 1, 1))
	if m := mode(t, d.path("file")); m != 0o755 {
		t.Errorf("given away: mode %o", m)
	}

	must(t, os.Mkdir(d.path("shared"), 0o777))
	must(t, os.Chown(d.path("shared"), 0, 4242))
	must(t, unix.Chmod(d.path("shared"), 0o2777))
	if out, err := d.asNobody("cd shared; touch f; mkdir d; ln -s x l; mkfifo p"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"f", "d", "l", "p"} {
		var st unix.Stat_t
		must(t, unix.Lstat(d.path("shared", name), &st))
		if st.Gid != 4242 || st.Uid != 65534 || name == "d" && st.Mode&unix.S_ISGID == 0 {
			t.Errorf("%s: mode %o, owner %d:%d", name, st.Mode, st.Uid, st.Gid)
		}
	}
}

func TestTimes(t *testing.T) {
	d := newDrive(t)
	path := d.path("file")
	must(t, os.WriteFile(path, []byte("x"), 0o644))
	stat := func() (st unix.Stat_t) {
		t.Helper()
		must(t, unix.Stat(path, &st))
		return st
	}
	set := unix.NsecToTimespec(time.Date(2005, 5, 5, 5, 5, 5, 123456789, time.UTC).UnixNano())
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{set, {Nsec: unix.UTIME_OMIT}}, 0))
	before := stat()
	if before.Atim != set || before.Mtim == set {
		t.Errorf("atime %v, mtime %v", before.Atim, before.Mtim)
	}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, set}, 0))
	if st := stat(); st.Mtim != set || st.Ctim.Nano() <= before.Ctim.Nano() {
		t.Errorf("mtime %v, ctime %v after %v", st.Mtim, st.Ctim, before.Ctim)
	}
	// Times that were set stay through close, publishing, eviction and restarts.
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString("yy")
	must(t, err)
	must(t, unix.Futimes(int(f.Fd()), []unix.Timeval{{Sec: 1}, {Sec: 2}}))
	must(t, f.Close())
	for _, step := range []func(){
		func() {}, func() { d.do("publish") }, func() { d.forget() },
		func() { d.kill(); d.mount() }, func() { d.unmount(); d.mount() },
	} {
		step()
		if st := stat(); st.Mtim.Nano() != 2e9 {
			t.Errorf("mtime %v", st.Mtim)
		}
	}
	must(t, os.WriteFile(path, []byte("again"), 0o644))
	st := stat()
	if age := time.Since(time.Unix(0, st.Mtim.Nano())); age > patience || st.Ctim.Nano() < st.Mtim.Nano() {
		t.Errorf("after a write: mtime %v, ctime %v", st.Mtim, st.Ctim)
	}
	dir := func() int64 {
		var st unix.Stat_t
		must(t, unix.Stat(d.mnt, &st))
		return st.Mtim.Nano()
	}
	for _, c := range []struct {
		name string
		op   func() error
	}{
		{"link", func() error { return os.Link(path, d.path("second")) }},
		{"mkdir", func() error { return os.Mkdir(d.path("dir"), 0o755) }},
		{"rename", func() error { return os.Rename(path, d.path("third")) }},
		{"create", func() error { return os.WriteFile(d.path("fourth"), nil, 0o644) }},
	} {
		old := dir()
		must(t, c.op())
		if dir() <= old {
			t.Errorf("%s leaves the directory's mtime", c.name)
		}
	}
}

func TestReadOnly(t *testing.T) {
	d := newDrive(t)
	must(t, os.WriteFile(d.path("file"), []byte("content"), 0o644))
	d.do("readonly on")
	f, err := os.OpenFile(d.path("file"), os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteString("x")
		must(t, f.Close())
	}
	for name, err := range map[string]error{
		"write":  err,
		"create": os.WriteFile(d.path("new"), nil, 0o644),
		"mkdir":  os.Mkdir(d.path("new"), 0o755),
		"remove": os.Remove(d.path("file")),
		"rename": os.Rename(d.path("file"), d.path("new")),
		"chmod":  os.Chmod(d.path("file"), 0o600),
		"cut":    os.Truncate(d.path("file"), 0),
		"xattr":  unix.Setxattr(d.path("file"), "user.a", nil, 0),
	} {
		if !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b, err := os.ReadFile(d.path("file")); err != nil || string(b) != "content" {
		t.Errorf("read: %q, %v", b, err)
	}
	d.do("readonly off")
	must(t, os.Remove(d.path("file")))
}

func TestRenameFlags(t *testing.T) {
	d := newDrive(t)
	must(t, os.WriteFile(d.path("a"), []byte("a"), 0o644))
	must(t, os.Mkdir(d.path("b"), 0o755))
	rename := func(from, to string, flags uint) error {
		return unix.Renameat2(unix.AT_FDCWD, d.path(from), unix.AT_FDCWD, d.path(to), flags)
	}
	if err := rename("a", "b", unix.RENAME_NOREPLACE); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("no replace: %v", err)
	}
	must(t, rename("a", "b", unix.RENAME_EXCHANGE))
	if st, err := os.Stat(d.path("a")); err != nil || !st.IsDir() {
		t.Errorf("exchanged: %v, %v", st, err)
	}
	must(t, rename("b", "c", unix.RENAME_WHITEOUT))
	var st unix.Stat_t
	if err := unix.Lstat(d.path("b"), &st); err != nil || st.Mode != unix.S_IFCHR || st.Rdev != 0 {
		t.Errorf("whiteout: mode %o, device %d, %v", st.Mode, st.Rdev, err)
	}
	must(t, os.Remove(d.path("b")))
	must(t, os.Rename(d.path("c"), d.path("b")))
	must(t, os.Mkdir(d.path("a", "below"), 0o755))
	if err := rename("a", "a/below/itself", 0); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("into itself: %v", err)
	}
	if err := rename("b", "a", 0); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a file over a directory: %v", err)
	}
}

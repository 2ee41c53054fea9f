package integration

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// keptTree makes a tree with all that walfs get -r and put -r keep.
func keptTree(t *testing.T, dir string) {
	t.Helper()
	makeTree(t, dir, 40, 31)
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"sticky", "sticky/below", "group", "closed"} {
		must(t, os.Mkdir(at(name), 0o755))
	}
	for _, name := range []string{"program", "shared", "sticky/below/plain", "closed/file"} {
		must(t, os.WriteFile(at(name), []byte(name), 0o600))
	}
	must(t, os.Link(at("program"), at("sticky/below/program")))
	must(t, os.Symlink("/etc/passwd", at("away")))
	must(t, syscall.Mkfifo(at("fifo"), 0o640))
	must(t, os.Link(at("fifo"), at("closed/fifo")))
	holes(t, at("holes"))
	must(t, unix.Setxattr(at("program"), "user.binary", []byte("a\x00b"), 0))
	must(t, unix.Setxattr(at("program"), "user.empty", nil, 0))
	must(t, unix.Setxattr(at("sticky"), "user.long", make([]byte, 2000), 0))
	must(t, unix.Setxattr(at("closed/file"), "user.note", []byte("of what nobody may write"), 0))
	must(t, unix.Setxattr(at("shared"), "system.posix_acl_access", aclOf(aclUser(12345, 5), 7), 0))
	must(t, unix.Setxattr(at("sticky"), "system.posix_acl_default", aclOf(aclUser(12345, 7), 5), 0))
	if os.Geteuid() == 0 {
		rootsTree(t, dir)
	}
	for name, mode := range map[string]uint32{
		"program": 0o4711, "shared": 0o2751, "sticky": 0o1770, "group": 0o2750, "closed/file": 0o400, "closed": 0o555, "fifo": 0o604,
	} {
		must(t, unix.Chmod(at(name), mode))
	}
	for i, name := range []string{"away", "fifo", "program", "sticky", "closed", "."} {
		at := unix.NsecToTimespec(1_234_567_890_123_456_789 + int64(i))
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, name), []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// rootsTree adds what only root can make.
func rootsTree(t *testing.T, dir string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	for i, name := range []string{"program", "shared", "group", "away", "fifo", "sticky/below", "closed/file"} {
		must(t, os.Lchown(at(name), 2000+i, 3000+i))
	}
	must(t, unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(at("group/disk"), unix.S_IFBLK|0o600, int(unix.Mkdev(300, 70000))))
	must(t, unix.Setxattr(at("shared"), "trusted.note", []byte("root's"), 0))
	must(t, unix.Lsetxattr(at("away"), "trusted.note", []byte("of a link"), 0))
	must(t, unix.Setxattr(at("shared"), "security.note", []byte("of root too"), 0))
	// Source of the value: VFS_CAP_REVISION_2 with CAP_NET_BIND_SERVICE, effective.
	capability := binary.LittleEndian.AppendUint32(nil, 0x02000001)
	capability = append(binary.LittleEndian.AppendUint32(capability, 1<<10), make([]byte, 12)...)
	must(t, unix.Setxattr(at("group/disk"), "security.note", nil, 0))
	must(t, os.WriteFile(at("capable"), nil, 0o755))
	must(t, unix.Setxattr(at("capable"), "security.capability", capability, 0))
}

// aclUser is an entry of an ACL for one user.
func aclUser(uid uint32, rights uint16) []byte { return aclEntry(0x02, rights, uid) }

func aclEntry(tag, rights uint16, id uint32) []byte {
	b := binary.LittleEndian.AppendUint16(nil, tag)
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint16(b, rights), id)
}

// aclOf is an ACL with one named user and a mask. Source: acl(5), posix_acl_xattr.h.
func aclOf(user []byte, mask uint16) []byte {
	const nobody = ^uint32(0)
	b := binary.LittleEndian.AppendUint32(nil, 2)
	b = append(append(b, aclEntry(0x01, 7, nobody)...), user...)
	b = append(append(b, aclEntry(0x04, 1, nobody)...), aclEntry(0x10, mask, nobody)...)
	return append(b, aclEntry(0x20, 1, nobody)...)
}

// holesSize is the length of a file of holes, with a little in it.
const holesSize = 64 << 20

func holes(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	for _, off := range []int64{0, holesSize / 2} {
		_, err = f.WriteAt([]byte("here"), off)
		must(t, err)
	}
	must(t, f.Truncate(holesSize))
	must(t, f.Close())
}

// isSparse wants the file of holes to be one.
func isSparse(t *testing.T, path string) {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	if st.Size != holesSize || st.Blocks*512 > holesSize/8 {
		t.Errorf("%s has %d bytes and takes %d", path, st.Size, st.Blocks*512)
	}
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	if end, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE); err != nil || end > 1<<20 {
		t.Errorf("the first hole of %s is at %d, %v", path, end, err)
	}
}

// TestCopiesKeepAll copies a tree into a drive and out of it, mounted and not, and
// again over what is there.
func TestCopiesKeepAll(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	dir := filepath.Dir(d.home)
	src := filepath.Join(dir, "src")
	must(t, os.Mkdir(src, 0o700))
	t.Cleanup(func() { shell(t, "chmod -R u+rwX %s/src %s/got*", dir, dir) }) // so that they can be removed
	keptTree(t, src)
	want := readTree(t, src)
	must(t, unix.Setxattr(filepath.Join(src, "program"), "user.walfs.state", []byte("certified"), 0))

	same := func(what, at string) {
		t.Helper()
		diffTrees(t, what, want, readTree(t, at))
		isSparse(t, filepath.Join(at, "holes"))
	}
	silent := func(args ...string) {
		t.Helper()
		if out, said, code := d.run(args...); code != 0 || out != "" || said != "" {
			t.Fatalf("walfs %q: exit %d, %s%s", args, code, out, said)
		}
	}
	get := func(what, from string) {
		t.Helper()
		for _, again := range []string{"", " again"} {
			to := filepath.Join(dir, "got "+what)
			if again != "" {
				to = dir // the folder has the name of what is copied
				must(t, os.Rename(filepath.Join(dir, "got "+what), filepath.Join(dir, filepath.Base(from))))
			}
			silent("get", "-r", from, to)
			if again != "" {
				must(t, os.Rename(filepath.Join(dir, filepath.Base(from)), filepath.Join(dir, "got "+what)))
			}
			same(what+again, filepath.Join(dir, "got "+what))
		}
	}
	silent("put", "-r", src, "/opened")
	get("opened", "/opened")
	silent("put", "-r", src, "/twice")
	must(t, os.Rename(src, filepath.Join(dir, "twice")))
	silent("put", "-r", filepath.Join(dir, "twice"), "/")
	must(t, os.Rename(filepath.Join(dir, "twice"), src))
	d.mount()
	same("the drive", d.path("opened"))
	same("the drive, again", d.path("twice"))
	get("mounted", d.path("opened"))
	silent("put", "-r", src, d.path("through"))
	same("through the mount", d.path("through"))
	silent("put", "-r", src, d.mnt)
	silent("put", "-r", src, d.mnt)
	same("through the mount, again", d.path("src"))
	d.sync()
	d.umount()
	d.forgetLocal()
	get("stored", "/through")
}

// TestCopiesKeepAllAsUser is TestCopiesKeepAll for an ordinary user, with TestCopiesTellLosses.
func TestCopiesKeepAllAsUser(t *testing.T) {
	t.Parallel()
	asOrdinaryUser(t, "^TestCopies(KeepAll|TellLosses)$")
}

// copyResult is what put and get print in JSON.
type copyResult struct {
	Type    string           `json:"type"`
	Message string           `json:"message"`
	Files   int              `json:"files"`
	Skipped int              `json:"skipped"`
	NotKept map[string]int64 `json:"not_kept"`
}

// TestCopiesTellLosses: what cannot be kept is told once, by number and reason, and the copy is made.
func TestCopiesTellLosses(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	from, to := "", ""
	var want map[string]int64
	if os.Geteuid() == 0 {
		from, to, want = poorDisk(t, d)
	} else {
		program, err := exec.LookPath("fusermount3")
		must(t, err)
		from, want = program, map[string]int64{"owner": 1, "mode": 1}
	}
	check := func(what string, args ...string) {
		t.Helper()
		out, said, code := d.run(append(args, "--json")...)
		var result, warning copyResult
		if err := json.Unmarshal([]byte(out), &result); err != nil || code != 0 {
			t.Fatalf("%s: exit %d, %s%s", what, code, out, said)
		}
		if err := json.Unmarshal([]byte(said), &warning); err != nil || warning.Type != "warning" || !strings.Contains(warning.Message, "not kept: ") {
			t.Errorf("%s says %q, want one warning", what, said)
		}
		for aspect, n := range want {
			if result.NotKept[aspect] != n {
				t.Errorf("%s: %d of %s not kept, want %d", what, result.NotKept[aspect], aspect, n)
			}
		}
		if len(result.NotKept) != len(want) || result.Files == 0 || result.Skipped != 0 {
			t.Errorf("%s: %+v", what, result)
		}
	}
	if to != "" {
		d.mustRun("put", "-r", from, "/tree")
		check("get", "get", "-r", "/tree", to)
		d.mount()
		check("get mounted", "get", "-r", "/tree", filepath.Join(to, "mounted"))
		return
	}
	check("put", "put", from, "/program")
	d.mount()
	check("put mounted", "put", from, d.path("through"))
	for _, name := range []string{"program", "through"} {
		info, err := os.Stat(d.path(name))
		must(t, err)
		if owner := info.Sys().(*syscall.Stat_t).Uid; info.Mode()&os.ModeSetuid != 0 || owner != ordinaryUID {
			t.Errorf("%s is %s, of user %d: a program of root's must not run as another", name, info.Mode(), owner)
		}
	}
	if _, said, code := d.run("put", "/dev/null", "/null"); code != 3 || !strings.Contains(said, "left out") {
		t.Errorf("put of a device: exit %d, %s", code, said)
	}
}

// poorDisk makes a tree, and a disk whose file system has no attributes.
func poorDisk(t *testing.T, d *drive) (from, to string, lost map[string]int64) {
	t.Helper()
	from, to = filepath.Join(filepath.Dir(d.home), "from"), filepath.Join(filepath.Dir(d.home), "to")
	must(t, os.Mkdir(from, 0o700))
	must(t, os.Mkdir(to, 0o700))
	must(t, unix.Mount("none", to, "ramfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(to, unix.MNT_DETACH)) })
	for _, name := range []string{"a", "b"} {
		must(t, os.WriteFile(filepath.Join(from, name), []byte(name), 0o600))
		must(t, unix.Setxattr(filepath.Join(from, name), "user.note", []byte(name), 0))
	}
	must(t, unix.Setxattr(filepath.Join(from, "a"), "system.posix_acl_access", aclOf(aclUser(12345, 5), 7), 0))
	return from, to, map[string]int64{"xattr": 2, "acl": 1}
}

// TestCopiesStayInside: a link that lies where a folder of the drive goes is not followed, in the
// destination or out of it, and what another user puts in the place of a file is not opened.
func TestCopiesStayInside(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	dir := filepath.Dir(d.home)
	for _, name := range []string{"src/sub", "outside", "to/src/inside"} {
		must(t, os.MkdirAll(filepath.Join(dir, name), 0o700))
	}
	must(t, os.WriteFile(filepath.Join(dir, "src/sub/file"), []byte("file"), 0o600))
	must(t, unix.Setxattr(filepath.Join(dir, "src/sub"), "user.note", []byte("of the drive"), 0))
	must(t, unix.Chmod(filepath.Join(dir, "src/sub"), 0o777))
	d.mustRun("put", "-r", filepath.Join(dir, "src"))
	for _, target := range []string{filepath.Join(dir, "outside"), "inside"} {
		link := filepath.Join(dir, "to/src/sub")
		must(t, os.Symlink(target, link))
		if _, said, code := d.run("get", "-r", "/src", filepath.Join(dir, "to")); code != 1 || !strings.Contains(said, "is no folder") {
			t.Errorf("a link to %s in the place of a folder: exit %d, %s", target, code, said)
		}
		must(t, os.Remove(link))
	}
	for _, name := range []string{"outside", "to/src/inside"} {
		entries, err := os.ReadDir(filepath.Join(dir, name))
		must(t, err)
		if got := readTree(t, filepath.Join(dir, name))["."]; len(entries) != 0 || got.Mode.Perm() != 0o700 || got.Xattrs != "" {
			t.Errorf("%s was changed through a link: %v, %+v", name, entries, got)
		}
	}
	// Links where files go are replaced, and their targets left alone.
	must(t, os.Mkdir(filepath.Join(dir, "to/src/sub"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "outside/file"), []byte("outside"), 0o600))
	must(t, os.Symlink(filepath.Join(dir, "outside/file"), filepath.Join(dir, "to/src/sub/file")))
	d.mustRun("get", "-r", "/src", filepath.Join(dir, "to"))
	for name, want := range map[string]string{"outside/file": "outside", "to/src/sub/file": "file"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}

// TestCopiesInheritNothing: a copy has the ACLs of its original, and none of the folder that it comes into.
func TestCopiesInheritNothing(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	d.mustRun("init", "--nodes", "4", "--shards", "7")
	dir := filepath.Dir(d.home)
	must(t, os.MkdirAll(filepath.Join(dir, "src/sub"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "src/sub/file"), []byte("file"), 0o644))
	want := readTree(t, filepath.Join(dir, "src"))
	shared := filepath.Join(dir, "shared")
	must(t, os.Mkdir(shared, 0o755))
	must(t, unix.Setxattr(shared, "system.posix_acl_default", aclOf(aclUser(12345, 7), 5), 0))
	d.mustRun("put", "-r", shared, "/")
	d.mustRun("put", "-r", filepath.Join(dir, "src"), "/shared")
	d.mustRun("get", "-r", "/shared/src", dir+"/back")
	diffTrees(t, "from a folder with a default ACL", want, readTree(t, filepath.Join(dir, "back")))
	d.mustRun("get", "-r", "/shared/src", shared)
	diffTrees(t, "in a folder with a default ACL", want, readTree(t, filepath.Join(shared, "src")))
}

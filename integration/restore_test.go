package integration

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestRestore rebuilds a drive in a fresh home from ledger, nodes and drive key
// alone, and compares everything with the tree that was synced.
func TestRestore(t *testing.T) {
	t.Parallel()
	entries := 2000
	if soak() {
		entries = 10000
	}
	d := newDrive(t)
	d.mount()
	must(t, os.Mkdir(d.path("tree"), 0o755))
	makeTree(t, d.path("tree"), entries/2, 11)
	d.sync()
	makeTree(t, d.path("tree", "."), 0, 12)
	must(t, os.Mkdir(d.path("more"), 0o750))
	makeTree(t, d.path("more"), entries/2, 13)
	// what has changed since the first sync: names, modes, times, contents, links
	must(t, os.Rename(d.path("more"), d.path("tree", "moved")))
	must(t, os.WriteFile(d.path("replaced"), []byte("first"), 0o600))
	d.sync()
	must(t, os.WriteFile(d.path("new"), []byte("the second version"), 0o640))
	must(t, os.Rename(d.path("new"), d.path("replaced")))
	must(t, os.Link(d.path("replaced"), d.path("linked")))
	must(t, syscall.Mkfifo(d.path("pipe"), 0o600))
	must(t, os.WriteFile(d.path("gone"), []byte("x"), 0o600))
	d.sync()
	must(t, os.Remove(d.path("gone")))
	must(t, os.Chmod(d.path("linked"), 0o604))
	times := []syscall.Timespec{{Sec: -5, Nsec: 7}, {Sec: 1 << 33, Nsec: 123456789}}
	must(t, syscall.UtimesNano(d.path("linked"), times))
	d.sync()
	want := readTree(t, d.mnt)
	d.umount()

	r := d.restoreCopy()
	r.mount()
	diffTrees(t, "restored", want, readTree(t, r.mnt))
	if r.sliverReads() == 0 {
		t.Error("nothing was read from nodes after a restore")
	}
	// the restored drive is a drive: it takes writes and syncs them
	must(t, os.WriteFile(r.path("after"), []byte("written after the restore"), 0o644))
	r.sync()
	r.umount()
	r.forgetLocal()
	r.mount()
	if got, err := os.ReadFile(r.path("after")); err != nil || string(got) != "written after the restore" {
		t.Errorf("file written after the restore: %q, %v", got, err)
	}
	r.umount()
}

// restoreCopy copies ledger and nodes of an unmounted drive and restores them
// into a fresh home, from the drive's key alone.
func (d *drive) restoreCopy() *drive {
	d.t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(d.home), "restored-")
	must(d.t, err)
	network := filepath.Join(dir, "network")
	shell(d.t, "cp -a --sparse=always %s %s", filepath.Join(d.home, "network"), network)
	keys := filepath.Join(dir, "keys")
	must(d.t, os.Mkdir(keys, 0o700))
	for _, name := range []string{"key.age", "identity.txt", "wallet.age"} {
		shell(d.t, "cp -a %s %s", filepath.Join(d.home, name), keys)
	}
	r := newDriveIn(d.t, dir)
	r.bin = d.bin
	r.mustRun("restore", "--take-over", "--network", network, "--key-file", filepath.Join(keys, "key.age"),
		"--identity", filepath.Join(keys, "identity.txt"), "--wallet", filepath.Join(keys, "wallet.age"))
	return r
}

// TestRestoreAttributes: attributes and ACLs come back, with the modes and the
// inheritance that go with them.
func TestRestoreAttributes(t *testing.T) {
	t.Parallel()
	needTool(t, "setfacl", "setfattr")
	d := newDrive(t)
	d.mount()
	shell(t, `cd %s; mkdir -p dir/below; echo x > dir/file; setfattr -n user.a -v b dir/file; setfattr -h -n user.d -v e dir
		setfacl -m u:1234:rwx,g:5678:r dir/file; setfacl -d -m u:1234:rx,m:rx dir; setfacl -m u:1234:x dir/below; echo y > dir/inherits`, d.mnt)
	d.sync()
	shell(t, `cd %s; chmod 640 dir/file; setfattr -x user.d dir; setfacl -b dir/below; setfattr -n user.f -v g dir/inherits`, d.mnt)
	d.sync()
	want := readTree(t, d.mnt)
	if acl := want["dir/inherits"].Xattrs; !strings.Contains(acl, "system.posix_acl_access") {
		t.Errorf("nothing was inherited: %q", acl)
	}
	d.umount()
	r := d.restoreCopy()
	r.mount()
	diffTrees(t, "restored", want, readTree(t, r.mnt))
	shell(t, `cd %s; echo z > dir/new; cp -p dir/inherits dir/copied`, r.mnt)
	got := readTree(t, r.mnt)
	if acl := "system.posix_acl_access"; !strings.Contains(got["dir/new"].Xattrs, acl) || !strings.Contains(got["dir/copied"].Xattrs, acl) {
		t.Errorf("nothing is inherited on the restored drive: %q, %q", got["dir/new"].Xattrs, got["dir/copied"].Xattrs)
	}
	r.umount()
}

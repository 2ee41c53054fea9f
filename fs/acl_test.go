package fs_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// aclScripts print what ACLs do to modes and to each other. A plain folder is
// the judge of what is right.
var aclScripts = map[string]string{
	"set":       `touch f; setfacl -m u:65534:rw,g:4242:r f; stat -c %a f; getfacl -cn f`,
	"chmod":     `touch f; setfacl -m u:65534:rwx f; chmod 640 f; stat -c %a f; getfacl -cn f; chmod 777 f; getfacl -cn f`,
	"minimal":   `touch f; setfacl -m u:65534:rwx f; setfacl -x u:65534,m f; stat -c %a f; getfacl -cn f; ls -l f | cut -c11`,
	"only bits": `touch f; setfacl -m u::rwx,g::r,o::- f; stat -c %a f; getfattr -m- f`,
	"removed":   `touch f; setfacl -m u:65534:rwx f; setfattr -x system.posix_acl_access f; stat -c %a f; getfacl -cn f; setfattr -x system.posix_acl_access f`,
	"listed":    `touch f; mkdir d; setfacl -m u:65534:rwx f; setfacl -d -m u:65534:rwx d; getfattr -d -m - f d`,
	"default": `mkdir d; setfacl -d -m u:65534:rwx,g:4242:rx,o::- d; umask 077; touch d/f; mkdir d/e; mkfifo d/p; ln -s f d/l; touch d/e/g
		stat -c '%n %a' d/f d/e d/p d/e/g; getfacl -cn d d/e d/f`,
	"default of bits": `mkdir d; setfacl -d -m u::rwx,g::rwx,o::r d; umask 077; touch d/f; mkdir d/e; stat -c '%n %a' d/f d/e; getfacl -cn d d/e d/f; getfattr -m - d/f`,
	"no default":      `umask 027; touch f; mkdir d; mkfifo p; stat -c '%n %a' f d p`,
	"default dropped": `mkdir d; setfacl -d -m u:65534:rwx d; setfacl -k d; umask 022; touch d/f; stat -c %a d/f; getfacl -cn d; setfacl -k d`,
	"set-gid":         `mkdir d; chgrp 4242 d; chmod 2775 d; setfacl -m u:65534:rwx d; stat -c %a d; setfacl -d -m g:7:rx d; umask 0; mkdir d/e; touch d/f; stat -c '%n %a %g' d/e d/f; getfacl -cn d d/e d/f`,
	"on a file":       `touch f; setfacl -d -m u:65534:rwx f 2>&1 || echo refused`,
	"copied":          `touch f; setfacl -m u:65534:rw f; cp -a f g; getfacl -cn g; mkdir d; setfacl -d -m g:7:rx d; cp -a d e; getfacl -cn e`,
}

// TestACL does with ACLs on the drive and in a plain folder the same.
func TestACL(t *testing.T) {
	needTool(t, "setfacl", "getfattr")
	d := newDrive(t)
	plain := t.TempDir()
	if err := exec.Command("setfacl", "-m", "u:65534:rwx", plain).Run(); err != nil {
		t.Skipf("no ACLs in %s: %v", plain, err)
	}
	for name, script := range aclScripts {
		var said [2]string
		for i, dir := range []string{plain, d.mnt} {
			out, err := exec.Command("bash", "-c", `mkdir "$0/case"; cd "$0/case"; setfacl -bk .; umask 022; `+script+`; rm -rf "$0/case"`, dir).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
			said[i] = string(out)
		}
		if said[0] != said[1] {
			t.Errorf("%s: got\n%s\nwant, as in a plain folder,\n%s", name, said[1], said[0])
		}
	}
	if problems := d.do("check"); problems != "" {
		t.Error(problems)
	}
}

// TestACLRights: the kernel obeys ACLs, they survive, and only members of a
// group keep its set-gid bit.
func TestACLRights(t *testing.T) {
	needTool(t, "setfacl")
	d := newDrive(t)
	reachable(t, d)
	must(t, os.WriteFile(d.path("file"), []byte("secret"), 0o600))
	if out, err := d.asNobody("cat file"); err == nil {
		t.Errorf("somebody else read %q", out)
	}
	d.shell("setfacl -m u:65534:r file")
	for range 2 {
		if out, err := d.asNobody("cat file"); err != nil || out != "secret" {
			t.Errorf("with an ACL: %q, %v", out, err)
		}
		if out, err := d.asNobody("echo more >> file"); err == nil {
			t.Errorf("somebody else wrote: %q", out)
		}
		d.kill()
		d.mount()
	}
	d.shell("chmod 600 file")
	if out, err := d.asNobody("cat file"); err == nil {
		t.Errorf("after chmod somebody else read %q", out)
	}

	for group, want := range map[uint32]uint32{4242: 0o2, 65534: 0o2, 4243: 0} {
		must(t, os.RemoveAll(d.path("dir")))
		must(t, os.Mkdir(d.path("dir"), 0o755))
		must(t, os.Chown(d.path("dir"), 65534, int(group)))
		must(t, unix.Chmod(d.path("dir"), 0o2775))
		cmd := exec.Command("setfacl", "-m", "u:1:rwx", d.path("dir"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534, Groups: []uint32{4242}}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if m := mode(t, d.path("dir")); m>>9 != want {
			t.Errorf("group %d: mode %o", group, m)
		}
	}
}

// TestBadACL: what the kernel lets through and is no ACL is refused.
func TestBadACL(t *testing.T) {
	d := newDrive(t)
	must(t, os.WriteFile(d.path("file"), nil, 0o644))
	for _, value := range []string{"", "\x01\x00\x00\x00", strings.Repeat("\x02", 12), "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff"} {
		if err := unix.Setxattr(d.path("file"), "system.posix_acl_access", []byte(value), 0); value != "" && err == nil {
			t.Errorf("ACL %q was taken", value)
		}
	}
	if m := mode(t, d.path("file")); m != 0o644 {
		t.Errorf("mode %o", m)
	}
}

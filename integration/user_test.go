package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The ordinary user that root's tests become.
const (
	ordinaryUID = 65534
	userEnv     = "WALFS_TEST_BIN" // names the walfs that a test run as that user has to use
)

// asOrdinaryUser runs tests of this package again in a process of a user
// without privilege, who mounts through fusermount3. Devices and configuration
// of this machine stay as they are: the process has its own view of them.
func asOrdinaryUser(t *testing.T, tests string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the tests run as an ordinary user already")
	}
	needFUSE(t)
	needTool(t, "fusermount3", "setpriv", "unshare")
	dir := t.TempDir()
	for open := dir; open != os.TempDir() && open != "/"; open = filepath.Dir(open) {
		must(t, os.Chmod(open, 0o755))
	}
	self, err := os.Executable()
	must(t, err)
	// Not by this process: what another test starts meanwhile would have the program open to write, and it could not be run.
	shell(t, "install -m 755 %s %s/test && install -m 755 %s %s/walfs", self, dir, walfsBinary(t), dir)
	must(t, os.Mkdir(filepath.Join(dir, "tmp"), 0o755))
	must(t, os.Chown(filepath.Join(dir, "tmp"), ordinaryUID, ordinaryUID))
	shell(t, "cp -a testdata %s && chmod -R a+rX %s/testdata", dir, dir)
	path := os.Getenv("PATH")
	if kopia, err := exec.LookPath("kopia"); err == nil && soak() { // from a folder that the user may not enter
		shell(t, "install -m 755 %s %s/kopia", kopia, dir)
		path = dir + ":" + path
	}
	limit := "30m"
	if soak() {
		limit = "5h"
	}
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-euc", becomeUser, dir, tests, limit)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+path, "TMPDIR="+filepath.Join(dir, "tmp"), "HOME="+filepath.Join(dir, "tmp"), userEnv+"="+filepath.Join(dir, "walfs"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as an ordinary user: %v\n%s", err, lastLines(string(out), 200))
	}
	t.Logf("as an ordinary user:\n%s", out)
}

// becomeUser gives the user a device to mount with where this machine keeps it
// to root, and runs the tests. The mounts of other tests, and their disks, are not kept:
// they could not end before this one.
const becomeUser = `
awk '$3 == "fuse.walfs" || $1 ~ "^/dev/loop" && index($2, "/disk") { print $2 }' /proc/self/mounts | while read -r other; do umount -l "$other" || true; done
mknod -m 666 "$0/fuse" c 10 229
mount --bind "$0/fuse" /dev/fuse
exec setpriv --reuid 65534 --regid 65534 --clear-groups -- "$0/test" -test.v -test.timeout "$2" -test.run "$1" 2>&1
`

// TestProgramsAsUser is TestPrograms for an ordinary user.
func TestProgramsAsUser(t *testing.T) {
	t.Parallel()
	asOrdinaryUser(t, "^TestPrograms$")
}

// TestPOSIXAsUser is TestPOSIX for an ordinary user.
func TestPOSIXAsUser(t *testing.T) {
	t.Parallel()
	asOrdinaryUser(t, "^TestPOSIX$")
}

// TestEdgesAsUser makes what few programs make as an ordinary user.
func TestEdgesAsUser(t *testing.T) {
	t.Parallel()
	if !soak() {
		t.Skip("long")
	}
	asOrdinaryUser(t, "^Test(EdgesRestored|InodeNumbers|BigDirectory|ManyLinks|Locks)$")
}

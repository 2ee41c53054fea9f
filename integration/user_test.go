package integration

import (
	"io"
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
	copyProgram(t, self, filepath.Join(dir, "test"))
	copyProgram(t, walfsBinary(t), filepath.Join(dir, "walfs"))
	must(t, os.Mkdir(filepath.Join(dir, "tmp"), 0o755))
	must(t, os.Chown(filepath.Join(dir, "tmp"), ordinaryUID, ordinaryUID))
	shell(t, "cp -a testdata %s && chmod -R a+rX %s/testdata", dir, dir)
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-euc", becomeUser, dir, tests)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(dir, "tmp"), "HOME="+filepath.Join(dir, "tmp"), userEnv+"="+filepath.Join(dir, "walfs"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as an ordinary user: %v\n%s", err, lastLines(string(out), 200))
	}
	t.Logf("as an ordinary user:\n%s", out)
}

// becomeUser gives the user a device to mount with where this machine keeps it
// to root, and runs the tests.
const becomeUser = `
mknod -m 666 "$0/fuse" c 10 229
mount --bind "$0/fuse" /dev/fuse
exec setpriv --reuid 65534 --regid 65534 --clear-groups -- "$0/test" -test.v -test.timeout 10m -test.run "$1" 2>&1
`

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	must(t, err)
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	must(t, err)
	_, err = io.Copy(dst, src)
	must(t, err)
	must(t, dst.Chmod(0o755))
	must(t, dst.Close())
}

// TestProgramsAsUser is TestPrograms for an ordinary user.
func TestProgramsAsUser(t *testing.T) { asOrdinaryUser(t, "^TestPrograms$") }

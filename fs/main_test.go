package fs_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The mount is served by another process, this test binary started again: a
// process must not open files of a mount that it serves.
const serveEnv = "WALFS_TEST_SERVE"

// patience bounds what would hang.
const patience = 5 * time.Minute

func TestMain(m *testing.M) {
	if home := os.Getenv(serveEnv); home != "" {
		signal.Ignore(os.Interrupt)
		if err := serve(home); err != nil {
			fmt.Fprintln(os.Stderr, "serve:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// drive is a drive mounted by a child process.
type drive struct {
	t      *testing.T
	home   string
	mnt    string
	env    []string // for the next mount
	said   string   // when it was mounted
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	mu     sync.Mutex
	stderr strings.Builder
}

// newDrive makes a drive and mounts it for the time of the test.
func newDrive(t *testing.T, env ...string) *drive {
	t.Helper()
	return newDriveIn(t, t.TempDir(), env...)
}

func newDriveIn(t *testing.T, home string, env ...string) *drive {
	t.Helper()
	needFUSE(t)
	d := &drive{t: t, home: home, mnt: filepath.Join(t.TempDir(), "mnt"), env: env}
	if err := os.Mkdir(d.mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	d.mount()
	t.Cleanup(d.cleanup)
	return d
}

// needFUSE skips where no mount is possible, unless WALFS_NEED_FUSE asks for a failure.
func needFUSE(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		f.Close()
		return
	}
	if os.Getenv("WALFS_NEED_FUSE") != "" {
		t.Fatalf("no FUSE here: %v", err)
	}
	t.Skipf("no FUSE here: %v", err)
}

func needTool(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			continue
		} else if os.Getenv("WALFS_NEED_FUSE") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
}

func (d *drive) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stderr.Write(p)
}

func (d *drive) mount() {
	d.t.Helper()
	d.cmd = exec.Command(os.Args[0])
	d.cmd.Env = append(append(os.Environ(), serveEnv+"="+d.home, "WALFS_TEST_MNT="+d.mnt), d.env...)
	d.cmd.Stderr = d
	var err error
	if d.stdin, err = d.cmd.StdinPipe(); err != nil {
		d.t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	d.stdout = bufio.NewReader(out)
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.said = d.answer("mount")
}

// do sends a command to the process that serves and returns its answer.
func (d *drive) do(command string) string {
	d.t.Helper()
	if _, err := fmt.Fprintln(d.stdin, command); err != nil {
		d.t.Fatalf("%s: %v\n%s", command, err, d.log())
	}
	return d.answer(command)
}

func (d *drive) answer(command string) string {
	d.t.Helper()
	line, err := d.stdout.ReadString('\n')
	answer, ok := strings.CutPrefix(strings.TrimSpace(line), "ok")
	if err != nil || !ok {
		d.t.Fatalf("%s: %q, %v\n%s", command, line, err, d.log())
	}
	return strings.TrimSpace(answer)
}

func (d *drive) log() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stderr.String()
}

// unmount unmounts cleanly.
func (d *drive) unmount() {
	d.t.Helper()
	d.do("unmount")
	if err := d.cmd.Wait(); err != nil {
		d.t.Fatalf("server: %v\n%s", err, d.log())
	}
	d.cmd = nil
}

// kill ends the serving process as kill -9 does, and the dead mount.
func (d *drive) kill() {
	d.t.Helper()
	if err := d.cmd.Process.Kill(); err != nil {
		d.t.Fatal(err)
	}
	_ = d.cmd.Wait() // killed
	d.cmd = nil
	d.detach()
}

func (d *drive) detach() {
	d.t.Helper()
	err := syscall.Unmount(d.mnt, syscall.MNT_DETACH)
	if errors.Is(err, syscall.EPERM) {
		err = exec.Command("fusermount3", "-u", "-z", d.mnt).Run()
	}
	if err != nil && !errors.Is(err, syscall.EINVAL) {
		d.t.Errorf("detach: %v", err)
	}
}

func (d *drive) cleanup() {
	if d.cmd == nil {
		return
	}
	if d.t.Failed() {
		d.t.Logf("server said:\n%s", d.log())
	}
	_ = d.stdin.Close() // it unmounts then
	done := make(chan error, 1)
	go func() { done <- d.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			d.t.Errorf("server: %v\n%s", err, d.log())
		}
	case <-time.After(patience):
		d.t.Errorf("server does not end\n%s", d.log())
		_ = d.cmd.Process.Kill()
		<-done
		d.detach()
	}
}

func (d *drive) path(name ...string) string {
	return filepath.Join(append([]string{d.mnt}, name...)...)
}

// shell runs a script in the mount.
func (d *drive) shell(script string) string {
	d.t.Helper()
	cmd := exec.Command("bash", "-euc", `cd "$0"; `+script, d.mnt)
	cmd.Env = append(os.Environ(), "HOME="+d.home, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s: %v\n%s\nserver said:\n%s", script, err, out, d.log())
	}
	return strings.TrimSpace(string(out))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

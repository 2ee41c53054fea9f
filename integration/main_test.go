// Package integration runs the built walfs on real kernel mounts, in processes
// of its own, and breaks it: nodes down, slots rotten, kill -9, full disks.
package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var binaries struct {
	sync.Mutex
	dir  string
	made map[string]string // build tags -> path
}

// apartEnv names the test that a process was started for.
const apartEnv = "WALFS_TEST_APART"

// apart runs a test in a process of its own, beside others, and reports whether
// this is that process. It is for tests that change what belongs to a process,
// and for those that stop a daemon for a while: children that other tests start
// would inherit files of a mount that nobody serves, and wait for it.
func apart(t *testing.T) bool {
	t.Helper()
	if os.Getenv(apartEnv) != t.Name() {
		t.Parallel()
	}
	return apartAlone(t)
}

// apartAlone is apart for a test that needs the disk for itself: it runs beside no other.
func apartAlone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(apartEnv) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^"+t.Name()+"$")
	if end, ok := t.Deadline(); ok {
		cmd.Args = append(cmd.Args, "-test.timeout", time.Until(end).String())
	}
	cmd.Env = append(os.Environ(), apartEnv+"="+t.Name(), userEnv+"="+walfsBinary(t))
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Errorf("in a process of its own: %v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP: "+t.Name()+" ")):
		t.Skipf("%s", out)
	default:
		t.Logf("in a process of its own:\n%s", out)
	}
	return false
}

func TestMain(m *testing.M) {
	if database, writer, ok := strings.Cut(os.Getenv(sqliteEnv), " "); ok {
		fmt.Fprintln(os.Stderr, writeSQLite(database, writer))
		os.Exit(1)
	}
	for env, run := range map[string]func(string) error{fsxEnv: runFsx, hammerEnv: runHammer} {
		spec := os.Getenv(env)
		if spec == "" {
			continue
		}
		if err := run(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if binaries.dir != "" {
		_ = os.RemoveAll(binaries.dir)
	}
	os.Exit(code)
}

// raceDetector tells whether the race detector is on. Then it watches walfs too.
var raceDetector bool

// walfsBinary builds cmd/walfs once for each set of build tags.
func walfsBinary(t *testing.T, tags ...string) string {
	t.Helper()
	if bin := os.Getenv(userEnv); bin != "" && len(tags) == 0 {
		return bin
	}
	binaries.Lock()
	defer binaries.Unlock()
	key := strings.Join(tags, ",")
	if bin, ok := binaries.made[key]; ok {
		return bin
	}
	if binaries.dir == "" {
		dir, err := os.MkdirTemp("", "walfs-bin-")
		if err != nil {
			t.Fatal(err)
		}
		binaries.dir, binaries.made = dir, map[string]string{}
	}
	bin := filepath.Join(binaries.dir, "walfs-"+strings.ReplaceAll(key, ",", "-"))
	args := []string{"build", "-tags", key, "-o", bin}
	if raceDetector {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "../cmd/walfs")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build walfs with tags %q: %v\n%s", key, err, out)
	}
	binaries.made[key] = bin
	return bin
}

// betweenForks runs f while no program is being started. Until it runs, a child has all
// open that this process has: a mount is in use with its files, and a program that is
// being written cannot be run.
func betweenForks(f func()) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f()
}

// writeProgram makes a script that can be run.
func writeProgram(t *testing.T, path, text string) {
	t.Helper()
	betweenForks(func() { must(t, os.WriteFile(path, []byte(text), 0o700)) })
}

// needFUSE skips where no mount is possible, unless WALFS_NEED_FUSE asks for a failure.
func needFUSE(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		f.Close()
		if os.Geteuid() == 0 {
			return
		}
		if _, err = exec.LookPath("fusermount3"); err == nil {
			return
		}
	}
	if os.Getenv("WALFS_NEED_FUSE") != "" {
		t.Fatalf("no FUSE here: %v", err)
	}
	t.Skipf("no FUSE here: %v", err)
}

// needTool skips when a program is missing, unless WALFS_NEED_FUSE asks for a failure.
func needTool(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("WALFS_NEED_FUSE") != "" {
				t.Fatalf("%s is not installed", name)
			}
			t.Skipf("%s is not installed", name)
		}
	}
}

// soak tells whether the long form of a test was asked for.
func soak() bool { return os.Getenv("WALFS_SOAK") != "" }

// mounted tells whether the kernel has a mount at exactly dir, dead or alive.
func mounted(dir string) bool {
	info, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return false
	}
	want := strings.NewReplacer(" ", `\040`).Replace(dir)
	for line := range strings.Lines(string(info)) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == want {
			return true
		}
	}
	return false
}

// answers tells whether a mount at dir is served: the kernel has no answer to
// statfs of its own. The type is looked at, since a dead mount that is cleared
// away leaves the bare folder for a moment.
func answers(dir string) bool {
	var st syscall.Statfs_t
	return syscall.Statfs(dir, &st) == nil && st.Type == unix.FUSE_SUPER_MAGIC
}

// tail gives the last n lines of a file.
func tail(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimRight(b, "\n"), []byte("\n"))
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return string(bytes.Join(lines, []byte("\n")))
}

// crash gives the lines in which a log tells of a failure of the Go runtime, if it does.
func crash(path string) string {
	b, _ := os.ReadFile(path) // tail tells of an error
	for _, sign := range []string{"panic: ", "fatal error: ", "SIGBUS", "SIGSEGV", "unexpected fault"} {
		if at := bytes.Index(b, []byte(sign)); at >= 0 {
			return string(b[at:min(len(b), at+6000)]) + "\n[...]\n"
		}
	}
	return ""
}

// shell runs a command line with sh and fails the test when it fails.
func shell(t *testing.T, format string, args ...any) string {
	t.Helper()
	out, err := shellErr(format, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func shellErr(format string, args ...any) (string, error) {
	line := fmt.Sprintf(format, args...)
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w\n%s", line, err, out)
	}
	return string(out), nil
}

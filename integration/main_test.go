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

	"golang.org/x/sys/unix"
)

var binaries struct {
	sync.Mutex
	dir  string
	made map[string]string // build tags -> path
}

func TestMain(m *testing.M) {
	if database, writer, ok := strings.Cut(os.Getenv(sqliteEnv), " "); ok {
		fmt.Fprintln(os.Stderr, writeSQLite(database, writer))
		os.Exit(1)
	}
	code := m.Run()
	if binaries.dir != "" {
		_ = os.RemoveAll(binaries.dir)
	}
	os.Exit(code)
}

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
	cmd := exec.Command("go", "build", "-tags", key, "-o", bin, "../cmd/walfs")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build walfs with tags %q: %v\n%s", key, err, out)
	}
	binaries.made[key] = bin
	return bin
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

//go:build linux

package control_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/walfs/walfs/cmd/internal/control"
)

// helperVar names, in the environment of a child, what it is to do.
const helperVar = "WALFS_CONTROL_TEST"

// nobody is a user that owns nothing.
const nobody = 65534

func TestMain(m *testing.M) {
	home := os.Getenv("WALFS_CONTROL_HOME")
	switch os.Getenv(helperVar) {
	case "":
		os.Exit(m.Run())
	case "call":
		c, err := control.Dial(context.Background(), home)
		if err == nil {
			err = c.Call(context.Background(), "echo", nil, nil, nil)
		}
		fmt.Println(err)
		os.Exit(0)
	case "serve":
		s, err := control.Listen(home)
		fmt.Println(err)
		if err == nil {
			s.Handle("echo", echo)
			_ = s.Serve(context.Background())
		}
		os.Exit(0)
	}
	os.Exit(2)
}

// asNobody runs this program as another user.
func asNobody(t *testing.T, what, home string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVar+"="+what, "WALFS_CONTROL_HOME="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Stderr = os.Stderr
	return cmd
}

// TestOtherUser opens home and socket to everybody, so that only the question to
// the kernel keeps another user out.
func TestOtherUser(t *testing.T) {
	home := newHome(t)
	start(t, home, map[string]control.Handler{"echo": echo})
	for _, p := range []string{home, filepath.Join(home, "control.sock")} {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	// The client's own check would stop it too: root's server is fine with it.
	out, err := asNobody(t, "call", home).Output()
	if err != nil || !strings.Contains(string(out), "mounted by another user") {
		t.Errorf("another user got %q, %v", out, err)
	}
	if err := dial(t, home).Call(t.Context(), "echo", nil, nil, nil); err != nil {
		t.Errorf("the same user: %v", err)
	}
}

// TestRootMay lets root talk to the mount of another user.
func TestRootMay(t *testing.T) {
	home := newHome(t)
	cmd := asNobody(t, "serve", home)
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	line := make([]byte, 100)
	if n, err := out.Read(line); err != nil || string(line[:n]) != "<nil>\n" {
		t.Fatalf("server of another user: %q, %v", line[:n], err)
	}
	if err := dial(t, home).Call(t.Context(), "echo", nil, nil, nil); err != nil {
		t.Errorf("root: %v", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if _, err := control.Dial(t.Context(), home); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("Dial after the server was killed: %v, want ErrNotRunning", err)
	}
	start(t, home, nil) // over the socket that it left
}

//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// session is walfs at a terminal of its own, as a person has it.
type session struct {
	t    *testing.T
	host *os.File // the side of the person
	tty  string
	env  []string
	walk string // the program

	mu   sync.Mutex
	text strings.Builder
}

// newSession opens a terminal of so many columns, and makes a home for what runs at it.
func newSession(t *testing.T, columns uint16, env ...string) *session {
	t.Helper()
	host, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("needs pseudo terminals:", err)
	}
	number := 0
	raw, err := host.SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) {
		err = errors.Join(unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0),
			unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}))
		if err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}))
	must(t, err)
	s := &session{t: t, host: host, tty: fmt.Sprintf("/dev/pts/%d", number), walk: filepath.Join(t.TempDir(), "walfs")}
	self, err := os.Executable()
	must(t, err)
	if os.Link(self, s.walk) != nil { // TestMain runs main under this name
		must(t, exec.Command("cp", self, s.walk).Run()) // a child of this process would have it open to write
	}
	s.env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TERM=xterm"}, env...)
	go s.listen()
	t.Cleanup(func() { must(t, host.Close()) })
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *session) listen() {
	b := make([]byte, 4096)
	for {
		n, err := s.host.Read(b)
		s.mu.Lock()
		s.text.Write(b[:n])
		s.mu.Unlock()
		if err != nil && !errors.Is(err, syscall.EIO) { // EIO: nobody has the other side open just now
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond)
		}
	}
}

// start begins a command whose terminal this is. Its guest keeps the terminal open.
func (s *session) start(args ...string) (cmd *exec.Cmd, guest *os.File) {
	s.t.Helper()
	guest, err := os.OpenFile(s.tty, os.O_RDWR|unix.O_NOCTTY, 0)
	must(s.t, err)
	s.mu.Lock()
	s.text.Reset()
	s.mu.Unlock()
	cmd = exec.Command(s.walk, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.env, guest, guest, guest
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(s.t, cmd.Start())
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill() // of a test that failed
		_ = guest.Close()
	})
	return cmd, guest
}

func (s *session) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// until waits for a condition.
func (s *session) until(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited %s for %s, saw %q", patience, what, s.seen())
		}
	}
}

// types waits for a prompt whose answer is not shown, and answers it.
func (s *session) types(guest *os.File, prompt string, times int, text string) {
	s.t.Helper()
	s.until(prompt, func() bool { return strings.Count(s.seen(), prompt) >= times && !echoes(s.t, guest) })
	_, err := s.host.WriteString(text)
	must(s.t, err)
}

func echoes(t *testing.T, guest *os.File) bool {
	t.Helper()
	st, err := unix.IoctlGetTermios(int(guest.Fd()), unix.TCGETS)
	must(t, err)
	return st.Lflag&unix.ECHO != 0
}

// ends waits for the end of a command, and wants an exit code and a terminal as it was.
func (s *session) ends(cmd *exec.Cmd, guest *os.File, want int) {
	s.t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		s.t.Errorf("exit code %d, want %d: %q", got, want, s.seen())
	}
	if !echoes(s.t, guest) {
		s.t.Error("the terminal does not show what is typed any more")
	}
	must(s.t, guest.Close())
}

// TestPassphraseAtTerminal makes a drive as a person does who chooses a passphrase, mistypes it,
// leaves it empty, and thinks better of it.
func TestPassphraseAtTerminal(t *testing.T) {
	t.Parallel()
	s := newSession(t, 80)
	home := filepath.Join(t.TempDir(), "drive")
	made := func() bool {
		_, err := os.Lstat(home)
		return err == nil
	}
	for _, tt := range []struct {
		name          string
		first, second string
		code          int
		says          string
	}{
		{"different", "one\n", "two\n", 2, "the passphrases differ"},
		{"empty", "\n", "", 2, "the passphrase is empty"},
		{"interrupted", "hal\x03", "", 130, "interrupted"},
		{"interrupted at the second", "one\n", "\x03", 130, "interrupted"},
	} {
		cmd, guest := s.start("--home", home, "init", "--passphrase", "--nodes", "4", "--shards", "4")
		s.types(guest, "new passphrase of the drive: ", 1, tt.first)
		if tt.second != "" {
			s.types(guest, "again: ", 1, tt.second)
		}
		s.ends(cmd, guest, tt.code)
		s.until(tt.says, func() bool { return strings.Contains(s.seen(), tt.says) })
		if made() {
			t.Errorf("%s: something was made", tt.name)
		}
	}
	cmd, guest := s.start("--home", home, "init", "--passphrase", "--nodes", "4", "--shards", "4")
	s.types(guest, "new passphrase of the drive: ", 1, "correct horse\n")
	s.types(guest, "again: ", 1, "correct horse\n")
	s.ends(cmd, guest, 0)
	if strings.Contains(s.seen(), "horse") {
		t.Error("the passphrase was shown")
	}
}

// drawn finds what is drawn over: a line that is begun anew and emptied.
var drawn = regexp.MustCompile(`\r\x1b\[K([^\r\n]*)`)

// trying finds what is told once, above the line that is drawn.
var trying = regexp.MustCompile(`still trying: [^\r\n]*\r\n`)

// TestProgressAtTerminal watches sync in a narrow terminal while it has to wait.
func TestProgressAtTerminal(t *testing.T) {
	t.Parallel()
	if fuse, err := condition("fuse"); !fuse {
		t.Skip("needs FUSE:", err)
	}
	const columns = 24
	s := newSession(t, columns, "NO_COLOR=1")
	dir := t.TempDir()
	home, mnt := filepath.Join(dir, "drive"), filepath.Join(dir, "mnt")
	t.Cleanup(func() { unmountBelow(dir) })
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(s.walk, append([]string{"--home", home}, args...)...)
		cmd.Env = s.env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run("mount", "--background", "--nodes", "4", "--shards", "4", mnt)
	run("node", "stop", "node-00", "node-01")
	must(t, os.WriteFile(filepath.Join(mnt, "file"), make([]byte, 100_000), 0o600))
	cmd, guest := s.start("--home", home, "sync")
	s.until("three lines of progress", func() bool { return len(drawn.FindAllString(s.seen(), -1)) >= 3 })
	run("node", "start", "node-00", "node-01")
	s.ends(cmd, guest, 0)
	s.until("the end of the line", func() bool { return strings.HasSuffix(s.seen(), "\r\x1b[K") })
	shown := trying.ReplaceAllString(s.seen(), "")
	for _, line := range drawn.FindAllStringSubmatch(shown, -1) {
		if len(line[1]) >= columns {
			t.Errorf("line of %d columns in a terminal of %d: %q", len(line[1]), columns, line[1])
		}
		if line[1] != "" && !strings.HasPrefix(line[1], "commit") {
			t.Errorf("line %q", line[1])
		}
	}
	if rest := drawn.ReplaceAllString(shown, ""); rest != "" {
		t.Errorf("beside the line of progress: %q", rest)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) { // until the nodes that were down have their part
		cmd := exec.Command(s.walk, "--home", home, "check")
		cmd.Env = s.env
		out, err := cmd.CombinedOutput()
		if err == nil && !bytes.Contains(out, []byte("not reached")) {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("check: %v\n%s", err, out)
		}
	}
	for _, args := range [][]string{{"check"}, {"check", "--read-data"}} {
		cmd, guest = s.start(append([]string{"--home", home}, args...)...)
		s.ends(cmd, guest, 0)
		// With the end of the line, which comes by itself, and must not be taken for what the next command says.
		s.until("the verdict", func() bool { return strings.Contains(s.seen(), "all is well") && strings.HasSuffix(s.seen(), "\r\n") })
		lines := strings.Split(s.seen(), "\r\x1b[K") // of progress, if it took long, each drawn over the one before
		if text := lines[len(lines)-1]; strings.Contains(text, "\x1b") || !strings.HasPrefix(text, "all is well") {
			t.Errorf("%v: %q", args, s.seen())
		}
	}
	run("umount")
}

//go:build linux

package ui_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// terminal is a pseudo terminal and all that was written to it.
type terminal struct {
	t     *testing.T
	host  *os.File // the side of the person
	Guest *os.File // the side of the program
	read  chan struct{}

	mu   sync.Mutex
	text strings.Builder
}

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	host, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("needs pseudo terminals:", err)
	}
	raw, err := host.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var ioctl error
	if err := raw.Control(func(fd uintptr) {
		if ioctl = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); ioctl == nil {
			number, ioctl = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
		if ioctl == nil {
			ioctl = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 60})
		}
	}); err != nil || ioctl != nil {
		t.Fatal(err, ioctl)
	}
	guest, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("needs pseudo terminals:", err)
	}
	term := &terminal{t: t, host: host, Guest: guest, read: make(chan struct{})}
	go term.listen()
	t.Cleanup(func() {
		guest.Close()
		host.Close()
		<-term.read
	})
	return term
}

func (p *terminal) listen() {
	defer close(p.read)
	b := make([]byte, 4096)
	for {
		n, err := p.host.Read(b)
		p.mu.Lock()
		p.text.Write(b[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *terminal) seen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// expect waits until s was written.
func (p *terminal) expect(s string) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(p.seen(), s); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("waited a minute for %q, saw %q", s, p.seen())
		}
	}
}

// echoes reports whether the terminal shows what is typed.
func (p *terminal) echoes() bool {
	p.t.Helper()
	st, err := unix.IoctlGetTermios(int(p.Guest.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return st.Lflag&unix.ECHO != 0
}

// answer types line once the echo is off.
func (p *terminal) answer(prompt, line string) {
	p.t.Helper()
	p.expect(prompt)
	for deadline := time.Now().Add(time.Minute); p.echoes(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatal("the echo stays on")
		}
	}
	if _, err := p.host.WriteString(line); err != nil {
		p.t.Fatal(err)
	}
}

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestColour(t *testing.T) {
	cases := []struct {
		name   string
		env    map[string]string
		json   bool
		colour bool
	}{
		{"terminal", nil, false, true},
		{"NO_COLOR empty", map[string]string{"NO_COLOR": ""}, false, true},
		{"NO_COLOR", map[string]string{"NO_COLOR": "1"}, false, false},
		{"dumb", map[string]string{"TERM": "dumb"}, false, false},
		{"JSON", nil, true, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			pty := openTerminal(t)
			u := ui.New(ui.Config{Stdout: pty.Guest, Stderr: pty.Guest, JSON: tc.json, Getenv: env(tc.env)})
			if got := u.Paint(ui.Red, "x") != "x"; got != tc.colour {
				t.Errorf("Paint colours: %v, want %v", got, tc.colour)
			}
			u.Error(errors.New("mount: no"))
			pty.expect("mount: no")
			if got := strings.Contains(pty.seen(), "\x1b[31mwalfs: error: \x1b[0mmount: no"); got != tc.colour {
				t.Errorf("error is %q, want colour %v", pty.seen(), tc.colour)
			}
		})
	}
	u, _, _ := capture(ui.Config{Getenv: env(nil)})
	if got := u.Paint(ui.Red, "x"); got != "x" {
		t.Errorf("Paint elsewhere = %q", got)
	}
}

func TestTableColour(t *testing.T) {
	pty := openTerminal(t)
	u := ui.New(ui.Config{Stdout: pty.Guest, Stderr: pty.Guest, Getenv: env(nil)})
	table := u.Table("NODE", "STATE")
	table.Styled(ui.Red, "a", "down")
	table.Row("long-name", "up")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	pty.expect("\x1b[1mNODE       STATE\x1b[0m\r\n\x1b[31ma          down\x1b[0m\r\nlong-name  up\r\n")
}

func TestProgressOnTerminal(t *testing.T) {
	pty := openTerminal(t)
	u := ui.New(ui.Config{Stdout: pty.Guest, Stderr: pty.Guest, Getenv: env(nil)})
	start := time.Now()
	p := u.Progress("commit", "files")
	p.Total(ui.Count{Items: 40, Bytes: 4 << 30})
	p.Add(ui.Count{Items: 12})
	pty.expect("\r\x1b[Kcommit  12/40 files  0.0/4.0 GiB")
	if err := u.Print("a result"); err != nil {
		t.Fatal(err)
	}
	pty.expect("\r\x1b[Ka result\r\n") // the line goes before, and comes back
	before := strings.Count(pty.seen(), "commit")
	p.Add(ui.Count{Items: 1})
	pty.expect("13/40 files")
	p.End()
	if err := u.Print("the end"); err != nil {
		t.Fatal(err)
	}
	pty.expect("\r\x1b[Kthe end\r\n")
	draws := strings.Count(pty.seen(), "commit")
	if most := int(time.Since(start)/(100*time.Millisecond)) + 1; draws > most || draws <= before {
		t.Errorf("drawn %d times in %v, at most %d allowed", draws, time.Since(start), most)
	}
	if tail := pty.seen(); strings.Contains(tail[strings.LastIndex(tail, "the end"):], "commit") {
		t.Errorf("drawn after End: %q", tail)
	}
}

func TestProgressFits(t *testing.T) {
	pty := openTerminal(t)
	u := ui.New(ui.Config{Stdout: pty.Guest, Stderr: pty.Guest, Getenv: env(nil)})
	p := u.Progress(strings.Repeat("long ", 30), "files")
	pty.expect("\x1b[Klong")
	p.End()
	if err := u.Print("the end"); err != nil {
		t.Fatal(err)
	}
	pty.expect("the end")
	for line := range strings.SplitSeq(pty.seen(), "\r\x1b[K") {
		if !strings.Contains(line, "the end") && len(line) > 59 {
			t.Errorf("line of %d columns on a terminal of 60: %q", len(line), line)
		}
	}
}

func TestLogOnTerminal(t *testing.T) {
	pty := openTerminal(t)
	u := ui.New(ui.Config{Stdout: pty.Guest, Stderr: pty.Guest, Getenv: env(nil)})
	u.Logger().Warn("healed", "sliver", 3)
	pty.expect("level=WARN msg=healed sliver=3")
	if strings.Contains(pty.seen(), "time=") {
		t.Errorf("log on a terminal: %q", pty.seen())
	}
}

func TestPassphrase(t *testing.T) {
	pty := openTerminal(t)
	u, out, stderr := capture(ui.Config{TTY: pty.Guest.Name()})
	type result struct {
		text string
		err  error
	}
	results := make(chan result, 1)
	ask := func(f func(context.Context, string) (string, error), prompt string) {
		text, err := f(t.Context(), prompt)
		results <- result{text, err}
	}
	go ask(u.Passphrase, "passphrase of the drive")
	pty.answer("walfs: passphrase of the drive: ", "correct horse\n")
	if r := <-results; r.text != "correct horse" || r.err != nil {
		t.Errorf("got %q, %v", r.text, r.err)
	}
	go ask(u.NewPassphrase, "first new one")
	pty.answer("walfs: first new one: ", "battery\n")
	pty.answer("walfs: again: ", "battery\n")
	if r := <-results; r.text != "battery" || r.err != nil {
		t.Errorf("new: got %q, %v", r.text, r.err)
	}
	go ask(u.NewPassphrase, "empty one")
	pty.answer("walfs: empty one: ", "\n")
	if r := <-results; ui.CodeOf(r.err) != ui.Usage {
		t.Errorf("empty: %v", r.err)
	}
	if s := pty.seen(); strings.Contains(s, "horse") || strings.Contains(s, "battery") {
		t.Errorf("a passphrase was echoed: %q", s)
	}
	if out.Len()+stderr.Len() > 0 || !pty.echoes() {
		t.Errorf("stdout %q, stderr %q, echo %v", out, stderr, pty.echoes())
	}
}

func TestPassphrasesDiffer(t *testing.T) {
	pty := openTerminal(t)
	u, _, _ := capture(ui.Config{TTY: pty.Guest.Name()})
	done := make(chan error, 1)
	go func() {
		_, err := u.NewPassphrase(t.Context(), "new")
		done <- err
	}()
	pty.answer("walfs: new: ", "one\n")
	pty.answer("walfs: again: ", "two\n")
	if err := <-done; ui.CodeOf(err) != ui.Usage || !strings.Contains(fmt.Sprint(err), "differ") {
		t.Errorf("got %v", err)
	}
}

func TestPassphraseInterrupted(t *testing.T) {
	pty := openTerminal(t)
	u, _, _ := capture(ui.Config{TTY: pty.Guest.Name()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := u.Passphrase(ctx, "never answered")
		done <- err
	}()
	pty.answer("walfs: never answered: ", "half")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || ui.CodeOf(err) != ui.Interrupted {
		t.Errorf("got %v", err)
	}
	if !pty.echoes() {
		t.Error("the echo stays off")
	}
}

func TestPassphraseWithoutTerminal(t *testing.T) {
	for _, tty := range []string{"/dev/null", t.TempDir() + "/none"} {
		u, _, _ := capture(ui.Config{TTY: tty})
		_, err := u.Passphrase(t.Context(), "x")
		if ui.CodeOf(err) != ui.WrongKey || !strings.Contains(ui.HintOf(err), "--passphrase-file") {
			t.Errorf("%s: %v, code %d, hint %q", tty, err, ui.CodeOf(err), ui.HintOf(err))
		}
	}
}

func TestAttended(t *testing.T) {
	pty := openTerminal(t)
	for name, tt := range map[string]struct {
		cfg  ui.Config
		want bool
	}{
		"terminal":    {ui.Config{Stderr: pty.Guest, Getenv: env(nil)}, true},
		"json":        {ui.Config{Stderr: pty.Guest, JSON: true, Getenv: env(nil)}, false},
		"quiet":       {ui.Config{Stderr: pty.Guest, Quiet: true, Getenv: env(nil)}, false},
		"no terminal": {ui.Config{Stderr: &strings.Builder{}, Getenv: env(nil)}, false},
	} {
		if got := ui.New(tt.cfg).Attended(); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestConfirm(t *testing.T) {
	pty := openTerminal(t)
	u, _, _ := capture(ui.Config{TTY: pty.Guest.Name()})
	for i, tt := range []struct {
		answer string
		yes    bool
	}{{"y\n", true}, {"Yes\n", true}, {"\n", false}, {"yessir\n", false}, {"n\n", false}} {
		done := make(chan bool, 1)
		question := fmt.Sprintf("question %d?", i)
		go func() {
			yes, err := u.Confirm(t.Context(), question)
			if err != nil {
				t.Error(err)
			}
			done <- yes
		}()
		pty.expect("walfs: " + question + " [y/N] ")
		if _, err := pty.host.WriteString(tt.answer); err != nil {
			t.Fatal(err)
		}
		if yes := <-done; yes != tt.yes {
			t.Errorf("%q means %v", tt.answer, yes)
		}
	}
	u, _, _ = capture(ui.Config{TTY: "/dev/null"})
	if yes, err := u.Confirm(t.Context(), "sure?"); yes || ui.CodeOf(err) != ui.Usage || !strings.Contains(ui.HintOf(err), "--yes") {
		t.Errorf("without a terminal: %v, %v, hint %q", yes, err, ui.HintOf(err))
	}
}

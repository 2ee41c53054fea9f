package ui

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// Passphrase asks the person at the terminal for a passphrase, without echo. It
// uses /dev/tty, so that pipes into and out of the command do not matter. Without
// a terminal it fails at once with WrongKey, since nobody would answer.
func (u *UI) Passphrase(ctx context.Context, prompt string) (string, error) {
	return u.ask(func(tty *os.File) (string, error) { return readSecret(ctx, tty, prompt) })
}

// NewPassphrase is Passphrase for a new one: it asks twice and refuses an empty
// one.
func (u *UI) NewPassphrase(ctx context.Context, prompt string) (string, error) {
	return u.ask(func(tty *os.File) (string, error) {
		first, err := readSecret(ctx, tty, prompt)
		if err != nil {
			return "", err
		}
		if first == "" {
			return "", Errorf(Usage, "the passphrase is empty")
		}
		again, err := readSecret(ctx, tty, "again")
		if err != nil {
			return "", err
		}
		if again != first {
			return "", Errorf(Usage, "the passphrases differ")
		}
		return first, nil
	})
}

// Attended reports whether somebody seems to sit at a terminal who can be asked:
// stderr is one, and neither JSON nor quiet is wanted.
func (u *UI) Attended() bool { return u.err.terminal && !u.cfg.JSON && !u.cfg.Quiet }

// Confirm asks the person at the terminal a question, and reports whether the
// answer was yes. Without a terminal it fails at once with Usage.
func (u *UI) Confirm(ctx context.Context, question string) (yes bool, err error) {
	tty, err := os.OpenFile(u.cfg.TTY, os.O_RDWR, 0)
	if err == nil && !term.IsTerminal(int(tty.Fd())) {
		err = errors.Join(errors.New("not a terminal"), tty.Close())
	}
	if err != nil {
		return false, Errorf(Usage, "%s no terminal to ask: %w", question, err).WithHint("--yes answers it")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.erase()
	if _, err := fmt.Fprintf(tty, "walfs: %s [y/N] ", question); err != nil {
		return false, fmt.Errorf("ask: %w", err)
	}
	answers := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(tty).ReadString('\n') // the end of input is no yes
		answers <- line
	}()
	select {
	case line := <-answers:
		line = strings.ToLower(strings.TrimSpace(line))
		return line == "y" || line == "yes", tty.Close()
	case <-ctx.Done():
		return false, ctx.Err() // the read still waits on tty; both end with the process
	}
}

// IsTerminal reports whether a file is a terminal, at which somebody may sit.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// ask opens the terminal for f and keeps everything else off it.
func (u *UI) ask(f func(tty *os.File) (string, error)) (string, error) {
	tty, err := os.OpenFile(u.cfg.TTY, os.O_RDWR, 0)
	if err == nil && !term.IsTerminal(int(tty.Fd())) {
		err = errors.Join(errors.New("not a terminal"), tty.Close())
	}
	if err != nil {
		return "", Errorf(WrongKey, "no terminal to ask for the passphrase: %w", err).
			WithHint("give the passphrase in a file with --passphrase-file")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.erase()
	answer, err := f(tty)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return "", err // a read still waits on tty; both end with the process
	}
	return answer, errors.Join(err, tty.Close())
}

// readSecret reads a line without echo. When ctx ends first the terminal is as
// before and the read is left behind, since a read of a terminal cannot be
// called off.
func readSecret(ctx context.Context, tty *os.File, prompt string) (string, error) {
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("ask for the passphrase: %w", err)
	}
	if _, err := fmt.Fprintf(tty, "walfs: %s: ", prompt); err != nil {
		return "", fmt.Errorf("ask for the passphrase: %w", err)
	}
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		b, err := term.ReadPassword(fd)
		answers <- answer{b, err}
	}()
	var a answer
	select {
	case a = <-answers:
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), term.Restore(fd, before))
	}
	_, _ = fmt.Fprintln(tty) // the newline that was not echoed
	if a.err != nil {
		return "", fmt.Errorf("read the passphrase: %w", a.err)
	}
	return string(a.text), nil
}

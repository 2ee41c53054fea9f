package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/control"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// The files that a background process gets beside its standard ones.
const (
	childReadyFD      = 3
	childPassphraseFD = 4
)

// maxLog is how long the log may be, in bytes, when a mount starts; then it becomes walfs.log.1.
const maxLog = 8 << 20

// readiness is the one line that the background process sends to the one that started it.
type readiness struct {
	Mounted *mountedDrive  `json:"mounted,omitempty"`
	Error   *control.Error `json:"error,omitempty"`
}

// background starts a process that serves the drive and returns when its mount answers.
func (a *app) background(ctx context.Context, h home, c config, dir string, o mountOptions) (err error) {
	if _, err := a.openHomeKeys(ctx, h, c); err != nil { // asks for the passphrase, while there is a terminal
		return err
	}
	cmd, ready, err := a.child(h, dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ready.Close()) }()
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(unix.SIGTERM) })()
	text, err := io.ReadAll(ready)
	if err != nil {
		return fmt.Errorf("wait for the mount: %w", err)
	}
	var said readiness
	if json.Unmarshal(text, &said) != nil || said.Mounted == nil && said.Error == nil {
		return ui.Errorf(ui.Failed, "the mount process ended before the mount answered: %w", cmd.Wait()).WithHint("see the end of %s", h.log())
	}
	if said.Error != nil {
		return said.Error
	}
	return a.result("mount", said.Mounted, func() error { return a.showMounted(h, *said.Mounted) })
}

// child starts this program again in a session of its own. What it says through ready ends
// when the mount answers.
func (a *app) child(h home, dir string, o mountOptions) (cmd *exec.Cmd, ready *os.File, err error) {
	log, err := openLog(h)
	if err != nil {
		return nil, nil, err
	}
	ready, write, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, log.Close())
	}
	program, err := os.Executable()
	if err != nil {
		return nil, nil, errors.Join(err, log.Close(), ready.Close(), write.Close())
	}
	cmd = exec.Command(program, a.childArgs(h, dir, o)...)
	cmd.Dir = "/" // the folder that it was called in can be unmounted
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{write}
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	var secret *os.File
	if a.unlock.pass.text != "" {
		if secret, err = pipeText(a.unlock.pass.text + "\n"); err != nil {
			return nil, nil, errors.Join(err, log.Close(), ready.Close(), write.Close())
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, secret)
	}
	err = errors.Join(cmd.Start(), log.Close(), write.Close())
	if secret != nil {
		err = errors.Join(err, secret.Close())
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start the mount process: %w", err), ready.Close())
	}
	return cmd, ready, nil
}

// childArgs are the arguments of the background process; names in them do not depend on the working folder.
func (a *app) childArgs(h home, dir string, o mountOptions) []string {
	args := []string{"mount", "--ready-fd", strconv.Itoa(childReadyFD)}
	if h.given {
		args = append(args, "--home", h.dir)
	}
	if a.unlock.identity != "" {
		args = append(args, "--identity", absolute(a.unlock.identity))
	}
	if a.unlock.pass.text != "" {
		args = append(args, "--passphrase-fd", strconv.Itoa(childPassphraseFD))
	}
	if len(o.options) > 0 {
		args = append(args, "--options", strings.Join(o.options, ","))
	}
	// The log is for somebody who was not there: one level more than on a terminal.
	for range a.verbose + 1 {
		args = append(args, "-v")
	}
	return append(args, "--", dir)
}

func openLog(h home) (*os.File, error) {
	if info, err := os.Stat(h.log()); err == nil && info.Size() > maxLog {
		if err := os.Rename(h.log(), h.log()+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("log: %w", err)
		}
	}
	log, err := os.OpenFile(h.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return log, wrapf(err, "log")
}

// pipeText returns the reading end of a pipe that holds text.
func pipeText(text string) (*os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(write, text) // far less than a pipe holds
	if err = errors.Join(err, write.Close()); err != nil {
		return nil, errors.Join(err, read.Close())
	}
	return read, nil
}

// serveForParent is mount in the background process: it tells the one that started it how it went.
func (a *app) serveForParent(ctx context.Context, dir string, o mountOptions) error {
	unix.CloseOnExec(o.readyFD)
	ready := os.NewFile(uintptr(o.readyFD), "ready")
	tell := func(r readiness) error {
		text, err := json.Marshal(r)
		if err == nil {
			_, err = ready.Write(text)
		}
		return errors.Join(err, ready.Close())
	}
	h, err := a.home()
	told := false
	if err == nil {
		err = a.serve(ctx, h, dir, o, a.Logger(), func(m mountedDrive) error {
			told = true
			a.Logger().Info("mounted", slog.String("op", "mount"), slog.Int("pid", m.PID))
			return tell(readiness{Mounted: &m})
		})
	}
	if err == nil || told {
		return err
	}
	err = explain(err)
	return errors.Join(err, tell(readiness{Error: &control.Error{Message: err.Error(), Hint: ui.HintOf(err), Code: int(ui.CodeOf(err))}}))
}

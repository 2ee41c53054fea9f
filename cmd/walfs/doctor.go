package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// health is how a check went. Its number is the exit code of doctor when it is the worst.
type health int

const (
	healthy health = iota
	warning
	failing
)

// finding is one line of doctor.
type finding struct {
	Check   string `json:"check"`
	State   string `json:"state"` // ok, warn or fail
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// stateNames are those of finding.State.
var stateNames = [...]string{healthy: "ok", warning: "warn", failing: "fail"}

// stateStyles are how a person sees them.
var stateStyles = [...]ui.Style{healthy: ui.Green, warning: ui.Yellow, failing: ui.Red}

func newDoctorCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is or will be wrong with this machine and the drive",
		Long: "Doctor checks FUSE, the state folder, the keys, the room on the disks, the mount, the index, the\n" +
			"nodes and the time until storage ends, and says what to do. It changes nothing. It exits with 0\n" +
			"when all is well, 1 when something needs attention, and 2 when something does not work.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			x := examination{app: a}
			x.machine()
			x.drive(cmd.Context())
			return x.verdict()
		},
	}
}

// examination collects what is found, and shows it at once.
type examination struct {
	app   *app
	count [len(stateNames)]int
	err   error // of the output
}

func (x *examination) ok(check, format string, args ...any) {
	x.add(healthy, check, fmt.Sprintf(format, args...), "")
}

func (x *examination) warn(check, hint, format string, args ...any) {
	x.add(warning, check, fmt.Sprintf(format, args...), hint)
}

// fails reports an error, with its own hint.
func (x *examination) fails(check string, err error) {
	err = explain(err)
	x.add(failing, check, err.Error(), ui.HintOf(err))
}

func (x *examination) add(state health, check, message, hint string) {
	x.count[state]++
	f := finding{Check: check, State: stateNames[state], Message: message, Hint: hint}
	err := x.app.result("check", f, func() error {
		name := x.app.Paint(stateStyles[state], fmt.Sprintf("%-4s", strings.ToUpper(f.State)))
		err := x.app.Print("%s  %-12s  %s", name, check, ui.Clean(message))
		if err == nil && hint != "" {
			err = x.app.Print("%20s%s", "", ui.Clean(hint))
		}
		return err
	})
	x.err = errors.Join(x.err, err)
}

// verdict is the error of the command.
func (x *examination) verdict() error {
	switch {
	case x.err != nil:
		return x.err
	case x.count[failing] > 0:
		return ui.Errorf(ui.Code(failing), "%s failed", ui.Plural(x.count[failing], "check", "checks"))
	case x.count[warning] > 0:
		return ui.Errorf(ui.Code(warning), "%s", ui.Plural(x.count[warning], "check gave a warning", "checks gave warnings"))
	}
	return nil
}

// drive looks at the drive of the state folder, as far as it can be opened.
func (x *examination) drive(ctx context.Context) {
	h, err := x.app.home()
	if err != nil {
		x.fails("state folder", err)
		return
	}
	if !h.exists() {
		x.ok("state folder", "no drive in %s; walfs mount DIR makes one", h.dir)
		return
	}
	if err := x.app.checkHome(h); err != nil {
		x.fails("state folder", err)
		return
	}
	x.ok("state folder", "%s is ours alone", h.dir)
	c, err := loadConfig(h, x.app.getenv)
	if err != nil {
		x.fails("settings", err)
		return
	}
	x.room(h, c)
	if x.keys(ctx, h, c) {
		x.open(ctx)
	}
}

// keys reports whether the keys open.
func (x *examination) keys(ctx context.Context, h home, c config) bool {
	if _, err := x.app.openHomeKeys(ctx, h, c); err != nil {
		x.fails("keys", err)
		return false
	}
	x.ok("keys", "drive key and wallet open")
	switch {
	case h.keysExported():
		x.ok("key copy", "the keys were exported")
	case h.keysAtRisk(c):
		x.warn("key copy", "walfs key export --out DIR copies them, --sheet FILE writes a page to print",
			"the keys were never exported: without them nobody can read the drive")
	default:
		x.ok("key copy", "every node folder has one, and what opens it is not in the state folder")
	}
	return true
}

// open looks at what only an open drive tells, through its mount if it has one.
func (x *examination) open(ctx context.Context) {
	l, err := x.app.reach(ctx, false)
	if err != nil {
		x.fails("drive", err)
		return
	}
	var s status
	var index indexHealth
	if err := l.call(ctx, opStatus, nothing{}, nil, &s); err != nil {
		x.fails("drive", err)
	} else {
		x.mount(s)
		x.staleMounts(s.Drive)
		x.nodes(s)
		x.expiry(s)
		x.money(s)
		x.backup(s)
		for _, problem := range s.Problems {
			x.warn("drive", "walfs status shows more", "%s", problem)
		}
	}
	if err := l.call(ctx, opIndexCheck, nothing{}, nil, &index); err != nil {
		x.fails("index", err)
	} else {
		x.index(index)
	}
	if err := l.close(); err != nil {
		x.fails("drive", err)
	}
}

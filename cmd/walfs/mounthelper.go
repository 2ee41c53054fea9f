package main

import (
	"context"
	"flag"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// helperNames are the names under which mount(8) calls this program for a line of fstab of
// type walfs or fuse.walfs, with the arguments SPEC DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE].
var helperNames = []string{"mount.walfs", "mount.fuse.walfs"}

// The exit codes of a mount helper. Source: mount(8).
const (
	helperUsage  = 1
	helperFailed = 32
)

// isHelper reports whether the program was called by mount(8).
func isHelper(self string) bool { return slices.Contains(helperNames, filepath.Base(self)) }

// helperCall is what mount(8) asks for.
type helperCall struct {
	spec, dir string
	options   []string
	fake      bool
	verbose   bool
}

// parseHelper understands the arguments of a mount helper.
func parseHelper(args []string) (c helperCall, err error) {
	flags := flag.NewFlagSet("mount.walfs", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	sloppy, options := false, ""
	flags.BoolVar(&sloppy, "s", false, "")
	flags.BoolVar(&c.fake, "f", false, "")
	flags.BoolVar(&c.verbose, "v", false, "")
	flags.Bool("n", false, "") // there is no table of mounts to leave alone
	flags.String("N", "", "")
	flags.String("t", "", "")
	flags.StringVar(&options, "o", "", "")
	var names []string
	for len(args) > 0 { // names and flags come in any order
		if err := flags.Parse(args); err != nil {
			return c, usagef("%v", err)
		}
		if args = flags.Args(); len(args) > 0 {
			names, args = append(names, args[0]), args[1:]
		}
	}
	if len(names) != 2 {
		return c, usagef("got %d names, want SPEC DIR [-sfnv] [-o OPTIONS]", len(names))
	}
	c.spec, c.dir = names[0], names[1]
	if options == "" {
		return c, nil
	}
	for option := range strings.SplitSeq(options, ",") {
		if _, err := parseOptions([]string{option}); err != nil && sloppy {
			continue
		}
		c.options = append(c.options, option)
	}
	return c, nil
}

// home returns the state folder that SPEC names: a path, or the user's own for any other word.
func (c helperCall) home() string {
	if strings.Contains(c.spec, "/") {
		return c.spec
	}
	return ""
}

// args are those of walfs itself for the call.
func (c helperCall) args() []string {
	args := []string{"mount", "--background"}
	if home := c.home(); home != "" {
		args = append(args, "--home", home)
	}
	if c.verbose {
		args = append(args, "-v")
	}
	if len(c.options) > 0 {
		args = append(args, "-o", strings.Join(c.options, ","))
	}
	return append(args, "--", c.dir)
}

// runHelper mounts as mount(8) asks for, and returns the exit code that it knows. It makes no
// drive: where there is none, the disk with the state folder may just not be mounted.
func (a *app) runHelper(ctx context.Context, args []string) int {
	a.self = "walfs"
	c, err := parseHelper(args)
	if err == nil {
		_, err = parseOptions(c.options)
	}
	if err != nil {
		a.Error(err)
		return helperUsage
	}
	if c.fake {
		return 0
	}
	if a.getenv("HOME") == "" { // systemd sets none for mounts
		if u, err := user.Current(); err == nil && os.Setenv("HOME", u.HomeDir) != nil {
			return helperFailed
		}
	}
	h, err := findHome(c.home(), a.getenv)
	if err == nil && !h.exists() {
		err = ui.Errorf(ui.Failed, "no drive in %s", h.dir).WithHint("walfs --home %s init, or mount what it lies on first", h.dir)
	}
	if err != nil {
		a.Error(err)
		return helperFailed
	}
	if a.execute(ctx, c.args()) != int(ui.OK) {
		return helperFailed
	}
	return 0
}

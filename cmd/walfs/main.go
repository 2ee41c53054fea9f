// Command walfs mounts a folder whose contents live, sealed, on Walrus storage nodes.
//
// walfs mount DIR is all it takes: on a machine that has never seen walfs it makes
// an embedded drive with nodes and ledger in this process. A command is a value made
// by a function in a file of its own; drive.go opens and closes a drive; calls.go
// answers the commands, in the process that has the drive mounted or, when none has,
// in the one that asks.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// revision is the commit that was built; the Makefile sets it.
var revision string

func main() {
	os.Exit(run(os.Args[1:]))
}

// run runs one command and returns its exit code. The first signal asks the command to
// end; after that a signal does what it does to any process, unless the command says more.
func run(args []string) int {
	defer profile()()
	a := newApp(os.Stdout, os.Stderr)
	if err := harden(); err != nil {
		return int(a.Error(ui.Errorf(ui.Failed, "%w", err)))
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)
	if isHelper(os.Args[0]) {
		return a.runHelper(ctx, args)
	}
	return a.execute(ctx, args)
}

// harden keeps what this process makes and knows to its user: files without rights
// for others, and no memory image for others to read.
func harden() error {
	unix.Umask(0o077)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid memory dumps: %w", err)
	}
	return nil
}

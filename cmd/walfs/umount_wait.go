package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// silentFor is how long umount waits without a word.
const silentFor = 3 * time.Second

// saying ends a mount with do, and says what that waits for when it takes long. It does not wait for
// that text: who looks at a process that hangs, in exec over a dead mount say, hangs with it.
func (a *app) saying(ctx context.Context, waitsFor func() string, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(silentFor):
	}
	text := make(chan string, 1)
	go func() { text <- waitsFor() }()
	select {
	case err := <-done:
		return err
	case why := <-text:
		if ctx.Err() == nil {
			a.Note("%s", why)
		}
	}
	return <-done
}

// waitsFor says what the end of a mount waits for. The connection is that of the mount; 0: it is not known.
func waitsFor(h home, connection int) string {
	if k, ok := findKeeper("/proc", connection); ok {
		where := fmt.Sprintf("process %d (%s) has the drive mounted at %s, in a mount namespace of its own, as containers have", k.pid, ui.Clean(k.name), ui.Clean(k.dir))
		if k.here {
			where = "the drive is mounted at " + ui.Clean(k.dir) + " too"
		}
		return "waiting: " + where + "; the drive is closed when it is unmounted there"
	}
	pid, _ := os.ReadFile(h.lock()) // what it is called without
	return strings.TrimSpace("waiting until the drive is closed, by process " + strings.TrimSpace(string(pid)))
}

// keeper is a process that sees a mount.
type keeper struct {
	pid  int
	name string
	dir  string // where it sees the mount
	here bool   // in the mount namespace of this process
}

// findKeeper looks who of the processes below proc has a FUSE connection mounted; those
// of other namespaces than ours go before.
func findKeeper(proc string, connection int) (found keeper, ok bool) {
	if connection == 0 {
		return found, false
	}
	ours, _ := os.Readlink(filepath.Join(proc, "self", "ns", "mnt")) // without it all count as others
	pids, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	var keepers []keeper
	for _, dir := range pids {
		pid, err := strconv.Atoi(filepath.Base(dir))
		table, terr := os.ReadFile(filepath.Join(dir, "mountinfo"))
		if err != nil || terr != nil {
			continue // it has ended
		}
		at, ok := mountedBy(string(table), connection)
		if !ok {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		space, _ := os.Readlink(filepath.Join(dir, "ns", "mnt"))
		keepers = append(keepers, keeper{pid, strings.TrimSpace(string(name)), at, space == ours && ours != ""})
	}
	slices.SortFunc(keepers, func(a, b keeper) int {
		if a.here != b.here {
			return map[bool]int{false: -1, true: 1}[a.here]
		}
		return cmp.Compare(a.pid, b.pid)
	})
	if len(keepers) == 0 {
		return found, false
	}
	return keepers[0], true
}

// mountedBy returns where a FUSE connection of ours is mounted, by a table of proc(5).
func mountedBy(table string, connection int) (dir string, ok bool) {
	for line := range strings.Lines(table) {
		head, tail, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(head), strings.Fields(tail)
		if len(fields) >= 5 && len(kind) > 0 && kind[0] == fsType && fields[2] == fmt.Sprintf("0:%d", connection) {
			return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4]), true
		}
	}
	return "", false
}

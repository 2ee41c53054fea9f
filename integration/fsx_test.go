package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	fsxSeed   = flag.Uint64("fsx.seed", 0, "seed of the exerciser; 0 picks one")
	fsxReplay = flag.String("fsx.replay", "", "file with operations of the exerciser to do, instead of new ones")
)

// fsxEventsOf is what happens to the drive below an exerciser, for each 20,000 operations.
var fsxEventsOf = map[string]int{"sync": 2, "evict": 12, "remount": 3, "kill": 2, "collect": 2}

// The long form: so many seeds, each with so many operations.
const (
	fsxLongSeeds = 5
	fsxLongOps   = 200_000
)

// TestFsx exercises one file, and several that are linked and renamed.
func TestFsx(t *testing.T) {
	t.Parallel()
	t.Run("one", func(t *testing.T) {
		t.Parallel()
		runFsxTest(t, fsxSpec{Names: 1, MaxSize: 256 << 10}, 8000)
	})
	t.Run("many", func(t *testing.T) {
		t.Parallel()
		runFsxTest(t, fsxSpec{Names: 6, MaxSize: 1<<20 + 100_000}, 12000)
	})
}

// TestFsxSmallCache has files of more than the cache may keep, while nodes go
// down and up; in the long form those have a test of their own.
func TestFsxSmallCache(t *testing.T) {
	t.Parallel()
	events := map[string]int{"sync": 10, "evict": 8, "remount": 2, "kill": 2, "collect": 3, "nodes": 8}
	if soak() {
		events = map[string]int{"sync": 300, "evict": 150, "remount": 20, "kill": 20, "collect": 30}
	}
	runFsxTest(t, fsxSpec{Names: 16, MaxSize: 8 << 20, Events: events}, 1500, "WALFS_CACHE_BUDGET=32MiB")
}

// TestFsxNodes has three nodes go down and up.
func TestFsxNodes(t *testing.T) {
	t.Parallel()
	if !soak() {
		t.Skip("long; in short TestFsxSmallCache does it")
	}
	runFsxTest(t, fsxSpec{Names: 16, MaxSize: 8 << 20, Events: map[string]int{"sync": 150, "evict": 150, "nodes": 150}}, 0)
}

// TestFsxNotPassed is the exerciser where all reads and writes come to the daemon.
func TestFsxNotPassed(t *testing.T) {
	t.Parallel()
	runFsxTest(t, fsxSpec{Names: 4, MaxSize: 1 << 20, MountOptions: []string{"-o", "passthrough=off"}}, 2500)
}

// TestFsxAsUser is the exerciser of an ordinary user, who has no passthrough.
func TestFsxAsUser(t *testing.T) {
	t.Parallel()
	if !soak() {
		t.Skip("long")
	}
	asOrdinaryUser(t, "^TestFsx(SmallCache)?$")
}

// runFsxTest runs the exerciser on a new drive; in the long form with more
// operations, and several seeds unless one is given. What is there at the end is restored.
func runFsxTest(t *testing.T, spec fsxSpec, ops int, env ...string) {
	seeds := 1
	if soak() {
		seeds, ops = fsxLongSeeds, fsxLongOps
	}
	if *fsxSeed != 0 || os.Geteuid() != 0 { // without root it is the rights that differ
		seeds = 1
	}
	for range seeds {
		spec := spec
		spec.Seed, spec.Ops = *fsxSeed, ops
		if spec.Seed == 0 {
			spec.Seed = rand.Uint64()
		}
		events := map[string]int{}
		for kind, n := range fsxEventsOf {
			events[kind] = max(n*spec.Ops/20_000, 1)
		}
		for kind, n := range spec.Events {
			events[kind] = n
		}
		spec.Events = events
		t.Logf("seed %d (repeat with -fsx.seed=%[1]d)", spec.Seed)
		d := newDrive(t)
		d.env, d.opts = env, spec.MountOptions
		d.mount()
		h := &fsxHost{t: t, d: d, rng: rand.New(rand.NewPCG(spec.Seed, 4))}
		h.exercise(spec)
		d.startNodes()
		want := readTree(t, d.mnt)
		d.sync()
		d.umount()
		r := d.restoreCopy()
		r.mount()
		diffTrees(t, "restored", want, readTree(t, r.mnt))
		r.umount()
	}
}

// fsxHost does to a drive what an exerciser asks for.
type fsxHost struct {
	t    *testing.T
	d    *drive
	rng  *rand.Rand
	runs int
}

// exercise runs an exerciser. When it fails, the list of operations is cut as
// long as it goes on failing.
func (h *fsxHost) exercise(spec fsxSpec) {
	h.t.Helper()
	dir, err := os.MkdirTemp("", "walfs-fsx-")
	must(h.t, err)
	spec.Log = filepath.Join(dir, fmt.Sprintf("%d.ops", spec.Seed))
	if *fsxReplay != "" {
		spec.Log, spec.Replay = *fsxReplay, true
	}
	start := time.Now()
	report, err := h.run(spec)
	if err == nil {
		h.t.Logf("%s: %v, in ms %v", time.Since(start).Round(time.Millisecond), report.Done, report.Took)
		must(h.t, os.RemoveAll(dir))
		return
	}
	h.t.Errorf("%v\nall operations (repeat with -fsx.replay): %s", err, spec.Log)
	ops, rerr := readFsxOps(spec.Log)
	must(h.t, rerr)
	h.t.Logf("the last operations:\n%s", fsxText(ops[max(0, len(ops)-30):]))
	h.shrink(spec, ops, dir)
	h.t.FailNow()
}

// run runs one process of the exerciser to its end, in a folder of its own.
func (h *fsxHost) run(spec fsxSpec) (report fsxReport, err error) {
	h.t.Helper()
	if h.d.daemon == nil {
		h.d.mount()
	}
	h.runs++
	spec.Dir = h.d.path(fmt.Sprintf("fsx%d", h.runs))
	must(h.t, os.Mkdir(spec.Dir, 0o755))
	text, err := json.Marshal(spec)
	must(h.t, err)
	limit := 15*time.Minute + time.Duration(spec.Ops)*50*time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), fsxEnv+"="+string(text))
	var said bytes.Buffer
	cmd.Stderr = &said
	asks, err := cmd.StdoutPipe()
	must(h.t, err)
	answers, err := cmd.StdinPipe()
	must(h.t, err)
	must(h.t, cmd.Start())
	ended := false
	for lines := bufio.NewReader(asks); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		if end, ok := strings.CutPrefix(line, "end "); ok {
			ended = json.Unmarshal([]byte(end), &report) == nil
			continue
		}
		answer := "ok"
		if err := h.event(strings.TrimSpace(line)); err != nil {
			answer = strings.ReplaceAll(err.Error(), "\n", " | ")
		}
		if _, err := io.WriteString(answers, answer+"\n"); err != nil {
			break
		}
	}
	switch err := cmd.Wait(); {
	case report.Failed != "":
		return report, errors.New(report.Failed)
	case err != nil || !ended:
		return report, fmt.Errorf("the exerciser ended with %w\n%s", err, lastLines(said.String(), 40))
	}
	return report, nil
}

// event does one thing to the drive.
func (h *fsxHost) event(what string) error {
	d := h.d
	switch what {
	case "sync":
		return d.try("sync")
	case "evict": // what is not certified stays
		if err := d.try("sync"); err != nil {
			return err
		}
		return d.try("cache", "clear")
	case "collect":
		return d.try("gc", "--grace", "0s", "--yes", "--compact")
	case "nodes":
		return h.nodes()
	case "kill":
		d.kill()
		return d.tryMount()
	case "remount":
		if err := d.try("umount", d.mnt); err != nil {
			return err
		}
		d.waitExit()
		return d.tryMount()
	}
	return fmt.Errorf("no such event: %s", what)
}

// nodes takes three nodes down, or all up again.
func (h *fsxHost) nodes() error {
	var up, down []string
	for _, n := range h.d.status().Nodes {
		if n.State == "down" {
			down = append(down, n.Name)
		} else {
			up = append(up, n.Name)
		}
	}
	if len(down) > 0 {
		return h.d.try(append([]string{"node", "start"}, down...)...)
	}
	h.rng.Shuffle(len(up), func(i, j int) { up[i], up[j] = up[j], up[i] })
	return h.d.try(append([]string{"node", "stop"}, up[:3]...)...)
}

// try runs a command, and says what it said when it fails.
func (d *drive) try(args ...string) error {
	d.t.Helper()
	if out, errb, code := d.run(args...); code != 0 {
		return fmt.Errorf("walfs %s: exit %d: %s%s", strings.Join(args, " "), code, out, errb)
	}
	return nil
}

// shrink looks for a short list of operations that still fails: the last ones
// alone, and then without parts of them. It writes down the shortest.
func (h *fsxHost) shrink(spec fsxSpec, ops []fsxOp, dir string) {
	deadline := time.Now().Add(3 * time.Minute)
	spec.Replay = true
	fails := func(list []fsxOp) bool {
		spec.Log = filepath.Join(dir, "try.ops")
		must(h.t, os.WriteFile(spec.Log, []byte(fsxText(list)), 0o644))
		_, err := h.run(spec)
		return err != nil
	}
	short := ops
	for n := 20; n < len(ops) && time.Now().Before(deadline); n *= 4 {
		if last := ops[len(ops)-n:]; fails(last) {
			short = last
			break
		}
	}
	for part := len(short) / 2; part > 0 && time.Now().Before(deadline); part /= 2 {
		for i := 0; i+part <= len(short) && time.Now().Before(deadline); {
			if cut := slices.Delete(slices.Clone(short), i, i+part); fails(cut) {
				short = cut
			} else {
				i += part
			}
		}
	}
	path := filepath.Join(dir, "short.ops")
	must(h.t, os.WriteFile(path, []byte(fsxText(short)), 0o644))
	h.t.Logf("%d of %d operations fail still (repeat with -fsx.replay=%s):\n%s", len(short), len(ops), path, lastLines(fsxText(short), 40))
}

func fsxText(ops []fsxOp) string {
	var b strings.Builder
	for _, op := range ops {
		line, err := json.Marshal(op)
		if err != nil {
			panic(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

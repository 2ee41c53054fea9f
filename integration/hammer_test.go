package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var hammerSeed = flag.Uint64("hammer.seed", 0, "seed of the hammer; 0 picks one")

// TestHammer lets processes change and read one tree while the drive packs,
// collects, compacts, evicts, and loses and gets nodes; some rounds end with a
// kill. All that was answered is there afterwards, and on a restored drive.
func TestHammer(t *testing.T) {
	t.Parallel()
	hammerDrive(t)
}

// TestHammerNotPassed hammers at a drive where all reads and writes come to the daemon.
func TestHammerNotPassed(t *testing.T) {
	t.Parallel()
	if !soak() {
		t.Skip("long")
	}
	hammerDrive(t, "-o", "passthrough=off")
}

// TestHammerAsUser hammers at a drive of an ordinary user.
func TestHammerAsUser(t *testing.T) {
	t.Parallel()
	if !soak() {
		t.Skip("long")
	}
	asOrdinaryUser(t, "^TestHammer$")
}

// hammerDrive hammers at a drive that is mounted with options.
func hammerDrive(t *testing.T, options ...string) {
	kills, length := []bool{true, false}, 5*time.Second
	if soak() {
		kills, length = nil, 15*time.Second
		for i := range 60 {
			kills = append(kills, i%3 != 2)
		}
	}
	seed := *hammerSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d (repeat with -hammer.seed=%[1]d)", seed)
	p := &pounding{t: t, d: newDrive(t), rng: rand.New(rand.NewPCG(seed, 5)), dir: t.TempDir(), since: monotonic()}
	p.d.opts = options
	p.d.mount()
	for k := range hamDirs {
		must(t, os.Mkdir(p.d.path(fmt.Sprintf("d%d", k)), 0o777))
	}
	for i, kill := range kills {
		p.round(i, length/2+time.Duration(p.rng.Int64N(int64(length))), kill)
		if t.Failed() {
			return
		}
	}
	p.d.umount()
}

const hamWorkers = 4

// pounding is a drive that is hammered at.
type pounding struct {
	t     *testing.T
	d     *drive
	rng   *rand.Rand
	dir   string
	since int64 // when the newest sync began that came to its end
}

// round lets the workers work for a while, stops them or the drive, and looks at everything.
func (p *pounding) round(i int, length time.Duration, kill bool) {
	t, d := p.t, p.d
	t.Helper()
	var stop atomic.Bool
	var pest sync.WaitGroup
	end := time.After(length)
	workers := p.start(p.d.mnt, "", uint64(i))
	for _, w := range workers {
		select {
		case <-w.ready:
		case <-w.gone: // it failed
		}
	}
	for _, w := range workers {
		_, _ = io.WriteString(w.input, "go\n")
	}
	rng := rand.New(rand.NewPCG(p.rng.Uint64(), 6))
	pest.Go(func() { p.pester(rng, &stop) })
	died := make(chan struct{}, len(workers))
	for _, w := range workers {
		go func() { <-w.gone; died <- struct{}{} }()
	}
	select {
	case <-end:
	case <-died:
	}
	stop.Store(true)
	if kill {
		d.kill()
	}
	pest.Wait()
	p.finish(fmt.Sprintf("round %d", i), workers)
	if t.Failed() {
		return
	}
	if !kill {
		d.startNodes()
		d.sync()
		p.since = monotonic()
		d.umount()
	}
	p.restored(kill)
	d.mount()
	d.startNodes()
	p.finish(fmt.Sprintf("after round %d", i), p.start(d.mnt, "exact", uint64(i)))
	if kill {
		p.cutTails()
	}
}

// cutTails takes away what is there of records that were being appended when the drive was killed:
// the kernel may write one in two parts, and the next round would append behind the first.
func (p *pounding) cutTails() {
	p.t.Helper()
	for k := range hamDirs {
		name := p.d.path(fmt.Sprintf("d%d/all", k))
		_, end, err := checkAppended(name, 0)
		must(p.t, err)
		if info, err := os.Stat(name); err == nil && info.Size() > end {
			must(p.t, os.Truncate(name, end))
		}
	}
}

// pester does to the drive what the drive does by itself, and what happens to it.
func (p *pounding) pester(rng *rand.Rand, stop *atomic.Bool) {
	for !stop.Load() {
		switch k := rng.IntN(10); {
		case k < 4:
			began := monotonic()
			if _, _, code := p.d.run("sync", "--timeout", "10s"); code == 0 {
				p.since = began
			}
		case k < 6:
			_, _, _ = p.d.run("cache", "clear")
		case k < 8:
			_, _, _ = p.d.run("gc", "--grace", "0s", "--yes", "--compact")
		default:
			p.nodes(rng)
		}
	}
}

// nodes takes three nodes down, or up again those that are; the drive may have been killed meanwhile.
func (p *pounding) nodes(rng *rand.Rand) {
	out, _, code := p.d.run("status", "--json")
	var s status
	if code != 0 || json.Unmarshal([]byte(out), &s) != nil {
		return
	}
	args := []string{"node", "start"}
	for _, n := range s.Nodes {
		if n.State == "down" {
			args = append(args, n.Name)
		}
	}
	if len(args) == 2 {
		args[1] = "stop"
		for _, n := range rng.Perm(len(s.Nodes))[:3] {
			args = append(args, s.Nodes[n].Name)
		}
	}
	_, _, _ = p.d.run(args...)
}

// restored restores the drive, which is not mounted, and looks at what that gives.
func (p *pounding) restored(kill bool) {
	p.t.Helper()
	r := p.d.restoreCopy()
	look := "exact"
	if kill {
		look = "saved"
	}
	r.mount()
	r.startNodes()
	p.finish("restored", p.start(r.mnt, look, 0))
	r.umount()
	must(p.t, os.RemoveAll(filepath.Dir(r.home)))
}

// hamProcess is a worker that runs.
type hamProcess struct {
	cmd   *exec.Cmd
	input io.WriteCloser
	said  bytes.Buffer
	state string
	ready chan struct{} // closed once it works
	gone  chan struct{}
	err   error // once gone is closed
}

// watch takes what a worker says until it ends.
func (w *hamProcess) watch(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "ready" {
			close(w.ready)
		}
	}
	w.err = w.cmd.Wait()
	close(w.gone)
}

// start starts all workers on a tree. Those that only look leave what they know as it was.
func (p *pounding) start(root, look string, round uint64) []*hamProcess {
	p.t.Helper()
	var all []*hamProcess
	for k := range uint64(hamWorkers) {
		w := &hamProcess{state: filepath.Join(p.dir, fmt.Sprintf("state%d", k)), ready: make(chan struct{}), gone: make(chan struct{})}
		spec := hamSpec{Dir: root, Worker: k, Workers: hamWorkers, Seed: p.rng.Uint64(), State: w.state, Look: look, Since: p.since}
		if look != "" && root != p.d.mnt {
			text, err := os.ReadFile(w.state)
			must(p.t, err)
			w.state += ".restored"
			spec.State = w.state
			must(p.t, os.WriteFile(w.state, text, 0o600))
		}
		text, err := json.Marshal(spec)
		must(p.t, err)
		w.cmd = exec.Command(os.Args[0])
		w.cmd.Env = append(os.Environ(), hammerEnv+"="+string(text))
		w.cmd.Stderr = &w.said
		w.input, err = w.cmd.StdinPipe()
		must(p.t, err)
		out, err := w.cmd.StdoutPipe()
		must(p.t, err)
		must(p.t, w.cmd.Start())
		go w.watch(out)
		all = append(all, w)
	}
	return all
}

// finish ends workers, and tells what they found wrong.
func (p *pounding) finish(what string, workers []*hamProcess) {
	p.t.Helper()
	done := map[string]int{}
	for _, w := range workers {
		_ = w.input.Close()
	}
	for k, w := range workers {
		<-w.gone
		var s hamState
		text, err := os.ReadFile(w.state)
		if err == nil {
			err = json.Unmarshal(text, &s)
		}
		if err := errors.Join(w.err, err); err != nil {
			p.t.Errorf("%s, worker %d: %v\n%s", what, k, err, w.said.String())
		}
		for kind, n := range s.Done {
			done[kind] += n
		}
	}
	p.t.Logf("%s: %v", what, done)
}

package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fsxEnv makes a process of this test binary an exerciser: it holds a fsxSpec in JSON.
const fsxEnv = "WALFS_TEST_FSX"

// fsx does random operations on a few files of a drive, does them to a model in
// memory too, and compares what it reads with that. It runs in a process of its
// own, and asks the one that has the daemon, line by line, for what is done to the drive.
type fsx struct {
	fsxSpec
	rng     *rand.Rand
	names   []*fsxFile
	orphans []*fsxFile // unlinked while open
	asks    *bufio.Reader
	buffer  []byte // aligned, for O_DIRECT
	done    map[string]int
	took    map[string]time.Duration
	process *fsxProcess // another that works on the files
	evicted int         // the last operation that left nothing here
}

// fsxReport is the last line of an exerciser.
type fsxReport struct {
	Failed string           `json:"failed,omitempty"`
	Done   map[string]int   `json:"done"`
	Took   map[string]int64 `json:"took"` // ms
}

// errNothing says that an operation has nothing to be done to.
var errNothing = errors.New("nothing to do")

const fsxDirect = 256 << 10 // the longest O_DIRECT transfer, in bytes

// runFsx is the exerciser's process.
func runFsx(text string) error {
	if text == fsxHelper {
		return serveFsx(os.Stdin, os.Stdout)
	}
	x := &fsx{asks: bufio.NewReader(os.Stdin), done: map[string]int{}, took: map[string]time.Duration{}, evicted: -1000}
	if err := json.Unmarshal([]byte(text), &x.fsxSpec); err != nil {
		return err
	}
	var err error
	if x.buffer, err = unix.Mmap(-1, 0, fsxDirect, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
		return err
	}
	x.rng, x.names = rand.New(rand.NewPCG(x.Seed, 3)), make([]*fsxFile, x.Names)
	debug.SetPanicOnFault(true) // a mapped page that cannot be read is a failure to be told
	if x.process, err = startFsxProcess(); err != nil {
		return err
	}
	report := fsxReport{Done: x.done, Took: map[string]int64{}}
	if err = errors.Join(x.run(), x.process.end()); err != nil {
		report.Failed = err.Error()
	}
	for kind, took := range x.took {
		report.Took[kind] = took.Milliseconds()
	}
	line, merr := json.Marshal(report)
	fmt.Printf("end %s\n", line)
	return errors.Join(err, merr)
}

// run does all operations, new ones or those of the log.
func (x *fsx) run() error {
	if x.Replay {
		ops, err := readFsxOps(x.Log)
		if err != nil {
			return err
		}
		for _, op := range ops {
			if err := x.do(op); err != nil {
				return err
			}
		}
		return x.finish()
	}
	log, err := os.Create(x.Log)
	if err != nil {
		return err
	}
	defer log.Close()
	for n := range x.Ops {
		op := x.pick(n)
		line, err := json.Marshal(op)
		if err != nil {
			return err
		}
		if _, err := log.Write(append(line, '\n')); err != nil {
			return err
		}
		if err := x.do(op); err != nil {
			return err
		}
	}
	return x.finish()
}

func (x *fsx) finish() error {
	if err := x.checkAll(); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	return x.closeAll()
}

func readFsxOps(path string) ([]fsxOp, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var ops []fsxOp
	for line := range strings.Lines(string(text)) {
		var op fsxOp
		if err := json.Unmarshal([]byte(line), &op); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		ops = append(ops, op)
	}
	return ops, nil
}

// do does one operation, and looks at all files now and then.
func (x *fsx) do(op fsxOp) (err error) {
	start := time.Now()
	defer func() {
		x.took[op.Kind] += time.Since(start)
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v\n%s", fault, debug.Stack())
		}
		if err != nil {
			err = fmt.Errorf("operation %d: %s: %w", op.N, op.Kind, err)
		}
	}()
	switch err := x.apply(op); {
	case errors.Is(err, errNothing):
		return nil
	case err != nil:
		return err
	}
	x.done[op.Kind]++
	if op.N%300 == 299 {
		start = time.Now()
		op.Kind = "look"
		return x.checkAll()
	}
	return nil
}

// event has something done to the drive, with all handles open or none. A file
// that is open keeps its local copy, and a kill or a remount takes handles away.
func (x *fsx) event(op fsxOp) error {
	gone := op.Kind == "kill" || op.Kind == "remount"
	open := op.Flags%2 == 0 && op.Kind != "remount"
	if op.Kind == "evict" {
		open = op.Flags%8 == 0
		x.evicted = op.N
	}
	if !open {
		if err := x.closeAll(); err != nil {
			return err
		}
	} else if op.Kind == "kill" { // pages that were not handed over yet go with the daemon
		if err := x.syncMaps(); err != nil {
			return err
		}
	}
	if err := x.ask(op.Kind); err != nil {
		return err
	}
	if gone {
		_ = x.closeAll() // of a mount that is gone
	}
	if op.Kind == "evict" {
		return nil // what is read now is here again
	}
	return x.checkAll()
}

// ask waits until the other process has done something.
func (x *fsx) ask(what string) error {
	fmt.Println(what)
	answer, err := x.asks.ReadString('\n')
	if err != nil {
		return err
	}
	if answer = strings.TrimSpace(answer); answer != "ok" {
		return errors.New(answer)
	}
	return nil
}

func (x *fsx) path(name int) string { return filepath.Join(x.Dir, fmt.Sprintf("f%d", name)) }

// files are all that exist, each once.
func (x *fsx) files() []*fsxFile {
	var all []*fsxFile
	seen := map[*fsxFile]bool{nil: true}
	for _, f := range append(append([]*fsxFile(nil), x.names...), x.orphans...) {
		if !seen[f] {
			seen[f] = true
			all = append(all, f)
		}
	}
	return all
}

func (x *fsx) links(f *fsxFile) (n int) {
	for _, other := range x.names {
		if other == f {
			n++
		}
	}
	return n
}

// closeAll lets go of every handle and mapping.
func (x *fsx) closeAll() (err error) {
	for _, f := range x.files() {
		for _, m := range f.maps {
			err = errors.Join(err, unix.Munmap(m.mem))
		}
		for _, h := range f.handles {
			err = errors.Join(err, unix.Close(h.fd))
		}
		f.maps, f.handles = nil, nil
	}
	x.orphans = nil
	_, perr := x.process.do(fsxCall{Kind: "close"})
	return errors.Join(err, perr)
}

// syncMaps hands over what was stored through mappings.
func (x *fsx) syncMaps() (err error) {
	for _, f := range x.files() {
		for _, m := range f.maps {
			err = errors.Join(err, unix.Msync(m.mem, unix.MS_SYNC))
		}
	}
	return err
}

package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// hammerEnv makes a process of this test binary a worker of the hammer: it holds a hamSpec in JSON.
const hammerEnv = "WALFS_TEST_HAMMER"

// hamSpec is what a worker is told.
type hamSpec struct {
	Dir     string `json:"dir"`
	Worker  uint64 `json:"worker"`
	Workers uint64 `json:"workers"`
	Seed    uint64 `json:"seed"`
	State   string `json:"state"`           // file that takes what it knows
	Look    string `json:"look,omitempty"`  // only look: "exact", or "saved" for what is older
	Since   int64  `json:"since,omitempty"` // what was certified then has to be there
}

// hammer is a worker: it changes files of its own in folders that all share,
// appends to files of all, and reads those of others.
type hammer struct {
	hamSpec
	rng   *rand.Rand
	state *hamState
	open  map[uint64]*os.File // written in place
}

const (
	hamDirs   = 4
	hamStable = 6 // names of each worker that are always there
)

// runHammer is a worker's process. It works until its input ends, or the drive does.
func runHammer(text string) error {
	w := &hammer{open: map[uint64]*os.File{}}
	if err := json.Unmarshal([]byte(text), &w.hamSpec); err != nil {
		return err
	}
	w.rng = rand.New(rand.NewPCG(w.Seed, w.Worker))
	w.state = &hamState{Files: map[uint64]*hamFile{}, Names: map[string]uint64{}, Appends: map[string]uint64{}, Done: map[string]int{}}
	if old, err := os.ReadFile(w.State); err == nil {
		if err := json.Unmarshal(old, w.state); err != nil {
			return err
		}
	}
	w.state.Done = map[string]int{}
	err := w.work()
	if err != nil {
		w.state.Failed = err.Error()
	}
	return errors.Join(err, w.save())
}

func (w *hammer) prefix() string { return fmt.Sprintf("w%d-", w.Worker) }

func (w *hammer) stable(k int) string {
	return fmt.Sprintf("d%d/%sstable%d", k%hamDirs, w.prefix(), k)
}

func (w *hammer) work() error {
	if w.Look == "saved" {
		return w.checkSaved(w.Since)
	}
	if err := errors.Join(w.checkState(), w.checkAppends()); err != nil {
		return err
	}
	if w.Look != "" {
		return nil
	}
	for k := range hamStable { // before others look for them
		if _, ok := w.state.Names[w.stable(k)]; !ok {
			if err := w.replace(w.stable(k)); err != nil {
				return w.ended(err)
			}
		}
	}
	fmt.Println("ready")
	told := bufio.NewReader(os.Stdin)
	_, _ = told.ReadString('\n') // once all are
	var stop atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, told)
		stop.Store(true)
	}()
	for !stop.Load() {
		if err := w.step(); err != nil {
			return w.ended(err)
		}
	}
	for id, f := range w.open {
		delete(w.open, id)
		if err := f.Close(); err != nil {
			return w.ended(err)
		}
	}
	return errors.Join(w.checkState(), w.checkAppends())
}

// ended takes the end of the drive for no failure.
func (w *hammer) ended(err error) error {
	var st unix.Statfs_t
	if serr := unix.Statfs(w.Dir, &st); errors.Is(serr, unix.ENOTCONN) || errors.Is(serr, unix.ECONNABORTED) {
		return nil
	}
	what := "nothing"
	if w.state.Pending != nil {
		what = fmt.Sprintf("%+v", *w.state.Pending)
	}
	return fmt.Errorf("%w (under way: %s)", err, what)
}

// begin notes what is about to change. It is forgotten once that is done.
func (w *hammer) begin(what string, names ...string) *hamPending {
	w.state.Pending = &hamPending{What: what, Names: names}
	w.state.Done[what]++
	return w.state.Pending
}

func (w *hammer) end() { w.state.Pending = nil }

func (w *hammer) path(name string) string { return filepath.Join(w.Dir, name) }

// name is one of few, so that operations meet.
func (w *hammer) name() string {
	return fmt.Sprintf("d%d/%s%d", w.rng.IntN(hamDirs), w.prefix(), w.rng.IntN(12))
}

func (w *hammer) step() error {
	name, other := w.name(), w.name()
	id, have := w.state.Names[name]
	_, taken := w.state.Names[other]
	switch k := w.rng.IntN(100); {
	case k < 18:
		return w.replace(w.stable(w.rng.IntN(hamStable)))
	case k < 21:
		return w.replace(name)
	case k < 30:
		return w.look()
	case k < 38:
		return w.appendTo(fmt.Sprintf("d%d/all", w.rng.IntN(hamDirs)))
	case k < 55 && !have:
		return w.makeBlocks(name)
	case k < 75 && have && w.state.Files[id].InPlace:
		return w.writeBlock(name, w.state.Files[id])
	case k < 81 && have && name != other && id != w.state.Names[other]:
		w.begin("rename", name, other)
		if err := os.Rename(w.path(name), w.path(other)); err != nil {
			return err
		}
		delete(w.state.Names, name)
		w.state.Names[other] = id
		w.end()
	case k < 85 && have && !taken:
		w.begin("link", other)
		if err := os.Link(w.path(name), w.path(other)); err != nil {
			return err
		}
		w.state.Names[other] = id
		w.end()
	case k < 90 && have:
		w.begin("unlink", name)
		if err := os.Remove(w.path(name)); err != nil {
			return err
		}
		delete(w.state.Names, name)
		w.end()
	case have:
		return w.state.Files[id].check(w.path(name))
	}
	return nil
}

// replace saves a new version as editors do: beside, and then renamed over.
func (w *hammer) replace(name string) error {
	s := w.state
	s.Next++
	f := &hamFile{ID: s.Next<<8 | w.Worker, Version: s.Next, Len: hamHeader + int64(w.rng.IntN(1<<w.rng.IntN(18)))}
	tmp := fmt.Sprintf("d%d/%stmp", w.rng.IntN(hamDirs), w.prefix())
	w.begin("make", tmp)
	out, err := os.OpenFile(w.path(tmp), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	for b := f.content(); len(b) > 0; {
		n := min(len(b), 1+w.rng.IntN(100_000))
		if _, err := out.Write(b[:n]); err != nil {
			return errors.Join(err, out.Close())
		}
		b = b[n:]
	}
	if w.rng.IntN(10) == 0 {
		err = out.Sync()
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	w.begin("save", tmp, name)
	if err := os.Rename(w.path(tmp), w.path(name)); err != nil {
		return err
	}
	s.Files[f.ID], s.Names[name] = f, f.ID
	w.end()
	if strings.Contains(name, "stable") {
		s.Marks = append(s.Marks, hamMark{name, f.Version, monotonic()})
	}
	return nil
}

// makeBlocks makes a file that is written in place, most of it holes.
func (w *hammer) makeBlocks(name string) error {
	s := w.state
	s.Next++
	w.begin("make", name)
	out, err := os.OpenFile(w.path(name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	f := &hamFile{ID: s.Next<<8 | w.Worker, InPlace: true}
	s.Files[f.ID], s.Names[name] = f, f.ID
	w.end()
	w.keep(f.ID, out)
	return nil
}

// keep holds a few files open.
func (w *hammer) keep(id uint64, f *os.File) {
	for old, o := range w.open {
		if len(w.open) < 4 {
			break
		}
		_ = o.Close()
		delete(w.open, old)
	}
	w.open[id] = f
}

func (w *hammer) writeBlock(name string, f *hamFile) error {
	out := w.open[f.ID]
	if out == nil {
		var err error
		if out, err = os.OpenFile(w.path(name), os.O_RDWR, 0); err != nil {
			return err
		}
		w.keep(f.ID, out)
	}
	if w.rng.IntN(12) == 0 {
		if err := out.Sync(); err != nil {
			return err
		}
	}
	w.state.Next++
	p := w.begin("write")
	p.File, p.Block, p.Version = f.ID, w.rng.IntN(min(len(f.Blocks)+3, hamMost)), w.state.Next
	if _, err := out.WriteAt(hamBytes(f.ID<<8|uint64(p.Block), p.Version, hamBlock), int64(p.Block)*hamBlock); err != nil {
		return err
	}
	for len(f.Blocks) <= p.Block {
		f.Blocks = append(f.Blocks, 0)
	}
	f.Blocks[p.Block] = p.Version
	w.end()
	return nil
}

func (w *hammer) appendTo(name string) error {
	p := w.begin("append")
	p.Log = name
	out, err := os.OpenFile(w.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	b := hamBytes(w.Worker, w.state.Appends[name]+1, hamHeader+int64(w.rng.IntN(3000)))
	if _, err := out.Write(b); err != nil {
		return errors.Join(err, out.Close())
	}
	w.state.Appends[name]++
	w.end()
	return out.Close()
}

// checkAppends looks whether all is there that was appended.
func (w *hammer) checkAppends() error {
	for k := range hamDirs {
		name := fmt.Sprintf("d%d/all", k)
		last, _, err := checkAppended(w.path(name), w.Worker)
		if err != nil {
			return err
		}
		if want := w.state.Appends[name]; last < want || last > want+1 {
			return fmt.Errorf("%s ends with %d of worker %d instead of %d", name, last, w.Worker, want)
		}
		w.state.Appends[name] = last
	}
	return nil
}

// look reads what others have made: a folder, one of their names that are always there, or what all append to.
func (w *hammer) look() error {
	w.state.Done["look"]++
	dir := w.path(fmt.Sprintf("d%d", w.rng.IntN(hamDirs)))
	switch w.rng.IntN(8) {
	case 0:
		_, _, err := checkAppended(filepath.Join(dir, "all"), 0)
		return err
	case 1:
		return w.lookAround(dir)
	}
	theirs := &hammer{hamSpec: hamSpec{Worker: w.rng.Uint64N(w.Workers)}}
	path := w.path(theirs.stable(w.rng.IntN(hamStable)))
	f, err := os.Open(path)
	if err != nil {
		return err // it is only ever replaced
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if _, _, err := hamTell(b); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Size != int64(len(b)) {
		return fmt.Errorf("%s: size %d, read %d", path, st.Size, len(b))
	}
	return nil
}

// lookAround lists a folder: no name comes twice, and those that are always there are.
func (w *hammer) lookAround(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if _, err := e.Info(); err != nil && !errors.Is(err, syscall.ENOENT) {
			return err
		}
	}
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return fmt.Errorf("%s lists %s twice", dir, names[i])
		}
	}
	for k := range hamStable {
		if name := w.stable(k); w.path(filepath.Dir(name)) == dir && !slices.Contains(names, filepath.Base(name)) {
			return fmt.Errorf("%s does not list %s", dir, name)
		}
	}
	return nil
}

package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// TestNamesKilled kills the daemon in the middle of changes of names, which it answers
// before they are committed: all that was answered is there again, in order, with
// content and attributes. On a build that does not note them it is not, or the
// test proves nothing.
func TestNamesKilled(t *testing.T) {
	rounds := 3
	if soak() {
		rounds = 200
	}
	losesWithout(t, "noahead", rounds, killNames)
}

// killNames kills the daemon a number of times and returns what was lost, if anything.
func killNames(t *testing.T, bin string, seed uint64, rounds int) (lost string) {
	t.Helper()
	d := newDriveIn(t, t.TempDir())
	d.bin = bin
	rng := rand.New(rand.NewPCG(seed, 5))
	n := &namesWriter{dir: d.mnt, rng: rng, now: map[string]string{}}
	for round := range rounds {
		d.mount()
		if lost := n.differs(); lost != "" {
			return fmt.Sprintf("round %d: %s", round, lost)
		}
		after := int64(50 + rng.IntN(200))
		done := make(chan struct{})
		var many atomic.Int64
		go func() {
			defer close(done)
			for n.step() == nil {
				many.Add(1)
			}
		}()
		waitFor(t, "changes", func() bool { return many.Load() > after })
		d.kill()
		<-done
	}
	d.mount()
	if lost = n.differs(); lost == "" {
		d.sync()
		lost = n.differs()
	}
	d.umount()
	return lost
}

// namesWriter changes names on a drive, one change after the other.
type namesWriter struct {
	dir   string
	rng   *rand.Rand
	now   map[string]string // what each path was answered to be
	maybe map[string]string // what they are if the last change, which was not answered, was made
}

// step makes a change, and returns an error once the daemon is gone.
func (n *namesWriter) step() error {
	after := maps.Clone(n.now)
	do := n.change(after)
	n.maybe = after
	if err := do(); err != nil {
		return err
	}
	n.now, n.maybe = after, nil
	return nil
}

// change picks a change, makes it in a map, and returns what makes it on the drive.
func (n *namesWriter) change(m map[string]string) func() error {
	at := func(name string) string { return filepath.Join(n.dir, name) }
	name := n.fresh(m)
	var files, plain, dirs, empty []string
	for _, p := range slices.Sorted(maps.Keys(m)) {
		switch {
		case !strings.HasPrefix(m[p], "d"):
			files = append(files, p)
			if strings.HasPrefix(m[p], "f") {
				plain = append(plain, p)
			}
		case n.isEmpty(m, p):
			empty = append(empty, p)
			fallthrough
		default:
			dirs = append(dirs, p)
		}
	}
	pick := func(list []string) string { return list[n.rng.IntN(len(list))] }
	kind := n.rng.IntN(10)
	switch {
	case kind == 0 && len(dirs) < 20:
		m[name] = "d"
		return func() error { return os.Mkdir(at(name), 0o755) }
	case kind == 1 && len(empty) > 0:
		p := pick(empty)
		delete(m, p)
		return func() error { return os.Remove(at(p)) }
	case kind == 2:
		m[name] = "l" + name
		return func() error { return os.Symlink(name, at(name)) }
	case kind < 6 || len(files) == 0:
		size := n.rng.IntN(9000)
		m[name] = fmt.Sprintf("f644 %d", size)
		return func() error { return n.write(at(name), size) }
	case kind == 6:
		p := pick(files)
		m[name] = m[p]
		delete(m, p)
		return func() error { return os.Rename(at(p), at(name)) }
	case kind == 7 && len(plain) > 0:
		p := pick(plain)
		mode := []fs.FileMode{0o600, 0o640, 0o755}[n.rng.IntN(3)]
		m[p] = fmt.Sprintf("f%o", mode) + m[p][len("f644"):]
		return func() error { return os.Chmod(at(p), mode) }
	}
	p := pick(files)
	delete(m, p)
	return func() error { return os.Remove(at(p)) }
}

// fresh returns a path that is free.
func (n *namesWriter) fresh(m map[string]string) string {
	parents := []string{""}
	for p, what := range m {
		if what == "d" {
			parents = append(parents, p)
		}
	}
	slices.Sort(parents)
	for {
		p := path.Join(parents[n.rng.IntN(len(parents))], fmt.Sprint("n", n.rng.IntN(100_000)))
		if m[p] == "" {
			return p
		}
	}
}

func (n *namesWriter) isEmpty(m map[string]string, dir string) bool {
	for p := range m {
		if strings.HasPrefix(p, dir+"/") {
			return false
		}
	}
	return true
}

func (n *namesWriter) write(path string, size int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(filled(size))
	return errors.Join(err, f.Close())
}

// filled is the content of a file of some size.
func filled(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(size+i+i>>8) | 1
	}
	return b
}

// differs tells in which way the drive is not what was answered, with or without
// the last change.
func (n *namesWriter) differs() string {
	have, err := n.look()
	if err != nil {
		return err.Error()
	}
	if n.maybe != nil && maps.Equal(have, n.maybe) {
		n.now = n.maybe
	}
	if n.maybe != nil && !maps.Equal(have, n.now) { // a file may be there that is not written yet
		for p, what := range n.maybe {
			if n.now[p] == "" && strings.HasPrefix(what, "f") && strings.HasPrefix(have[p], "f") {
				n.now[p] = have[p]
			}
		}
	}
	n.maybe = nil
	var list []string
	for p, what := range n.now {
		if have[p] != what {
			list = append(list, fmt.Sprintf("%s is %q, want %q", p, have[p], what))
		}
	}
	for p, what := range have {
		if n.now[p] == "" {
			list = append(list, fmt.Sprintf("%s is %q, want nothing", p, what))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}

// look returns what is there.
func (n *namesWriter) look() (map[string]string, error) {
	have := map[string]string{}
	err := filepath.WalkDir(n.dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == n.dir {
			return err
		}
		name, err := filepath.Rel(n.dir, p)
		if err != nil {
			return err
		}
		switch e.Type() {
		case fs.ModeDir:
			have[name] = "d"
		case fs.ModeSymlink:
			target, err := os.Readlink(p)
			have[name] = "l" + target
			return err
		default:
			have[name], err = describe(p)
		}
		return err
	})
	return have, err
}

// describe tells mode, size and content of a file.
func describe(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if string(b) != string(filled(len(b))) {
		return fmt.Sprintf("f%o %d other bytes", info.Mode().Perm(), len(b)), nil
	}
	return fmt.Sprintf("f%o %d", info.Mode().Perm(), len(b)), nil
}

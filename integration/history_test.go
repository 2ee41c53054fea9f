package integration

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

var historySeed = flag.Uint64("history.seed", 0, "seed of the random histories; 0 picks one")

// TestHistories does the same random operations on the mount and on a plain
// folder and compares every answer, then the trees; on the way the drive is
// synced, emptied of local copies and remounted, and nodes go down.
func TestHistories(t *testing.T) {
	t.Parallel()
	seed := *historySeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	ops := 3000
	if soak() {
		ops = 60000
	}
	t.Logf("seed %d (repeat with -history.seed=%d)", seed, seed)
	d := newDrive(t)
	d.mount()
	h := &history{t: t, rng: rand.New(rand.NewPCG(seed, 2)), plain: t.TempDir(), drive: d}
	for i := range ops {
		h.step(i)
		if i%(ops/4) == ops/4-1 {
			h.closeAll()
			diffTrees(t, fmt.Sprintf("after %d operations", i+1), plainTimes(readTree(t, h.plain)), plainTimes(readTree(t, d.mnt)))
			d.sync()
			d.umount()
			d.forgetLocal()
			d.mount()
			diffTrees(t, "after a remount without local copies", plainTimes(readTree(t, h.plain)), plainTimes(readTree(t, d.mnt)))
		}
	}
	d.umount()
}

// plainTimes takes out what may differ between two folders: the moment at
// which each was touched, and the root's own entry.
func plainTimes(tree map[string]entry) map[string]entry {
	delete(tree, ".")
	for path, e := range tree {
		e.Mtime = 0
		tree[path] = e
	}
	return tree
}

// history drives one random sequence of operations on two folders.
type history struct {
	t     *testing.T
	rng   *rand.Rand
	plain string
	drive *drive
	open  []openPair
}

// openPair is the same file open in both folders.
type openPair struct{ plain, drive *os.File }

const historyNames = 12 // few names, so that operations meet

func (h *history) name() string {
	depth := 1 + h.rng.IntN(3)
	p := ""
	for range depth {
		p = filepath.Join(p, fmt.Sprintf("n%d", h.rng.IntN(historyNames)))
	}
	return p
}

// both runs one operation on both sides and compares the errors.
func (h *history) both(step int, what string, op func(root string) error) {
	h.t.Helper()
	want, got := errnoOf(op(h.plain)), errnoOf(op(h.drive.mnt))
	if want != got {
		h.t.Fatalf("operation %d: %s: drive says %v, plain folder %v", step, what, got, want)
	}
}

func errnoOf(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return err
}

func (h *history) step(i int) {
	a, b := h.name(), h.name()
	data := make([]byte, h.rng.IntN(20000))
	off, size := int64(h.rng.IntN(200_000)), int64(h.rng.IntN(300_000))
	_, _ = randomBytes(h.rng.Uint64()).Read(data)
	switch k := h.rng.IntN(100); {
	case k < 12:
		h.both(i, "mkdir "+a, func(r string) error { return os.Mkdir(filepath.Join(r, a), 0o755) })
	case k < 30:
		h.both(i, "write "+a, func(r string) error { return os.WriteFile(filepath.Join(r, a), data, 0o644) })
	case k < 45:
		h.both(i, fmt.Sprintf("pwrite %s at %d", a, off), func(r string) error { return writeAt(filepath.Join(r, a), data, off) })
	case k < 52:
		h.both(i, fmt.Sprintf("truncate %s to %d", a, size), func(r string) error { return os.Truncate(filepath.Join(r, a), size) })
	case k < 62:
		h.both(i, "rename "+a+" to "+b, func(r string) error { return syscall.Rename(filepath.Join(r, a), filepath.Join(r, b)) })
	case k < 67:
		h.both(i, "link "+a+" to "+b, func(r string) error { return os.Link(filepath.Join(r, a), filepath.Join(r, b)) })
	case k < 72:
		h.both(i, "symlink "+a, func(r string) error { return os.Symlink("to/"+b, filepath.Join(r, a)) })
	case k < 80:
		h.both(i, "unlink "+a, func(r string) error { return syscall.Unlink(filepath.Join(r, a)) })
	case k < 84:
		h.both(i, "rmdir "+a, func(r string) error { return syscall.Rmdir(filepath.Join(r, a)) })
	case k < 88:
		mode := uint32(0o600 | h.rng.IntN(0o200))
		h.both(i, "chmod "+a, func(r string) error { return syscall.Chmod(filepath.Join(r, a), mode) })
	case k < 92:
		h.openBoth(a)
	case k < 97:
		h.useOpen(i, data, off, size)
	default:
		h.both(i, "read "+a, func(r string) error { _, err := os.ReadFile(filepath.Join(r, a)); return err })
	}
}

func writeAt(path string, data []byte, off int64) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteAt(data, off)
	return err
}

// openBoth opens a file on both sides and keeps it, so that later unlinks,
// renames and truncates meet open handles.
func (h *history) openBoth(name string) {
	p, perr := os.OpenFile(filepath.Join(h.plain, name), os.O_RDWR, 0)
	m, merr := os.OpenFile(filepath.Join(h.drive.mnt, name), os.O_RDWR, 0)
	if errnoOf(perr) != errnoOf(merr) {
		h.t.Fatalf("open %s: drive says %v, plain folder %v", name, merr, perr)
	}
	if perr != nil {
		return
	}
	h.open = append(h.open, openPair{p, m})
	if len(h.open) > 6 {
		h.closeFirst()
	}
}

func (h *history) closeFirst() {
	must(h.t, h.open[0].plain.Close())
	must(h.t, h.open[0].drive.Close())
	h.open = h.open[1:]
}

func (h *history) closeAll() {
	for len(h.open) > 0 {
		h.closeFirst()
	}
}

// useOpen writes to, truncates or reads through an open handle on both sides.
func (h *history) useOpen(step int, data []byte, off, size int64) {
	if len(h.open) == 0 {
		return
	}
	pair := h.open[h.rng.IntN(len(h.open))]
	switch h.rng.IntN(4) {
	case 0:
		_, perr := pair.plain.WriteAt(data, off)
		_, merr := pair.drive.WriteAt(data, off)
		h.same(step, "write through a handle", perr, merr)
	case 1:
		h.same(step, "truncate through a handle", pair.plain.Truncate(size), pair.drive.Truncate(size))
	case 2:
		h.same(step, "fsync", pair.plain.Sync(), pair.drive.Sync())
	default:
		p, m := make([]byte, 70_000), make([]byte, 70_000)
		pn, perr := pair.plain.ReadAt(p, off)
		mn, merr := pair.drive.ReadAt(m, off)
		h.same(step, "read through a handle", perr, merr)
		if pn != mn || !bytes.Equal(p[:pn], m[:mn]) {
			h.t.Fatalf("operation %d: read of %s at %d: drive gives %d bytes, plain folder %d, or other bytes", step, pair.plain.Name(), off, mn, pn)
		}
	}
}

func (h *history) same(step int, what string, perr, merr error) {
	h.t.Helper()
	if errnoOf(perr) != errnoOf(merr) {
		h.t.Fatalf("operation %d: %s: drive says %v, plain folder %v", step, what, merr, perr)
	}
}

package commit_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/walfs/walfs/index"
)

// TestHistory does random things to files and drains now and then. What is
// restored from the network is then what a plain map remembers.
func TestHistory(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("WALFS_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("WALFS_SEED=%d", seed)
	steps := 150
	if os.Getenv("WALFS_SOAK") != "" {
		steps = 5000
	}
	h := &history{
		rig: newRig(t, options{}), rand: rand.New(rand.NewPCG(seed, 1)), files: map[string][]byte{},
	}
	for range steps {
		h.step()
		if t.Failed() {
			return
		}
	}
	h.compare()
}

type history struct {
	*rig
	rand  *rand.Rand
	files map[string][]byte
}

const names = 8

func (h *history) name() string { return fmt.Sprintf("n%d", h.rand.IntN(names)) }

// length returns a length that is often short and sometimes spans segments.
func (h *history) length() int {
	switch h.rand.IntN(10) {
	case 0:
		return 0
	case 1:
		return 900_000 + h.rand.IntN(900_000)
	case 2, 3:
		return 60_000 + h.rand.IntN(300_000)
	}
	return 1 + h.rand.IntN(20_000)
}

// content returns random bytes with zeros among them.
func (h *history) content() []byte {
	b := random(h.rand.Uint64(), h.length())
	if len(b) > 0 && h.rand.IntN(3) == 0 {
		from := h.rand.IntN(len(b))
		clear(b[from : from+h.rand.IntN(len(b)-from)])
	}
	return b
}

func (h *history) step() {
	h.Helper()
	switch n := h.rand.IntN(20); {
	case n < 17:
		h.change()
	case n < 19:
		h.compare()
	default:
		h.reopen(options{policy: h.policy()})
	}
}

// change does something to a file.
func (h *history) change() {
	h.Helper()
	name := h.name()
	old, exists := h.files[name]
	switch n := h.rand.IntN(17); {
	case n < 6 || !exists && n < 16:
		h.files[name] = h.content()
		h.put(name, h.files[name])
	case n < 10:
		p := h.content()
		off := h.rand.IntN(len(old) + 10_000)
		h.files[name] = overlay(old, p, off)
		if len(p) > 0 {
			h.patch(name, p, int64(off))
		} else {
			h.files[name] = old
		}
	case n < 12:
		h.truncate(name, old)
	case n < 14:
		h.punch(name, old)
	case n < 15:
		h.rename(name)
	case n < 16:
		h.unlink(name)
	default:
		h.put(name, old) // the same again
		h.files[name] = old
	}
}

func overlay(old, p []byte, off int) []byte {
	if len(p) == 0 {
		return old
	}
	b := make([]byte, max(len(old), off+len(p)))
	copy(b, old)
	copy(b[off:], p)
	return b
}

func (h *history) truncate(name string, old []byte) {
	h.Helper()
	size := h.length()
	b := make([]byte, size)
	copy(b, old)
	f := h.file(index.Root, name)
	h.must(f.Truncate(context.Background(), int64(size)))
	h.done(f)
	h.files[name] = b
}

func (h *history) punch(name string, old []byte) {
	h.Helper()
	if len(old) == 0 {
		return
	}
	b := append([]byte(nil), old...)
	off := h.rand.IntN(len(b))
	n := 1 + h.rand.IntN(len(b)-off)
	clear(b[off : off+n])
	f := h.file(index.Root, name)
	h.must(f.Punch(context.Background(), int64(off), int64(n), func(ctx context.Context, p []byte, off int64) error {
		return published(ctx, h.db, h.blobs, h.keys, f.Ino(), p, off)
	}))
	h.done(f)
	h.files[name] = b
}

func (h *history) rename(name string) {
	h.Helper()
	to := h.name()
	if to == name {
		return
	}
	displaced, err := h.db.Rename(context.Background(), index.RenameRequest{
		OldParent: index.Root, OldName: []byte(name), NewParent: index.Root, NewName: []byte(to),
	})
	h.must(err)
	h.c.Wake()
	if displaced.Ino != 0 && displaced.Nlink == 0 {
		h.bury(displaced.Ino)
	}
	h.files[to] = h.files[name]
	delete(h.files, name)
}

func (h *history) unlink(name string) {
	h.Helper()
	attr, err := h.db.Unlink(context.Background(), index.Root, []byte(name))
	h.must(err)
	h.c.Wake()
	h.bury(attr.Ino)
	delete(h.files, name)
}

func (h *history) compare() {
	h.Helper()
	h.drain()
	got := h.restored()
	for name, want := range h.files {
		got.same("/"+name, want)
	}
	if list := got.names("/"); len(list) != len(h.files) {
		h.Errorf("restored %q, want %d names", list, len(h.files))
	}
	checkPaidOnce(h.rig)
}

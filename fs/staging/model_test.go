package staging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/index"
)

var errKilled = errors.New("killed")

// model is one file in staging and what it has to be.
type model struct {
	t         *testing.T
	rng       *rand.Rand
	dir       string
	d         *Dir
	f         *File
	ino       index.Ino
	live      []byte // what programs have to see
	published []byte // what the index would give
	clean     bool   // the index says: live is published
	version   uint64
	pack      *Pack
	snapshot  []byte     // live when pack was taken
	disk      sync.Mutex // guards the fields below: a sync uses the disk twice at once
	countdown int        // disk operations until the next fault; negative: none
	fault     error      // what it will be
	tear      bool       // the operation that fails is the one at hand
	killed    bool
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, rng: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), ino: 7, countdown: -1, version: 1}
	m.open()
	m.acquire()
	return m
}

func (m *model) open() {
	m.t.Helper()
	d, err := Open(Config{Dir: m.dir, MarkDirty: m.mark, Version: func(context.Context, index.Ino) (uint64, error) { return m.version, nil }})
	if err != nil {
		m.t.Fatal(err)
	}
	d.disk.fault = m.check
	d.disk.torn = m.torn
	m.d, m.killed = d, false
}

func (m *model) mark(context.Context, index.Ino, uint64) (uint64, error) {
	m.version++
	m.clean = false
	return m.version, nil
}

// check is the disk's fault: the operation fails once, or it is the last one.
func (m *model) check(string) error {
	m.disk.Lock()
	defer m.disk.Unlock()
	if m.tear = false; m.killed {
		return errKilled
	}
	if m.countdown < 0 {
		return nil
	}
	if m.countdown--; m.countdown >= 0 {
		return nil
	}
	m.killed, m.tear = errors.Is(m.fault, errKilled), true
	return m.fault
}

// torn is how much of a write gets to the disk: it stops between two pages of
// the page cache, which take what is written to them at once.
func (m *model) torn(off, end int64) int {
	if !m.tear {
		return 0
	}
	boundary := (off/BlockSize + m.rng.Int64N(end/BlockSize-off/BlockSize+1)) * BlockSize
	return int(max(0, boundary-off))
}

// acquire opens the file as the file system does.
func (m *model) acquire() {
	m.t.Helper()
	var err error
	m.f, err = m.d.File(context.Background(), m.ino, Shape{Size: int64(len(m.live)), Base: int64(min(len(m.live), len(m.published)))})
	if err != nil {
		m.t.Fatal(err)
	}
	if m.clean {
		if err := m.f.Clean(); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *model) fill(_ context.Context, p []byte, off int64) error {
	clear(p)
	if off < int64(len(m.published)) {
		copy(p, m.published[off:])
	}
	return nil
}

// read returns the live content as a reader puts it together.
func (m *model) read() []byte {
	m.t.Helper()
	size := m.f.Size()
	got := make([]byte, size)
	at := int64(0)
	for _, r := range m.f.Held(0, size) {
		if r.Off != at {
			m.t.Fatalf("held ranges: %d follows %d", r.Off, at)
		}
		at += r.Len
		p := got[r.Off : r.Off+r.Len]
		if r.Held {
			if n, err := m.f.ReadAt(p, r.Off); n != len(p) {
				m.t.Fatalf("read %d of %d held bytes at %d: %v", n, len(p), r.Off, err)
			}
			continue
		}
		if below := min(m.f.Base(), int64(len(m.published))); r.Off < below {
			copy(p, m.published[r.Off:below])
		}
	}
	if at != size {
		m.t.Fatalf("held ranges end at %d of %d", at, size)
	}
	return got
}

func (m *model) verify(when string) {
	m.t.Helper()
	if err := same(m.read(), m.live); err != nil {
		m.t.Fatalf("%s: %v", when, err)
	}
	m.packed(when)
}

// packed looks at what is left of the published content.
func (m *model) packed(when string) {
	m.t.Helper()
	p := make([]byte, len(m.published))
	ranges, err := m.f.ReadPacked(p, 0)
	if err != nil {
		m.t.Fatalf("%s: %v", when, err)
	}
	at := int64(0)
	for _, r := range ranges {
		if r.Off != at || r.Len <= 0 {
			m.t.Fatalf("%s: range %+v after %d", when, r, at)
		}
		at += r.Len
		if r.Fate == Kept && !bytes.Equal(p[r.Off:at], m.published[r.Off:at]) {
			m.t.Fatalf("%s: range %+v is not what was packed", when, r)
		}
		for _, h := range m.f.Held(r.Off, r.Len) {
			if r.Fate == Gone && h.Held || r.Fate == Kept && !h.Held {
				m.t.Fatalf("%s: range %+v, held %+v", when, r, h)
			}
		}
		if r.Fate == Changed && m.clean && !m.f.Dirty() {
			m.t.Fatalf("%s: range %+v of a clean file", when, r)
		}
	}
	if at != int64(len(p)) {
		m.t.Fatalf("%s: ranges end at %d of %d", when, at, len(p))
	}
}

func same(got, want []byte) error {
	if len(got) != len(want) {
		return fmt.Errorf("size %d, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("byte %d of %d (block %d) is %d, want %d", i, len(got), i/BlockSize, got[i], want[i])
		}
	}
	return nil
}

// change runs an operation that turns live into want. When it fails, each
// byte has to be as it was or as it should be.
func (m *model) change(name string, want []byte, op func() error) {
	m.t.Helper()
	err := op()
	m.t.Logf("%s: %v", name, err)
	if err == nil {
		if m.live = want; m.killed {
			m.restart()
		}
		m.verify(name)
		return
	}
	if !errors.Is(err, errKilled) && !errors.Is(err, unix.ENOSPC) {
		m.t.Fatalf("%s: %v", name, err)
	}
	if m.killed {
		m.restart()
	}
	got := m.read()
	if err := between(got, m.live, want); err != nil {
		m.t.Fatalf("%s, then %v: %v", name, m.fault, err)
	}
	m.live = got
}

func between(got, old, want []byte) error {
	if len(got) < min(len(old), len(want)) || len(got) > max(len(old), len(want)) {
		return fmt.Errorf("size %d, neither %d nor %d", len(got), len(old), len(want))
	}
	for i, b := range got {
		if b != at(old, i) && b != at(want, i) {
			return fmt.Errorf("byte %d of %d (block %d) is %d, neither %d nor %d", i, len(got), i/BlockSize, b, at(old, i), at(want, i))
		}
	}
	return nil
}

func at(p []byte, i int) byte {
	if i < len(p) {
		return p[i]
	}
	return 0
}

// restart is what happens after kill -9: no memory, the disk as it was left.
func (m *model) restart() {
	m.t.Helper()
	if m.pack != nil {
		m.pack.Abort()
		m.pack = nil
	}
	m.f.Release()
	m.countdown = -1
	m.open()
	m.acquire()
}

func (m *model) offset() int {
	off := m.rng.IntN(40 * BlockSize)
	if m.rng.IntN(3) == 0 {
		off = off / BlockSize * BlockSize
	}
	return off
}

func (m *model) step() {
	m.t.Helper()
	if m.countdown < 0 && m.rng.IntN(6) == 0 {
		m.countdown = m.rng.IntN(8)
		m.fault = []error{errKilled, unix.ENOSPC}[m.rng.IntN(2)]
	}
	switch n := m.rng.IntN(20); {
	case n < 8:
		m.write()
	case n < 10:
		m.truncate()
	case n < 12:
		m.punch()
	case n < 15:
		m.startPack()
	case n < 17:
		m.endPack()
	case n < 18:
		m.finish()
	case n < 19:
		m.reopen()
	default:
		m.evict()
	}
}

func (m *model) write() {
	off, p := m.offset(), make([]byte, 1+m.rng.IntN(5*BlockSize))
	if m.rng.IntN(3) == 0 {
		p = make([]byte, (1+m.rng.IntN(4))*BlockSize)
	}
	for i := range p {
		p[i] = byte(1 + m.rng.IntN(255))
	}
	want := bytes.Clone(m.live)
	if len(want) < off+len(p) {
		want = append(want, make([]byte, off+len(p)-len(want))...)
	}
	copy(want[off:], p)
	m.change(fmt.Sprintf("write %d+%d", off, len(p)), want, func() error {
		_, err := m.f.WriteAt(context.Background(), p, int64(off), m.fill)
		return err
	})
}

func (m *model) truncate() {
	size := m.offset()
	want := make([]byte, size)
	copy(want, m.live)
	m.change(fmt.Sprintf("truncate %d", size), want, func() error {
		return m.f.Truncate(context.Background(), int64(size))
	})
}

func (m *model) punch() {
	off, n := m.offset(), 1+m.rng.IntN(6*BlockSize)
	want := bytes.Clone(m.live)
	if off < len(want) {
		clear(want[off:min(len(want), off+n)])
	}
	m.change(fmt.Sprintf("punch %d+%d", off, n), want, func() error {
		return m.f.Punch(context.Background(), int64(off), int64(n), m.fill)
	})
}

func (m *model) startPack() {
	if m.pack != nil || m.clean {
		return
	}
	m.countdown = -1
	version := m.version
	p, err := m.f.Pack(context.Background(), m.rng.IntN(2) == 0)
	if err != nil {
		m.t.Fatalf("pack: %v", err)
	}
	if p.Version != version {
		m.t.Fatalf("pack of version %d, want %d", p.Version, version)
	}
	m.pack, m.snapshot = p, bytes.Clone(m.live)
	m.t.Logf("pack version %d, base %d, copy %t", p.Version, p.Base, p.copy != nil)
}

// endPack publishes what the pack says, as the committer and the index do.
func (m *model) endPack() {
	p := m.pack
	if p == nil {
		return
	}
	m.pack = nil
	if p.Moved() || m.rng.IntN(4) == 0 {
		m.countdown = -1
		p.Abort()
		m.verify("abort")
		return
	}
	packed := make([]byte, p.Size)
	copy(packed, m.published[:min(int64(len(m.published)), p.Base)])
	for _, r := range p.Ranges() {
		if r.Hole {
			clear(packed[r.Off : r.Off+r.Len])
		} else if n, err := p.ReadAt(packed[r.Off:r.Off+r.Len], r.Off); int64(n) != r.Len {
			m.t.Fatalf("read pack at %d+%d: %d, %v", r.Off, r.Len, n, err)
		}
	}
	if err := same(packed, m.snapshot); err != nil {
		m.t.Fatalf("packed version: %v", err)
	}
	m.published, m.clean = packed, m.version == p.Version
	err := p.Commit()
	m.t.Logf("commit: %v", err)
	if m.killed {
		m.restart()
	} else if err != nil && !errors.Is(err, unix.ENOSPC) {
		m.t.Fatalf("commit: %v", err)
	}
	m.verify("commit")
}

func (m *model) finish() {
	err := m.f.Finished()
	if m.killed {
		m.restart()
	} else if err != nil && !errors.Is(err, unix.ENOSPC) {
		m.t.Fatalf("finished: %v", err)
	}
	m.verify("finished")
}

func (m *model) reopen() {
	m.countdown = -1
	if m.pack == nil {
		m.f.Release()
		m.acquire()
	} else {
		m.restart()
	}
	m.verify("reopen")
}

// evict lets go of a clean copy.
func (m *model) evict() {
	if m.pack != nil || !m.clean {
		return
	}
	m.f.Release()
	err := m.d.Remove(m.ino)
	if m.killed {
		m.countdown = -1
		m.open()
	} else if err != nil && !errors.Is(err, unix.ENOSPC) {
		m.t.Fatalf("remove: %v", err)
	}
	m.countdown = -1
	m.acquire()
	m.verify("evict")
}

// TestModel compares a file with a slice of bytes through writes, packs, full
// disks and kills between and within all operations on the disk.
func TestModel(t *testing.T) {
	seeds, steps := 20, 300
	if os.Getenv("WALFS_SOAK") != "" {
		seeds, steps = 400, 2000
	}
	first := uint64(1)
	if s, err := strconv.ParseUint(os.Getenv("WALFS_SEED"), 10, 64); err == nil {
		first, seeds = s, 1
	}
	for i := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed=%d", first+i), func(t *testing.T) {
			m := newModel(t, first+i)
			for range steps {
				m.step()
			}
			if m.pack != nil {
				m.pack.Abort()
			}
			m.f.Release()
			if err := m.d.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

var _ io.ReaderAt = (*Pack)(nil)

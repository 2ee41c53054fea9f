package staging

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/walfs/walfs/index"
)

// cannotClone skips where snapshots are clones, so that nothing is copied.
func cannotClone(t *testing.T, d *Dir) {
	t.Helper()
	clones, err := d.Probe(func(int) error { return nil })
	must(t, err)
	if clones {
		t.Skip("the file system clones files, so that nothing is copied")
	}
}

// sameAs compares with what is published.
func sameAs(published []byte) Same {
	return func(off int64, b []byte) bool {
		return off < int64(len(published)) && bytes.Equal(b, published[off:min(off+index.HashRange, int64(len(published)))])
	}
}

// shown returns what a snapshot is, with what is published where it says so.
func shown(t *testing.T, p *Pack, published []byte) []byte {
	t.Helper()
	content := make([]byte, p.Size)
	for _, r := range p.Ranges() {
		part := content[r.Off : r.Off+r.Len]
		switch {
		case r.Hole:
		case r.Same:
			if _, err := p.ReadAt(make([]byte, 1), r.Off+r.Len-1); err == nil {
				t.Fatalf("%+v is read from the snapshot", r)
			}
			copy(part, published[r.Off:])
		default:
			n, err := p.ReadAt(part, r.Off)
			if err != nil && !errors.Is(err, io.EOF) || int64(n) < r.Len {
				t.Fatalf("read %+v: %d, %v", r, n, err)
			}
		}
	}
	return content
}

// TestPackSinceCopiesChanges packs a long file that is lent again and again, while it grows:
// what is copied is what was written since, and no more.
func TestPackSinceCopiesChanges(t *testing.T) {
	d := newDir(t, t.TempDir())
	d.disk.off = true // nothing is cut off from power here
	cannotClone(t, d)
	const step, steps = 4 * index.HashRange, 8
	rng := rand.NewChaCha8([32]byte{1})
	content := make([]byte, step)
	_, _ = rng.Read(content)
	f, kernel := lentFile(t, d, content)
	published, copied := []byte(nil), int64(0)
	for i := range steps {
		p, err := f.PackSince(ctx, true, sameAs(published))
		must(t, err)
		if got := shown(t, p, published); !bytes.Equal(got, content) {
			t.Fatalf("snapshot %d is not what the file is", i)
		}
		var stored int64
		for _, r := range p.Ranges() {
			if !r.Same {
				stored += r.Len
			}
		}
		if most := int64(step + 2*index.HashRange); p.copied > most || stored > most {
			t.Errorf("snapshot %d of %d bytes: %d copied, %d to store, of %d that were written", i, len(content), p.copied, stored, step)
		}
		copied += p.copied
		published = slices.Clone(content)
		must(t, p.Commit())
		more := make([]byte, step+100) // so that there is a part of a range at the end
		_, _ = rng.Read(more)
		_, err = kernel.WriteAt(more, int64(len(content)))
		must(t, err)
		content = append(content, more...)
		content[7] ^= byte(i + 1)
		_, err = kernel.WriteAt(content[7:8], 7)
		must(t, err)
	}
	if most := int64(len(published)) + 2*steps*index.HashRange; copied > most {
		t.Errorf("%d bytes were copied of a file of %d", copied, len(published))
	}
}

// lentWriter writes as the kernel does, and knows each state that the file was in.
type lentWriter struct {
	t      *testing.T
	rng    *rand.Rand
	f      *File
	kernel *os.File
	states [][]byte
}

func (w *lentWriter) now() []byte { return w.states[len(w.states)-1] }

// change writes, appends, or sets the size.
func (w *lentWriter) change() {
	w.t.Helper()
	size := len(w.now())
	off := w.rng.IntN(size + 1)
	switch w.rng.IntN(8) {
	case 0:
		size = w.rng.IntN(5 * index.HashRange)
		must(w.t, w.f.Truncate(ctx, int64(size)))
		next := slices.Clone(w.now())
		w.states = append(w.states, append(next, make([]byte, max(0, size-len(next)))...)[:size])
		return
	case 1, 2: // as a range of its own, or to its end
		off = size / index.HashRange * index.HashRange
	}
	w.write(off, 1+w.rng.IntN(10_000))
}

// write writes n equal bytes.
func (w *lentWriter) write(off, n int) {
	w.t.Helper()
	b := bytes.Repeat([]byte{byte(w.rng.Uint32())}, n)
	_, err := w.kernel.WriteAt(b, int64(off))
	must(w.t, err)
	next := slices.Clone(w.now())
	next = append(next, make([]byte, max(0, off+n-len(next)))...)
	copy(next[off:], b)
	w.states = append(w.states, next)
}

// TestPackSinceMoment changes a file while its snapshot is made: that shows one state in
// which the file was.
func TestPackSinceMoment(t *testing.T) {
	d := newDir(t, t.TempDir())
	d.disk.off = true // nothing is cut off from power here
	cannotClone(t, d)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &lentWriter{t: t, rng: rand.New(rand.NewPCG(seed, 1)), states: [][]byte{bytes.Repeat([]byte("s"), 3*index.HashRange+500)}}
	w.f, w.kernel = lentFile(t, d, w.now())
	var published []byte
	snapshots, left := 0, 0
	for round := range 40 {
		w.states = w.states[len(w.states)-1:]
		if round%4 == 0 { // what was cut off comes back as holes, and those are never left out
			w.write(0, 3*index.HashRange)
		}
		changes := w.rng.IntN(4) // more, and the file is written all the time
		changing := false        // which comes back to the disk
		turn := func() {
			if changes > 0 && !changing && w.rng.IntN(3) == 0 {
				changes--
				changing = true
				w.change()
				changing = false
			}
		}
		d.disk.fault = func(string) error { turn(); return nil }
		same := sameAs(published)
		p, err := w.f.PackSince(ctx, true, func(off int64, b []byte) bool {
			defer turn()
			return same(off, b)
		})
		d.disk.fault = nil
		if errors.Is(err, ErrBusy) {
			continue
		}
		must(t, err)
		snapshots++
		left += len(p.known)
		got := shown(t, p, published)
		if !slices.ContainsFunc(w.states, func(state []byte) bool { return bytes.Equal(state, got) }) {
			t.Fatalf("snapshot %d, of %d bytes, is none of the %d states: %v", snapshots, len(got), len(w.states), p.Ranges())
		}
		must(t, p.Commit())
		published = got
		w.change()
	}
	if snapshots < 20 || left == 0 {
		t.Errorf("%d snapshots, which left out %d ranges", snapshots, left)
	}
}

// TestPackSinceCut cuts a file off while what is published of it is left out of the snapshot,
// and has it grow again as a hole.
func TestPackSinceCut(t *testing.T) {
	for name, grown := range map[string]int{"cut": 0, "grown": 3*index.HashRange + 10} {
		t.Run(name, func(t *testing.T) {
			d := newDir(t, t.TempDir())
			cannotClone(t, d)
			published := bytes.Repeat([]byte("p"), 4*index.HashRange)
			f, _ := lentFile(t, d, published)
			const size = index.HashRange + 10
			same, cut := sameAs(published), false
			p, err := f.PackSince(ctx, true, func(off int64, b []byte) bool {
				if off == 2*index.HashRange && !cut {
					cut = true
					must(t, f.Truncate(ctx, size))
					if grown > 0 {
						must(t, f.Truncate(ctx, int64(grown)))
					}
				}
				return same(off, b)
			})
			must(t, err)
			defer p.Abort()
			want := append(slices.Clone(published[:size]), make([]byte, max(0, grown-size))...)
			if last := p.Ranges()[len(p.Ranges())-1]; p.Size != int64(len(want)) || last.Off+last.Len > p.Size {
				t.Fatalf("%d bytes, want %d: %+v", p.Size, len(want), p.Ranges())
			}
			if got := shown(t, p, published); !bytes.Equal(got, want) {
				t.Errorf("the snapshot is not what the file is: %+v", p.Ranges())
			}
		})
	}
}

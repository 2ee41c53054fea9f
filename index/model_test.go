package index_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/index"
)

// snapshot takes a version of a file for packing.
func (w *world) snapshot(ino index.Ino) *pack {
	f := w.files[ino]
	if f.late {
		w.queue(ino)
	}
	p := &pack{ino: ino, v: f.version}
	p.v.dirty = maps.Clone(f.dirty)
	f.packing, f.marked, f.nextMin = p, false, int64(len(f.data))
	f.dirty = make(map[int64]bool)
	have := make(map[int64]bool)
	for _, j := range must(w.db.Claim(ctx, 1000, true)) {
		if j.Ino != ino || j.Version != f.number || w.crashes == 0 {
			continue
		}
		for _, part := range j.Partials { // a pack before the crash got so far
			p.ops = append(p.ops, index.Op{Off: part.Off, Len: part.Len, Segment: part.Segment, Pos: part.Pos})
			have[part.Off/block] = true
		}
	}
	size := int64(len(f.data))
	for _, b := range slices.Sorted(maps.Keys(p.v.dirty)) {
		if b*block < size && !have[b] {
			p.left = append(p.left, index.Op{Off: b * block, Len: min(block, size-b*block)})
		}
	}
	return p
}

// undo gives the blocks of a pack that will not be committed back to the file.
func (w *world) undo(p *pack) {
	f := w.files[p.ino]
	if f.packing != p {
		return
	}
	for b := range p.v.dirty {
		if b*block < min(f.nextMin, int64(len(f.data))) {
			f.dirty[b] = true
		}
	}
	f.packing, f.base = nil, min(p.v.base, f.nextMin)
}

// pack moves ranges of a pack into a segment, all or some, and reports whether it is whole.
func (w *world) pack(p *pack, number uint64) bool {
	for len(p.left) > 0 {
		if w.rng.IntN(8) == 0 {
			return false
		}
		op := p.left[0]
		p.left = p.left[1:]
		data := p.v.data[op.Off : op.Off+op.Len]
		if len(bytes.Trim(data, "\x00")) > 0 {
			op.Segment, op.Pos = number, int64(len(w.segments[number]))
			w.segments[number] = append(w.segments[number], data...)
		}
		p.ops = append(p.ops, op)
	}
	return w.rng.IntN(6) > 0
}

// commit cuts a segment with some of the files that wait, and commits it or not.
func (w *world) commit(all bool) {
	number := must(w.db.NextSegment(ctx))
	delete(w.segments, number)
	var completed []*pack
	var partials []index.Partial
	for _, ino := range slices.Sorted(maps.Keys(w.files)) {
		f := w.files[ino]
		if !f.queued || f.open || f.packing == nil && f.number == w.versionOf(ino) || !all && w.rng.IntN(3) == 0 {
			continue
		}
		if _, err := w.db.Get(ctx, ino); err != nil {
			delete(w.files, ino)
			continue
		}
		if f.packing == nil {
			w.snapshot(ino)
		}
		p := f.packing
		had := len(p.ops)
		whole := w.pack(p, number)
		for all && !whole {
			whole = w.pack(p, number)
		}
		if whole {
			completed = append(completed, p)
			continue
		}
		for _, op := range p.ops[had:] {
			if op.Segment != 0 {
				partials = append(partials, index.Partial{Ino: ino, Version: p.v.number, Off: op.Off, Len: op.Len, Segment: op.Segment, Pos: op.Pos})
			}
		}
	}
	var packed []index.Packed
	for _, p := range completed {
		packed = append(packed, index.Packed{Ino: p.ino, Version: p.v.number, Size: int64(len(p.v.data)), Mtime: p.v.mtime, Base: p.v.base, Ops: p.ops})
	}
	t, err := w.db.CutTrailer(ctx, packed, w.haul(number)...)
	if errors.Is(err, index.ErrInFlight) {
		w.giveUp()
		return
	}
	w.expect("cut", err)
	next := w.after(completed)
	full := w.full(t)
	late := full == nil
	for range w.rng.IntN(6) {
		if !all {
			w.step()
		}
	}
	if full == nil {
		full = w.full(t)
	}
	if !all && w.rng.IntN(8) == 0 {
		w.giveUp()
		return
	}
	c := index.Commit{Trailer: t, Packed: packed, Partials: partials}
	parts := 1 + max(0, w.rng.IntN(6)-3)
	for i := range parts {
		s := segment(number + uint64(i))
		s.Part, s.Parts = i, parts
		c.Segments = append(c.Segments, s)
	}
	c.Encoded = must(index.MarshalTrailer(t))
	if full != nil {
		c.Encoded = must(index.MarshalFull(t, full))
	}
	w.expect("commit", w.db.CommitSegments(ctx, c))
	w.trailers = append(w.trailers, carried{c.Encoded, c.Segments, full != nil, late && !all})
	for _, p := range completed {
		if f := w.files[p.ino]; f.packing == p {
			f.packing, f.base = nil, f.nextMin
			f.queued = f.number != p.v.number
			if n := next.inodes[p.ino]; n != nil {
				f.shown = n.attr.Mtime
			}
			if !f.queued {
				f.shown = f.mtime
			}
		}
	}
	w.tree = next
	w.history[t.Generation] = next
}

// full returns, now and then, a full snapshot to stand behind a trailer.
func (w *world) full(t *index.Trailer) []byte {
	if t.Previous == 0 || w.rng.IntN(4) > 0 {
		return nil
	}
	generation, full, err := w.db.EncodeFull(ctx)
	w.expect("full snapshot", err)
	if generation != t.Previous {
		w.t.Fatalf("full snapshot of generation %d, want %d", generation, t.Previous)
	}
	return full
}

func (w *world) versionOf(ino index.Ino) uint64 {
	if n := w.tree.inodes[ino]; n != nil {
		return n.version
	}
	if f := w.files[ino]; f != nil && f.adopted {
		return f.adoptedAs
	}
	return 0
}

// giveUp ends all packs, as an error in the committer does.
func (w *world) giveUp() {
	for _, ino := range slices.Sorted(maps.Keys(w.files)) {
		if p := w.files[ino].packing; p != nil {
			w.undo(p)
		}
	}
}

// crash goes on with the database as kill -9 leaves it.
func (w *world) crash() {
	w.giveUp()
	w.crashes++
	path := fmt.Sprintf("%s-%d", w.path, w.crashes)
	release := w.db.HoldWriter() // what was answered is committed any moment
	for _, suffix := range []string{"", "-wal", ".ahead"} {
		copyFile(w.t, w.path+suffix, path+suffix)
	}
	release()
	w.expect("close", w.db.Close())
	w.path = path
	w.db = must(index.Open(ctx, index.Config{Path: path, Now: w.clock.now, Trash: true}))
	for ino, f := range w.files {
		f.marked = false
		if f.open { // nobody has it open any more
			f.open = false
			_, err := w.db.Reap(ctx, ino)
			w.expect("reap", err)
		}
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst := must(os.Create(to))
	must(io.Copy(dst, src))
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
}

// certify lets some segments be certified, in any order, and moves the anchor.
func (w *world) certify(all bool) {
	var certifying []walrus.BlobID
	var receipts []walrus.Receipt
	var numbers []uint64
	for _, s := range must(w.db.Segments(ctx, index.SegmentFilter{Below: walrus.Certified})) {
		if !all && w.rng.IntN(3) == 0 {
			continue
		}
		r := must(w.db.Receipt(ctx, s.Number))
		r.Stage, r.EndEpoch = walrus.Certified, 9
		certifying, receipts, numbers = append(certifying, s.Blob), append(receipts, r), append(numbers, s.Number)
	}
	a, err := w.db.NextAnchor(ctx, certifying)
	w.expect("next anchor", err)
	for i, r := range receipts {
		w.expect("checkpoint", w.db.Checkpoint(ctx, numbers[i], r))
		w.certified[numbers[i]] = true
	}
	if a == nil {
		return
	}
	w.reachable(a)
	w.expect("anchor moved", w.db.AnchorMoved(ctx, *a, a.Generation))
	w.remembered(a.Generation)
	_, _, err = w.db.Finish(ctx)
	w.expect("finish", err)
	w.remembered(a.Generation)
}

// reachable checks that a restore which starts from the anchor finds all segments.
func (w *world) reachable(a *index.Anchor) {
	known := make(map[uint64]walrus.BlobID)
	last := uint64(0)
	for _, n := range a.Window {
		known[n.Number] = n.Blob
		last = max(last, n.Number)
	}
	if known[a.Generation] != a.Head {
		w.t.Fatalf("head %s, window has %s", a.Head, known[a.Generation])
	}
	for _, c := range slices.Backward(w.trailers) {
		t := must(index.UnmarshalTrailer(c.encoded))
		if t.Generation > a.Generation {
			continue
		}
		for _, s := range t.Segments {
			known[s.Number] = s.Blob
		}
		for _, s := range c.segments {
			if !w.certified[s.Number] {
				w.t.Fatalf("anchor %d covers segment %d, which is not certified", a.Generation, s.Number)
			}
			if known[s.Number] != s.Blob {
				w.t.Fatalf("segment %d of generation %d is not known from anchor %d with window %v", s.Number, t.Generation, a.Generation, a.Window)
			}
			last = max(last, s.Number)
		}
	}
	if last != a.Window[len(a.Window)-1].Number {
		w.t.Fatalf("the window ends at %d, the generation at %d", a.Window[len(a.Window)-1].Number, last)
	}
}

// check replays all trailers into a fresh index, and again from the newest full
// snapshot, and compares both with the model.
func (w *world) check(rest bool) {
	if len(w.trailers) == 0 {
		return
	}
	w.replay(0)
	for i, c := range slices.Backward(w.trailers) {
		if !c.full {
			continue
		}
		if rest || !c.late {
			w.replay(i)
		}
		break // segments that older ones know by number may be collected
	}
	w.sound(w.db)
	w.sameTrash()
}

// replay makes a fresh index of the trailers from a place on. If that is not
// the first, a full snapshot stands in for those before.
func (w *world) replay(from int) {
	path := filepath.Join(w.t.TempDir(), "replayed")
	r := must(index.NewReplay(ctx, path, index.Drive{ID: [16]byte{1}, Writer: [16]byte{3}}))
	for i, c := range w.trailers[from:] {
		t := must(index.UnmarshalTrailer(c.encoded))
		if i == 0 && from > 0 {
			w.expect("apply full", r.ApplyFull(ctx, must(index.FullOf(t, c.encoded)), w.resolve))
		}
		w.expect("apply", r.Apply(ctx, t, c.segments))
	}
	report, err := r.Close(ctx, index.AnchorState{})
	w.expect("close replay", err)
	if len(report.Problems) > 0 {
		w.t.Fatalf("problems: %q", report.Problems)
	}
	db := must(index.Open(ctx, index.Config{Path: path}))
	w.setAdrift(from > 0)
	diff(w.t, fmt.Sprintf("replayed from trailer %d of %d", from, len(w.trailers)), w.walk(db), w.tree.flatten())
	w.setAdrift(false)
	w.sound(db)
	next := must(db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte("new"), Mode: fileMode})).Ino
	for ino := range w.tree.inodes {
		if next <= ino {
			w.t.Fatalf("inode %d is used again", next)
		}
	}
	w.expect("close", db.Close())
}

// setAdrift leaves attributes out of the comparison of what is published still
// although it was deleted: a full snapshot shows them as they are now.
func (w *world) setAdrift(yes bool) {
	live := make(map[index.Ino]bool)
	for _, ino := range w.names {
		live[ino] = true
	}
	for ino, n := range w.tree.inodes {
		n.adrift = yes && !live[ino] && ino != index.Root
	}
}

// resolve tells what a full snapshot does not know of a segment.
func (w *world) resolve(s *index.SegmentRow) error {
	if w.collected[s.Number] {
		return fmt.Errorf("segment %d is collected", s.Number)
	}
	for _, c := range w.trailers {
		for _, known := range c.segments {
			if known.Number == s.Number {
				s.Blob, s.Size, s.Header = known.Blob, known.Size, known.Header
				return nil
			}
		}
	}
	return fmt.Errorf("segment %d is not known", s.Number)
}

func (w *world) sound(db *index.DB) {
	w.t.Helper()
	problems, err := db.Check(ctx)
	w.expect("check", err)
	if len(problems) > 0 {
		w.t.Fatalf("index is not sound: %q", problems)
	}
}

// liveTree compares names and inodes of the index with the model's.
func (w *world) liveTree() {
	w.t.Helper()
	got := make(map[name]index.Ino)
	dirs := append(slices.Sorted(maps.Keys(w.dirs)), index.Root)
	for _, dir := range slices.Compact(dirs) {
		for _, e := range must(w.db.ReadDir(ctx, dir, 0, 1000)) {
			got[name{dir, string(e.Name)}] = e.Attr.Ino
		}
	}
	if !reflect.DeepEqual(got, w.names) {
		w.t.Fatalf("live names:\n got %v\nwant %v", got, w.names)
	}
}

func newWorld(t testing.TB, seed uint64) *world { return newWorldOf(t, seed, true) }

// newWorldOf makes a world that keeps what is deleted in the trash, or does not.
func newWorldOf(t testing.TB, seed uint64, trash bool) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), clock: new(clock), path: filepath.Join(t.TempDir(), "index"),
		names: make(map[name]index.Ino), needs: make(map[name]uint64), dirs: map[index.Ino]bool{index.Root: true}, files: make(map[index.Ino]*file),
		segments: make(map[uint64][]byte), gapped: make(map[uint64][]byte), certified: make(map[uint64]bool), collected: make(map[uint64]bool), history: make(map[uint64]published), trash: make(map[int64]*binned),
		tree: published{names: make(map[name]index.Ino), inodes: make(map[index.Ino]*node)},
	}
	w.db = must(index.Open(ctx, index.Config{Path: w.path, Now: w.clock.now, Trash: trash}))
	w.expect("init", w.db.Init(ctx, index.Drive{ID: [16]byte{1}, Writer: [16]byte{2}}))
	w.expect("set anchor", w.db.SetAnchor(ctx, walrus.ObjectID{0xaa}, 0))
	return w
}

// TestModel runs random histories of a drive and compares, after every commit,
// what a restore would give with what the rules say. The seed is in the name of
// the failing test.
func TestModel(t *testing.T) {
	seeds, rounds := 8, 20
	if os.Getenv("WALFS_SOAK") != "" {
		seeds, rounds = 100, 60
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, uint64(seed))
			defer func() { w.expect("close", w.db.Close()) }()
			for range rounds {
				for range 1 + w.rng.IntN(25) {
					w.step()
				}
				w.liveTree()
				if w.rng.IntN(10) == 0 {
					w.crash()
				}
				w.commit(false)
				if w.rng.IntN(3) == 0 {
					w.reseal()
				}
				if w.rng.IntN(2) == 0 {
					w.certify(false)
				}
				if w.rng.IntN(2) == 0 {
					w.collect(w.step)
				}
				w.check(false)
			}
			w.drain()
			t.Logf("%d ranges moved, %d segments collected, %d ranges shared", w.hauled, len(w.collected), w.shares)
		})
	}
}

// drain packs and certifies all; then a restore gives the live tree.
func (w *world) drain() {
	w.giveUp()
	for _, ino := range must(w.db.Orphans(ctx)) {
		_, err := w.db.Reap(ctx, ino)
		w.expect("reap", err)
	}
	for _, n := range w.live(w.isFile) {
		w.queue(w.names[n])
	}
	w.certify(true)
	w.commit(true)
	w.certify(true)
	w.collect(func() {})
	w.check(true)
	diff(w.t, "live and published", w.walk(w.db), w.tree.flatten())
	w.nothingGapped()
	p := must(w.db.Pending(ctx))
	if p.Jobs != 0 || p.Names || p.Segments != 0 {
		w.t.Errorf("pending %+v", p)
	}
	for _, n := range w.live(w.any) {
		if s := must(w.db.State(ctx, w.names[n])); s.State != index.StateCertified {
			w.t.Errorf("%v is %s", n, s.State)
		}
	}
	if u := must(w.db.Usage(ctx)); u.Dirty+u.Staged+u.Storing != 0 || u.Bytes != u.Certified {
		w.t.Errorf("usage %+v", u)
	}
}

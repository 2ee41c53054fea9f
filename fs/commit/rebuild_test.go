package commit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/index"
)

// loser is a drive that loses sealed segments. Whatever its anchor ever names
// is restored, and has to give files in versions that they once had.
type loser struct {
	*rig
	ledger *faultyLedger

	mu    sync.Mutex // guards the fields below
	known map[string][][]byte
	moves int // of the anchor
}

func newLoser(t *testing.T, o options) *loser {
	l := &loser{ledger: &faultyLedger{}, known: map[string][][]byte{}}
	o.ledger = l.wrap
	l.rig = newRig(t, o)
	return l
}

func (l *loser) wrap(ledger chain.Ledger) chain.Ledger {
	l.ledger.Ledger = &watchedLedger{ledger, l.anchored}
	return l.ledger
}

func (l *loser) reopen(o options) {
	l.Helper()
	o.ledger = l.wrap
	l.rig.reopen(o)
}

// watchedLedger tells when the anchor has moved.
type watchedLedger struct {
	chain.Ledger
	moved func()
}

func (l *watchedLedger) Certify(ctx context.Context, tx chain.TxID, batch []chain.Certification, anchor *chain.AnchorUpdate) (*chain.Outcome, error) {
	out, err := l.Ledger.Certify(ctx, tx, batch, anchor)
	if err == nil && anchor != nil {
		l.moved()
	}
	return out, err
}

// anchored restores what the anchor names.
func (l *loser) anchored() {
	got := l.restored()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moves++
	for _, name := range got.names("/") {
		b := got.read("/" + name)
		had := append(slices.Clone(l.known[name]), l.known[anyName]...)
		if len(name) < 100 && !slices.ContainsFunc(had, func(v []byte) bool { return bytes.Equal(v, b) }) {
			l.Errorf("move %d of the anchor: %s has %d bytes that it never had, first difference at %d",
				l.moves, name, len(b), differ(b, had[len(had)-1]))
		}
	}
}

// anyName stands for all files: what is known of it any of them may be.
const anyName = "*"

// know notes a version of a file before it is made.
func (l *loser) know(name string, content []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[name] = append(l.known[name], content)
}

func (l *loser) put(name string, content []byte) {
	l.Helper()
	l.know(name, content)
	l.rig.put(name, content)
}

// refuse lets no segment be registered, or lets them again.
func (l *loser) refuse(yes bool) {
	l.ledger.set(func() {
		l.ledger.register = nil
		if yes {
			l.ledger.register = func(int) (error, error) { return chain.ErrNoFunds, nil }
		}
	})
}

// stuck packs what there is into segments that cannot be registered.
func (l *loser) stuck() {
	l.Helper()
	l.refuse(true)
	l.drainErr(chain.ErrNoFunds)
	l.await("all to be packed", func() bool {
		p, err := l.db.Pending(context.Background())
		l.must(err)
		return p.Jobs == 0 && !p.Names
	})
	l.awaitRefused()
}

// awaitRefused waits until no Put of a segment has its bytes in memory.
func (l *loser) awaitRefused() {
	l.Helper()
	l.await("all segments to be refused", func() bool {
		untried := func(s index.SegmentRow) bool { return s.Stage < walrus.Certified && s.Tries == 0 }
		return !slices.ContainsFunc(l.segments(), untried) && l.c.Resting()
	})
}

func (r *rig) row(number uint64) index.SegmentRow {
	r.Helper()
	rows, err := r.db.Segments(context.Background(), index.SegmentFilter{Number: number})
	r.must(err)
	if len(rows) != 1 {
		r.Fatalf("%d rows of segment %d", len(rows), number)
	}
	return rows[0]
}

func (r *rig) box(number uint64) string {
	return filepath.Join(r.dir, "staging", "outbox", strconv.FormatUint(number, 10))
}

// sound looks for gaps that are left, among other damage.
func (r *rig) sound() {
	r.Helper()
	problems, err := r.db.Check(context.Background())
	r.must(err)
	inos, err := r.db.Gapped(context.Background())
	r.must(err)
	if len(problems)+len(inos) > 0 {
		r.Errorf("index: %q, gaps in %v", problems, inos)
	}
	if boxes, err := r.stage.ListOutbox(); err != nil || len(boxes) > 0 {
		r.Errorf("outbox: %v, %v", boxes, err)
	}
}

// TestRebuild loses a sealed segment before it is registered, in every way.
func TestRebuild(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(r *rig, number uint64){
		"deleted": func(r *rig, number uint64) { r.must(os.Remove(r.box(number))) },
		"flipped": func(r *rig, number uint64) { r.spoil(number, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }) },
		"header": func(r *rig, number uint64) {
			r.spoil(number, func(b []byte) []byte { b[seal.HeaderSize-1] ^= 1; return b })
		},
		"short": func(r *rig, number uint64) { r.spoil(number, func(b []byte) []byte { return b[:len(b)-1] }) },
		"empty": func(r *rig, number uint64) { r.spoil(number, func([]byte) []byte { return nil }) },
		"another": func(r *rig, number uint64) { // as it would be sealed from nothing
			sealed, err := r.keys.Seal(make([]byte, r.row(number).Size-seal.HeaderSize-4*seal.Overhead), seal.Options{})
			r.must(err)
			r.spoil(number, func(b []byte) []byte {
				if len(b) != len(sealed) {
					r.Fatalf("%d bytes, want %d", len(sealed), len(b))
				}
				return sealed
			})
		},
		"plain": func(r *rig, number uint64) { r.must(os.Remove(r.box(number))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLoser(t, options{plain: name == "plain", policy: calm})
			l.put("a", random(1, 1000))
			l.drain()
			l.refuse(true)
			l.put("b", random(2, 200_000))
			l.put("c", append(random(3, 5000), make([]byte, 100_000)...))
			l.stuck()
			lost := l.last()
			before := l.row(lost)
			lose(l.rig, lost)
			l.refuse(false)
			l.drain()
			got := l.restored()
			got.same("/a", random(1, 1000))
			got.same("/b", random(2, 200_000))
			got.same("/c", append(random(3, 5000), make([]byte, 100_000)...))
			after := l.row(lost)
			if name != "plain" && (after.Header == before.Header || after.Blob == before.Blob) {
				t.Errorf("sealed again under the same salt")
			}
			if after.Size != before.Size || l.last() != lost {
				t.Errorf("%d bytes, want %d; last segment %d, want %d", after.Size, before.Size, l.last(), lost)
			}
			checkPaidOnce(l.rig)
			l.sound()
		})
	}
}

// spoil changes the bytes of a sealed segment on the disk.
func (r *rig) spoil(number uint64, change func([]byte) []byte) {
	r.Helper()
	b, err := os.ReadFile(r.box(number))
	r.must(err)
	r.must(os.WriteFile(r.box(number), change(b), 0o600))
}

// The nodes go away after a segment was registered. What was paid for it is lost.
func TestRebuildRegistered(t *testing.T) {
	t.Parallel()
	l := newLoser(t, options{policy: calm})
	l.put("a", random(1, 1000))
	l.drain()
	for _, n := range l.net.Nodes() {
		l.must(l.net.Inject(n.Name, embedded.Down))
	}
	l.put("b", random(2, 200_000))
	stop := l.inBackground()
	l.await("a registration", func() bool { return l.last() == 2 && l.row(2).Stage == walrus.Registered })
	stop()
	before := l.row(2)
	l.must(l.stage.RemoveOutbox(2))
	l.reopen(options{})
	l.drain()
	l.restored().same("/b", random(2, 200_000))
	paid := l.registrations()
	if paid[before.Blob] != 1 || paid[l.row(2).Blob] != 1 || before.Blob == l.row(2).Blob || len(paid) != 4 {
		t.Errorf("registrations %v, lost %v, segment %v", paid, before.Blob, l.row(2).Blob)
	}
	l.sound()
}

const movedSize = 300_000

// moves are what happens to a file after it was packed, and what it is then.
var moves = []struct {
	name string
	do   func(l *loser, old []byte) []byte // nil: it is gone
}{
	{"rewritten", func(l *loser, old []byte) []byte {
		l.put("f", random(21, 250_000))
		return random(21, 250_000)
	}},
	{"rewritten with the same", func(l *loser, old []byte) []byte {
		l.rig.put("f", old)
		return old
	}},
	{"overwritten with the same", func(l *loser, old []byte) []byte {
		l.patch("f", old, 0)
		return old
	}},
	{"patched", func(l *loser, old []byte) []byte {
		p := random(22, 30_000)
		l.know("f", overlay(old, p, 100_001))
		l.patch("f", p, 100_001)
		return overlay(old, p, 100_001)
	}},
	{"longer", func(l *loser, old []byte) []byte {
		l.know("f", slices.Concat(old, old[:10]))
		l.patch("f", old[:10], movedSize)
		return slices.Concat(old, old[:10])
	}},
	{"shorter", func(l *loser, old []byte) []byte {
		l.know("f", old[:100_001])
		l.resize("f", 100_001)
		return old[:100_001]
	}},
	{"shorter and longer", func(l *loser, old []byte) []byte {
		want := slices.Concat(old[:100_001], make([]byte, 100_000))
		l.know("f", want)
		l.resize("f", 100_001, 200_001)
		return want
	}},
	{"emptied", func(l *loser, old []byte) []byte {
		l.know("f", nil)
		l.resize("f", 0)
		return []byte{}
	}},
	{"punched", func(l *loser, old []byte) []byte {
		want := slices.Clone(old)
		clear(want[40_000:200_000])
		l.know("f", want)
		f := l.file(index.Root, "f")
		l.must(f.Punch(context.Background(), 40_000, 160_000, nil))
		l.done(f)
		return want
	}},
	{"deleted", func(l *loser, old []byte) []byte {
		attr, err := l.db.Unlink(context.Background(), index.Root, []byte("f"))
		l.must(err)
		l.bury(attr.Ino)
		return nil
	}},
	{"renamed", func(l *loser, old []byte) []byte {
		l.know("g", old)
		l.rename("f", "g")
		return nil
	}},
	{"replaced", func(l *loser, old []byte) []byte {
		l.put("new", random(23, 50_000))
		l.know("f", random(23, 50_000))
		l.rename("new", "f")
		return random(23, 50_000)
	}},
}

func (l *loser) resize(name string, sizes ...int64) {
	l.Helper()
	f := l.file(index.Root, name)
	for _, size := range sizes {
		l.must(f.Truncate(context.Background(), size))
	}
	l.done(f)
}

func (r *rig) rename(from, to string) {
	r.Helper()
	displaced, err := r.db.Rename(context.Background(), index.RenameRequest{
		OldParent: index.Root, OldName: []byte(from), NewParent: index.Root, NewName: []byte(to),
	})
	r.must(err)
	r.c.Wake()
	if displaced.Ino != 0 && displaced.Nlink == 0 {
		r.bury(displaced.Ino)
	}
}

// bury is what fs does when the last use of an unlinked file ends.
func (r *rig) bury(ino index.Ino) {
	r.Helper()
	_, err := r.db.Reap(context.Background(), ino)
	r.must(err)
	r.must(r.stage.Discard(ino))
}

// TestRebuildMoved loses a segment with a file that moves on: before the
// segment is made again it is packed anew, or it is not, or who knows.
func TestRebuildMoved(t *testing.T) {
	t.Parallel()
	for _, move := range moves {
		for _, when := range []string{"packed", "dirty", "open"} {
			t.Run(move.name+" and "+when, func(t *testing.T) {
				t.Parallel()
				rebuildMoved(t, move.do, when)
			})
		}
	}
}

func rebuildMoved(t *testing.T, move func(*loser, []byte) []byte, when string) {
	l := newLoser(t, options{policy: crashPolicy})
	old := random(20, movedSize)
	l.put("f", random(19, 1000))
	l.put("d", random(18, 1000))
	l.drain()
	l.refuse(true)
	for name, content := range map[string][]byte{"f": old, "d": random(17, 1000), "e": random(16, 20_000)} {
		l.put(name, content)
	}
	l.stuck()
	lost := l.last()
	want := move(l, old)
	if when == "packed" {
		l.stuck()
	}
	l.must(l.stage.RemoveOutbox(lost))
	if when != "open" {
		// At the start it is put at once, and nothing else is due.
		l.refuse(false)
		l.reopen(options{policy: crashPolicy})
		l.awaitCertified(lost)
	} else {
		l.refuse(false)
	}
	l.drain()
	got := l.restored()
	if want == nil {
		if b := got.read("/f"); b != nil {
			t.Errorf("f is there, with %d bytes", len(b))
		}
	} else {
		got.same("/f", want)
	}
	if l.known["g"] != nil {
		got.same("/g", old)
	}
	got.same("/d", random(17, 1000))
	got.same("/e", random(16, 20_000))
	checkPaidOnce(l.rig)
	l.sound()
}

// The content that takes the place of what is lost is on the disk, and known
// to be, before the rest goes out; the files around it are none the worse. A
// file that stays open is packed all the same.
func TestRebuildSecures(t *testing.T) {
	t.Parallel()
	l := newLoser(t, options{policy: crashPolicy})
	l.refuse(true)
	for i := range 9 {
		l.put(fmt.Sprint("f", i), random(uint64(i), 20_000+i))
	}
	l.stuck()
	f := l.file(index.Root, "f4")
	changed := overlay(random(4, 20_004), random(44, 5000), 100)
	l.know("f4", changed)
	l.writeAt(f, random(44, 5000), 100)
	f.DropWriter()
	f.Release() // it was never queued
	l.must(l.stage.RemoveOutbox(1))
	ino := l.inoOf("f4")
	if _, err := l.db.HeldAt(context.Background(), ino); !errors.Is(err, index.ErrNotExist) {
		t.Fatalf("held before: %v", err)
	}
	held := make(chan error, 100)
	l.refuse(false)
	l.reopen(options{policy: crashPolicy, hook: func(name string) {
		if name == "before-outbox" {
			_, err := l.db.HeldAt(context.Background(), ino)
			held <- err
		}
	}})
	l.await("the segment to be made again", func() bool { return len(held) > 0 })
	l.must(<-held)
	f = l.file(index.Root, "f4") // and it stays open
	l.await("the anchor, for which nobody waits", func() bool {
		s, err := l.c.Status(context.Background())
		l.must(err)
		return s.Generation == 2
	})
	f.DropWriter()
	f.Release()
	l.drain()
	got := l.restored()
	for i := range 9 {
		if i != 4 {
			got.same(fmt.Sprint("/f", i), random(uint64(i), 20_000+i))
		}
	}
	got.same("/f4", changed)
	l.sound()
}

// A deleted file that is still open loses nothing, and holds nothing up.
func TestRebuildOrphan(t *testing.T) {
	t.Parallel()
	l := newLoser(t, options{policy: crashPolicy})
	l.refuse(true)
	l.put("f", random(1, 100_000))
	l.put("g", random(2, 1000))
	l.stuck()
	f := l.file(index.Root, "f")
	l.writeAt(f, random(3, 10_000), 20_000)
	_, err := l.db.Unlink(context.Background(), index.Root, []byte("f"))
	l.must(err)
	l.must(l.stage.RemoveOutbox(1))
	l.refuse(false)
	l.drain()
	l.restored().same("/g", random(2, 1000))
	l.bury(f.Ino())
	f.DropWriter()
	f.Release()
	l.put("h", random(4, 1000))
	l.drain()
	l.sound()
}

// A trailer that takes several segments is put together again, from the
// first segment and from a later one.
func TestRebuildParts(t *testing.T) {
	t.Parallel()
	l := newLoser(t, options{network: embedded.Config{Nodes: 4, Shards: 4}, policy: crashPolicy})
	l.refuse(true)
	ctx := context.Background()
	l.put("f", random(1, 100_000))
	var want []string
	names := random(2, 240*4000)
	for i := range 4000 {
		name := bytes.ReplaceAll(names[i*240:(i+1)*240], []byte{0}, []byte{1})
		name = bytes.ReplaceAll(name, []byte{'/'}, []byte{'_'})
		_, err := l.db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: name, Mode: 0o120777, Target: []byte("f")})
		l.must(err)
		want = append(want, string(name))
	}
	l.stuck()
	parts := l.row(1).Parts
	if parts < 3 {
		t.Fatalf("%d parts", parts)
	}
	var headers [][64]byte
	for _, s := range l.segments() {
		headers = append(headers, s.Header)
	}
	for _, number := range []uint64{1, 2, uint64(parts)} {
		l.must(l.stage.RemoveOutbox(number))
	}
	l.refuse(false)
	l.drain()
	for i, s := range l.segments() {
		if lost := i < 2 || i == parts-1; (headers[i] != s.Header) != lost {
			t.Errorf("segment %d, lost %t, was made again: %t", s.Number, lost, !lost)
		}
	}
	got := l.restored()
	got.same("/f", random(1, 100_000))
	slices.Sort(want)
	if list := got.names("/"); !slices.Equal(list, slices.Sorted(slices.Values(append(want, "f")))) {
		t.Errorf("%d names, want %d", len(list), len(want)+1)
	}
	checkPaidOnce(l.rig)
	l.sound()
}

// A large file is packed in part when its first segments are lost. It is then
// written, or it is not.
func TestRebuildPartials(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"at rest", "restarted", "written", "written and restarted"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			policy := calm
			policy.Fill, policy.Outbox = 0, 1 // due as soon as a segment is full; the outbox has room for four
			o := options{network: embedded.Config{Nodes: 4, Shards: 4}, policy: policy}
			l := newLoser(t, o)
			l.put("a", random(2, 1000))
			l.drain()
			l.refuse(true)
			want := random(1, 4<<20)
			l.put("large", want)
			l.awaitInFlight(4)
			if strings.Contains(when, "restarted") {
				l.reopen(o)
				l.refuse(true)
			}
			if strings.Contains(when, "written") {
				want = overlay(want, random(3, 10_000), 500_000)
				l.know("large", want)
				l.patch("large", random(3, 10_000), 500_000)
			}
			l.awaitRefused()
			headers := map[uint64][64]byte{}
			for _, number := range []uint64{3, 5} {
				headers[number] = l.row(number).Header
				l.must(l.stage.RemoveOutbox(number))
			}
			l.refuse(false)
			l.drain()
			for number, before := range headers {
				if l.row(number).Header == before {
					t.Errorf("segment %d was not made again", number)
				}
				l.noZeros(number)
			}
			l.restored().same("/large", want)
			if n := l.stored(1); !strings.Contains(when, "written") && n > 4<<20+200_000 {
				t.Errorf("%d bytes are stored, what was packed is packed again", n)
			}
			checkPaidOnce(l.rig)
			l.sound()
		})
	}
}

// noZeros reads a segment that holds no zeros but for gaps.
func (r *rig) noZeros(number uint64) {
	r.Helper()
	row := r.row(number)
	opener, err := r.keys.Open(row.Header, row.Size)
	r.must(err)
	source := func(ctx context.Context, p []byte, off int64) (int, error) {
		return r.blobs.ReadAt(ctx, row.Blob, p, off)
	}
	p := make([]byte, 512)
	for off := int64(0); off < opener.PlainSize(); off += int64(len(p)) {
		n, err := opener.ReadAt(context.Background(), source, p, off)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, seal.ErrGap) {
			r.Fatalf("segment %d: %v", number, err)
		}
		if bytes.Count(p[:n], []byte{0}) > 100 {
			r.Fatalf("segment %d has zeros at %d", number, off)
		}
	}
}

// A segment is made again while a file is being packed that refers to it: what
// was found unchanged then is not there any more.
func TestRebuildDuringPass(t *testing.T) {
	t.Parallel()
	policy := calm
	policy.Fill, policy.Outbox = 0, 1 // due as soon as a segment is full; the outbox has room for four
	l := newLoser(t, options{network: embedded.Config{Nodes: 4, Shards: 4}, policy: policy})
	l.refuse(true)
	old := random(1, index.HashRange)
	l.put("f", old)
	l.stuck()
	flying := len(l.segments())
	want := slices.Concat(old, random(2, 2<<20))
	l.know("f", want)
	l.patch("f", want, 0)
	l.awaitInFlight(flying + 1) // and there is no room for more
	l.awaitRefused()
	l.must(l.stage.RemoveOutbox(1))
	before := l.row(1).Header
	l.refuse(false)
	l.drain()
	l.restored().same("/f", want)
	if l.row(1).Header == before {
		t.Errorf("the segment was not made again")
	}
	l.sound()
}

// While the anchor waits for the content of one file, the outbox would be full
// of segments that are certified before that file is reached.
func TestRebuildMakesRoom(t *testing.T) {
	t.Parallel()
	policy := crashPolicy
	policy.Outbox = 1 // that is four segments
	l := newLoser(t, options{network: embedded.Config{Nodes: 4, Shards: 4}, policy: policy})
	l.refuse(true)
	l.put("z", random(1, 1000))
	l.stuck()
	l.put("z", random(2, 1000))
	l.put("b", random(3, 4<<20))
	l.must(l.stage.RemoveOutbox(1))
	l.refuse(false)
	l.reopen(options{policy: policy})
	l.drain()
	got := l.restored()
	got.same("/z", random(2, 1000))
	got.same("/b", random(3, 4<<20))
	l.sound()
}

// When staging has lost the content too, nothing is made up.
func TestRebuildLost(t *testing.T) {
	t.Parallel()
	l := newLoser(t, options{policy: calm})
	l.put("a", random(1, 1000))
	l.drain()
	l.refuse(true)
	l.put("b", random(2, 1000))
	l.put("c", random(3, 1000))
	l.stuck()
	before := l.row(l.last())
	l.must(l.stage.RemoveOutbox(l.last()))
	l.must(l.stage.Discard(l.inoOf("c")))
	l.refuse(false)
	pending := l.drainErr(commit.ErrOutboxLost)
	if !errors.Is(pending, commit.ErrStagingLost) || !strings.Contains(pending.Error(), fmt.Sprintf("inode %d", l.inoOf("c"))) {
		t.Errorf("pending: %v", pending)
	}
	s, err := l.c.Status(context.Background())
	l.must(err)
	if len(s.Problems) != 1 || s.InFlight != 1 {
		t.Errorf("status: %+v", s)
	}
	if after := l.row(l.last()); after.Header != before.Header || after.Blob != before.Blob {
		t.Errorf("the segment was made again")
	}
	if !l.stage.Has(l.inoOf("b")) {
		t.Errorf("staging let go of a file that is not certified")
	}
	// Deleting the file is enough.
	attr, err := l.db.Unlink(context.Background(), index.Root, []byte("c"))
	l.must(err)
	l.bury(attr.Ino)
	l.drain()
	l.restored().same("/b", random(2, 1000))
	l.sound()
}

// TestRebuildCrash kills a process while it makes a segment again.
func TestRebuildCrash(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		stage string
		plain bool
		again bool // the crash makes it lost once more
	}{{"before-outbox", false, true}, {"after-outbox", false, false}, {"before-outbox", true, true}} {
		t.Run(fmt.Sprintf("%s, plain %t", c.stage, c.plain), func(t *testing.T) {
			t.Parallel()
			l := newLoser(t, options{policy: crashPolicy, plain: c.plain})
			l.refuse(true)
			l.put("f", random(1, 100_000))
			l.put("g", random(2, 100_000))
			l.stuck()
			want := overlay(random(1, 100_000), random(3, 5000), 10_000)
			l.know("f", want)
			l.patch("f", random(3, 5000), 10_000)
			l.must(l.stage.RemoveOutbox(1))
			l.close()

			child := exec.Command(os.Args[0], "-test.run=^TestRebuildCrashChild$", "-test.v")
			child.Env = append(os.Environ(), "WALFS_REBUILD_DIR="+l.dir, "WALFS_CRASH_STAGE="+c.stage)
			out, err := child.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("child was not killed: %v\n%s", err, out)
			}

			l.refuse(false)
			l.reopen(options{policy: crashPolicy, idle: true})
			before := l.row(1)
			l.reopen(options{policy: crashPolicy})
			l.awaitCertified(1)
			l.drain()
			got := l.restored()
			got.same("/f", want)
			got.same("/g", random(2, 100_000))
			if again := l.row(1).Header != before.Header; again != c.again && !c.plain {
				t.Errorf("made again after the crash: %t", again)
			}
			checkPaidOnce(l.rig)
			l.sound()
		})
	}
}

// TestRebuildCrashChild is what TestRebuildCrash kills.
func TestRebuildCrashChild(t *testing.T) {
	dir, stage := os.Getenv("WALFS_REBUILD_DIR"), os.Getenv("WALFS_CRASH_STAGE")
	if dir == "" {
		t.Skip("run by TestRebuildCrash")
	}
	newRig(t, options{dir: dir, policy: crashPolicy, hook: func(name string) {
		if name == stage {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	time.Sleep(time.Minute)
}

// TestRebuildHistory does random things while nothing can be registered, and
// loses random segments then. At no time a restore gives what never was.
func TestRebuildHistory(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("WALFS_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("WALFS_SEED=%d", seed)
	rounds := 6
	if os.Getenv("WALFS_SOAK") != "" {
		rounds = 100
	}
	l := newLoser(t, options{})
	h := &history{rig: l.rig, rand: rand.New(rand.NewPCG(seed, 2)), files: map[string][]byte{}}
	l.know(anyName, nil) // between truncate and write
	for range rounds {
		l.refuse(true)
		for range 5 + h.rand.IntN(15) {
			h.change()
			for _, content := range h.files {
				l.know(anyName, content)
			}
			switch h.rand.IntN(8) {
			case 0:
				l.reopen(options{policy: h.policy()})
			case 1:
				if list := l.segments(); len(list) > 0 && list[len(list)-1].Stage < walrus.Certified {
					l.awaitRefused()
				}
			}
		}
		again := h.rand.IntN(2) == 0
		if again {
			l.rig.close()
		} else {
			l.awaitRefused()
		}
		l.loseSome(h.rand)
		l.refuse(false)
		if again {
			l.reopen(options{policy: h.policy()})
		}
		h.compare()
		l.sound()
		if t.Failed() {
			return
		}
	}
	gaps, generations := 0, 0
	for g := l.last(); g > 0; g-- {
		then := l.restoredAs(at(g))
		gaps += l.honest(then)
		generations++
		g = min(g, then.report.Generation)
	}
	t.Logf("%d files with gaps in %d generations", gaps, generations)
}

func (h *history) policy() commit.Policy {
	return commit.Policy{Quiet: time.Duration(1 + h.rand.IntN(40_000_000)), MaxAge: time.Second, FullAfter: h.rand.Int64N(3 << 20)}
}

// loseSome spoils some of the sealed segments in the outbox.
func (l *loser) loseSome(rng *rand.Rand) {
	l.Helper()
	folder := filepath.Dir(l.box(1))
	boxes, err := os.ReadDir(folder)
	l.must(err)
	for _, box := range boxes {
		switch path := filepath.Join(folder, box.Name()); rng.IntN(3) {
		case 0:
			l.must(os.Remove(path))
		case 1:
			l.must(os.WriteFile(path, []byte("nothing of the kind"), 0o600))
		}
	}
}

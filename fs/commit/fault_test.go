package commit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// faultyLedger is a ledger at whose edge things go wrong. A fault is asked
// with the number of the call and says whether it fails before it is executed,
// or although it was.
type faultyLedger struct {
	chain.Ledger
	mu                   sync.Mutex // guards the fields below
	registers, certifies int
	register, certify    fault
	past                 []chain.OwnedObject // what Owned answers instead, of the objects that it has
}

type fault func(n int) (before, after error)

func (l *faultyLedger) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *faultyLedger) count() (registers, certifies int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.registers, l.certifies
}

// call executes a call as the fault that is set wants it.
func (l *faultyLedger) call(count *int, set *fault, execute func() (*chain.Outcome, error)) (*chain.Outcome, error) {
	l.mu.Lock()
	*count++
	n, f := *count, *set
	l.mu.Unlock()
	if f == nil {
		return execute()
	}
	before, after := f(n)
	if before != nil {
		return nil, before
	}
	out, err := execute()
	if err == nil && after != nil {
		return nil, after
	}
	return out, err
}

func (l *faultyLedger) Register(ctx context.Context, tx chain.TxID, batch []chain.Registration) (*chain.Outcome, error) {
	return l.call(&l.registers, &l.register, func() (*chain.Outcome, error) { return l.Ledger.Register(ctx, tx, batch) })
}

func (l *faultyLedger) Certify(ctx context.Context, tx chain.TxID, batch []chain.Certification, anchor *chain.AnchorUpdate) (*chain.Outcome, error) {
	return l.call(&l.certifies, &l.certify, func() (*chain.Outcome, error) { return l.Ledger.Certify(ctx, tx, batch, anchor) })
}

// Balance fails: whom the fault has refused for want of funds would be let go after a while,
// since the wallet is not empty.
func (l *faultyLedger) Balance(context.Context) (chain.Balance, error) {
	return chain.Balance{}, errLost
}

func (l *faultyLedger) Owned(ctx context.Context, q chain.OwnedQuery) ([]chain.OwnedObject, error) {
	owned, err := l.Ledger.Owned(ctx, q)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, o := range owned {
		if at := slices.IndexFunc(l.past, func(p chain.OwnedObject) bool { return p.Object == o.Object }); at >= 0 {
			owned[i] = l.past[at]
		}
	}
	return owned, err
}

// newFaulty returns a drive over a faulty ledger.
func newFaulty(t *testing.T, o options) (*rig, *faultyLedger) {
	faulty := &faultyLedger{}
	o.ledger = func(l chain.Ledger) chain.Ledger {
		faulty.Ledger = l
		return faulty
	}
	return newRig(t, o), faulty
}

var errLost = errors.New("answer was lost")

// drainErr wants a Drain to end with a *PendingError.
func (r *rig) drainErr(want error) *commit.PendingError {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := r.c.Drain(ctx, nil)
	var pending *commit.PendingError
	if !errors.As(err, &pending) || !errors.Is(err, want) {
		r.Fatalf("drain: %v, want a PendingError for %v", err, want)
	}
	return pending
}

// A refused segment holds back the anchor, and not the storing of later ones.
func TestRefusedSegment(t *testing.T) {
	t.Parallel()
	policy := calm
	policy.Fill = 50_000 // what is longer is packed at once
	r, ledger := newFaulty(t, options{policy: policy})
	r.put("a", random(1, 100))
	r.drain()
	abort := &chain.AbortError{Module: "m", Function: "f", Code: 1, Name: "ETest"}
	var refused atomic.Int64
	ledger.set(func() {
		ledger.certifies = 0
		ledger.certify = func(n int) (error, error) {
			if n == 1 {
				refused.Add(1)
				return abort, nil
			}
			return nil, nil
		}
	})
	r.put("b", random(2, 1000))
	pending := r.drainErr(abort)
	if pending.Count != 1 || !slices.Equal(pending.Paths, []string{"/b"}) {
		t.Errorf("pending: %+v", pending)
	}
	s, err := r.c.Status(context.Background())
	r.must(err)
	if s.InFlight != 1 || len(s.Problems) != 1 || s.LastError == "" {
		t.Errorf("status: %+v", s)
	}
	// The next one is stored, packed after it, and waits for it.
	r.put("c", random(3, 60_000))
	r.awaitState("c", index.StateStoring)
	segments, err := r.db.Segments(context.Background(), index.SegmentFilter{})
	r.must(err)
	r.awaitCertified(segments[len(segments)-1].Number)
	if got := r.restored(); got.read("/b") != nil || got.read("/c") != nil {
		t.Errorf("the anchor went past a segment that is not certified")
	}
	r.drain() // tries again at once
	got := r.restored()
	got.same("/b", random(2, 1000))
	got.same("/c", random(3, 60_000))
	checkPaidOnce(r)
	if n := refused.Load(); n != 1 {
		t.Errorf("%d refusals", n)
	}
}

func (r *rig) awaitState(name string, want index.State) {
	r.Helper()
	r.await(name+" to be "+string(want), func() bool {
		attr, err := r.db.Lookup(context.Background(), index.Root, []byte(name))
		r.must(err)
		s, err := r.db.State(context.Background(), attr.Ino)
		r.must(err)
		return s.State == want
	})
}

func (r *rig) awaitCertified(number uint64) {
	r.Helper()
	r.await("a segment to be certified", func() bool {
		rows, err := r.db.Segments(context.Background(), index.SegmentFilter{Number: number})
		r.must(err)
		return len(rows) == 1 && rows[0].Stage >= walrus.Certified
	})
}

func (r *rig) await(what string, ok func() bool) {
	r.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("waited in vain for %s", what)
		}
	}
}

// An empty wallet is no busy loop, and paying it in is enough.
func TestNoFunds(t *testing.T) {
	t.Parallel()
	r, ledger := newFaulty(t, options{policy: calm})
	ledger.set(func() { ledger.register = func(int) (error, error) { return chain.ErrNoFunds, nil } })
	r.put("a", random(1, 100))
	r.drainErr(chain.ErrNoFunds)
	before, _ := ledger.count()
	time.Sleep(300 * time.Millisecond) // nothing happens meanwhile
	if after, _ := ledger.count(); after != before {
		t.Errorf("%d registrations were tried without being asked", after-before)
	}
	ledger.set(func() { ledger.register = nil })
	r.drain()
	r.restored().same("/a", random(1, 100))
	checkPaidOnce(r)
}

// Answers that get lost after the ledger executed the transaction cost nothing.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	r, ledger := newFaulty(t, options{})
	lose := func(n int) (error, error) {
		if n%5 != 0 { // more often than blobstore asks again
			return nil, errLost
		}
		return nil, nil
	}
	ledger.set(func() { ledger.register, ledger.certify = lose, lose })
	r.put("a", random(2, 1_200_000))
	r.drain()
	ledger.set(func() { ledger.register, ledger.certify = nil, nil })
	r.restored().same("/a", random(2, 1_200_000))
	checkPaidOnce(r)
}

// The answer to a certification is lost, and the next batch is on its way
// before it is known that it was executed.
func TestLostAnswerBehindNextBatch(t *testing.T) {
	t.Parallel()
	r, ledger := newFaulty(t, options{})
	certified := func(number uint64) bool {
		rows, err := r.db.Segments(context.Background(), index.SegmentFilter{Number: number})
		return err == nil && len(rows) == 1 && rows[0].Stage >= walrus.Certified
	}
	ledger.set(func() {
		ledger.certify = func(n int) (error, error) {
			switch {
			case n <= 3:
				return nil, errLost
			case n == 4:
				for deadline := time.Now().Add(patience); !certified(1) && time.Now().Before(deadline); {
					time.Sleep(time.Millisecond)
				}
			}
			return nil, nil
		}
	})
	r.put("a", random(1, 1000))
	r.await("three lost answers", func() bool { _, n := ledger.count(); return n >= 3 })
	r.put("b", random(2, 1000))
	r.await("the batch behind", func() bool { _, n := ledger.count(); return n >= 4 })
	r.drain()
	got := r.restored()
	got.same("/a", random(1, 1000))
	got.same("/b", random(2, 1000))
	checkPaidOnce(r)
}

// Another machine that restores the drive takes it over; this one must stop.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	ctx := context.Background()
	r.put("a", random(1, 1000))
	r.drain()
	_, err := keep.Restore(ctx, keep.RestoreConfig{
		Ledger: r.owner, Blobs: r.blobs, Keys: r.keys, Path: t.TempDir() + "/other.db",
	})
	r.must(err)
	if err := r.c.Reconcile(ctx); !errors.Is(err, commit.ErrTakenOver) {
		t.Errorf("reconcile: %v", err)
	}
	r.put("a", random(2, 1000))
	pending := r.drainErr(commit.ErrTakenOver)
	if pending.Count != 1 {
		t.Errorf("pending: %+v", pending)
	}
	r.restored().same("/a", random(1, 1000))
	r.close()
	if !errors.Is(r.ran, commit.ErrTakenOver) {
		t.Errorf("run: %v", r.ran)
	}
}

// A ledger that says less than this machine has certified stops it.
func TestRolledBack(t *testing.T) {
	t.Parallel()
	r, ledger := newFaulty(t, options{})
	ctx := context.Background()
	r.put("a", random(1, 1000))
	r.drain()
	past, err := ledger.Owned(ctx, chain.OwnedQuery{Key: index.KeyAnchor})
	r.must(err)
	r.put("b", random(2, 1000))
	r.drain()
	r.must(r.c.Reconcile(ctx))
	ledger.set(func() { ledger.past = past })
	if err := r.c.Reconcile(ctx); !errors.Is(err, commit.ErrRolledBack) {
		t.Errorf("reconcile: %v", err)
	}
	// The same generation at an older version, as before a takeover that was undone.
	now, err := ledger.Ledger.Owned(ctx, chain.OwnedQuery{Key: index.KeyAnchor})
	r.must(err)
	ledger.set(func() { ledger.past = now; ledger.past[0].Version-- })
	if err := r.c.Reconcile(ctx); !errors.Is(err, commit.ErrRolledBack) {
		t.Errorf("reconcile at an older version: %v", err)
	}
	ledger.set(func() { ledger.past = past })
	// The first at a higher version, as when it went on from there.
	ledger.set(func() { ledger.past[0].Version += 1000 })
	if err := r.c.Reconcile(ctx); !errors.Is(err, commit.ErrRolledBack) {
		t.Errorf("reconcile at a higher version: %v", err)
	}
	r.close()
	r.reopen(options{ledger: func(l chain.Ledger) chain.Ledger { ledger.Ledger = l; return ledger }})
	r.put("c", random(3, 1000))
	r.drainErr(commit.ErrRolledBack)
	r.close()
	if !errors.Is(r.ran, commit.ErrRolledBack) {
		t.Errorf("run: %v", r.ran)
	}
}

// Sealed bytes that are gone come back from the nodes. See TestRebuild for
// those that never got there.
func TestOutboxLost(t *testing.T) {
	t.Parallel()
	r, ledger := newFaulty(t, options{})
	r.put("a", random(1, 1000))
	r.drain()
	ledger.set(func() { ledger.certify = func(int) (error, error) { return chain.ErrNoFunds, nil } })
	r.put("b", random(2, 200_000))
	r.drainErr(chain.ErrNoFunds)
	header := r.row(r.last()).Header
	r.must(r.stage.RemoveOutbox(r.last()))
	ledger.set(func() { ledger.certify = nil })
	r.drain()
	r.restored().same("/b", random(2, 200_000))
	if r.row(r.last()).Header != header {
		t.Errorf("the segment was made again although the nodes have it")
	}
	checkPaidOnce(r)
}

func (r *rig) inoOf(name string) index.Ino {
	r.Helper()
	attr, err := r.db.Lookup(context.Background(), index.Root, []byte(name))
	r.must(err)
	return attr.Ino
}

// A file whose staged bytes are gone is named; everything else is certified.
func TestStagingLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{policy: crashPolicy})
	r.put("lost", random(1, 1000))
	r.must(r.stage.Discard(r.inoOf("lost")))
	r.put("kept", random(2, 1000))
	pending := r.drainErr(commit.ErrStagingLost)
	if pending.Count != 1 || !slices.Equal(pending.Paths, []string{"/lost"}) {
		t.Errorf("pending: %+v", pending)
	}
	got := r.restored()
	got.same("/kept", random(2, 1000))
	if got.read("/lost") != nil {
		t.Errorf("a lost file was published")
	}
	problems := func() []string {
		s, err := r.c.Status(context.Background())
		r.must(err)
		return s.Problems
	}
	if p := problems(); len(p) != 1 {
		t.Errorf("problems: %q", p)
	}
	_, err := r.db.Unlink(context.Background(), index.Root, []byte("lost"))
	r.must(err)
	if p := problems(); len(p) != 0 {
		t.Errorf("problems when the file is deleted: %q", p)
	}
	r.drain()
}

// An index that is older than the anchor, as from a backup, must not go on.
func TestIndexFromBackup(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	ctx := context.Background()
	r.put("a", random(1, 1000))
	r.drain()
	backup := filepath.Join(t.TempDir(), "index.db")
	r.must(r.db.Backup(ctx, backup))
	r.put("b", random(2, 1000))
	r.drain()
	r.close()
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(filepath.Join(r.dir, "index.db"+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	r.must(os.Rename(backup, filepath.Join(r.dir, "index.db")))
	r.reopen(options{})
	r.put("c", random(3, 1000))
	r.awaitState("c", index.StateStoring) // in a segment of the same number
	if err := r.c.Reconcile(ctx); !errors.Is(err, index.ErrStale) {
		t.Errorf("reconcile: %v", err)
	}
	r.drainErr(index.ErrStale)
	s, err := r.c.Status(ctx)
	r.must(err)
	if len(s.Problems) != 1 {
		t.Errorf("problems: %q", s.Problems)
	}
	r.restored().same("/b", random(2, 1000))
}

// While nothing can be certified, segments pile up to a bound and no further.
func TestOutboxIsBounded(t *testing.T) {
	t.Parallel()
	const full = 6 * 61440 // sealed bytes of a segment
	for _, c := range []struct {
		name     string
		outbox   int64
		segments int
		size     int
	}{
		{"bytes", 8*full - full/2, 8, 6 << 20},
		{"segments", 1 << 40, index.MaxInFlight, 24 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			policy := calm
			policy.Fill, policy.Outbox = 0, c.outbox // due as soon as a segment is full
			r, ledger := newFaulty(t, options{network: embedded.Config{Nodes: 4, Shards: 4}, policy: policy})
			ledger.set(func() { ledger.register = func(int) (error, error) { return chain.ErrNoFunds, nil } })
			content := random(1, c.size)
			r.put("large", content)
			r.awaitInFlight(c.segments)
			r.drainErr(chain.ErrNoFunds)
			if n := len(r.segments()); n > c.segments+1 { // one may have carried the names alone
				t.Errorf("%d segments in flight, want at most %d", n, c.segments+1)
			}
			ledger.set(func() { ledger.register = nil })
			r.drain()
			r.restored().same("/large", content)
			checkPaidOnce(r)
		})
	}
}

func (r *rig) awaitInFlight(n int) {
	r.Helper()
	r.await("segments to pile up", func() bool {
		s, err := r.c.Status(context.Background())
		r.must(err)
		return s.InFlight >= n
	})
}

// A Drain that is given up says what is left.
func TestDrainGivenUp(t *testing.T) {
	t.Parallel()
	r, ledger := newFaulty(t, options{policy: calm})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ledger.set(func() {
		ledger.register = func(int) (error, error) {
			cancel()
			return errLost, nil
		}
	})
	r.put("a", random(1, 1000))
	err := r.c.Drain(ctx, nil)
	var pending *commit.PendingError
	if !errors.As(err, &pending) || !errors.Is(err, context.Canceled) || !slices.Equal(pending.Paths, []string{"/a"}) {
		t.Errorf("drain: %v", err)
	}
}

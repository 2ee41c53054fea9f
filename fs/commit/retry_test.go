package commit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/index"
)

// atOnce is how long it may take, in virtual time, until what was in the way and is gone is
// noticed by who waits.
const atOnce = 10 * time.Second

// obstacles are what keeps a drive from storing, how it is put in the way and taken away again.
var obstacles = []struct {
	name    string
	says    string // of the problem that the status shows
	in, out func(*rig, *awayLedger)
}{
	{"outbox", "packing stands still",
		func(r *rig, _ *awayLedger) { r.must(os.Rename(r.outbox(), r.outbox()+".away")) },
		func(r *rig, _ *awayLedger) { r.must(os.Rename(r.outbox()+".away", r.outbox())) }},
	{"nodes", "shards answered",
		func(r *rig, _ *awayLedger) { r.eachNode(r.net.Stop) },
		func(r *rig, _ *awayLedger) {
			r.eachNode(func(name string) error { return r.net.Start(context.Background(), name) })
		}},
	{"ledger", "for the ledger",
		func(_ *rig, l *awayLedger) { l.away.Store(true) },
		func(_ *rig, l *awayLedger) { l.away.Store(false) }},
}

func (r *rig) outbox() string { return filepath.Join(r.dir, "staging", "outbox") }

// eachNode does something with so many nodes that no quorum is left.
func (r *rig) eachNode(do func(name string) error) {
	r.Helper()
	for _, n := range r.net.Nodes()[1:] {
		r.must(do(n.Name))
	}
}

// eachObstacle runs a test in virtual time with each obstacle in the way for so long that
// tries have become rare.
func eachObstacle(t *testing.T, test func(r *rig, goes func())) {
	for _, o := range obstacles {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ledger := &awayLedger{}
				r := newRig(t, options{ledger: func(l chain.Ledger) chain.Ledger {
					ledger.Ledger = l
					return ledger
				}})
				r.put("before", random(1, 1000))
				r.drain()
				o.in(r, ledger)
				r.put("file", random(2, 100_000))
				time.Sleep(time.Minute)
				s, err := r.c.Status(t.Context())
				for range 100 { // while a try is under way there is no next one
					if r.must(err); !s.NextTry.IsZero() {
						break
					}
					time.Sleep(100 * time.Millisecond)
					s, err = r.c.Status(t.Context())
				}
				if !strings.Contains(strings.Join(s.Problems, "\n"), o.says) || !s.NextTry.After(time.Now().Add(-time.Second)) {
					t.Errorf("the status says %q, next try %s", s.Problems, s.NextTry)
				}
				test(r, func() { o.out(r, ledger) })
				if s, err = r.c.Status(t.Context()); err != nil || len(s.Problems) > 0 || !s.NextTry.IsZero() {
					t.Errorf("afterwards the status says %q, next try %s, %v", s.Problems, s.NextTry, err)
				}
				r.wantOnce()
				r.restored().same("/file", random(2, 100_000))
				r.close()
			})
		})
	}
}

// awaitPause waits for half an hour, and then until the next try is further away than what is at once.
func (r *rig) awaitPause() commit.Status {
	r.Helper()
	time.Sleep(30 * time.Minute)
	for range 60 {
		s, err := r.c.Status(context.Background())
		r.must(err)
		if time.Until(s.NextTry) > 2*atOnce {
			return s
		}
		time.Sleep(10 * time.Second)
	}
	r.Fatal("there is always a try soon, although nobody waits")
	panic("unreachable")
}

// TestDrainAfterObstacle has each obstacle go away unnoticed after half an hour: a Drain does not
// wait for the next try that was planned.
func TestDrainAfterObstacle(t *testing.T) {
	t.Parallel()
	eachObstacle(t, func(r *rig, goes func()) {
		r.awaitPause()
		goes()
		r.drainWithin(atOnce)
	})
}

// TestDrainBesideObstacle has a Drain wait for half an hour: it goes on soon after the obstacle
// is gone, although nobody tells.
func TestDrainBesideObstacle(t *testing.T) {
	t.Parallel()
	eachObstacle(t, func(r *rig, goes func()) {
		done := make(chan error, 1)
		var why atomic.Pointer[string]
		go func() {
			done <- r.c.Drain(context.Background(), func(p commit.Progress) { why.Store(&p.Trouble) })
		}()
		time.Sleep(30 * time.Minute)
		if *why.Load() == "" {
			r.Error("the drain does not say what it waits for")
		}
		if s, err := r.c.Status(t.Context()); err != nil || time.Until(s.NextTry) > atOnce {
			r.Errorf("the next try is in %s, %v", time.Until(s.NextTry), err)
		}
		goes()
		select {
		case err := <-done:
			r.must(err)
		case <-time.After(atOnce):
			r.Fatalf("the drain still waits, %s after the obstacle went away", atOnce)
		}
	})
}

// TestRetry has each obstacle go away after half an hour, and somebody tell: nobody has to wait
// for a Drain.
func TestRetry(t *testing.T) {
	t.Parallel()
	eachObstacle(t, func(r *rig, goes func()) {
		r.awaitPause()
		goes()
		r.c.Retry()
		for deadline := time.Now().Add(atOnce); r.waiting() > 0 || r.last() != r.anchored(); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				r.Fatalf("still not stored, %s after a retry was asked for", atOnce)
			}
		}
	})
}

// anchored returns the generation that the anchor names.
func (r *rig) anchored() uint64 {
	r.Helper()
	s, err := r.c.Status(context.Background())
	r.must(err)
	return s.Generation
}

// TestRetryFile has a file that cannot be packed, since no snapshot of it can be made: Retry
// has it tried at once.
func TestRetryFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options{policy: commit.Policy{Quiet: quick.Quiet, MaxAge: quick.MaxAge, OpenAge: time.Second}})
		snaps := filepath.Join(r.dir, "staging", "snap")
		r.must(os.Rename(snaps, snaps+".away"))
		f := r.file(index.Root, "open")
		r.writeAt(f, random(3, 5000), 0)
		r.must(r.db.Queue(t.Context(), f.Ino(), index.Queued{Size: f.Size(), Mtime: f.Mtime()}))
		r.c.Wake()
		if s := r.awaitPause(); len(s.Problems) != 1 {
			t.Errorf("the status says %q", s.Problems)
		}
		r.must(os.Rename(snaps+".away", snaps))
		r.c.Retry()
		time.Sleep(atOnce)
		if s, err := r.db.State(t.Context(), f.Ino()); err != nil || s.State != index.StateCertified {
			t.Errorf("%s after a retry was asked for the file is %s, %v", atOnce, s.State, err)
		}
		r.done(f)
		r.close()
	})
}

// hiddenLedger is a ledger that does not tell what somebody owns.
type hiddenLedger struct {
	chain.Ledger
	hidden atomic.Bool
}

func (l *hiddenLedger) Owned(ctx context.Context, q chain.OwnedQuery) ([]chain.OwnedObject, error) {
	if l.hidden.Load() {
		return nil, errors.New("no answer")
	}
	return l.Ledger.Owned(ctx, q)
}

// TestDrainFirst starts a drive while the ledger does not tell of its anchor: the status says so,
// and a Drain that comes later does not wait for the next try that was planned.
func TestDrainFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ledger := &hiddenLedger{}
		o := options{ledger: func(l chain.Ledger) chain.Ledger {
			ledger.Ledger = l
			return ledger
		}}
		r := newRig(t, o)
		r.put("before", random(1, 1000))
		r.drain()
		ledger.hidden.Store(true)
		r.reopen(o)
		r.put("file", random(2, 1000))
		if s := r.awaitPause(); len(s.Problems) != 1 {
			t.Errorf("the status says %q", s.Problems)
		}
		ledger.hidden.Store(false)
		r.drainWithin(atOnce)
		r.restored().same("/file", random(2, 1000))
		r.close()
	})
}

// TestHeard has a ledger come back that takes 40 seconds for certificates: the other segments
// do not wait for the first one to be certified.
func TestHeard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ledger := &slowCertify{}
		r := newRig(t, options{ledger: func(l chain.Ledger) chain.Ledger {
			ledger.Ledger = l
			return ledger
		}})
		r.put("before", random(7, 1000))
		r.drain()
		before := len(r.segments())
		ledger.away.Store(true)
		for i, name := range []string{"a", "b"} {
			r.put(name, random(uint64(i), 1000))
			time.Sleep(10 * time.Minute)
		}
		if n := len(r.segments()) - before; n != 2 {
			t.Fatalf("%d segments, want 2", n)
		}
		ledger.away.Store(false)
		r.c.Retry()
		time.Sleep(atOnce)
		for _, s := range r.segments() {
			if s.Stage < walrus.Registered {
				t.Errorf("segment %d is %v, %s after the ledger came back", s.Number, s.Stage, atOnce)
			}
		}
		r.drainWithin(5 * time.Minute)
		r.close()
	})
}

// slowCertify is a ledger that takes 40 seconds for each certificate.
type slowCertify struct{ awayLedger }

func (l *slowCertify) Certify(ctx context.Context, tx chain.TxID, batch []chain.Certification, anchor *chain.AnchorUpdate) (*chain.Outcome, error) {
	time.Sleep(40 * time.Second)
	return l.awayLedger.Certify(ctx, tx, batch, anchor)
}

// TestGasArrives has a wallet with WAL and nothing for gas: what waits goes on soon after there is some.
func TestGasArrives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ledger := &gasLedger{}
		r := newRig(t, options{ledger: func(l chain.Ledger) chain.Ledger {
			ledger.Ledger = l
			return ledger
		}})
		r.put("before", random(1, 1000))
		r.drain()
		ledger.empty.Store(true)
		r.put("file", random(2, 1000))
		time.Sleep(30 * time.Minute)
		if n := len(r.c.Unpaid()); n != 1 {
			t.Fatalf("%d unpaid, want 1", n)
		}
		ledger.empty.Store(false)
		time.Sleep(20 * time.Second)
		if n := r.waiting(); n != 0 {
			t.Errorf("%d wait, 20 s after there is money for gas", n)
		}
		r.close()
	})
}

// gasLedger is a ledger on which the owner may have no SUI.
type gasLedger struct {
	chain.Ledger
	empty atomic.Bool
}

func (l *gasLedger) Register(ctx context.Context, tx chain.TxID, batch []chain.Registration) (*chain.Outcome, error) {
	if l.empty.Load() {
		return nil, chain.ErrNoFunds
	}
	return l.Ledger.Register(ctx, tx, batch)
}

func (l *gasLedger) Balance(ctx context.Context) (chain.Balance, error) {
	b, err := l.Ledger.Balance(ctx)
	if l.empty.Load() {
		b.SUIMist = 0
	}
	return b, err
}

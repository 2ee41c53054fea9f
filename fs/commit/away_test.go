package commit_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

var errAway = errors.New("no route to the ledger")

// awayLedger is a ledger that can be away, and counts what is asked of it.
type awayLedger struct {
	chain.Ledger
	away  atomic.Bool
	calls atomic.Int64
	slow  time.Duration // that a call takes
	lies  time.Duration // by which its clock is wrong
}

func (l *awayLedger) ask() error {
	l.calls.Add(1)
	time.Sleep(l.slow)
	if l.away.Load() {
		return errAway
	}
	return nil
}

func (l *awayLedger) State(ctx context.Context) (*chain.State, error) {
	if err := l.ask(); err != nil {
		return nil, err
	}
	s, err := l.Ledger.State(ctx)
	if err == nil {
		s.Now, s.EpochStart = s.Now.Add(l.lies), s.EpochStart.Add(l.lies)
	}
	return s, err
}

func (l *awayLedger) Register(ctx context.Context, tx chain.TxID, batch []chain.Registration) (*chain.Outcome, error) {
	if err := l.ask(); err != nil {
		return nil, err
	}
	return l.Ledger.Register(ctx, tx, batch)
}

func (l *awayLedger) Certify(ctx context.Context, tx chain.TxID, batch []chain.Certification, anchor *chain.AnchorUpdate) (*chain.Outcome, error) {
	if err := l.ask(); err != nil {
		return nil, err
	}
	return l.Ledger.Certify(ctx, tx, batch, anchor)
}

func (l *awayLedger) Outcome(ctx context.Context, tx chain.TxID) (*chain.Outcome, error) {
	if err := l.ask(); err != nil {
		return nil, err
	}
	return l.Ledger.Outcome(ctx, tx)
}

func (l *awayLedger) Owned(ctx context.Context, q chain.OwnedQuery) ([]chain.OwnedObject, error) {
	if err := l.ask(); err != nil {
		return nil, err
	}
	return l.Ledger.Owned(ctx, q)
}

func (l *awayLedger) Balance(ctx context.Context) (chain.Balance, error) {
	if err := l.ask(); err != nil {
		return chain.Balance{}, err
	}
	return l.Ledger.Balance(ctx)
}

// TestLedgerAway lets the ledger be away for an hour of virtual time while
// files are written all the time: they wait here, what is certified is read,
// and the ledger is asked less than once a second. Once it is back all drains
// by itself, and each blob is paid for once.
func TestLedgerAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ledger := &awayLedger{}
		r := newRig(t, options{ledger: func(l chain.Ledger) chain.Ledger {
			ledger.Ledger = l
			return ledger
		}})
		want := map[string][]byte{}
		put := func(i int) {
			name := fmt.Sprintf("file-%03d", i)
			want[name] = random(uint64(i), 2000)
			r.put(name, want[name])
		}
		put(0)
		r.drain()
		ledger.away.Store(true)
		before, began := ledger.calls.Load(), time.Now()
		for i := range 140 {
			put(1 + i)
			if i < 60 {
				time.Sleep(time.Second)
			} else {
				time.Sleep(45 * time.Second)
			}
			if n := ledger.calls.Load() - before; n > int64(time.Since(began)/time.Second)+5 {
				t.Fatalf("the ledger was asked %d times in %s", n, time.Since(began))
			}
			if b := make([]byte, 2000); published(t.Context(), r.db, r.blobs, r.keys, r.lookup("file-000").Ino, b, 0) != nil || string(b) != string(want["file-000"]) {
				t.Fatal("what is certified is not read while the ledger is away")
			}
		}
		away := time.Since(began)
		t.Logf("the ledger was asked %d times in %s", ledger.calls.Load()-before, away)
		if s, err := r.c.Status(t.Context()); err != nil || s.Generation == 0 || len(s.Problems) == 0 {
			t.Errorf("status %+v, %v", s, err)
		}
		ledger.away.Store(false)
		back := time.Now()
		for r.waiting() > 0 {
			if time.Sleep(time.Second); time.Since(back) > 10*time.Minute {
				t.Fatalf("%d segments and files still wait", r.waiting())
			}
		}
		t.Logf("drained %s after it came back", time.Since(back))
		r.wantOnce()
		got := r.restored()
		for name, content := range want {
			got.same("/"+name, content)
		}
		r.close()
	})
}

// TestLedgerSlow has a ledger that takes five seconds for each call and shows a
// time that is ten years off: all is certified all the same, and paid once.
func TestLedgerSlow(t *testing.T) {
	t.Parallel()
	for _, lies := range []time.Duration{-10 * year, 10 * year} {
		synctest.Test(t, func(t *testing.T) {
			ledger := &awayLedger{slow: 5 * time.Second, lies: lies}
			r := newRig(t, options{ledger: func(l chain.Ledger) chain.Ledger {
				ledger.Ledger = l
				return ledger
			}})
			had := r.balance()
			for i := range 20 {
				r.put(fmt.Sprint("file-", i), random(uint64(i), 3000))
				time.Sleep(3 * time.Second)
			}
			r.drainWithin(10 * time.Minute)
			r.wantBooks(had)
			got := r.restored()
			for i := range 20 {
				got.same(fmt.Sprint("/file-", i), random(uint64(i), 3000))
			}
			r.close()
		})
	}
}

func (r *rig) lookup(name string) index.Attr {
	r.Helper()
	attr, err := r.db.Lookup(context.Background(), index.Root, []byte(name))
	r.must(err)
	return attr
}

// waiting counts files and segments that are not certified.
func (r *rig) waiting() int {
	r.Helper()
	p, err := r.db.Pending(context.Background())
	r.must(err)
	return p.Jobs + p.Segments
}

// wantOnce wants each blob paid for once.
func (r *rig) wantOnce() {
	r.Helper()
	for blob, n := range r.registrations() {
		if n != 1 {
			r.Errorf("blob %s was registered %d times", blob, n)
		}
	}
}

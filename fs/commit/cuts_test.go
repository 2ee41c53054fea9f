package commit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/commit"
)

var errCut = errors.New("connection was cut")

// cutLedger is a ledger on a line that is cut at random: before it gets a
// request, or after it has done what it says.
type cutLedger struct {
	chain.Ledger
	mu     sync.Mutex // guards the fields below
	rng    *rand.Rand
	left   int            // cuts to come
	before map[string]int // by call
	after  map[string]int
}

// cut says where the line is cut during a call.
func (l *cutLedger) cut(name string) (before, after bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	often := 1
	if name == "register" || name == "certify" || name == "outcome" {
		often = 6 // so that the tries of one call may all be in vain
	}
	if l.left == 0 || l.rng.IntN(8) >= often {
		return false, false
	}
	l.left--
	if l.rng.IntN(3) == 0 {
		l.before[name]++
		return true, false
	}
	l.after[name]++
	return false, true
}

func cutCall[T any](l *cutLedger, name string, call func() (T, error)) (out T, err error) {
	before, after := l.cut(name)
	if before {
		return out, errCut
	}
	got, err := call()
	if after && err == nil {
		return out, errCut
	}
	return got, err
}

func (l *cutLedger) State(ctx context.Context) (*chain.State, error) {
	return cutCall(l, "state", func() (*chain.State, error) { return l.Ledger.State(ctx) })
}

func (l *cutLedger) Register(ctx context.Context, tx chain.TxID, batch []chain.Registration) (*chain.Outcome, error) {
	return cutCall(l, "register", func() (*chain.Outcome, error) { return l.Ledger.Register(ctx, tx, batch) })
}

func (l *cutLedger) Certify(ctx context.Context, tx chain.TxID, batch []chain.Certification, anchor *chain.AnchorUpdate) (*chain.Outcome, error) {
	return cutCall(l, "certify", func() (*chain.Outcome, error) { return l.Ledger.Certify(ctx, tx, batch, anchor) })
}

func (l *cutLedger) Outcome(ctx context.Context, tx chain.TxID) (*chain.Outcome, error) {
	return cutCall(l, "outcome", func() (*chain.Outcome, error) { return l.Ledger.Outcome(ctx, tx) })
}

func (l *cutLedger) Owned(ctx context.Context, q chain.OwnedQuery) ([]chain.OwnedObject, error) {
	return cutCall(l, "owned", func() ([]chain.OwnedObject, error) { return l.Ledger.Owned(ctx, q) })
}

// TestCuts cuts the line to the ledger a hundred times while files are
// written. Afterwards the books are those of a run without any cut: an object
// for each segment, and what they cost.
func TestCuts(t *testing.T) {
	t.Parallel()
	seeds := 1
	if os.Getenv("WALFS_SOAK") != "" {
		seeds = 100
	}
	for range seeds {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { testCuts(t, seed) })
	}
}

func testCuts(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		ledger := &cutLedger{rng: rand.New(rand.NewPCG(seed, 0)), before: map[string]int{}, after: map[string]int{}}
		r := newRig(t, options{ledger: func(l chain.Ledger) chain.Ledger {
			ledger.Ledger = l
			return ledger
		}})
		had := r.balance()
		ledger.mu.Lock()
		ledger.left = 100
		ledger.mu.Unlock()
		want := map[string][]byte{}
		for i := 0; ledger.cutsLeft() > 0; i++ {
			name := fmt.Sprintf("file-%03d", i)
			want[name] = random(uint64(i), 1000+i)
			r.put(name, want[name])
			if i%3 == 2 {
				r.drainWithin(time.Hour)
			}
		}
		r.drainWithin(time.Hour)
		t.Logf("cut before %v, after %v, %d files", ledger.before, ledger.after, len(want))
		r.wantBooks(had)
		got := r.restored()
		for name, content := range want {
			got.same("/"+name, content)
		}
		r.close()
	})
}

func (l *cutLedger) cutsLeft() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left
}

func (r *rig) balance() uint64 {
	r.Helper()
	b, err := r.owner.Balance(context.Background())
	r.must(err)
	return b.WALFrost
}

// wantBooks wants the ledger to hold one object for each segment besides the
// anchor, all paid for once out of what was in the wallet.
func (r *rig) wantBooks(had uint64) {
	r.Helper()
	ctx := context.Background()
	r.wantOnce()
	ledger := r.owner
	state, err := ledger.State(ctx)
	r.must(err)
	var cost uint64
	for _, s := range r.segments() {
		encoded, err := r.blobs.Geometry().EncodedSize(s.Size)
		r.must(err)
		cost += state.RegisterPrice(encoded, commit.DefaultEpochs)
	}
	if paid := had - r.balance(); paid != cost {
		r.Errorf("paid %d FROST for %d segments, want %d", paid, len(r.segments()), cost)
	}
	owned, err := ledger.Owned(ctx, chain.OwnedQuery{})
	r.must(err)
	if len(owned) != len(r.segments())+1 {
		r.Errorf("%d objects for %d segments and an anchor", len(owned), len(r.segments()))
	}
}

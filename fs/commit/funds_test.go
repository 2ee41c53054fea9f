package commit_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/sui"
)

// leave takes all WAL but some out of the wallet.
func (r *rig) leave(frost uint64) {
	r.Helper()
	had := r.balance()
	payer := r.owner.(interface {
		SendWAL(ctx context.Context, tx chain.TxID, to chain.Address, frost uint64) (*sui.Result, error)
	})
	_, err := payer.SendWAL(context.Background(), chain.TxID{0xee, byte(had), byte(had >> 8), byte(had >> 16)}, chain.Address{0xff}, had-frost)
	r.must(err)
}

// TestEmptyWallet empties the wallet while files are written for half an hour
// of virtual time: they wait, the status says so, the ledger is asked less than
// once a second. More money, but not enough, gets as far as it reaches; when
// there is enough all drains by itself, and each blob is paid for once.
func TestEmptyWallet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ledger := &awayLedger{}
		r := newRig(t, options{ledger: func(l chain.Ledger) chain.Ledger {
			ledger.Ledger = l
			return ledger
		}})
		state, err := r.ledger.State(t.Context())
		r.must(err)
		r.leave(state.StoragePrice)
		had := r.balance()
		want := map[string][]byte{}
		before, began := ledger.calls.Load(), time.Now()
		for i := range 40 {
			name := fmt.Sprintf("file-%03d", i)
			want[name] = random(uint64(i), 3000)
			r.put(name, want[name])
			time.Sleep(45 * time.Second)
		}
		asked, waited := ledger.calls.Load()-before, time.Since(began)
		t.Logf("the ledger was asked %d times in %s", asked, waited)
		if asked > int64(waited/time.Second)/2 {
			t.Errorf("the ledger was asked %d times in %s", asked, waited)
		}
		if r.balance() != had {
			t.Errorf("%d FROST were paid for what cannot be stored", had-r.balance())
		}
		s, err := r.c.Status(t.Context())
		r.must(err)
		if len(r.c.Unpaid()) != len(want) || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "40 blobs wait") {
			t.Errorf("%d unpaid, problems %q", len(r.c.Unpaid()), s.Problems)
		}
		cost := state.RegisterPrice(1<<20, 26)
		r.must(r.net.Net().Faucet(t.Context(), chain.TxID{0xef}, r.wallet.Address(), 10*cost, 0))
		r.awaitVirtual("as many blobs as there is money for", func() bool { return len(r.c.Unpaid()) == len(want)-10 })
		r.must(r.net.Net().Faucet(t.Context(), chain.TxID{0xf0}, r.wallet.Address(), 100*cost, 0))
		r.awaitVirtual("all to drain", func() bool { return r.waiting() == 0 })
		r.wantBooks(had + 110*cost)
		got := r.restored()
		for name, content := range want {
			got.same("/"+name, content)
		}
		r.close()
	})
}

// awaitVirtual waits for up to two minutes of virtual time.
func (r *rig) awaitVirtual(what string, ok func() bool) {
	r.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			r.Fatalf("waited in vain for %s", what)
		}
	}
}

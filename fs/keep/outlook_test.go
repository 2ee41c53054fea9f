package keep_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/keep"
)

// TestOutlook compares what is foreseen with what then happens, for wallets from empty to rich.
func TestOutlook(t *testing.T) {
	t.Parallel()
	m := newRenewed(t)
	ctx := context.Background()
	state, err := m.ledger.State(ctx)
	m.must(err)
	rich, err := m.r.Outlook(ctx, state, 1<<60)
	m.must(err)
	first, _ := m.ends()
	lead := ahead / 4
	if rich.Ends != 0 || rich.Short != 0 || rich.RoundBy != first[0]-ahead/4 || rich.Round != rich.Renewals*uint64(ahead-lead) || rich.Renewals != uint64(len(first))*state.StoragePrice {
		t.Errorf("rich: %+v, price %d", rich, state.StoragePrice)
	}
	if want := state.RegisterPrice(1, ahead) * uint64(len(first)) * 2; rich.Writes != want { // an epoch is two weeks
		t.Errorf("written: %d, want %d", rich.Writes, want)
	}
	poor, err := m.r.Outlook(ctx, state, rich.Round-1)
	m.must(err)
	if poor.Ends == 0 || poor.Ends > rich.RoundBy || poor.Short != 1 {
		t.Errorf("with a little less than a round takes: %+v", poor)
	}
}

// TestOutlookComesTrue lets epochs pass until a renewal cannot be paid: that is the epoch that was foreseen.
func TestOutlookComesTrue(t *testing.T) {
	t.Parallel()
	for rounds := range 3 {
		t.Run(fmt.Sprint(rounds), func(t *testing.T) {
			t.Parallel()
			m := newRenewed(t)
			ctx := context.Background()
			m.r = keep.NewRenewer(keep.RenewConfig{Index: m.db, Ledger: m.ledger, Ahead: ahead,
				Now: func() time.Time { return time.Now().Add(30 * 24 * time.Hour) }}) // nothing was stored lately
			state, err := m.ledger.State(ctx)
			m.must(err)
			o, err := m.r.Outlook(ctx, state, 1<<60)
			m.must(err)
			budget := uint64(rounds)*o.Round + o.Round - 1
			if o, err = m.r.Outlook(ctx, state, budget); err != nil || o.Ends == 0 || o.Writes != 0 || (o.Short > 0) != (rounds == 0) {
				t.Fatalf("foreseen: %+v, %v", o, err)
			}
			if want := state.Epoch + walrus.Epoch(ahead-ahead/4)*walrus.Epoch(rounds+1); o.Ends != want {
				t.Errorf("ends in epoch %d, want %d", o.Ends, want)
			}
			spent, broke := uint64(0), errors.New("the test's wallet is empty")
			m.ledger.before = func(batch []chain.Extension) error {
				cost := uint64(0)
				for _, e := range batch {
					cost += state.ExtendPrice(1, e.Epochs)
				}
				if spent+cost > budget {
					return broke
				}
				spent += cost
				return nil
			}
			for {
				now, err := m.ledger.State(ctx)
				m.must(err)
				if err := m.r.Renew(ctx); errors.Is(err, broke) {
					if now.Epoch != o.Ends {
						t.Errorf("the money ended in epoch %d, foreseen was %+v", now.Epoch, o)
					}
					return
				} else if m.must(err); now.Epoch > o.Ends {
					t.Fatalf("the money did not end by epoch %d: %+v", now.Epoch, o)
				}
				m.must(m.net.AdvanceEpoch(ctx))
			}
		})
	}
}

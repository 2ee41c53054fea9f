package sui_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/chaintest"
	"github.com/walfs/walfs/chain/sui"
)

// told is what a history is compared by.
type told struct {
	digest string
	change string // of WAL
	mine   bool
	known  bool // by the journal
}

func history(t *testing.T, c *sui.Client, q sui.HistoryQuery) (all []told, h sui.History) {
	t.Helper()
	h, err := c.History(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	real, err := c.WALType(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range h.Past {
		one := told{digest: p.Digest.String(), mine: chain.Address(p.Sender) == c.Address(), known: p.Journalled}
		for _, b := range p.Changes {
			if b.Currency.Equal(real) {
				one.change = b.Amount.String()
			}
		}
		all = append(all, one)
	}
	return all, h
}

// TestHistory finds what an owner sent and got, by the ledger and by the journal.
func TestHistory(t *testing.T) {
	ctx := t.Context()
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	c, heir := w.client(wallet(t, 1)), w.client(wallet(t, 2))
	first, err := c.SendWAL(ctx, chain.TxID{1}, heir.Address(), 7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SendWAL(ctx, chain.TxID{2}, wallet(t, 3).Address(), 100); err != nil {
		t.Fatal(err)
	}
	second, err := c.SendWAL(ctx, chain.TxID{3}, heir.Address(), 8)
	if err != nil {
		t.Fatal(err)
	}
	all, h := history(t, c, sui.HistoryQuery{Most: 10, Checkpoints: 1000})
	if len(all) != 4 || !h.Complete || all[0] != (told{second.Digest.String(), "-8", true, true}) || all[2] != (told{first.Digest.String(), "-7", true, true}) || all[3].mine || all[3].known {
		t.Errorf("the sender's: %+v, complete %t", all, h.Complete)
	}
	got := []told{{second.Digest.String(), "8", false, false}, {first.Digest.String(), "7", false, false}}
	if all, h := history(t, heir, sui.HistoryQuery{Most: 10, Checkpoints: 1000}); !slices.Equal(all, got) || !h.Complete {
		t.Errorf("the heir's: %+v, complete %t, want %+v", all, h.Complete, got)
	}
	// Without looking through the ledger there are the journal, and what coins come from.
	if all, h := history(t, heir, sui.HistoryQuery{Most: 10}); !slices.Equal(all, got) || h.Complete {
		t.Errorf("the heir's without checkpoints: %+v, complete %t, want %+v", all, h.Complete, got)
	}
	if all, _ := history(t, c, sui.HistoryQuery{Most: 10}); len(all) != 4 && len(all) != 3 || !all[0].known || !all[2].known {
		t.Errorf("the sender's without checkpoints: %+v", all)
	}
	if all, h := history(t, c, sui.HistoryQuery{Most: 1, Checkpoints: 1000}); len(all) != 1 || all[0].digest != second.Digest.String() || h.Complete {
		t.Errorf("the newest: %+v, complete %t", all, h.Complete)
	}
	if p := h.Past[0]; !slices.Equal(p.Calls, []string{"split 1", "transfer 1"}) || p.GasMist <= 0 || p.Checkpoint == 0 || p.Time.IsZero() || p.Failed != "" || p.Open {
		t.Errorf("the last payment: %+v", p)
	}
}

// TestHistoryOfWhatIsOpen tells of a transaction that was signed and never arrived.
func TestHistoryOfWhatIsOpen(t *testing.T) {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	p := newProxy()
	c := w.client(wallet(t, 1), p.intercept)
	p.set(p.lose, execute, 1000)
	if _, err := c.SendWAL(t.Context(), chain.TxID{1}, wallet(t, 2).Address(), 7); !errors.Is(err, sui.ErrAway) {
		t.Fatalf("nothing arrives: %v, want ErrAway", err)
	}
	if _, h := history(t, c, sui.HistoryQuery{Most: 10, Checkpoints: 1000}); len(h.Past) != 2 || !h.Past[0].Open || !h.Past[0].Journalled {
		t.Errorf("history %+v", h.Past)
	}
	p.set(p.lose, execute, 0)
	done, err := c.Done(t.Context(), chain.TxID{1}) // which settles it
	if err != nil || done == nil {
		t.Fatalf("settled: %+v, %v", done, err)
	}
	if all, h := history(t, c, sui.HistoryQuery{Most: 10, Checkpoints: 1000}); len(all) != 2 || h.Past[0].Open || all[0] != (told{done.Digest.String(), "-7", true, true}) {
		t.Errorf("history %+v", all)
	}
	if none, err := c.Done(t.Context(), chain.TxID{9}); none != nil || err != nil {
		t.Errorf("what never was: %+v, %v", none, err)
	}
}

// TestDry tries out through a client that sends, and sends nothing.
func TestDry(t *testing.T) {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	p := newProxy()
	c := w.client(wallet(t, 1), p.intercept)
	var dry *sui.DryRun
	if _, err := c.Dry().SendWAL(t.Context(), chain.TxID{1}, wallet(t, 2).Address(), 7); !errors.As(err, &dry) {
		t.Fatalf("got %v, want a DryRun", err)
	}
	if p.calls[execute] != 0 || poorer(t, c) != 0 || !slices.Equal(dry.Draft.Describe(), []string{"split 1", "transfer 1"}) {
		t.Errorf("%d transactions were sent; draft %v", p.calls[execute], dry.Draft.Describe())
	}
	if _, err := c.SendWAL(t.Context(), chain.TxID{1}, wallet(t, 2).Address(), 7); err != nil || poorer(t, c) != 7 {
		t.Errorf("in earnest, under the same ID: %v, %d paid", err, poorer(t, c))
	}
}

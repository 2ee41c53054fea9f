package keep_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// payer is a ledger on which extending goes wrong in ways of the test's choice.
type payer struct {
	chain.Ledger
	before func([]chain.Extension) error // the call fails, and nothing happens
	after  error                         // the answer is lost
	calls  int
}

func (p *payer) Extend(ctx context.Context, tx chain.TxID, batch []chain.Extension) (*chain.Outcome, error) {
	p.calls++
	if p.before != nil {
		if err := p.before(batch); err != nil {
			return nil, err
		}
	}
	out, err := p.Ledger.Extend(ctx, tx, batch)
	if p.after != nil {
		return nil, p.after
	}
	return out, err
}

// renewed is a drive with some blobs, and its renewer.
type renewed struct {
	*machine
	ledger *payer
	r      *keep.Renewer
}

const ahead = 26

func newRenewed(t *testing.T) *renewed {
	m := newWorld(t).machine(t.TempDir())
	for i := range 3 {
		m.put(string(rune('a'+i)), content(byte(i), 5000))
		m.drain()
	}
	l := &payer{Ledger: m.world.ledger}
	return &renewed{m, l, keep.NewRenewer(keep.RenewConfig{Index: m.db, Ledger: l, Ahead: ahead})}
}

// until goes on to an epoch.
func (m *renewed) until(epoch walrus.Epoch) {
	m.Helper()
	ctx := context.Background()
	for {
		state, err := m.ledger.State(ctx)
		m.must(err)
		if state.Epoch >= epoch {
			m.net.Sync(ctx)
			return
		}
		m.must(m.net.AdvanceEpoch(ctx))
	}
}

// ends returns the epochs in which what is paid for the segments ends, as index and ledger say.
func (m *renewed) ends() (says, paid []walrus.Epoch) {
	m.Helper()
	ctx := context.Background()
	rows, err := m.db.Segments(ctx, index.SegmentFilter{})
	m.must(err)
	for _, s := range rows {
		says = append(says, s.EndEpoch)
		owned, err := m.ledger.Owned(ctx, chain.OwnedQuery{Objects: []walrus.ObjectID{s.Object}})
		m.must(err)
		for _, o := range owned {
			paid = append(paid, o.EndEpoch)
		}
	}
	return says, paid
}

func (m *renewed) wantEnds(want walrus.Epoch) {
	m.Helper()
	says, paid := m.ends()
	for _, list := range [][]walrus.Epoch{says, paid} {
		if len(list) == 0 || slices.Min(list) != want || slices.Max(list) != want {
			m.Errorf("the index says %d, paid is until %d, want %d", says, paid, want)
			return
		}
	}
}

func (m *renewed) balance() uint64 {
	m.Helper()
	b, err := m.ledger.Balance(context.Background())
	m.must(err)
	return b.WALFrost
}

// TestRenew lets time pass until what was paid at first has ended.
func TestRenew(t *testing.T) {
	t.Parallel()
	m := newRenewed(t)
	ctx := context.Background()
	first, _ := m.ends()
	end := first[0]
	m.until(end - ahead/4 - 1)
	m.must(m.r.Renew(ctx))
	if m.ledger.calls != 0 {
		t.Error("renewed what was not due")
	}
	m.until(end - ahead/4)
	m.must(m.r.Renew(ctx))
	m.wantEnds(end - ahead/4 + ahead)
	if f := m.r.Found(); f.Renewed != len(first) || f.Frost == 0 || len(m.r.Problems()) != 0 {
		t.Errorf("found %+v, problems %q", f, m.r.Problems())
	}
	m.must(m.r.Renew(ctx))
	if m.ledger.calls != 1 {
		t.Errorf("%d transactions, want 1", m.ledger.calls)
	}
	m.until(end + 1)
	for i := range 3 {
		m.same(string(rune('a'+i)), content(byte(i), 5000))
	}
}

// TestNotRenewed is the control of TestRenew: without it the nodes drop the blobs.
func TestNotRenewed(t *testing.T) {
	t.Parallel()
	m := newRenewed(t)
	ctx := context.Background()
	first, _ := m.ends()
	m.until(first[0])
	rows, err := m.db.Segments(ctx, index.SegmentFilter{Number: 1})
	m.must(err)
	if n, err := m.blobs.ReadAt(ctx, rows[0].Blob, make([]byte, 10), 0); err == nil {
		t.Errorf("%d bytes of a blob that nobody paid for", n)
	}
	m.must(m.r.Renew(ctx))
	if f := m.r.Found(); f.Expired != len(first) || m.ledger.calls != 0 {
		t.Errorf("found %+v after %d transactions", f, m.ledger.calls)
	}
	if p := m.r.Problems(); len(p) != 1 || !strings.Contains(p[0], "has ended") {
		t.Errorf("problems %q", p)
	}
}

// TestRenewOnce loses the answer of the ledger: nothing is paid twice.
func TestRenewOnce(t *testing.T) {
	t.Parallel()
	m := newRenewed(t)
	ctx := context.Background()
	first, _ := m.ends()
	m.until(first[0] - 2)
	lost := errors.New("connection reset")
	m.ledger.after = lost
	if err := m.r.Renew(ctx); !errors.Is(err, lost) {
		t.Fatalf("got %v", err)
	}
	if p := m.r.Problems(); len(p) != 1 || !strings.Contains(p[0], "ends in epoch 27") || !strings.Contains(p[0], "connection reset") {
		t.Errorf("problems %q", p)
	}
	paid := m.balance()
	m.ledger.after = nil
	m.must(m.r.Renew(ctx))
	m.wantEnds(first[0] - 2 + ahead)
	if now := m.balance(); now != paid {
		t.Errorf("paid %d FROST once more", paid-now)
	}
	if p := m.r.Problems(); len(p) != 0 {
		t.Errorf("problems %q", p)
	}
}

// TestRenewOthers has one segment that cannot be renewed, and one that is gone.
func TestRenewOthers(t *testing.T) {
	t.Parallel()
	m := newRenewed(t)
	ctx := context.Background()
	rows, err := m.db.Segments(ctx, index.SegmentFilter{})
	m.must(err)
	m.until(rows[0].EndEpoch - 1)
	refused := rows[1].Object
	m.ledger.before = func(batch []chain.Extension) error {
		if slices.ContainsFunc(batch, func(e chain.Extension) bool { return e.Object == refused }) {
			return &chain.AbortError{Module: "blob", Function: "extend", Name: "EResourceBounds"}
		}
		return nil
	}
	_, err = m.ledger.Delete(ctx, chain.TxID{9}, []walrus.ObjectID{rows[0].Object})
	m.must(err)
	var abort *chain.AbortError
	if err := m.r.Renew(ctx); !errors.As(err, &abort) {
		t.Errorf("got %v", err)
	}
	if f := m.r.Found(); f.Missing != 1 || f.Renewed != len(rows)-2 {
		t.Errorf("found %+v", f)
	}
	says, _ := m.ends()
	if says[2] != rows[0].EndEpoch-1+ahead {
		t.Errorf("the index says %d", says)
	}
}

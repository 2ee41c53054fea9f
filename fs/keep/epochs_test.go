package keep_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// TestManyEpochs goes through a multiple of what is bought ahead. All stays
// readable, and the books say that each epoch of each blob was paid for once.
func TestManyEpochs(t *testing.T) {
	t.Parallel()
	m := newRenewed(t)
	ctx := context.Background()
	first, _ := m.ends()
	had := m.balance()
	times := walrus.Epoch(3)
	if os.Getenv("WALFS_SOAK") != "" {
		times = 5
	}
	for epoch := walrus.Epoch(2); epoch < 1+times*ahead; epoch++ {
		m.until(epoch)
		m.must(m.r.Renew(ctx))
		if p := m.r.Problems(); len(p) > 0 {
			t.Fatalf("epoch %d: problems %q", epoch, p)
		}
	}
	state, err := m.ledger.State(ctx)
	m.must(err)
	says, paid := m.ends()
	var cost uint64
	for i := range says {
		if says[i] != paid[i] || says[i] <= first[i]+(times-2)*ahead {
			t.Errorf("segment %d: from %d to %d, on the ledger to %d", i+1, first[i], says[i], paid[i])
		}
		cost += state.ExtendPrice(m.storage(i), uint32(says[i]-first[i]))
	}
	if got := had - m.balance(); got != cost {
		t.Errorf("paid %d FROST, want %d", got, cost)
	}
	for i := range 3 {
		m.same(string(rune('a'+i)), content(byte(i), 5000))
	}
}

// storage returns the encoded size that is reserved for the i-th segment.
func (m *renewed) storage(i int) uint64 {
	m.Helper()
	rows, err := m.db.Segments(context.Background(), index.SegmentFilter{})
	m.must(err)
	owned, err := m.ledger.Owned(context.Background(), chain.OwnedQuery{Objects: []walrus.ObjectID{rows[i].Object}})
	m.must(err)
	return owned[0].StorageSize
}

// empty takes all WAL out of the wallet.
func (m *renewed) empty() {
	m.Helper()
	m.pay(chain.Address{0xff}, m.balance())
}

func (m *renewed) wantState(name string, want index.State) {
	m.Helper()
	attr, err := m.db.Resolve(context.Background(), "/"+name)
	m.must(err)
	s, err := m.db.State(context.Background(), attr.Ino)
	m.must(err)
	if s.State != want {
		m.Errorf("%s is %s (%s), want %s", name, s.State, s.Error, want)
	}
}

// TestEmptyWallet cannot renew: that is said from a quarter of the time on,
// loudly from a tenth on, and how much is missing; what has ended is lost.
// Money in time makes all good.
func TestEmptyWallet(t *testing.T) {
	t.Parallel()
	m := newRenewed(t)
	ctx := context.Background()
	first, _ := m.ends()
	end := first[0]
	m.empty()
	for _, step := range []struct {
		epoch   walrus.Epoch
		state   index.State
		problem string
	}{
		{end - ahead/4 - 1, index.StateCertified, ""},
		{end - ahead/4, index.StateCertified, "cannot be renewed now: "},
		{end - ahead/10, index.StateExpiring, "ends in epoch 27, this is epoch 25"},
	} {
		m.until(step.epoch)
		if err := m.r.Renew(ctx); (step.problem != "") != errors.Is(err, chain.ErrNoFunds) {
			t.Errorf("epoch %d: renew: %v", step.epoch, err)
		}
		if p := strings.Join(m.r.Problems(), "; "); !strings.Contains(p, step.problem) || (p == "") != (step.problem == "") {
			t.Errorf("epoch %d: problems %q, want %q", step.epoch, p, step.problem)
		}
		m.wantState("a", step.state)
		m.same("a", content(0, 5000))
	}
	state, err := m.ledger.State(ctx)
	m.must(err)
	var need uint64
	for i := range first {
		need += state.ExtendPrice(m.storage(i), uint32(state.Epoch)+ahead-uint32(end))
	}
	if f := m.r.Found(); f.Need != need || need == 0 {
		t.Errorf("%d FROST are needed, want %d", f.Need, need)
	}
	m.earn(need)
	m.must(m.r.Renew(ctx))
	m.wantState("a", index.StateCertified)
	if b, p := m.balance(), m.r.Problems(); b != 0 || len(p) > 0 {
		t.Errorf("%d FROST are left, problems %q", b, p)
	}
}

// TestLost lets storage end: files are lost, reads fail, and the same content
// written once more is stored once more, not found unchanged.
func TestLost(t *testing.T) {
	t.Parallel()
	m := newRenewed(t)
	ctx := context.Background()
	first, _ := m.ends()
	had := m.balance()
	m.empty()
	m.until(first[0])
	m.must(m.r.Renew(ctx))
	m.earn(had)
	for i := range 3 {
		m.evict(string(rune('a' + i)))
		m.wantState(string(rune('a'+i)), index.StateLost)
	}
	if e, err := m.db.Ended(ctx); err != nil || e.Segments != len(first) || e.Files != 3 || e.Bytes != 15000 || e.Local != 0 {
		t.Errorf("ended %+v, %v", e, err)
	}
	m.rewrite("a", content(0, 5000))
	m.drain()
	m.wantState("a", index.StateCertified)
	m.wantState("b", index.StateLost)
	m.same("a", content(0, 5000))
	if e, err := m.db.Ended(ctx); err != nil || e.Files != 2 {
		t.Errorf("ended %+v, %v", e, err)
	}
}

// TestOnlyCopy lets storage end of which copies are here: those are not
// evicted, however small the budget is, and what is not lost is told from what is.
func TestOnlyCopy(t *testing.T) {
	t.Parallel()
	m := newRenewed(t)
	ctx := context.Background()
	m.copiesOf(3)
	first, _ := m.ends()
	m.empty()
	m.until(first[0])
	m.must(m.r.Look(ctx))
	m.evict("c")
	_, c := m.slivers(1)
	if freed, err := c.Trim(ctx); err != nil || freed != 0 {
		t.Errorf("freed %d bytes of the only copies, %v", freed, err)
	}
	if freed, err := c.Evict(ctx, 1<<30); err != nil || freed != 0 {
		t.Errorf("freed %d bytes of the only copies, %v", freed, err)
	}
	m.wantState("a", index.StateExpiring)
	m.wantState("c", index.StateLost)
	if e, err := m.db.Ended(ctx); err != nil || e.Files != 3 || e.Local != 2 {
		t.Errorf("ended %+v, %v", e, err)
	}
	m.copiesOf(2)
}

// rewrite replaces the content of a file of the root.
func (m *renewed) rewrite(name string, content []byte) {
	m.Helper()
	ctx := context.Background()
	attr, err := m.db.Resolve(ctx, "/"+name)
	m.must(err)
	f, err := m.stage.File(ctx, attr.Ino, staging.Shape{Size: attr.Size, Mtime: attr.Mtime, Base: attr.PubSize})
	m.must(err)
	defer f.Release()
	m.must(f.Clean())
	m.must(f.Truncate(ctx, 0))
	_, err = f.WriteAt(ctx, content, 0, nil)
	m.must(err)
	m.must(m.db.Queue(ctx, attr.Ino, index.Queued{Size: f.Size(), Mtime: f.Mtime()}))
	m.c.Wake()
}

// evict gives up what is kept of a file here.
func (m *renewed) evict(name string) {
	m.Helper()
	attr, err := m.db.Resolve(context.Background(), "/"+name)
	m.must(err)
	m.must(m.db.CopyDrop(context.Background(), attr.Ino))
	m.must(m.stage.Remove(attr.Ino))
}

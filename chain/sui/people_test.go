package sui_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/chaintest"
	"github.com/walfs/walfs/chain/move"
	"github.com/walfs/walfs/chain/sui"
)

// TestStakeAndBack stakes with a node, sees it weigh, and gets it back with what it earned.
func TestStakeAndBack(t *testing.T) {
	ctx := t.Context()
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	c := w.client(wallet(t, 1))
	nodes, err := c.Nodes(ctx)
	if err != nil || len(nodes) != 4 || nodes[0].Shards == 0 || nodes[0].Votes.StoragePrice == 0 {
		t.Fatalf("nodes: %+v, %v", nodes, err)
	}
	const stake = 5 * chain.FrostPerWAL
	staked, err := c.Stake(ctx, chain.TxID{1}, nodes[0].ID, stake)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := c.Receipt(ctx, staked)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Stake(ctx, chain.TxID{1}, nodes[0].ID, stake); err != nil || again.Digest != staked.Digest {
		t.Errorf("staked again under the same ID: %+v, %v, want %s", again, err, staked.Digest)
	}
	if _, err := c.Stake(ctx, chain.TxID{1}, nodes[1].ID, stake); !errors.Is(err, chain.ErrTxReused) {
		t.Errorf("another stake under the same ID: %v", err)
	}
	if paid := poorer(t, c); paid != stake {
		t.Errorf("paid %d, want %d", paid, uint64(stake))
	}
	var abort *chain.AbortError
	if _, err := c.Stake(ctx, chain.TxID{2}, nodes[0].ID, 1); !errors.As(err, &abort) {
		t.Errorf("less than a WAL: %v, want an abort", err)
	}
	if _, err := c.Register(ctx, chain.TxID{3}, []chain.Registration{registration(1)}); err != nil { // what nodes earn from
		t.Fatal(err)
	}
	if h := hold(t, c); h.State() != "pending" || !h.Early || h.Free != h.Epoch || h.RewardsFrost != 0 {
		t.Errorf("before it is at work: %+v", h)
	}
	w.advance(2)
	if h := hold(t, c); h.State() != "active" || h.Early || h.Free != h.Epoch+1 || h.RewardsFrost == 0 || h.NodeName != nodes[0].Name {
		t.Errorf("at work: %+v", h)
	}
	stakes, err := c.Stakes(ctx)
	if err != nil || len(stakes) != 1 || stakes[0].ID != receipt || stakes[0].Node != nodes[0].ID || stakes[0].Principal != stake {
		t.Fatalf("stakes: %+v, %v", stakes, err)
	}
	weight, err := c.Weight(ctx)
	if err != nil || weight.Frost != stake || weight.Shards <= 0 || weight.Shards > 10 || weight.Of != 10 {
		t.Errorf("weight: %+v, %v", weight, err)
	}
	if _, err := c.RequestWithdraw(ctx, chain.TxID{4}, receipt); err != nil {
		t.Fatal(err)
	}
	if h := hold(t, c); h.State() != "withdrawing" || h.Free != h.Epoch+1 {
		t.Errorf("asked back: %+v", h)
	}
	w.advance(2)
	due := hold(t, c)
	if due.State() != "withdrawable" || due.Free >= due.Epoch {
		t.Errorf("a while after it was due: %+v", due)
	}
	before := poorer(t, c)
	r, err := c.Withdraw(ctx, chain.TxID{5}, receipt)
	if err != nil {
		t.Fatal(err)
	}
	gained, err := r.Gained()
	if got := before - poorer(t, c); err != nil || got != stake+due.RewardsFrost || got != gained {
		t.Errorf("got %d back, by the result %d, %v; staked %d and told %d of rewards", got, gained, err, uint64(stake), due.RewardsFrost)
	}
	if r.GasMist <= 0 || len(r.Changes) == 0 {
		t.Errorf("result %+v", r)
	}
	if stakes, err := c.Stakes(ctx); err != nil || len(stakes) != 0 {
		t.Errorf("stakes left: %+v, %v", stakes, err)
	}
}

// hold returns the owner's only stake.
func hold(t *testing.T, c *sui.Client) sui.Holding {
	t.Helper()
	list, err := c.Holdings(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("holdings: %+v, %v", list, err)
	}
	return list[0]
}

// advance changes to a later epoch.
func (w *town) advance(epochs int) {
	w.t.Helper()
	for range epochs {
		if err := w.net.AdvanceEpoch(context.Background()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestAssets sends money and objects, and changes reservations.
func TestAssets(t *testing.T) {
	ctx := t.Context()
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	c, heir := w.client(wallet(t, 1)), w.client(wallet(t, 2))
	if _, err := c.SendWAL(ctx, chain.TxID{1}, heir.Address(), 7); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SendSUI(ctx, chain.TxID{2}, heir.Address(), 100_000_000); err != nil {
		t.Fatal(err)
	}
	if b, err := heir.Balance(ctx); err != nil || b != (chain.Balance{WALFrost: 7, SUIMist: 100_000_000}) {
		t.Errorf("the heir has %+v, %v", b, err)
	}
	if _, err := c.SendSUI(ctx, chain.TxID{3}, heir.Address(), 1<<60); !errors.Is(err, sui.ErrNoGas) {
		t.Errorf("more SUI than there is: %v", err)
	}
	if f, err := c.Funds(ctx); err != nil || f.WALAside != 0 || f.SUIAside != 0 || f.WALCoins != chaintest.MinFunds-7 {
		t.Errorf("funds: %+v, %v", f, err)
	}
	out, err := c.Register(ctx, chain.TxID{4}, []chain.Registration{registration(1), registration(2), registration(3)})
	if err != nil {
		t.Fatal(err)
	}
	id := func(i int) walrus.ObjectID { return out.Registered[i].Object }
	if _, err := c.SetAttributes(ctx, chain.TxID{5}, id(0), []chain.Attribute{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetAttributes(ctx, chain.TxID{6}, id(0), nil, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	owned, err := c.Owned(ctx, chain.OwnedQuery{Key: "b"})
	if err != nil || len(owned) != 1 || owned[0].Object != id(0) || len(owned[0].Attributes) != 1 {
		t.Errorf("with attribute b: %+v, %v", owned, err)
	}
	if _, err := c.Send(ctx, chain.TxID{7}, heir.Address(), move.ID(id(0))); err != nil {
		t.Fatal(err)
	}
	if owned, err := heir.Owned(ctx, chain.OwnedQuery{}); err != nil || len(owned) != 1 || owned[0].Object != id(0) {
		t.Errorf("the heir owns %+v, %v", owned, err)
	}
	if _, err := c.Burn(ctx, chain.TxID{8}, []walrus.ObjectID{id(0)}); !errors.Is(err, chain.ErrNotOwner) {
		t.Errorf("burned what belongs to another: %v", err)
	}
	if _, err := c.Burn(ctx, chain.TxID{9}, []walrus.ObjectID{id(1)}); err != nil {
		t.Fatal(err)
	}
	freed, err := c.Delete(ctx, chain.TxID{10}, []walrus.ObjectID{id(2)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SplitStorage(ctx, chain.TxID{11}, freed.Freed[0], 1000, 0); err != nil {
		t.Fatal(err)
	}
	free, err := c.Owned(ctx, chain.OwnedQuery{Storage: true})
	if err != nil || len(free) != 2 {
		t.Fatalf("reservations: %+v, %v", free, err)
	}
	if _, err := c.FuseStorage(ctx, chain.TxID{12}, free[0].Object, free[1].Object); err != nil {
		t.Fatal(err)
	}
	if free, err := c.Owned(ctx, chain.OwnedQuery{Storage: true}); err != nil || len(free) != 1 {
		t.Errorf("reservations: %+v, %v", free, err)
	}
	if owned, err := c.Owned(ctx, chain.OwnedQuery{}); err != nil || len(owned) != 0 {
		t.Errorf("blobs left: %+v, %v", owned, err)
	}
}

// TestExchange changes SUI into WAL.
func TestExchange(t *testing.T) {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	c := w.client(wallet(t, 1))
	if _, err := c.Exchange(t.Context(), chain.TxID{1}, 100_000_000); err != nil {
		t.Fatal(err)
	}
	if b, err := c.Balance(t.Context()); err != nil || b.WALFrost != chaintest.MinFunds+100_000_000 {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestDryRun builds and tries out, and sends nothing.
func TestDryRun(t *testing.T) {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	p := newProxy()
	c := w.clientWith(sui.Config{Wallet: wallet(t, 1), DryRun: true}, p.intercept)
	_, err := c.Register(t.Context(), chain.TxID{1}, []chain.Registration{registration(1)})
	var dry *sui.DryRun
	if !errors.As(err, &dry) || dry.Draft.CostFrost == 0 || dry.Draft.GasMist == 0 || dry.Draft.BudgetMist <= uint64(dry.Draft.GasMist) ||
		len(dry.Draft.Tx.Commands) != 3 || move.TransactionDigest(dry.Draft.Raw) != dry.Draft.Digest {
		t.Fatalf("got %v", err)
	}
	if p.calls[execute] != 0 || poorer(t, c) != 0 {
		t.Errorf("%d transactions were sent, %d paid", p.calls[execute], poorer(t, c))
	}
	if _, err := c.Outcome(t.Context(), chain.TxID{1}); !errors.Is(err, chain.ErrNotExist) {
		t.Errorf("outcome of a dry run: %v", err)
	}
	out, err := w.client(wallet(t, 1)).Register(t.Context(), chain.TxID{1}, []chain.Registration{registration(1)})
	if err != nil || out.CostFrost != dry.Draft.CostFrost {
		t.Errorf("in earnest: %+v, %v, want a price of %d", out, err, dry.Draft.CostFrost)
	}
}

// TestLostWithTheFolder puts an older copy of the ledger in place: what the
// journal calls executed there never was, and can be done again.
func TestLostWithTheFolder(t *testing.T) {
	ctx := t.Context()
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	w.close()
	older := t.TempDir()
	copyFolder(t, w.cfg.Dir, older)
	w.cfg.Genesis = nil
	w.open()
	first, err := w.clientWith(sui.Config{Wallet: wallet(t, 1), Complete: true}).Register(ctx, chain.TxID{1}, []chain.Registration{registration(1)})
	if err != nil {
		t.Fatal(err)
	}
	w.close()
	w.cfg.Dir = older
	w.open()
	c := w.clientWith(sui.Config{Wallet: wallet(t, 1), Complete: true})
	if _, err := c.Outcome(ctx, chain.TxID{1}); !errors.Is(err, chain.ErrNotExist) {
		t.Errorf("outcome of what was lost: %v", err)
	}
	again, err := c.Register(ctx, chain.TxID{1}, []chain.Registration{registration(1)})
	if err != nil || again.CostFrost != first.CostFrost {
		t.Fatalf("done again: %+v, %v", again, err)
	}
	if owned, err := c.Owned(ctx, chain.OwnedQuery{}); err != nil || len(owned) != 1 || owned[0].Object != again.Registered[0].Object {
		t.Errorf("owned: %+v, %v", owned, err)
	}
}

// TestFollow gets the events that are there, then new ones as they come, each
// once, and goes on from a cursor after a restart.
func TestFollow(t *testing.T) {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	c := w.client(wallet(t, 1))
	register := func(n byte) {
		t.Helper()
		if _, err := c.Register(t.Context(), chain.TxID{n}, []chain.Registration{registration(n)}); err != nil {
			t.Fatal(err)
		}
	}
	register(1)
	var cursor uint64
	follow := func(until int, more func(seen int)) (blobs []walrus.BlobID) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := c.Follow(ctx, cursor, func(events []chain.Event, next uint64) error {
			for _, e := range events {
				if e.Kind == chain.BlobRegistered {
					blobs = append(blobs, e.Blob)
				}
			}
			cursor = next
			if len(blobs) >= until {
				return errEnough
			}
			go more(len(blobs))
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Errorf("follow: %v", err)
		}
		return blobs
	}
	got := follow(2, func(int) { register(2) })
	register(3)
	got = append(got, follow(1, func(int) {})...)
	want := []walrus.BlobID{registration(1).Blob, registration(2).Blob, registration(3).Blob}
	if len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("got %v, want %v", got, want)
	}
}

var errEnough = errors.New("enough")

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

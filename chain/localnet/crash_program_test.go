package localnet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// history is every transaction of a ledger, as it can be read again.
func history(t *testing.T, n *Net) (all []*Executed) {
	t.Helper()
	newest, err := n.Checkpoint(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= newest.Seq; seq++ {
		c, err := n.Checkpoint(context.Background(), seq)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c.Transaction)
	}
	return all
}

// TestCrashInProgram copies the files before each row that a signed transaction
// writes and before its commit: each copy is the ledger before it or after it,
// and the same bytes, sent again, bring it to where the original is.
func TestCrashInProgram(t *testing.T) {
	ctx := context.Background()
	g, keys := newGenesis(t, 4, 10)
	dir := t.TempDir()
	n, err := open(ctx, Config{Dir: dir, Seed: testSeed, Genesis: g}, hookedDriver)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	w := newWallet(t, n, 1)
	batch := numberedBlobs(0, 2)
	var registered move.Digest
	steps := []func() *build{
		func() *build { return w.registerMany(batch) },
		func() *build {
			b := w.certifyMany(keys, batch, registered)
			b.call("blob", "insert_or_update_metadata_pair", b.object(move.CreatedID(registered, 1)), b.text("k"), b.text("v"))
			return b
		},
		func() *build {
			b := w.build()
			b.transfer(w.address(), b.call("system", "delete_blob", b.object(n.facts.system), b.object(move.CreatedID(registered, 3))))
			return b
		},
		func() *build { // which fails, and pays for gas
			b := w.build()
			b.call("system", "delete_blob", b.object(n.facts.system))
			return b
		},
	}
	for i, step := range steps {
		bcs, signatures := w.sign(w.resolve(step()))
		before, past := tables(t, n), history(t, n)
		var copies []string
		logged := 0 // the first copy in which the log has the transaction: when the commit begins
		hook := func(what string) {
			if what == "commit" && logged == 0 {
				logged = len(copies)
			}
			copies = append(copies, copyLedger(t, dir))
		}
		rowHook.Store(&hook)
		want, err := n.Execute(ctx, bcs, signatures)
		rowHook.Store(nil)
		if err != nil || (want.Effects.Status.Failure != nil) != (i == len(steps)-1) {
			t.Fatalf("step %d: %+v, %v", i, want, err)
		}
		if i == 0 {
			registered = want.Digest
		}
		after, now := tables(t, n), history(t, n)
		if len(copies) < 3 {
			t.Fatalf("step %d: %d moments were seen", i, len(copies))
		}
		for moment, dir := range append(copies, copyLedger(t, dir)) {
			again := openNet(t, Config{Dir: dir})
			done := moment >= logged // from there on it is replayed, and then it was answered
			got, err := again.Transaction(ctx, want.Digest)
			if done && err != nil || !done && !errors.Is(err, chain.ErrNotExist) {
				t.Errorf("step %d, moment %d of %d: %+v, %v", i, moment, len(copies), got, err)
			}
			state, told := before, past
			if done {
				state, told = after, now
			}
			diffTables(t, "after the crash", tables(t, again), state)
			if got := history(t, again); !reflect.DeepEqual(got, told) {
				t.Errorf("step %d, moment %d: the history differs", i, moment)
			}
			if _, err := again.Execute(ctx, bcs, signatures); err != nil {
				t.Errorf("step %d, moment %d, sent again: %v", i, moment, err)
			}
			if got := history(t, again); !reflect.DeepEqual(got[len(got)-1].Effects, want.Effects) || len(got) != len(now) {
				t.Errorf("step %d, moment %d, sent again: %d transactions, want %d", i, moment, len(got), len(now))
			}
			checkRows(t, again)
		}
	}
}

// TestRebuiltHistory makes ledgers of nothing but the log, as it was appended
// to and as it was compacted: they tell the same of every transaction.
func TestRebuiltHistory(t *testing.T) {
	ctx := context.Background()
	g, keys := newGenesis(t, 4, 10)
	dir := t.TempDir()
	n := openNet(t, Config{Dir: dir, Genesis: g})
	w := newWallet(t, n, 1)
	batch := numberedBlobs(0, 3)
	e := w.succeed(w.registerMany(batch))
	w.succeed(w.certifyMany(keys, batch, e.Digest))
	failing := w.build()
	failing.register(chain.Registration{})
	if w.execute(failing).Effects.Status.Failure == nil {
		t.Error("a blob without a name was registered")
	}
	burn := w.build()
	burn.call("blob", "burn", burn.object(move.CreatedID(e.Digest, 1)))
	w.succeed(burn)
	want, state := history(t, n), tables(t, n)
	check := func(name string) {
		t.Helper()
		away := t.TempDir()
		b, err := os.ReadFile(filepath.Join(dir, LogFile))
		if err == nil {
			err = os.WriteFile(filepath.Join(away, LogFile), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		again := openNet(t, Config{Dir: away})
		if got := history(t, again); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the history differs", name)
		}
		diffTables(t, name, tables(t, again), state)
		if got, err := again.Transaction(ctx, e.Digest); err != nil || len(got.Signatures) != 1 || len(got.Events) != 3 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	check("appended")
	if err := n.compact(ctx); err != nil {
		t.Fatal(err)
	}
	check("compacted")
}

// TestOldLog goes on with a ledger whose database and log are those of schema 2:
// its transactions can be read, and signed ones follow.
func TestOldLog(t *testing.T) {
	dir := t.TempDir()
	b, err := os.ReadFile(filepath.Join("testdata", LogFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, LogFile), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if info, err := InspectLog(filepath.Join(dir, LogFile)); err != nil || b[8] != 1 || info.Number != 3 {
		t.Fatalf("the log is of version %d, %+v, %v", b[8], info, err)
	}
	n := openNet(t, Config{Dir: dir})
	if n.home.header.version != logVersion {
		t.Errorf("log of version %d is gone on with", n.home.header.version)
	}
	w := newWallet(t, n, 1)
	give := w.build()
	give.transfer(w.address(), give.split(gasCoin, 5))
	e := w.succeed(give)
	f, err := n.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[move.ID]move.StructTag{f.Slashing: n.facts.packages.SlashingManager(), f.Upgrades: n.facts.packages.UpgradeManager()} {
		if o, err := n.Object(t.Context(), id); err != nil || !o.Type.Equal(want) {
			t.Errorf("object %s: %+v, %v, want %s", id, o, err, want)
		}
	}
	all := history(t, n)
	if all[0].Transaction != nil || all[0].Effects == nil || !reflect.DeepEqual(all[len(all)-1].Transaction, e.Transaction) {
		t.Errorf("%d transactions", len(all))
	}
	checkLog(t, "home", n)
}

// TestPrune makes transactions old: what came of them is still known, and their bytes are not executed again.
func TestPrune(t *testing.T) {
	ctx := t.Context()
	clock := &manual{time.UnixMilli(1_700_000_000_000)}
	g, _ := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g, Now: clock.now})
	w := newWallet(t, n, 1)
	good, bad := w.build(), w.build()
	good.transfer(w.address(), good.split(gasCoin, 1))
	sent := w.resolve(good)
	first, err := w.try(sent)
	if err != nil {
		t.Fatal(err)
	}
	bad.call("system", "nothing")
	failed := w.execute(bad)
	prune := func() {
		t.Helper()
		if err := n.compact(ctx); err != nil {
			t.Fatal(err)
		}
	}
	prune()
	if e, err := n.Transaction(ctx, first.Digest); err != nil || e.Transaction == nil {
		t.Errorf("a new transaction was pruned: %+v, %v", e, err)
	}
	// as if there had been many since: the last row gets a high number
	late := w.build()
	late.transfer(w.address(), late.split(gasCoin, 1))
	last := w.succeed(late)
	if _, err := n.store.writer.Exec(`UPDATE transactions SET seq = seq + ? WHERE digest = ?`, 2*keptTransactions, last.Digest[:]); err != nil {
		t.Fatal(err)
	}
	prune()
	if e, err := n.Transaction(ctx, first.Digest); err != nil || e.Transaction == nil {
		t.Errorf("a young transaction was pruned: %+v, %v", e, err)
	}
	clock.at = clock.at.Add(31 * 24 * time.Hour)
	prune()
	for digest, failed := range map[move.Digest]bool{first.Digest: false, failed.Digest: true} {
		e, err := n.Transaction(ctx, digest)
		if err != nil || e.Transaction != nil || e.BCS != nil || (e.Effects.Status.Failure != nil) != failed {
			t.Errorf("old transaction, failed %v: %+v, %v", failed, e, err)
		}
	}
	if e, err := n.Transaction(ctx, last.Digest); err != nil || e.Transaction == nil {
		t.Errorf("the newest one was pruned: %+v, %v", e, err)
	}
	bcs, signatures := w.sign(sent)
	if e, err := n.Execute(ctx, bcs, signatures); err != nil || e.Seq != first.Seq {
		t.Errorf("sent again: %+v, %v", e, err)
	}
	if err := n.Faucet(ctx, chain.TxID{0xfa, 1}, chain.Address(w.address()), 1e15, 1e12); err != nil {
		t.Fatal(err)
	}
	if b := (account{w}).Balance(); b.WALFrost != 1e15 {
		t.Errorf("the faucet paid an old request again: %+v", b)
	}
}

package localnet

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/ptb"
	"github.com/walfs/walfs/chain/move"
)

// TestOwnedPages lists coins page by page: all of them, each once, by type and by family of types.
func TestOwnedPages(t *testing.T) {
	n, w, _ := newProgramNet(t)
	b := w.build()
	parts := b.split(b.object(w.coin()), 1, 2, 3, 4)
	b.transfer(w.address(), nested(parts, 0), nested(parts, 1), nested(parts, 2), nested(parts, 3))
	w.succeed(b)
	wal, any := n.facts.packages.WALCoin(), move.FrameworkType("coin", "Coin")
	for name, test := range map[string]struct {
		tag  *move.StructTag
		want int
	}{"everything": {nil, 6}, "WAL": {&wal, 5}, "any coin": {&any, 6}} {
		seen := make(map[move.ID]bool)
		pages := 0
		for cursor := uint64(0); pages == 0 || cursor != 0; pages++ {
			objects, next, err := n.OwnedObjects(t.Context(), w.address(), test.tag, cursor, 2)
			if err != nil || len(objects) == 0 || pages > 3 {
				t.Fatalf("%s: %d objects behind %d, %v", name, len(objects), cursor, err)
			}
			for _, o := range objects {
				seen[o.ID()] = true
			}
			cursor = next
		}
		if len(seen) != test.want || pages != 3 {
			t.Errorf("%s: %d objects on %d pages, want %d on 3", name, len(seen), pages, test.want)
		}
	}
	balances, err := n.Balances(t.Context(), w.address())
	want := []CoinBalance{{move.SUI, 1e12 - ptb.GasCost, 1}, {n.facts.packages.WALType(), 1e15, 5}}
	if err != nil || !reflect.DeepEqual(balances, want) {
		t.Errorf("balances %+v, %v, want %+v", balances, err, want)
	}
}

// TestDynamicFields takes the fields of the ledger's own objects apart.
func TestDynamicFields(t *testing.T) {
	n, _, _ := newProgramNet(t)
	var pools move.ID
	_, _, staking, err := n.inners(t.Context(), n.store.reader)
	if err != nil {
		t.Fatal(err)
	}
	pools = staking.Pools.ID
	for name, test := range map[string]struct {
		parent move.ID
		fields int
		name   move.TypeTag
		bytes  int
		child  bool
	}{
		"system":   {n.facts.system, 1, move.TypeTag{Kind: move.KindU64}, 8, false},
		"treasury": {n.facts.treasury, 1, n.facts.packages.TreasuryKey().Type, 1, true},
		"pools":    {pools, 4, move.IDKey(pools).Type, 32, true},
		"nothing":  {move.ID{1}, 0, move.TypeTag{}, 0, false},
	} {
		fields, next, err := n.DynamicFields(t.Context(), test.parent, 0, 50)
		if err != nil || len(fields) != test.fields || next != 0 {
			t.Fatalf("%s: %d fields, next %d, %v", name, len(fields), next, err)
		}
		for _, f := range fields {
			if !f.NameType.Equal(test.name) || len(f.Name) != test.bytes || (f.Child != nil) != test.child {
				t.Errorf("%s: name %s of %d bytes, child %v", name, f.NameType, len(f.Name), f.Child)
			}
			key := move.FieldKey{Type: f.NameType, BCS: f.Name}
			if f.Child != nil {
				key = move.ObjectFieldKey(key)
			}
			if id, err := move.FieldID(test.parent, key); err != nil || id != f.Field.ID() {
				t.Errorf("%s: field %s, its name gives %s, %v", name, f.Field.ID(), id, err)
			}
		}
	}
}

// TestAllFields takes every field of a ledger apart that has something in it.
func TestAllFields(t *testing.T) {
	n, w, _ := newProgramNet(t)
	b := w.build()
	blob := b.register(numberedBlobs(0, 1)[0])
	b.call("blob", "insert_or_update_metadata_pair", blob, b.text("k"), b.text("v"))
	b.transfer(w.address(), blob)
	w.succeed(b)
	if err := n.AdvanceEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, o := range allObjects(t, n) {
		if o.Owner.Kind != move.OwnerObject || o.Type.Module != "dynamic_field" {
			continue
		}
		fields, _, err := n.DynamicFields(t.Context(), o.Owner.Address, 0, 1000)
		if err != nil || len(fields) == 0 {
			t.Errorf("fields of %s: %v", o.Owner.Address, err)
		}
		count++
	}
	if count < 15 {
		t.Errorf("%d fields only", count)
	}
}

// TestSimulate asks what a transaction would do: that is what it then does, and
// asking leaves no trace.
func TestSimulate(t *testing.T) {
	n, w, _ := newProgramNet(t)
	b := w.build()
	b.transfer(w.address(), b.register(numberedBlobs(0, 1)[0]))
	b.call("system", "epoch", b.object(n.facts.system))
	tx := w.resolve(b)
	before := tables(t, n)
	would, err := n.Simulate(t.Context(), tx, true)
	if err != nil {
		t.Fatal(err)
	}
	diffTables(t, "after a simulation", tables(t, n), before)
	if len(would.Results) != 4 || len(would.Results[3]) != 1 || would.Results[3][0].Type.Kind != move.KindU32 || would.Results[3][0].BCS[0] != 1 {
		t.Errorf("results %+v", would.Results)
	}
	did, err := w.try(tx)
	if err != nil || !reflect.DeepEqual(did.Effects, would.Effects) || !reflect.DeepEqual(did.Events, would.Events) {
		t.Errorf("would %+v\n did %+v, %v", would.Effects, did.Effects, err)
	}
	if _, err := n.Simulate(t.Context(), tx, true); !errors.Is(err, chain.ErrStaleVersion) {
		t.Errorf("simulated again: %v", err)
	}

	b = w.build() // without gas, and without checks as somebody else
	b.SelectGas = false
	b.transfer(w.address(), b.split(gasCoin, 7))
	for _, checks := range []bool{true, false} {
		if e, err := n.Simulate(t.Context(), w.resolve(b), checks); err != nil || e.Effects.Status.Failure != nil || len(e.Effects.Changed) != 2 {
			t.Errorf("checks %v, without gas: %+v, %v", checks, e, err)
		}
	}
	b = w.build()
	b.transfer(move.Address{9}, b.object(w.coin()))
	b.Sender, b.SelectGas = move.Address{7}, false
	if _, err := n.Simulate(t.Context(), w.resolve(b), true); !errors.Is(err, chain.ErrNotOwner) {
		t.Errorf("as somebody else, checked: %v", err)
	}
	if e, err := n.Simulate(t.Context(), w.resolve(b), false); err != nil || e.Effects.Status.Failure != nil {
		t.Errorf("as somebody else, not checked: %+v, %v", e, err)
	}
}

// TestResolve completes transactions: mutability from the functions, gas from the largest coins that are no inputs.
func TestResolve(t *testing.T) {
	n, w, _ := newProgramNet(t)
	split := w.build()
	split.transfer(w.address(), split.split(gasCoin, 3_000_000))
	w.succeed(split)
	b := w.build()
	b.call("system", "epoch", b.object(n.facts.system))
	b.add(move.Command{Kind: move.CommandMoveCall, Call: move.Call{Package: move.Framework, Module: "clock", Function: "timestamp_ms",
		Arguments: []move.Argument{b.object(move.ClockID)}}})
	tx := w.resolve(b)
	if tx.Inputs[0].Mutable || tx.Inputs[0].Kind != move.InputShared || tx.Inputs[1].Initial != 1 || tx.Inputs[1].Mutable {
		t.Errorf("inputs %+v", tx.Inputs)
	}
	if len(tx.Gas.Payment) != 1 || tx.Gas.Price != ptb.GasPrice || tx.Gas.Budget != resolvedBudget || tx.Gas.Owner != w.address() {
		t.Errorf("gas %+v", tx.Gas)
	}
	big := tx.Gas.Payment[0].ID
	b = w.build()
	b.transfer(w.address(), b.object(big))
	if tx := w.resolve(b); len(tx.Gas.Payment) != 1 || tx.Gas.Payment[0].ID == big {
		t.Errorf("gas is an input, too: %+v", tx.Gas)
	}
	b = w.build()
	b.transfer(w.address(), b.split(gasCoin, 1))
	if tx := w.resolve(b); len(tx.Gas.Payment) != 2 {
		t.Errorf("the gas coin is used, and is of %d coins", len(tx.Gas.Payment))
	}
	w.succeed(b)
	b = w.build()
	b.call("system", "add_subsidy", b.object(n.facts.system), b.object(w.coin()), b.u32(1))
	if tx := w.resolve(b); !tx.Inputs[0].Mutable {
		t.Error("&mut System is not mutable")
	}
	b.Sender = move.Address{5}
	_, err := n.Resolve(t.Context(), &b.Partial)
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Kind != RefusedGas {
		t.Errorf("without money: %v", err)
	}
	b = w.build()
	b.object(move.ID{0xff})
	if _, err := n.Resolve(t.Context(), &b.Partial); !errors.Is(err, chain.ErrNotExist) {
		t.Errorf("an object that is not there: %v", err)
	}
}

// TestSubscribe follows while transactions come faster than they are read: none is left out.
func TestSubscribe(t *testing.T) {
	n, w, _ := newProgramNet(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	news, err := n.Subscribe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var sent []move.Digest
	for i := range 5 {
		b := w.build()
		b.transfer(w.address(), b.split(b.object(w.coin()), uint64(i+1)))
		sent = append(sent, w.succeed(b).Digest)
	}
	var previous *Checkpoint
	for i, digest := range sent {
		c, ok := <-news
		if !ok || c.Transaction.Digest != digest {
			t.Fatalf("checkpoint %d: %+v", i, c)
		}
		if previous != nil && (c.Seq != previous.Seq+1 || c.Previous != previous.Digest) {
			t.Errorf("checkpoint %d follows %d", c.Seq, previous.Seq)
		}
		previous = c
	}
	fund(t, n, chain.TxID{0x77}, alice, 1) // what the ledger does by itself is told, too
	if c := <-news; c == nil || c.Seq != previous.Seq+1 {
		t.Errorf("checkpoint %+v", c)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if c, ok := <-news; ok {
		t.Errorf("after the end: %+v", c)
	}
}

// TestSuiEpoch moves the clock on: an epoch of Sui is a day, and transactions for one that is over are refused.
func TestSuiEpoch(t *testing.T) {
	clock := &manual{time.UnixMilli(1_700_000_000_000)}
	g, _ := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g, Now: clock.now})
	w := newWallet(t, n, 1)
	b := w.build()
	b.transfer(w.address(), b.split(gasCoin, 1))
	tx := w.resolve(b)
	tx.Expiration = move.Expiration{Kind: move.ExpirationEpoch}
	clock.at = clock.at.Add(25 * time.Hour)
	if epoch, start := n.SuiEpoch(); epoch != 1 || n.Now().Sub(start) > 2*time.Hour {
		t.Errorf("epoch %d since %s", epoch, start)
	}
	_, err := w.try(tx)
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Kind != RefusedExpired {
		t.Errorf("got %v", err)
	}
	tx.Expiration.Epoch = 1
	if e, err := w.try(tx); err != nil || e.Effects.Epoch != 1 {
		t.Errorf("%+v, %v", e, err)
	}
}

package localnet

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/ptb"
	"github.com/walfs/walfs/chain/move"
)

// newProgramNet makes a ledger and a wallet with money.
func newProgramNet(t testing.TB) (*Net, *wallet, testNodes) {
	t.Helper()
	g, keys := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	return n, newWallet(t, n, 1), keys
}

// operations are what a transaction did, by object.
func operations(e *Executed) map[move.ID]string {
	ops := make(map[move.ID]string)
	for _, c := range e.Effects.Changed {
		ops[c.ID] = fmt.Sprintf("in %v, out %v, id %d", c.Input != nil, c.Output != nil, c.Operation)
	}
	return ops
}

// What an object can have gone through, in the words of operations.
const (
	opCreated   = "in false, out true, id 1"
	opMutated   = "in true, out true, id 0"
	opDeleted   = "in true, out false, id 2"
	opWrapped   = "in true, out false, id 0"
	opUnwrapped = "in false, out true, id 0"
	opVanished  = "in false, out false, id 2"
)

// TestRegisterDirect executes the recipe: the reservation gets the first ID and
// is wrapped, the blob object the second one, and there is one event.
func TestRegisterDirect(t *testing.T) {
	n, w, _ := newProgramNet(t)
	b := w.build()
	coin := w.coin()
	b.transfer(w.address(), b.register(numberedBlobs(0, 1)[0]))
	e := w.succeed(b)
	blob := move.CreatedID(e.Digest, 1)
	object, err := n.Object(t.Context(), blob)
	if err != nil || object.Owner != move.AddressOwner(w.address()) || !object.Type.Equal(n.facts.packages.Blob()) {
		t.Fatalf("blob object: %+v, %v", object, err)
	}
	inner, err := move.FieldID(n.facts.system, move.U64Key(3))
	if err != nil {
		t.Fatal(err)
	}
	gas := e.Transaction.Gas.Payment[0].ID
	want := map[move.ID]string{blob: opCreated, coin: opMutated, gas: opMutated, n.facts.system: opMutated, inner: opMutated}
	if got := operations(e); !reflect.DeepEqual(got, want) {
		t.Errorf("effects %v, want %v", got, want)
	}
	if e.Effects.GasObject == nil || e.Effects.Changed[*e.Effects.GasObject].ID != gas {
		t.Errorf("gas object %v", e.Effects.GasObject)
	}
	if len(e.Events) != 1 || e.Events[0].Type.Name != "BlobRegistered" || e.Events[0].Module != "system" || e.Events[0].Package != b.walrus {
		t.Errorf("events: %+v", e.Events)
	}
	for i, c := range e.Effects.Changed {
		digest, err := e.Changes[i].After.Digest()
		if err != nil || e.Changes[i].ID != c.ID || c.Output.Digest != digest || e.Changes[i].After.Version != e.Effects.Version {
			t.Errorf("object %s: change %d, %v", c.ID, i, err)
		}
	}
	checkBalances(t, e, w.address(), n.facts.packages.WALType(), -int64(registerCost(t, n)))
	checkBalances(t, e, w.address(), move.SUI, -ptb.GasCost)
}

// registerCost is what one of numberedBlobs costs.
func registerCost(t *testing.T, n *Net) uint64 {
	s, err := n.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := numberedBlobs(0, 1)[0]
	return s.RegisterPrice(1, r.EpochsAhead) // it fits one unit
}

func checkBalances(t *testing.T, e *Executed, owner move.Address, currency move.StructTag, want int64) {
	t.Helper()
	for _, b := range e.Balances {
		if b.Owner == owner && b.Currency.Equal(currency.Tag()) {
			if b.Amount.Cmp(big.NewInt(want)) != 0 {
				t.Errorf("%s changed by %s, want %d", currency, b.Amount, want)
			}
			return
		}
	}
	t.Errorf("%s did not change, want %d", currency, want)
}

// TestEffects checks the vocabulary: what becomes of a reservation that is
// bought, wrapped, taken out, and wrapped or destroyed again.
func TestEffects(t *testing.T) {
	n, w, _ := newProgramNet(t)
	r := numberedBlobs(0, 2)
	r[0].Deletable, r[1].Deletable = true, true
	b := w.build()
	b.transfer(w.address(), b.register(r[0]), b.register(r[1]))
	e := w.succeed(b)
	first, second := move.CreatedID(e.Digest, 1), move.CreatedID(e.Digest, 3)
	storage := move.CreatedID(e.Digest, 0)

	b = w.build()
	b.transfer(w.address(), b.call("system", "delete_blob", b.object(n.facts.system), b.object(first)))
	e = w.succeed(b)
	if ops := operations(e); ops[first] != opDeleted || ops[storage] != opUnwrapped || ops[n.facts.system] != "" {
		t.Errorf("deletion: %v", ops)
	}
	if len(e.Effects.Unchanged) != 1 || e.Effects.Unchanged[0].ID != n.facts.system {
		t.Errorf("read only: %+v", e.Effects.Unchanged)
	}

	b = w.build() // the reservation is an object now, and goes into another blob
	sys, coin := b.object(n.facts.system), b.object(w.coin())
	blob := b.call("system", "register_blob", sys, b.object(storage), b.u256(move.U256(r[0].Blob)), b.u256(r[0].Root), b.u64(uint64(r[0].Size)),
		b.u8(1), b.flag(true), coin)
	b.transfer(w.address(), blob)
	e = w.succeed(b)
	if ops := operations(e); ops[storage] != opWrapped || ops[move.CreatedID(e.Digest, 0)] != opCreated {
		t.Errorf("used again: %v", ops)
	}

	b = w.build()
	b.call("blob", "burn", b.object(second))
	e = w.succeed(b)
	if ops := operations(e); ops[second] != opDeleted {
		t.Errorf("burnt: %v", ops)
	}
	vanished := 0
	for _, op := range operations(e) {
		if op == opVanished {
			vanished++
		}
	}
	if vanished != 1 {
		t.Errorf("the reservation inside is not told of: %v", operations(e))
	}
}

// TestAgain sends the same bytes twice: they are executed and paid once, and the
// answer is the same, also from the store.
func TestAgain(t *testing.T) {
	n, w, _ := newProgramNet(t)
	b := w.build()
	b.transfer(w.address(), b.register(numberedBlobs(0, 1)[0]))
	bcs, signatures := w.sign(w.resolve(b))
	first, err := n.Execute(t.Context(), bcs, signatures)
	if err != nil {
		t.Fatal(err)
	}
	second, err := n.Execute(t.Context(), bcs, signatures)
	if err != nil {
		t.Fatal(err)
	}
	for i := range first.Changes { // which only the first answer has
		first.Changes[i].Before, first.Changes[i].After = nil, nil
	}
	if !reflect.DeepEqual(first, second) {
		t.Errorf("first  %+v\nsecond %+v", first, second)
	}
	newest, err := n.Checkpoint(t.Context(), 0)
	if err != nil || newest.Seq != first.Seq || !reflect.DeepEqual(newest.Transaction, second) {
		t.Errorf("checkpoint %+v, %v", newest, err)
	}
}

// TestFailures are transactions that are executed and fail: gas is paid, and nothing else happens.
func TestFailures(t *testing.T) {
	n, w, _ := newProgramNet(t)
	wal := n.facts.packages.WALType()
	facts, err := n.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, want string
		build      func(b *build)
	}{
		{"abort", "MoveAbort(" + facts.Walrus.String() + "::system_state_inner::reserve_space, 2) in command 0", func(b *build) {
			r := numberedBlobs(0, 1)[0]
			r.EpochsAhead = 1000
			b.register(r)
		}},
		{"no money", "MoveAbort(" + move.Framework.String() + "::balance::split, 2) in command 1", func(b *build) {
			part := b.split(b.object(w.coin()), 5)
			b.call("system", "reserve_space", b.object(n.facts.system), b.u64(1), b.u32(1), part)
			b.transfer(w.address(), part)
		}},
		{"unused result", "UnusedValueWithoutDrop { result_idx: 0, secondary_idx: 1 }", func(b *build) {
			parts := b.split(b.object(w.coin()), 5, 6)
			b.transfer(w.address(), nested(parts, 0))
		}},
		{"too few arguments", "ArityMismatch in command 0", func(b *build) { b.call("system", "reserve_space", b.u64(1)) }},
		{"no such function", "FunctionNotFound in command 0", func(b *build) { b.call("system", "print_money") }},
		{"plain for an object", "CommandArgumentError { arg_idx: 0, kind: InvalidUsageOfPureArg } in command 0", func(b *build) {
			b.call("blob", "burn", b.u64(1))
		}},
		{"another object", "CommandArgumentError { arg_idx: 0, kind: TypeMismatch } in command 0", func(b *build) {
			b.call("blob", "burn", b.object(w.coin()))
		}},
		{"bytes too long", "CommandArgumentError { arg_idx: 1, kind: InvalidBCSBytes } in command 0", func(b *build) {
			b.call("system", "reserve_space", b.object(n.facts.system), b.u256(move.U256{}), b.u32(1), b.object(w.coin()))
		}},
		{"no such input", "CommandArgumentError { arg_idx: 0, kind: IndexOutOfBounds(9) } in command 0", func(b *build) {
			b.call("blob", "burn", move.Argument{Kind: move.ArgumentInput, Index: 9})
		}},
		{"no such result", "CommandArgumentError { arg_idx: 0, kind: SecondaryIndexOutOfBounds(0, 2) } in command 1", func(b *build) {
			b.transfer(w.address(), nested(b.split(gasCoin, 1, 2), 2))
		}},
		{"two results as one", "CommandArgumentError { arg_idx: 0, kind: InvalidResultArity(0) } in command 1", func(b *build) {
			b.transfer(w.address(), b.split(gasCoin, 1, 2))
		}},
		{"used twice", "CommandArgumentError { arg_idx: 0, kind: ArgumentWithoutValue } in command 2", func(b *build) {
			part := b.split(gasCoin, 1)
			b.transfer(w.address(), part)
			b.transfer(w.address(), part)
		}},
		{"one coin twice in a call", "CommandArgumentError { arg_idx: 1, kind: InvalidValueUsage } in command 0", func(b *build) {
			b.add(move.Command{Kind: move.CommandMergeCoins, Target: b.object(w.coin()), Arguments: []move.Argument{b.object(w.coin())}})
		}},
		{"shared object by value", "CommandArgumentError { arg_idx: 0, kind: InvalidTransferObject } in command 0", func(b *build) {
			b.transfer(w.address(), b.object(n.facts.system))
		}},
		{"gas coin by value", "CommandArgumentError { arg_idx: 0, kind: InvalidGasCoinUsage } in command 0", func(b *build) {
			b.framework("coin", "into_balance", move.SUI, gasCoin)
		}},
		{"coin too short", "InsufficientCoinBalance in command 0", func(b *build) { b.transfer(w.address(), b.split(gasCoin, 1e12)) }},
		{"the budget is spent", "InsufficientCoinBalance in command 0", func(b *build) {
			b.transfer(w.address(), b.split(gasCoin, account{w}.Balance().SUIMist-ptb.GasCost)) // the cost is left, the budget is not
		}},
		{"type arguments", "TypeArityMismatch in command 0", func(b *build) {
			b.add(move.Command{Kind: move.CommandMoveCall, Call: move.Call{Package: move.Framework, Module: "coin", Function: "zero"}})
		}},
		{"no such type", "TypeArgumentError { argument_idx: 0, kind: 0 } in command 0", func(b *build) {
			b.framework("coin", "zero", move.StructTag{Address: b.walrus, Module: "no", Name: "Such"})
		}},
		{"type without ability", "TypeArgumentError { argument_idx: 0, kind: 1 } in command 0", func(b *build) {
			b.framework("transfer", "public_share_object", wal, b.object(w.coin()))
		}},
		{"old package", "MoveAbort(" + n.facts.packages.Walrus.String() + "::system::inner, 1) in command 0", func(b *build) {
			b.walrus = n.facts.packages.Walrus
			b.register(numberedBlobs(0, 1)[0])
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := w.build()
			test.build(b)
			before := readContents(t, w)
			e := w.execute(b)
			f := e.Effects.Status.Failure
			if f == nil || !strings.HasPrefix(f.String(), test.want) {
				t.Fatalf("got %v, %v, want %s", f, e.Abort, test.want)
			}
			if f.Kind == move.FailedAbort && (e.Abort == nil || e.Abort.Code != f.Code || e.Abort.Name == "") {
				t.Errorf("abort %+v", e.Abort)
			}
			before.Balance.SUIMist -= ptb.GasCost
			if after := readContents(t, w); !reflect.DeepEqual(after, before) {
				t.Errorf("after it\n got %+v\nwant %+v", after, before)
			}
			if len(e.Events) != 0 || e.Effects.EventsDigest != nil {
				t.Errorf("events of a failure: %+v", e.Events)
			}
			back, err := n.Transaction(t.Context(), e.Digest)
			if err != nil || !reflect.DeepEqual(back.Effects, e.Effects) || !reflect.DeepEqual(back.Abort, e.Abort) {
				t.Errorf("read again %+v, %v", back, err)
			}
		})
	}
}

// TestRefusals are transactions that are not executed at all.
func TestRefusals(t *testing.T) {
	n, w, _ := newProgramNet(t)
	other := newWallet(t, n, 2)
	late := uint64(0)
	tests := []struct {
		name   string
		kind   RefusalKind
		change func(tx *move.Transaction)
	}{
		{"stale version", RefusedStale, func(tx *move.Transaction) { tx.Inputs[1].Object.Version-- }},
		{"stale digest", RefusedStale, func(tx *move.Transaction) { tx.Inputs[1].Object.Digest[0] ^= 1 }},
		{"stale gas", RefusedStale, func(tx *move.Transaction) { tx.Gas.Payment[0].Version++ }},
		{"missing object", RefusedMissing, func(tx *move.Transaction) { tx.Inputs[1].Object.ID[0] ^= 1 }},
		{"missing package", RefusedMissing, func(tx *move.Transaction) { tx.Commands[0].Call.Package[0] ^= 1 }},
		{"object of another", RefusedOwner, func(tx *move.Transaction) {
			o, err := n.Object(t.Context(), other.coin())
			if err != nil {
				t.Fatal(err)
			}
			digest, err := o.Digest()
			if err != nil {
				t.Fatal(err)
			}
			tx.Inputs[1].Object = move.ObjectRef{ID: o.ID(), Version: o.Version, Digest: digest}
		}},
		{"shared as owned", RefusedOwner, func(tx *move.Transaction) { tx.Inputs[0].Kind = move.InputOwned }},
		{"owned as shared", RefusedOwner, func(tx *move.Transaction) { tx.Inputs[1].Kind = move.InputShared }},
		{"shared at another version", RefusedOwner, func(tx *move.Transaction) { tx.Inputs[0].Initial++ }},
		{"clock to be changed", RefusedOwner, func(tx *move.Transaction) {
			tx.Inputs[0] = move.Input{Kind: move.InputShared, Object: move.ObjectRef{ID: move.ClockID}, Initial: 1, Mutable: true}
		}},
		{"one object twice", RefusedMalformed, func(tx *move.Transaction) { tx.Inputs = append(tx.Inputs, tx.Inputs[0]) }},
		{"gas as input", RefusedMalformed, func(tx *move.Transaction) {
			tx.Inputs = append(tx.Inputs, move.Input{Kind: move.InputOwned, Object: tx.Gas.Payment[0]})
		}},
		{"price too low", RefusedGas, func(tx *move.Transaction) { tx.Gas.Price-- }},
		{"budget too low", RefusedGas, func(tx *move.Transaction) { tx.Gas.Budget = ptb.GasCost - 1 }},
		{"budget too high", RefusedGas, func(tx *move.Transaction) { tx.Gas.Budget = ptb.MaxBudget + 1 }},
		{"no gas coin", RefusedGas, func(tx *move.Transaction) { tx.Gas.Payment = nil }},
		{"sponsor", RefusedUnsupported, func(tx *move.Transaction) { tx.Gas.Owner = other.address() }},
		{"publish", RefusedUnsupported, func(tx *move.Transaction) { tx.Commands[0] = move.Command{Kind: move.CommandPublish} }},
		{"receiving", RefusedUnsupported, func(tx *move.Transaction) { tx.Inputs[1].Kind = move.InputReceiving }},
		{"expired", RefusedExpired, func(tx *move.Transaction) {
			tx.Expiration = move.Expiration{Kind: move.ExpirationValidDuring, MaxTime: &late, Chain: move.Digest(n.ChainID())}
		}},
		{"another chain", RefusedExpired, func(tx *move.Transaction) { tx.Expiration = move.Expiration{Kind: move.ExpirationValidDuring} }},
		{"too many commands", RefusedMalformed, func(tx *move.Transaction) {
			for len(tx.Commands) <= ptb.MaxCommands {
				tx.Commands = append(tx.Commands, move.Command{Kind: move.CommandMakeMoveVec, Type: &move.TypeTag{Kind: move.KindU8}})
			}
		}},
		{"too many arguments", RefusedMalformed, func(tx *move.Transaction) {
			tx.Commands[0].Call.Arguments = make([]move.Argument, ptb.MaxArguments+1)
		}},
		{"plain value too long", RefusedMalformed, func(tx *move.Transaction) { tx.Inputs[2].Pure = make([]byte, ptb.MaxPureBytes+1) }},
		{"too long", RefusedMalformed, func(tx *move.Transaction) {
			for range 9 {
				tx.Inputs = append(tx.Inputs, move.Input{Kind: move.InputPure, Pure: make([]byte, ptb.MaxPureBytes)})
			}
		}},
	}
	before := tables(t, n)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := w.build()
			sys, coin := b.object(n.facts.system), b.object(w.coin())
			b.transfer(w.address(), b.call("system", "reserve_space", sys, b.u64(5), b.u32(1), coin))
			tx := w.resolve(b)
			test.change(tx)
			_, err := w.try(tx)
			var refused *RefusedError
			if !errors.As(err, &refused) || refused.Kind != test.kind {
				t.Fatalf("got %v, want kind %d", err, test.kind)
			}
			if test.kind == RefusedStale {
				versions := fmt.Sprintf("%s version %d", refused.Object.ID, refused.Object.Version)
				if !strings.Contains(err.Error(), versions) || !strings.Contains(err.Error(), fmt.Sprint(refused.Have.Version)) {
					t.Errorf("%q does not say %s and %d", err, versions, refused.Have.Version)
				}
			}
		})
	}
	diffTables(t, "after refusals", tables(t, n), before)
}

// TestSignatures sends transactions with wrong signatures.
func TestSignatures(t *testing.T) {
	n, w, _ := newProgramNet(t)
	other := newWallet(t, n, 2)
	b := w.build()
	b.transfer(w.address(), b.split(gasCoin, 1))
	tx := w.resolve(b)
	bcs, good := w.sign(tx)
	_, foreign := other.sign(tx)
	flipped := bytes.Clone(good[0])
	flipped[9] ^= 1
	secp := bytes.Clone(good[0])
	secp[0] = 1
	for name, signatures := range map[string][][]byte{
		"none": nil, "two": {good[0], good[0]}, "empty": {{}}, "short": {good[0][:96]}, "another key": foreign, "flipped": {flipped}, "Secp256k1": {secp},
	} {
		_, err := n.Execute(t.Context(), bcs, signatures)
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Kind != RefusedSignature {
			t.Errorf("%s: %v", name, err)
		}
		if name == "Secp256k1" && !strings.Contains(err.Error(), "Secp256k1") {
			t.Errorf("%q does not name the scheme", err)
		}
	}
	if _, err := n.Execute(t.Context(), bcs, good); err != nil {
		t.Error(err)
	}
}

// TestConflict sends two transactions with one version of a coin: one wins, and
// the other is told that it has to look again.
func TestConflict(t *testing.T) {
	n, w, _ := newProgramNet(t)
	var sent [2][]byte
	var signatures [2][][]byte
	for i := range sent {
		b := w.build()
		b.transfer(w.address(), b.split(b.object(w.coin()), uint64(i+1)))
		sent[i], signatures[i] = w.sign(w.resolve(b))
	}
	errs := make(chan error, len(sent))
	for i := range sent {
		go func() {
			_, err := n.Execute(t.Context(), sent[i], signatures[i])
			errs <- err
		}()
	}
	first, second := <-errs, <-errs
	if (first == nil) == (second == nil) || !errors.Is(errors.Join(first, second), chain.ErrStaleVersion) {
		t.Errorf("%v; %v", first, second)
	}
}

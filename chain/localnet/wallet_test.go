package localnet

import (
	"context"
	"crypto/ed25519"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// wallet signs the transactions of a test.
type wallet struct {
	t   testing.TB
	net *Net
	key ed25519.PrivateKey
}

// newWallet makes a wallet with some money.
func newWallet(t testing.TB, n *Net, number byte) *wallet {
	t.Helper()
	w := &wallet{t: t, net: n, key: personKey(number)}
	if err := n.Faucet(context.Background(), chain.TxID{0xfa, number}, chain.Address(w.address()), 1e15, 1e12); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *wallet) address() move.Address {
	return signer(w.key.Public().(ed25519.PublicKey))
}

// sign returns the bytes of a transaction and the signature of the wallet.
func (w *wallet) sign(tx *move.Transaction) ([]byte, [][]byte) {
	w.t.Helper()
	bcs, err := move.Marshal(tx)
	if err != nil {
		w.t.Fatal(err)
	}
	return bcs, (&house{key: w.key}).sign(bcs)
}

// try signs a transaction and executes it.
func (w *wallet) try(tx *move.Transaction) (*Executed, error) {
	w.t.Helper()
	bcs, signatures := w.sign(tx)
	return w.net.Execute(context.Background(), bcs, signatures)
}

// execute signs and executes a transaction that must not be refused.
func (w *wallet) execute(b *build) *Executed {
	w.t.Helper()
	bcs, signatures := w.sign(w.resolve(b))
	e, err := w.net.Execute(context.Background(), bcs, signatures)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// succeed executes a transaction that must succeed.
func (w *wallet) succeed(b *build) *Executed {
	w.t.Helper()
	e := w.execute(b)
	if f := e.Effects.Status.Failure; f != nil {
		w.t.Fatalf("transaction failed: %s, %v", f, e.Abort)
	}
	return e
}

// resolve completes a transaction.
func (w *wallet) resolve(b *build) *move.Transaction {
	w.t.Helper()
	tx, err := w.net.Resolve(context.Background(), &b.Partial)
	if err != nil {
		w.t.Fatal(err)
	}
	return tx
}

// coin returns the first coin of WAL.
func (w *wallet) coin() move.ID {
	w.t.Helper()
	tag := w.net.facts.packages.WALCoin()
	objects, _, err := w.net.OwnedObjects(context.Background(), w.address(), &tag, 0, 1)
	if err != nil || len(objects) == 0 {
		w.t.Fatalf("%d coins, %v", len(objects), err)
	}
	return objects[0].ID()
}

// build is a transaction that is being built.
type build struct {
	*draft
	w *wallet
}

// build begins a transaction.
func (w *wallet) build() *build {
	w.t.Helper()
	f, err := w.net.Facts(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return &build{newDraft(w.address(), f.Walrus), w}
}

// framework calls a function of package 0x2 on a currency.
func (b *build) framework(module, function string, currency move.StructTag, arguments ...move.Argument) move.Argument {
	return b.add(move.Command{Kind: move.CommandMoveCall, Call: move.Call{Package: move.Framework, Module: module, Function: function,
		Types: []move.TypeTag{currency.Tag()}, Arguments: arguments}})
}

// register is the recipe register_direct, for one registration.
func (b *build) register(r chain.Registration) move.Argument {
	b.w.t.Helper()
	n := b.w.net
	size, err := walrus.Geometry{Shards: n.Committee().Shards}.EncodedSize(r.Size)
	if err != nil {
		b.w.t.Fatal(err)
	}
	sys, coin := b.object(n.facts.system), b.object(b.w.coin())
	storage := b.call("system", "reserve_space", sys, b.u64(size), b.u32(r.EpochsAhead), coin)
	return b.call("system", "register_blob", sys, storage, b.u256(move.U256(r.Blob)), b.u256(r.Root), b.u64(uint64(r.Size)),
		b.u8(walrus.EncodingRS2), b.flag(r.Deletable), coin)
}

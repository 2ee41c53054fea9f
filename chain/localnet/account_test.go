package localnet

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// personKey returns the key of somebody that tests know by a number.
func personKey(number byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(append(make([]byte, 31), number))
}

func person(number byte) chain.Address {
	return chain.Address(signer(personKey(number).Public().(ed25519.PublicKey)))
}

// The people of the tests.
var (
	alice = person(101)
	bob   = person(102)
	carol = person(103)

	people = map[chain.Address]ed25519.PrivateKey{alice: personKey(101), bob: personKey(102), carol: personKey(103)}
)

// account makes the calls of a chain.Ledger, as far as tests need them: each is
// a transaction that is built, signed and executed. Gas never ends.
type account struct{ *wallet }

func as(t testing.TB, n *Net, who chain.Address) account {
	t.Helper()
	key, ok := people[who]
	if !ok {
		t.Fatalf("nobody has the key of %s", who)
	}
	return account{&wallet{t: t, net: n, key: key}}
}

// run signs and executes what build builds, and gets gas when that has ended.
func (a account) run(ctx context.Context, build func() *build) (*Executed, error) {
	a.t.Helper()
	for first := true; ; first = false {
		tx, err := a.net.Resolve(ctx, &build().Partial)
		var refused *RefusedError
		if errors.As(err, &refused) && refused.Kind == RefusedGas && first {
			var key chain.TxID
			_, _ = rand.Read(key[:])
			if err := a.net.Faucet(ctx, key, chain.Address(a.address()), 0, 1e12); err != nil {
				a.t.Fatal(err)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		bcs, signatures := a.sign(tx)
		e, err := a.net.Execute(ctx, bcs, signatures)
		if err == nil && e.Abort != nil {
			err = e.Abort
		}
		if err == nil && e.Effects.Status.Failure != nil {
			err = fmt.Errorf("transaction failed: %s", e.Effects.Status.Failure)
		}
		return e, err
	}
}

// Register registers blobs and sets their attributes.
func (a account) Register(ctx context.Context, batch []chain.Registration) (*chain.Outcome, error) {
	a.t.Helper()
	before := a.Balance()
	e, err := a.run(ctx, func() *build {
		b := a.build()
		for _, r := range batch {
			blob := b.register(r)
			b.attributes(blob, r.Attributes)
			b.transfer(a.address(), blob)
		}
		return b
	})
	if err != nil {
		return nil, err
	}
	return &chain.Outcome{Registered: told(e, "BlobRegistered"), CostFrost: before.WALFrost - a.Balance().WALFrost}, nil
}

func (b *build) attributes(blob move.Argument, list []chain.Attribute) {
	for _, v := range list {
		b.call("blob", "insert_or_update_metadata_pair", blob, b.text(v.Key), b.text(v.Value))
	}
}

// told lists the blob objects that events of a name speak of, and when they end.
func told(e *Executed, name string) (all []chain.Registered) {
	for i := range e.Events {
		event := chain.Event{Type: e.Events[i].Type.String(), BCS: e.Events[i].Contents}
		if e.Events[i].Type.Name == name && readEvent(&event) == nil {
			all = append(all, chain.Registered{Object: event.Object, EndEpoch: event.EndEpoch})
		}
	}
	return all
}

// Certify certifies blobs and sets attributes of an anchor.
func (a account) Certify(ctx context.Context, batch []chain.Certification, anchor *chain.AnchorUpdate) (*chain.Outcome, error) {
	a.t.Helper()
	e, err := a.run(ctx, func() *build {
		b := a.build()
		if anchor != nil {
			b.attributes(b.object(move.ID(anchor.Object)), anchor.Attributes)
		}
		for _, v := range batch {
			b.call("system", "certify_blob", b.object(a.net.facts.system), b.object(move.ID(v.Object)),
				b.bytes(v.Cert.Signature[:]), b.bytes(v.Cert.Bitmap), b.bytes(v.Cert.Message))
		}
		return b
	})
	if err != nil {
		return nil, err
	}
	return &chain.Outcome{AnchorVersion: e.Effects.Version}, nil
}

// Extend lengthens the life of a blob.
func (a account) Extend(ctx context.Context, object walrus.ObjectID, epochs uint32) error {
	a.t.Helper()
	_, err := a.run(ctx, func() *build {
		b := a.build()
		b.call("system", "extend_blob", b.object(a.net.facts.system), b.object(move.ID(object)), b.u32(epochs), b.object(a.coin()))
		return b
	})
	return err
}

// Delete deletes a blob object.
func (a account) Delete(ctx context.Context, object walrus.ObjectID) error {
	a.t.Helper()
	_, err := a.run(ctx, func() *build {
		b := a.build()
		b.transfer(a.address(), b.call("system", "delete_blob", b.object(a.net.facts.system), b.object(move.ID(object))))
		return b
	})
	return err
}

// Balance returns what somebody has.
func (a account) Balance() (b chain.Balance) {
	a.t.Helper()
	for tag, sum := range map[*move.StructTag]*uint64{ptr(a.net.facts.packages.WALCoin()): &b.WALFrost, ptr(move.CoinType(move.SUI)): &b.SUIMist} {
		_, total, err := a.net.ownedCoins(context.Background(), a.net.store.reader, a.address(), *tag)
		if err != nil {
			a.t.Fatal(err)
		}
		*sum = total
	}
	return b
}

func ptr[T any](v T) *T { return &v }

// owned lists somebody's objects of a type.
func (a account) owned(tag move.StructTag) (all []*move.Object) {
	a.t.Helper()
	for cursor := uint64(0); ; {
		objects, next, err := a.net.OwnedObjects(context.Background(), a.address(), &tag, cursor, 1000)
		if err != nil {
			a.t.Fatal(err)
		}
		all = append(all, objects...)
		if next == 0 {
			return all
		}
		cursor = next
	}
}

// blobs lists somebody's blob objects.
func (a account) blobs() (list []chain.OwnedObject) {
	a.t.Helper()
	for _, o := range a.owned(a.net.facts.packages.Blob()) {
		var b move.Blob
		if err := move.Unmarshal(o.Contents, &b); err != nil {
			a.t.Fatal(err)
		}
		list = append(list, chain.OwnedObject{Object: walrus.ObjectID(b.ID), Version: o.Version, Blob: walrus.BlobID(b.BlobID), Size: int64(b.Size)})
	}
	return list
}

// contents is everything that a ledger says of an owner.
type contents struct {
	Balance chain.Balance
	Objects []*move.Object // blobs, reservations
	Events  []chain.Event
	Epoch   walrus.Epoch
	Used    uint64
}

func readContents(t *testing.T, w *wallet) (c contents) {
	t.Helper()
	a, p := account{w}, w.net.facts.packages
	state, err := w.net.State(context.Background())
	if err == nil {
		c.Events, err = w.net.Events(context.Background(), 0, 10_000)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.Epoch, c.Used, c.Balance = state.Epoch, state.Used, a.Balance()
	c.Objects = append(a.owned(p.Blob()), a.owned(p.Storage())...)
	return c
}

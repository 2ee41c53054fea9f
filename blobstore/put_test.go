package blobstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

func TestPutAndRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // in which nodes are never late
		for _, shape := range [][2]int{{4, 10}, {0, 0}} {
			w := newWorld(t, shape[0], shape[1])
			sizes := []int{0, 1, 1000, 300_000, 1_700_000}
			for i, size := range sizes {
				blob := randomBlob(uint64(i), size)
				r := w.put(blob)
				w.reads(r, blob)
				owned := w.owned(r.Blob)
				if len(owned) != 1 || owned[0].Object != r.Object || !owned[0].Certified ||
					owned[0].EndEpoch != r.EndEpoch || owned[0].Size != int64(size) {
					t.Errorf("%d bytes: ledger has %+v, receipt says %+v", size, owned, r)
				}
				h, err := w.client.Check(t.Context(), r.Blob)
				if n := w.client.Geometry().Shards; err != nil || h.Primary != n || h.Secondary != n || !h.Recoverable {
					t.Errorf("check: %+v, %v", h, err)
				}
			}
			for _, n := range w.net.Nodes() {
				if n.State != "up" || n.Blobs != len(sizes) || n.Shards == 0 || n.Bytes == 0 || len(n.BadSlots) != 0 {
					t.Errorf("%+v", n)
				}
			}
			if p := w.client.Problems(); len(p) != 0 {
				t.Errorf("problems: %+v", p)
			}
		}
	})
}

// Three nodes of ten may fail a Put, each in another way; a fourth may not.
func TestPutWithFailingNodes(t *testing.T) {
	t.Parallel()
	faults := map[string]embedded.Fault{
		"down": embedded.Down, "hanging": embedded.Hang, "slow": embedded.Slow, "refusing": embedded.RefuseStore,
		"full": embedded.NoRoom, "signing something else": embedded.BadSignature, "of another epoch": embedded.OldEpoch,
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, 0)
		seed := uint64(0)
		for name, fault := range faults {
			t.Logf("nodes that are %s", name)
			w.reconnect()
			w.inject(fault, 0, 4, 9)
			seed++
			blob := randomBlob(seed, 50_000)
			began := time.Now()
			r := w.put(blob)
			if took := time.Since(began); took > time.Second {
				t.Errorf("took %v: they are waited for", took)
			}
			w.reads(r, blob)
			wrong := 0
			for _, p := range w.client.Problems() {
				wrong += p.Wrong
			}
			if want := map[bool]int{true: 3}[fault == embedded.BadSignature]; wrong != want {
				t.Errorf("problems %+v, want %d", w.client.Problems(), want)
			}
			w.inject(0, 0, 4, 9)
		}
	})
}

func TestPutWithoutQuorum(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault embedded.Fault
		cause error
	}{
		"down":          {embedded.Down, node.ErrUnavailable},
		"refusing":      {embedded.RefuseStore, node.ErrRefused},
		"full":          {embedded.NoRoom, node.ErrNoRoom},
		"bad signature": {embedded.BadSignature, walrus.ErrSignature},
		"old epoch":     {embedded.OldEpoch, walrus.ErrMessage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 10, 10)
				w.inject(test.fault, 1, 2, 3, 4)
				blob := randomBlob(1, 50_000)
				r, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{})
				var quorum *blobstore.QuorumError
				if !errors.As(err, &quorum) || quorum.Have != 6 || quorum.Need != 7 || len(quorum.Nodes) != 4 {
					t.Fatalf("put: %v, want 6 of 7 shards and 4 errors", err)
				}
				if !errors.Is(err, test.cause) {
					t.Errorf("error %v does not tell the cause %v", quorum.Nodes, test.cause)
				}
				if r.Stage != walrus.Registered {
					t.Errorf("receipt at %s, want registered", r.Stage)
				}
				w.inject(0, 1, 2, 3, 4)
				r, err = w.client.Put(t.Context(), blob, blobstore.PutOptions{Resume: r})
				if err != nil || r.Stage != walrus.Certified {
					t.Fatalf("resumed put: %+v, %v", r, err)
				}
				if transactions, _ := w.ledger.count("register"); transactions != 1 {
					t.Errorf("%d registrations, want 1", transactions)
				}
				w.reads(r, blob)
			})
		})
	}
}

// Four nodes of ten refuse, so that there will be no quorum: one that hangs is not waited for.
func TestPutEndsWhenNoQuorumCanBe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10, 10)
		w.inject(embedded.RefuseStore, 1, 2, 3, 4)
		w.inject(embedded.Hang, 5)
		began := time.Now()
		r, err := w.client.Put(t.Context(), randomBlob(1, 50_000), blobstore.PutOptions{})
		var quorum *blobstore.QuorumError
		if !errors.As(err, &quorum) || quorum.Have != 5 || !errors.Is(err, node.ErrRefused) {
			t.Errorf("put: %v, want 5 of 7 shards", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
		w.inject(0, 1, 2, 3, 4, 5)
		if _, err := w.client.Put(t.Context(), randomBlob(1, 50_000), blobstore.PutOptions{Resume: r}); err != nil {
			t.Errorf("later: %v", err)
		}
	})
}

var errCrash = errors.New("crash")

// A Put that dies at any checkpoint, before or after it is written down, or
// while a transaction's answer is on its way, is resumed by another client and
// pays once.
func TestResumeEverywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	blob := randomBlob(1, 40_000)
	start := w.balance()
	w.put(blob)
	price := start - w.balance()
	if price == 0 {
		t.Fatal("a blob costs nothing")
	}
	for at := 1; ; at++ {
		for _, written := range []bool{true, false} {
			blob := randomBlob(uint64(at)*2+map[bool]uint64{true: 1}[written], 40_000)
			if !crashAt(t, w, blob, at, written, price) {
				if at < 6 {
					t.Fatalf("only %d checkpoints", at-1)
				}
				return
			}
		}
	}
}

// crashAt puts a blob, fails checkpoint number at, and resumes. It reports whether there was such a checkpoint.
func crashAt(t *testing.T, w *world, blob []byte, at int, written bool, price uint64) bool {
	t.Helper()
	before := w.balance()
	var journal walrus.Receipt
	count := 0
	checkpoint := func(r walrus.Receipt) error {
		count++
		if count == at && !written {
			return errCrash
		}
		journal = r
		if count == at {
			return errCrash
		}
		return nil
	}
	_, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{Epochs: 3, Checkpoint: checkpoint})
	if err == nil {
		return false
	}
	if !errors.Is(err, errCrash) {
		t.Fatalf("put: %v", err)
	}
	what := fmt.Sprintf("checkpoint %d, written %t, stage %s", at, written, journal.Stage)
	w.reconnect()
	r, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{Epochs: 3, Resume: journal, Checkpoint: func(r walrus.Receipt) error {
		if r.Blob != journal.Blob && journal.Stage > 0 {
			t.Errorf("%s: receipt of another blob", what)
		}
		return nil
	}})
	if err != nil || r.Stage != walrus.Certified || r.Cert == nil {
		t.Fatalf("%s: resumed put: %+v, %v", what, r, err)
	}
	owned := w.owned(r.Blob)
	if len(owned) != 1 || owned[0].Object != r.Object || !owned[0].Certified || owned[0].EndEpoch != r.EndEpoch {
		t.Errorf("%s: ledger has %+v, receipt says %+v", what, owned, r)
	}
	if paid := before - w.balance(); paid != price {
		t.Errorf("%s: paid %d, want %d", what, paid, price)
	}
	w.reads(r, blob)
	return true
}

// The journal is older than what happened, as after a restore of the index
// from a copy: the blob is certified, by a transaction that nobody remembers.
func TestResumeFromAnOldJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	blob := randomBlob(1, 40_000)
	var old walrus.Receipt
	done, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{Checkpoint: func(r walrus.Receipt) error {
		if r.Stage == walrus.Stored && r.CertifyTx == [32]byte{} {
			old = r
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	before := w.balance()
	r, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{Resume: old})
	if err != nil || r.Stage != walrus.Certified || r.Object != done.Object || w.balance() != before {
		t.Errorf("resumed put: %+v, %v", r, err)
	}
}

// The ledger does what it was asked, but its answers are lost, for good.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	for i, op := range []string{"register", "certify"} {
		blob := randomBlob(uint64(i), 40_000)
		w.ledger.set(nil, func(got string, _ int) error {
			if got == op {
				return errCrash
			}
			return nil
		})
		var journal walrus.Receipt
		checkpoint := func(r walrus.Receipt) error { journal = r; return nil }
		_, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{Checkpoint: checkpoint})
		if !errors.Is(err, errCrash) {
			t.Fatalf("%s: %v", op, err)
		}
		w.ledger.set(nil, nil)
		w.reconnect()
		r, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{Resume: journal, Checkpoint: checkpoint})
		if err != nil || r.Stage != walrus.Certified {
			t.Fatalf("%s: resumed put: %+v, %v", op, r, err)
		}
		if owned := w.owned(r.Blob); len(owned) != 1 || owned[0].Object != r.Object {
			t.Errorf("%s: ledger has %+v", op, owned)
		}
		w.reads(r, blob)
	}
}

func TestResumeChecksTheReceipt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	first := randomBlob(1, 5000)
	r := w.put(first)
	again, err := w.client.Put(t.Context(), first, blobstore.PutOptions{Resume: r})
	if err != nil || again != r {
		t.Errorf("put of what is certified: %+v, %v", again, err)
	}
	r.Stage = walrus.Encoded
	for _, blob := range [][]byte{randomBlob(2, 5000), first[:4000]} {
		if _, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{Resume: r}); !errors.Is(err, blobstore.ErrResume) {
			t.Errorf("put of other bytes: %v, want ErrResume", err)
		}
	}
}

// An object that is paid for and not certified is used, and so is a free
// reservation, the smallest that fits.
func TestPutUsesWhatIsOwned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	blob := randomBlob(1, 40_000)
	o := blobstore.PutOptions{Epochs: 3, Deletable: true, Checkpoint: func(r walrus.Receipt) error {
		if r.Stage == walrus.Stored {
			return errCrash
		}
		return nil
	}}
	lost, err := w.client.Put(t.Context(), blob, o)
	if !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	before := w.balance()
	o.Checkpoint = nil
	found, err := w.client.Put(t.Context(), blob, o) // the journal is lost
	if err != nil || found.Object != lost.Object || w.balance() != before {
		t.Fatalf("put: %+v, %v, paid %d; want object %s for nothing", found, err, before-w.balance(), lost.Object)
	}
	if _, err := w.ledger.Delete(t.Context(), chain.TxID{7}, []walrus.ObjectID{found.Object}); err != nil {
		t.Fatal(err)
	}
	before = w.balance()
	if _, err := w.client.Put(t.Context(), randomBlob(2, 40_000), blobstore.PutOptions{Epochs: 3}); err != nil {
		t.Fatal(err)
	}
	full := w.balance()
	if _, err := w.client.Put(t.Context(), randomBlob(3, 40_000), blobstore.PutOptions{Epochs: 3}); err != nil {
		t.Fatal(err)
	}
	if reused, bought := before-full, full-w.balance(); reused >= bought {
		t.Errorf("with a free reservation a blob costs %d, without %d", reused, bought)
	}
}

// freed puts and deletes a blob, and returns its reservation.
func (w *world) freed(seed uint64, size int, epochs uint32) walrus.ObjectID {
	w.t.Helper()
	return w.freedAll(seed, epochs, size)[0]
}

// freedAll puts blobs of some sizes, deletes them, and returns their reservations.
func (w *world) freedAll(seed uint64, epochs uint32, sizes ...int) []walrus.ObjectID {
	w.t.Helper()
	var objects []walrus.ObjectID
	for i, size := range sizes {
		r, err := w.client.Put(w.t.Context(), randomBlob(seed+uint64(i)<<8, size), blobstore.PutOptions{Epochs: epochs, Deletable: true})
		if err != nil {
			w.t.Fatal(err)
		}
		objects = append(objects, r.Object)
	}
	out, err := w.ledger.Delete(w.t.Context(), chain.TxID{8, byte(seed)}, objects)
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Freed
}

// free returns the reservations that nothing uses.
func (w *world) free() (list []walrus.ObjectID) {
	w.t.Helper()
	owned, err := w.ledger.Owned(w.t.Context(), chain.OwnedQuery{Storage: true})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range owned {
		list = append(list, o.Object)
	}
	return list
}

// Free reservations are used before anything is bought, cut and fused as needed,
// and only what they lack is paid for.
func TestPutReusesReservations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	state, err := w.ledger.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	encoded := func(size int64) uint64 {
		n, err := w.client.Geometry().EncodedSize(size)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	store := func(seed uint64, size int, bought uint32) {
		t.Helper()
		before := w.balance()
		r, err := w.client.Put(t.Context(), randomBlob(seed, size), blobstore.PutOptions{Epochs: 4})
		if err != nil {
			t.Fatal(err)
		}
		if paid, want := before-w.balance(), state.RegisterPrice(encoded(int64(size)), bought); paid != want || r.EndEpoch != state.Epoch+4 {
			t.Errorf("blob of %d bytes: paid %d until epoch %d, want %d until %d", size, paid, r.EndEpoch, want, state.Epoch+4)
		}
	}
	w.freed(1, 400_000, 4)
	store(2, 10_000, 0) // a part of it
	if got := w.free(); len(got) != 1 {
		t.Fatalf("free %v after a small blob, want the rest", got)
	}
	store(3, 380_000, 0) // the rest of it
	w.freed(4, 40_000, 1)
	store(5, 40_000, 3) // three of four epochs
	w.freedAll(6, 4, 30_000, 30_000)
	store(8, 50_000, 0) // both
	store(9, 300_000, 4)
}

// TestPutWithStorage uses the reservation that is asked for, and no other.
func TestPutWithStorage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	both := w.freedAll(1, 4, 40_000, 60_000)
	better, asked := both[0], both[1]
	o := blobstore.PutOptions{Epochs: 4, Storage: asked}
	if _, err := w.client.Put(t.Context(), randomBlob(3, 40_000), o); err != nil {
		t.Fatal(err)
	}
	if got := w.free(); len(got) != 2 || !slices.Contains(got, better) {
		t.Errorf("free %v, want %v and a rest", got, better)
	}
	o.Storage = walrus.ObjectID{9}
	if _, err := w.client.Put(t.Context(), randomBlob(4, 40_000), o); !errors.Is(err, chain.ErrNotExist) {
		t.Errorf("a reservation that is not there: %v", err)
	}
	if got := w.free(); len(got) != 2 {
		t.Errorf("free %v: another was used", got)
	}
}

// TestPutBuysInstead has a reservation go elsewhere between the look and the registration.
func TestPutBuysInstead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	o := blobstore.PutOptions{Epochs: 4}
	w.freed(1, 40_000, 4)
	taken := false
	w.ledger.set(func(op string, _ int) error {
		if op == "register" && !taken {
			taken = true
			return fmt.Errorf("reservation: %w", chain.ErrNotExist)
		}
		return nil
	}, nil)
	before := w.balance()
	if _, err := w.client.Put(t.Context(), randomBlob(2, 40_000), o); err != nil {
		t.Fatal(err)
	}
	if got := w.free(); len(got) != 1 || w.balance() == before {
		t.Errorf("free %v, paid %d", got, before-w.balance())
	}
}

// A crash between the claim of a reservation and the registration, and a lost
// answer, neither leak a reservation nor use it twice.
func TestReservationSurvivesCrash(t *testing.T) {
	t.Parallel()
	for name, meddle := range map[string]func(w *world){
		"before it is sent": func(w *world) { w.ledger.set(func(string, int) error { return errCrash }, nil) },
		"after it was":      func(w *world) { w.ledger.set(nil, func(string, int) error { return errCrash }) },
	} {
		w := newWorld(t, 4, 10)
		w.freed(1, 40_000, 3)
		meddle(w)
		blobs := [][]byte{randomBlob(2, 40_000), randomBlob(3, 40_000)}
		var last walrus.Receipt
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		o := blobstore.PutOptions{Epochs: 3, Checkpoint: func(r walrus.Receipt) error { last = r; return nil }}
		if _, err := w.client.Put(ctx, blobs[0], o); err == nil {
			t.Fatalf("%s: put succeeded", name)
		}
		cancel()
		w.ledger.set(nil, nil)
		w.reconnect() // nobody remembers the claim
		before := w.balance()
		var wait sync.WaitGroup
		for i, resume := range []walrus.Receipt{last, {}} {
			wait.Go(func() {
				if _, err := w.client.Put(t.Context(), blobs[i], blobstore.PutOptions{Epochs: 3, Resume: resume}); err != nil {
					t.Errorf("%s: put %d: %v", name, i, err)
				}
			})
		}
		wait.Wait()
		if got := w.free(); len(got) > 0 {
			t.Errorf("%s: free %v, want none", name, got)
		}
		if w.balance() == before {
			t.Errorf("%s: nothing was bought: a reservation was used twice", name)
		}
		if owned, err := w.ledger.Owned(t.Context(), chain.OwnedQuery{}); err != nil || len(owned) != len(blobs) {
			t.Errorf("%s: %d objects for %d blobs, %v", name, len(owned), len(blobs), err)
		}
	}
}

// hold lets the first transaction of a kind wait until n Puts are under way behind it.
func (w *world) hold(op string) (release func()) {
	gate := make(chan struct{})
	first := true
	w.ledger.set(func(got string, _ int) error {
		w.ledger.mu.Lock()
		wait := first && got == op
		first = first && got != op
		w.ledger.mu.Unlock()
		if wait {
			<-gate
		}
		return nil
	}, nil)
	return func() { close(gate) }
}

// putMany puts blobs at once; released is called when the ledger holds the
// first transaction and the others wait behind it.
func (w *world) putMany(op string, blobs [][]byte, o func(i int) blobstore.PutOptions) []error {
	w.t.Helper()
	w.config.Parallel = len(blobs)
	w.reconnect()
	release := w.hold(op)
	errs := make([]error, len(blobs))
	var ready, done sync.WaitGroup
	for i := range blobs {
		options := o(i)
		stage := map[string]walrus.Stage{"register": walrus.Encoded, "certify": walrus.Stored}[op]
		once := sync.OnceFunc(ready.Done)
		ready.Add(1)
		check := options.Checkpoint
		options.Checkpoint = func(r walrus.Receipt) error {
			if r.Stage == stage {
				once()
			}
			if check != nil {
				return check(r)
			}
			return nil
		}
		done.Go(func() { _, errs[i] = w.client.Put(w.t.Context(), blobs[i], options) })
	}
	ready.Wait()
	release()
	done.Wait()
	w.ledger.set(nil, nil)
	return errs
}

// Several Puts share transactions, and a member that the ledger refuses does
// not spoil those of the others.
func TestBatches(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"register", "certify"} {
		t.Run(op, func(t *testing.T) {
			w := newWorld(t, 4, 10)
			const puts, bad = 8, 5
			blobs := make([][]byte, puts)
			for i := range blobs {
				blobs[i] = randomBlob(uint64(i), 20_000)
			}
			errs := w.putMany(op, blobs, func(i int) blobstore.PutOptions {
				o := blobstore.PutOptions{Epochs: 2}
				if i == bad && op == "register" {
					o.Epochs = 10_000
				}
				if i == bad && op == "certify" {
					o.Deletable = true
					o.Checkpoint = func(r walrus.Receipt) error {
						if r.Stage == walrus.Stored && r.CertifyTx == [32]byte{} {
							_, err := w.ledger.Ledger.Delete(t.Context(), chain.TxID{9}, []walrus.ObjectID{r.Object})
							return err
						}
						return nil
					}
				}
				return o
			})
			for i, err := range errs {
				var abort *chain.AbortError
				if i != bad && err != nil || i == bad && !errors.As(err, &abort) && !errors.Is(err, chain.ErrNotExist) {
					t.Errorf("put %d: %v", i, err)
				}
			}
			transactions, members := w.ledger.count(op)
			if members != puts-1 || transactions >= members {
				t.Errorf("%d blobs in %d transactions", members, transactions)
			}
		})
	}
}

func TestNoFunds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	w.ledger.Ledger = w.ledgerOf(someWallet(t, 0xbb)) // who never saw the faucet
	w.reconnect()
	r, err := w.client.Put(t.Context(), randomBlob(1, 1000), blobstore.PutOptions{})
	if !errors.Is(err, chain.ErrNoFunds) || r.Stage != walrus.Encoded {
		t.Fatalf("put without money: stage %s, %v, want ErrNoFunds", r.Stage, err)
	}
	if err := w.net.Faucet(t.Context(), chain.TxID{2}, someWallet(t, 0xbb).Address()); err != nil {
		t.Fatal(err)
	}
	if r, err = w.client.Put(t.Context(), randomBlob(1, 1000), blobstore.PutOptions{Resume: r}); err != nil {
		t.Fatal(err)
	}
}

// A ledger that is away for a moment is asked again under the same
// transaction ID; one that stays away ends the Put.
func TestLedgerAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	away := errors.New("away")
	left := 1
	w.ledger.set(func(op string, _ int) error {
		w.ledger.mu.Lock()
		defer w.ledger.mu.Unlock()
		if left--; left >= 0 {
			return away
		}
		return nil
	}, nil)
	w.put(randomBlob(1, 1000))
	left = 1 << 30
	if _, err := w.client.Put(t.Context(), randomBlob(2, 1000), blobstore.PutOptions{}); !errors.Is(err, away) {
		t.Errorf("put: %v", err)
	}
}

// The epoch changes while confirmations are under way, and again between
// certificate and transaction: they are gathered anew, and no certificate mixes epochs.
func TestEpochChange(t *testing.T) {
	t.Parallel()
	for _, stage := range []walrus.Stage{walrus.Registered, walrus.Stored} {
		w := newWorld(t, 4, 10)
		blob := randomBlob(1, 20_000)
		changed := false
		r, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{Epochs: 5, Checkpoint: func(r walrus.Receipt) error {
			if r.Stage == stage && !changed {
				changed = true
				return w.net.AdvanceEpoch(t.Context())
			}
			return nil
		}})
		if err != nil || r.Stage != walrus.Certified {
			t.Fatalf("epoch changed at %s: %+v, %v", stage, r, err)
		}
		state, err := w.ledger.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if epoch, _, _, err := walrus.ParseConfirmation(r.Cert.Message); err != nil || epoch != state.Epoch {
			t.Errorf("certificate of epoch %d, now is %d", epoch, state.Epoch)
		}
		if transactions, _ := w.ledger.count("register"); transactions != 1 {
			t.Errorf("%d registrations, want 1", transactions)
		}
		w.reads(r, blob)
	}
}

// The epoch changes after the certificate was found current and before the
// ledger sees it: the ledger refuses, and the confirmations are gathered anew.
func TestEpochChangeAtTheLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	changed := false
	w.ledger.set(func(op string, _ int) error {
		if op == "certify" && !changed {
			changed = true
			return w.net.AdvanceEpoch(t.Context())
		}
		return nil
	}, nil)
	blob := randomBlob(1, 20_000)
	r, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{Epochs: 5})
	if err != nil || !changed {
		t.Fatalf("put: %+v, %v", r, err)
	}
	if _, members := w.ledger.count("register"); members != 1 {
		t.Errorf("%d registrations, want 1", members)
	}
	w.reads(r, blob)
}

// A Put that is cancelled while it waits for a place in a transaction leaves
// nothing behind; one whose transaction is under way writes the outcome down.
func TestCancelAroundATransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	release := w.hold("register")
	ctx, cancel := context.WithCancel(t.Context())
	stages := make(chan walrus.Receipt, 10)
	ended := make(chan error)
	go func() {
		_, err := w.client.Put(ctx, randomBlob(1, 9000), blobstore.PutOptions{Checkpoint: func(r walrus.Receipt) error {
			stages <- r
			return nil
		}})
		ended <- err
	}()
	for r := range stages {
		if r.RegisterTx != [32]byte{} {
			break // it is sent
		}
	}
	waiting, giveUp := context.WithCancel(t.Context())
	_, err := w.client.Put(waiting, randomBlob(2, 9000), blobstore.PutOptions{Checkpoint: func(walrus.Receipt) error {
		giveUp()
		return nil
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("put that waited: %v", err)
	}
	cancel()
	release()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("put under way: %v", err)
	}
	if r := <-stages; r.Stage != walrus.Registered || r.Object.IsZero() {
		t.Errorf("the outcome was not written down: %+v", r)
	}
	if _, members := w.ledger.count("register"); members != 1 {
		t.Errorf("%d registrations, want 1", members)
	}
}

// A Put that was left alone until its object expired registers anew.
func TestResumeAfterExpiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	blob := randomBlob(1, 20_000)
	old, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{Epochs: 1, Checkpoint: func(r walrus.Receipt) error {
		if r.Stage == walrus.Stored {
			return errCrash
		}
		return nil
	}})
	if !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.net.AdvanceEpoch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r, err := w.client.Put(t.Context(), blob, blobstore.PutOptions{Epochs: 2, Resume: old})
	if err != nil || r.Object == old.Object || r.EndEpoch <= old.EndEpoch {
		t.Fatalf("resumed put: %+v, %v; the old one was %+v", r, err, old)
	}
	w.reads(r, blob)
}

func TestPutEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.client.Put(ctx, randomBlob(1, 20_000), blobstore.PutOptions{Checkpoint: func(r walrus.Receipt) error {
		if r.Stage == walrus.Registered {
			w.inject(embedded.Hang, 0, 1, 2, 3)
			cancel()
		}
		return nil
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("put after cancel: %v", err)
	}
	closing := make(chan error, 1)
	_, err = w.client.Put(t.Context(), randomBlob(2, 20_000), blobstore.PutOptions{Checkpoint: func(r walrus.Receipt) error {
		if r.Stage == walrus.Registered {
			go func() { closing <- w.client.Close() }()
		}
		return nil
	}})
	if err == nil {
		t.Error("put with all nodes hanging went through")
	}
	if err := <-closing; err != nil {
		t.Error(err)
	}
	if _, err := w.client.Put(t.Context(), nil, blobstore.PutOptions{}); !errors.Is(err, blobstore.ErrClosed) {
		t.Errorf("put on a closed client: %v", err)
	}
	if _, err := w.client.ReadAt(t.Context(), walrus.BlobID{}, make([]byte, 1), 0); !errors.Is(err, blobstore.ErrClosed) {
		t.Errorf("read on a closed client: %v", err)
	}
}

// A node hangs in a disk call that no context ends. Puts go on without it, and
// do not wait for it again and again.
func TestPutWithAStuckNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 10)
		free := make(chan struct{})
		w.config.Dial = func(m walrus.Member) (*node.Client, error) {
			c, err := w.net.Dial(m)
			if err != nil || m.Name != w.node(1) {
				return c, err
			}
			return node.NewClient(node.Calls{
				Store:   func(ctx context.Context, h node.Handover) error { <-free; return c.Store(ctx, h) },
				Confirm: c.Confirm, Metadata: c.Metadata, Sliver: c.Sliver,
			}), nil
		}
		w.reconnect()
		// Shares differ: take the node out of the quorum only if the others make one.
		state, err := w.ledger.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if g := state.Committee.Geometry(); !g.IsQuorum(g.Shards - state.Committee.Weight(memberOf(t, &state.Committee, w.node(1)))) {
			t.Fatal("the stuck node is too heavy")
		}
		var took []time.Duration
		for i := range 5 {
			began := time.Now()
			blob := randomBlob(uint64(i), 10_000)
			r := w.put(blob)
			took = append(took, time.Since(began))
			w.reads(r, blob)
		}
		if slices.Max(took[2:]) > 0 {
			t.Errorf("puts took %v: the stuck node is waited for", took)
		}
		close(free)
		if err := w.client.Close(); err != nil {
			t.Error(err)
		}
	})
}

func memberOf(t *testing.T, c *walrus.Committee, name string) int {
	t.Helper()
	for i := range c.Members {
		if c.Members[i].Name == name {
			return i
		}
	}
	t.Fatalf("no member %s", name)
	return -1
}

// However many Puts run, only Config.Parallel of them hold an encoding.
func TestEncodingsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, 10)
	var mu sync.Mutex
	var once sync.Once
	active, most := map[walrus.BlobID]int{}, 0
	several := make(chan struct{}) // is closed once there are
	count := func(blob walrus.BlobID, by int) {
		mu.Lock()
		defer mu.Unlock()
		if active[blob] += by; active[blob] == 0 {
			delete(active, blob)
		}
		if most = max(most, len(active)); most >= 2 {
			once.Do(func() { close(several) })
		}
	}
	w.config.Parallel = 3
	w.config.Dial = func(m walrus.Member) (*node.Client, error) {
		c, err := w.net.Dial(m)
		if err != nil {
			return nil, err
		}
		return node.NewClient(node.Calls{
			Store: func(ctx context.Context, h node.Handover) error {
				count(h.Blob, 1)
				defer count(h.Blob, -1)
				select {
				case <-several:
				case <-time.After(time.Minute):
				}
				return c.Store(ctx, h)
			},
			Confirm: c.Confirm, Metadata: c.Metadata, Sliver: c.Sliver,
		}), nil
	}
	w.reconnect()
	var wg sync.WaitGroup
	for i := range uint64(12) {
		wg.Go(func() {
			if _, err := w.client.Put(t.Context(), randomBlob(i, 200_000), blobstore.PutOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most > w.config.Parallel || most < 2 {
		t.Errorf("%d blobs were on their way at a time, want up to %d", most, w.config.Parallel)
	}
}

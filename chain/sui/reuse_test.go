package sui_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/chaintest"
	"github.com/walfs/walfs/chain/sui"
)

// estate is a wallet whose reservations are reused.
type estate struct {
	*testing.T
	*town
	c     *sui.Client
	state *chain.State
	txs   byte
}

func newEstate(t *testing.T) *estate {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	e := &estate{T: t, town: w, c: w.client(wallet(t, 1)), txs: 1}
	e.look()
	return e
}

func (e *estate) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func (e *estate) look() {
	e.Helper()
	var err error
	e.state, err = e.c.State(e.Context())
	e.must(err)
}

func (e *estate) tx() chain.TxID {
	e.txs++
	return chain.TxID{e.txs}
}

// sized is a registration of a blob of so many bytes.
func (e *estate) sized(size int64, epochs uint32, reuse ...walrus.ObjectID) chain.Registration {
	root := [32]byte{e.txs, 9}
	return chain.Registration{Blob: walrus.ComputeBlobID(root, size), Root: root, Size: size, EpochsAhead: epochs, Deletable: true, Reuse: reuse}
}

func (e *estate) encoded(size int64) uint64 {
	e.Helper()
	n, err := walrus.Geometry{Shards: 10}.EncodedSize(size)
	e.must(err)
	return n
}

func (e *estate) register(r chain.Registration) *chain.Outcome {
	e.Helper()
	out, err := e.c.Register(e.Context(), e.tx(), []chain.Registration{r})
	e.must(err)
	return out
}

// freed registers and deletes a blob, and returns its reservation.
func (e *estate) freed(size int64, epochs uint32) walrus.ObjectID {
	e.Helper()
	out, err := e.c.Delete(e.Context(), e.tx(), []walrus.ObjectID{e.register(e.sized(size, epochs)).Registered[0].Object})
	e.must(err)
	return out.Freed[0]
}

// free returns size, start and end of the free reservations that are not over, in the order of their sizes.
func (e *estate) free() (list [][3]uint64) {
	e.Helper()
	owned, err := e.c.Owned(e.Context(), chain.OwnedQuery{Storage: true})
	e.must(err)
	for _, o := range owned {
		list = append(list, [3]uint64{o.StorageSize, uint64(o.StartEpoch), uint64(o.EndEpoch)})
	}
	slices.SortFunc(list, func(a, b [3]uint64) int { return slices.Compare(a[:], b[:]) })
	return list
}

func (e *estate) wantFree(want ...[3]uint64) {
	e.Helper()
	if got := e.free(); !slices.Equal(got, want) {
		e.Errorf("free are %v, want %v", got, want)
	}
}

// wantOutcome compares what was paid, by the ledger's books too, and until when.
func (e *estate) wantOutcome(out *chain.Outcome, before uint64, frost uint64, end walrus.Epoch) {
	e.Helper()
	list := append(slices.Clone(out.Registered), out.Extended...)
	if len(list) != 1 || list[0].EndEpoch != end || out.CostFrost != frost || poorer(e.T, e.c)-before != frost {
		e.Errorf("paid %d, the wallet lost %d, want %d; got %+v, want until %d", out.CostFrost, poorer(e.T, e.c)-before, frost, list, end)
	}
}

// TestReuseRegistering stores blobs in free storage that is cut and fused to fit, and counts what is paid.
func TestReuseRegistering(t *testing.T) {
	e := newEstate(t)
	const big, small = 1_500_000, 300_000
	now := uint64(e.state.Epoch)
	write := func(size int64) uint64 { return e.state.RegisterPrice(e.encoded(size), 0) }
	store := func(size int64, epochs uint32, bought uint32, reuse ...walrus.ObjectID) {
		e.Helper()
		before := poorer(e.T, e.c)
		out := e.register(e.sized(size, epochs, reuse...))
		e.wantOutcome(out, before, write(size)+e.state.ExtendPrice(e.encoded(size), bought), walrus.Epoch(now)+walrus.Epoch(epochs))
	}
	store(big, 5, 0, e.freed(big, 5)) // as it is
	e.wantFree()
	store(big, 5, 2, e.freed(big, 3)) // time is bought
	e.wantFree()
	store(small, 5, 0, e.freed(big, 5)) // cut in size
	rest := e.encoded(big) - e.encoded(small)
	e.wantFree([3]uint64{rest, now, now + 5})
	free, err := e.c.Owned(e.Context(), chain.OwnedQuery{Storage: true})
	e.must(err)
	store(small, 2, 0, free[0].Object) // in time and in size
	left := rest - e.encoded(small)
	e.wantFree([3]uint64{left, now, now + 2}, [3]uint64{rest, now + 2, now + 5})
	// Several, of which one began before, and one lasts for longer.
	first := e.freed(small, 8)
	e.advance(1)
	e.look()
	now++
	second, third := e.freed(small, 4), e.freed(small, 6)
	both := int64(2*small + small/2)
	if e.encoded(both) > 3*e.encoded(small) {
		t.Fatal("the three are not large enough")
	}
	store(both, 5, 1, first, second, third)
	e.wantFree([3]uint64{3*e.encoded(small) - e.encoded(both), now, now + 4}, [3]uint64{e.encoded(small), now + 4, now + 6}, [3]uint64{e.encoded(small), now + 4, now + 7},
		[3]uint64{left, now - 1, now + 1}, [3]uint64{rest, now + 1, now + 4})
}

// TestReuseRefused asks for what free storage cannot give: nothing is paid, and nothing is cut.
func TestReuseRefused(t *testing.T) {
	e := newEstate(t)
	free := e.freed(300_000, 2)
	had, before := e.free(), poorer(t, e.c)
	var abort *chain.AbortError
	if _, err := e.c.Register(t.Context(), e.tx(), []chain.Registration{e.sized(900_000, 2, free)}); !errors.As(err, &abort) || abort.Code != 3 {
		t.Errorf("too small: %v", err)
	}
	if _, err := e.c.Register(t.Context(), e.tx(), []chain.Registration{e.sized(10, 2, free), e.sized(20, 2, free)}); err == nil {
		t.Error("one reservation served two blobs")
	}
	if _, err := e.c.Register(t.Context(), e.tx(), []chain.Registration{e.sized(10, 2, walrus.ObjectID{5})}); !errors.Is(err, chain.ErrNotExist) {
		t.Errorf("one that is not there: %v", err)
	}
	if got := e.free(); !slices.Equal(got, had) || poorer(t, e.c) != before {
		t.Errorf("free are %v, were %v, and %d FROST were paid", got, had, poorer(t, e.c)-before)
	}
	e.advance(2)
	if _, err := e.c.Register(t.Context(), e.tx(), []chain.Registration{e.sized(10, 2, free)}); !errors.As(err, &abort) || abort.Code != 2 {
		t.Errorf("one that has ended: %v", err)
	}
}

// TestReuseExtending lengthens a blob's life with free storage, and counts what is paid.
func TestReuseExtending(t *testing.T) {
	e := newEstate(t)
	const size, more = 300_000, 1_500_000
	now := uint64(e.state.Epoch)
	r := e.sized(size, 2)
	blob := e.register(r).Registered[0]
	message := walrus.ConfirmationMessage(e.state.Epoch, r.Blob, walrus.Persistence{Deletable: true, Object: blob.Object})
	_, err := e.c.Certify(t.Context(), e.tx(), []chain.Certification{{Object: blob.Object, Cert: e.sign([]int{0, 1, 2}, message)}}, nil)
	e.must(err)
	free := e.freed(more, 7)
	extend := func(epochs uint32, frost uint64, end uint64, reuse ...walrus.ObjectID) {
		e.Helper()
		before := poorer(e.T, e.c)
		out, err := e.c.Extend(t.Context(), e.tx(), []chain.Extension{{Object: blob.Object, Epochs: epochs, Reuse: reuse}})
		e.must(err)
		e.wantOutcome(out, before, frost, walrus.Epoch(end))
	}
	extend(3, 0, now+5, free)
	rest := e.encoded(more) - e.encoded(size)
	e.wantFree([3]uint64{rest, now + 2, now + 5}, [3]uint64{e.encoded(more), now, now + 2}, [3]uint64{e.encoded(more), now + 5, now + 7})
	owned, err := e.c.Owned(t.Context(), chain.OwnedQuery{Storage: true})
	e.must(err)
	for _, o := range owned {
		if uint64(o.StartEpoch) == now+5 {
			extend(10, e.state.ExtendPrice(e.encoded(size), 8), now+15, o.Object) // two of ten are free
		}
	}
	extend(1, e.state.ExtendPrice(e.encoded(size), 1), now+16)
}

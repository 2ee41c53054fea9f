package sui_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/chaintest"
	"github.com/walfs/walfs/chain/sui"
)

// reopen gives the town the journal in a folder.
func (w *town) reopen(folder string) {
	w.t.Helper()
	for _, c := range w.clients {
		if err := c.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
	w.clients = nil
	if err := w.journal.Close(); err != nil {
		w.t.Fatal(err)
	}
	var err error
	if w.journal, err = sui.OpenJournal(folder); err != nil {
		w.t.Fatal(err)
	}
}

const journalFile = "transactions.journal"

// leaveOpen registers a blob, loses the answer for good, and returns the journal of
// that time: it has the transaction as one that is open.
func (w *town) leaveOpen(tx chain.TxID) []byte {
	w.t.Helper()
	p := newProxy()
	c := w.client(wallet(w.t, 1), p.intercept)
	p.set(p.mute, execute, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := c.Register(ctx, tx, []chain.Registration{registration(1)})
		done <- err
	}()
	w.until(func() bool { return p.count(execute) > 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		w.t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(w.folder, journalFile))
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// TestJournalIsNotWhatItWas puts other bytes in the place of the journal after a transaction was executed
// of which no answer came: nobody pays twice, and what was paid for is found.
func TestJournalIsNotWhatItWas(t *testing.T) {
	tx := chain.TxID{9}
	for name, c := range map[string]struct {
		bytes func(open, settled []byte) []byte
		knows bool // the transaction ID
	}{
		"as it was":                    {func(open, _ []byte) []byte { return open }, true},
		"an older copy of it":          {func(open, settled []byte) []byte { return settled[:len(open)] }, true},
		"its end is cut off":           {func(_, settled []byte) []byte { return settled[:len(settled)-5] }, true},
		"rubbish behind its end":       {func(_, settled []byte) []byte { return append(settled, 1, 2, 3, 4, 5, 6, 7, 8, 9) }, true},
		"it ends before it was signed": {func(open, _ []byte) []byte { return open[:60] }, false},
		"it is lost":                   {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(t, 4, 10)
			w.fund(1, wallet(t, 1), chaintest.MinFunds)
			open := w.leaveOpen(tx)
			first, err := w.client(wallet(t, 1)).Outcome(t.Context(), tx)
			if err != nil {
				t.Fatal(err)
			}
			settled, err := os.ReadFile(filepath.Join(w.folder, journalFile))
			if err != nil {
				t.Fatal(err)
			}
			place := t.TempDir()
			if c.bytes != nil {
				if err := os.WriteFile(filepath.Join(place, journalFile), c.bytes(open, settled), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			w.reopen(place)
			p := newProxy()
			l := w.client(wallet(t, 1), p.intercept)
			out, err := l.Outcome(t.Context(), tx)
			if c.knows && (err != nil || !reflect.DeepEqual(out, first)) || !c.knows && !errors.Is(err, chain.ErrNotExist) {
				t.Errorf("outcome %+v, %v, want %+v", out, err, first)
			}
			if c.knows {
				if out, err = l.Register(t.Context(), tx, []chain.Registration{registration(1)}); err != nil || !reflect.DeepEqual(out, first) {
					t.Errorf("repeated: %+v, %v, want %+v", out, err, first)
				}
			}
			if paid := poorer(t, l); paid != first.CostFrost || p.count(execute) != 0 {
				t.Errorf("paid %d, sent %d, the call cost %d", paid, p.count(execute), first.CostFrost)
			}
			// Who has lost the ID finds what it paid for by the blob.
			owned, err := l.Owned(t.Context(), chain.OwnedQuery{Blobs: []walrus.BlobID{registration(1).Blob}})
			if err != nil || len(owned) != 1 || owned[0].Object != first.Registered[0].Object {
				t.Errorf("owned: %+v, %v", owned, err)
			}
		})
	}
}

// TestCopiedJournal lets two copies of a journal have the same open transaction: each of them learns what became
// of it, and it is paid once.
func TestCopiedJournal(t *testing.T) {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	// Signed and never sent.
	p := newProxy()
	p.set(p.lose, execute, 1000)
	c := w.client(wallet(t, 1), p.intercept)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.Register(ctx, chain.TxID{9}, []chain.Registration{registration(1)})
		done <- err
	}()
	w.until(func() bool { return p.count(execute) > 1 })
	cancel()
	<-done
	b, err := os.ReadFile(filepath.Join(w.folder, journalFile))
	if err != nil {
		t.Fatal(err)
	}
	var outs []*chain.Outcome
	for range 2 {
		place := t.TempDir()
		if err := os.WriteFile(filepath.Join(place, journalFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		w.reopen(place)
		c := w.client(wallet(t, 1))
		out, err := c.Register(t.Context(), chain.TxID{9}, []chain.Registration{registration(1)})
		if err != nil {
			t.Fatal(err)
		}
		outs = append(outs, out)
		if paid := poorer(t, c); paid != out.CostFrost {
			t.Errorf("paid %d, the call cost %d", paid, out.CostFrost)
		}
	}
	if !reflect.DeepEqual(outs[0], outs[1]) {
		t.Errorf("got %+v and %+v", outs[0], outs[1])
	}
}

// TestJournalOnFullDisk fills the disk that the journal is on, or closes it: nothing is signed away, what
// was journalled before is there, and once there is room again it goes on.
func TestJournalOnFullDisk(t *testing.T) {
	place := t.TempDir()
	if err := unix.Mount("tmpfs", place, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(place, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	w.reopen(place)
	p := newProxy()
	c := w.client(wallet(t, 1), p.intercept)
	first, err := c.Register(t.Context(), chain.TxID{1}, []chain.Registration{registration(1)})
	if err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(place, "filler")
	if err := os.WriteFile(filler, make([]byte, 128<<10), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	paid := first.CostFrost
	var failed int
	for i := range byte(20) { // what is left of the journal's last page holds some records
		out, err := c.Register(t.Context(), chain.TxID{2, i}, []chain.Registration{registration(10 + i)})
		if err == nil {
			paid += out.CostFrost
			continue
		}
		if failed++; !errors.Is(err, sui.ErrJournal) {
			t.Fatalf("on a full disk: %v, want ErrJournal", err)
		}
	}
	if got := poorer(t, c); failed == 0 || got < paid {
		t.Errorf("%d calls failed, paid %d of %d", failed, got, paid)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.reopen(place)
	c = w.client(wallet(t, 1))
	for i := range byte(20) {
		out, err := c.Register(t.Context(), chain.TxID{2, i}, []chain.Registration{registration(10 + i)})
		if err != nil || len(out.Registered) != 1 {
			t.Fatalf("with room again: %+v, %v", out, err)
		}
	}
	if owned, err := c.Owned(t.Context(), chain.OwnedQuery{}); err != nil || len(owned) != 21 || poorer(t, c) != 21*first.CostFrost {
		t.Errorf("%d objects, paid %d, %v, want 21 at %d", len(owned), poorer(t, c), err, first.CostFrost)
	}
}

// TestJournalOfAnotherChain gives a client a journal of transactions of another chain: nothing is signed.
func TestJournalOfAnotherChain(t *testing.T) {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	other := w.client(wallet(t, 1), func(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
		err := call(ctx, method, request, reply, cc, options...)
		if info, ok := reply.(*pb.GetServiceInfoResponse); ok {
			id := "11111111111111111111111111111112"
			info.ChainId = &id
		}
		return err
	})
	if _, err := other.Register(t.Context(), chain.TxID{1}, []chain.Registration{registration(1)}); err != nil {
		t.Fatal(err)
	}
	w.reopen(w.folder)
	p := newProxy()
	c := w.client(wallet(t, 1), p.intercept)
	if _, err := c.Register(t.Context(), chain.TxID{2}, []chain.Registration{registration(2)}); !errors.Is(err, sui.ErrOtherChain) {
		t.Errorf("register: %v, want ErrOtherChain", err)
	}
	if _, err := c.Outcome(t.Context(), chain.TxID{2}); err != nil && !errors.Is(err, sui.ErrOtherChain) && !errors.Is(err, chain.ErrNotExist) {
		t.Errorf("outcome: %v", err)
	}
	if p.count(execute) != 0 {
		t.Errorf("%d transactions were sent", p.count(execute))
	}
}

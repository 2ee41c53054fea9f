package sui_test

import (
	"context"
	"errors"
	"path"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/chaintest"
	"github.com/walfs/walfs/chain/sui"
)

// proxy stands between a client and the server, and loses requests and answers.
type proxy struct {
	mu    sync.Mutex
	lose  map[string]int // requests of a method that do not arrive
	mute  map[string]int // answers of a method that do not come back
	sent  [][]byte       // transactions that arrived
	calls map[string]int
}

func newProxy() *proxy {
	return &proxy{lose: map[string]int{}, mute: map[string]int{}, calls: map[string]int{}}
}

var errLost = status.Error(codes.Unavailable, "connection lost")

func (p *proxy) intercept(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
	name := path.Base(method)
	p.mu.Lock()
	p.calls[name]++
	lost := p.lose[name] > 0
	if lost {
		p.lose[name]--
	} else if e, ok := request.(*pb.ExecuteTransactionRequest); ok {
		p.sent = append(p.sent, e.GetTransaction().GetBcs().GetValue())
	}
	p.mu.Unlock()
	if lost {
		return errLost
	}
	if err := call(ctx, method, request, reply, cc, options...); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mute[name] > 0 {
		p.mute[name]--
		return errLost
	}
	return nil
}

func (p *proxy) set(m map[string]int, name string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m[name] = n
}

const (
	execute  = "ExecuteTransaction"
	simulate = "SimulateTransaction"
)

func registration(n byte) chain.Registration {
	root := [32]byte{n, 1}
	return chain.Registration{Blob: walrus.ComputeBlobID(root, 10), Root: root, Size: 10, EpochsAhead: 3, Deletable: true}
}

// poorer is by how much an owner's WAL has fallen since the funding.
func poorer(t *testing.T, l chain.Ledger) uint64 {
	t.Helper()
	b, err := l.Balance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return chaintest.MinFunds - b.WALFrost
}

// TestLostAnswers loses the answer to an executed transaction, and requests:
// the same bytes are sent again, and it is paid once.
func TestLostAnswers(t *testing.T) {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	p := newProxy()
	c := w.client(wallet(t, 1), p.intercept)
	p.set(p.mute, execute, 2)
	p.set(p.lose, execute, 1)
	out, err := c.Register(t.Context(), chain.TxID{9}, []chain.Registration{registration(1)})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.sent) != 3 || !reflect.DeepEqual(p.sent[0], p.sent[1]) || !reflect.DeepEqual(p.sent[0], p.sent[2]) {
		t.Errorf("%d transactions were sent, want the same one three times", len(p.sent))
	}
	if paid := poorer(t, c); paid != out.CostFrost {
		t.Errorf("paid %d, the call cost %d", paid, out.CostFrost)
	}
}

// TestAwayForLong lets the server answer nothing for longer than a call waits.
// The call fails, and whatever is asked next finds out what became of it.
func TestAwayForLong(t *testing.T) {
	for _, arrived := range []bool{true, false} {
		w := newTown(t, 4, 10)
		w.fund(1, wallet(t, 1), chaintest.MinFunds)
		p := newProxy()
		c := w.client(wallet(t, 1), p.intercept)
		lost := p.lose
		if arrived {
			lost = p.mute
		}
		if _, err := c.State(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.set(lost, execute, 1000)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := c.Register(ctx, chain.TxID{9}, []chain.Registration{registration(1)})
			done <- err
		}()
		w.until(func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.calls[execute] > 1 })
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("arrived %v: %v", arrived, err)
		}
		if n, since := c.Undecided(); n != 1 || time.Since(since) > time.Hour {
			t.Errorf("arrived %v: %d open since %s", arrived, n, since)
		}
		p.set(lost, execute, 0)
		out, err := c.Outcome(t.Context(), chain.TxID{9})
		if err != nil || len(out.Registered) != 1 {
			t.Fatalf("arrived %v: outcome %+v, %v", arrived, out, err)
		}
		if n, _ := c.Undecided(); n != 0 {
			t.Errorf("arrived %v: %d open after the outcome is known", arrived, n)
		}
		again, err := c.Register(t.Context(), chain.TxID{9}, []chain.Registration{registration(1)})
		if err != nil || !reflect.DeepEqual(again, out) {
			t.Errorf("arrived %v: repeated: %+v, %v, want %+v", arrived, again, err, out)
		}
		if paid := poorer(t, c); paid != out.CostFrost {
			t.Errorf("arrived %v: paid %d, the call cost %d", arrived, paid, out.CostFrost)
		}
	}
}

// until waits for a condition.
func (w *town) until(done func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			w.t.Fatal("it never happened")
		}
		time.Sleep(time.Millisecond)
	}
}

// rival returns another client of the first owner, with a journal of its own.
func (w *town) rival() *sui.Client {
	w.t.Helper()
	elsewhere, err := sui.OpenJournal(w.t.TempDir())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := elsewhere.Close(); err != nil {
			w.t.Error(err)
		}
	})
	mine := w.journal
	w.journal = elsewhere
	defer func() { w.journal = mine }()
	return w.client(wallet(w.t, 1))
}

// TestOvertaken lets another client of the same owner use the coins after a
// transaction was signed: the transaction is dead, and built anew.
func TestOvertaken(t *testing.T) {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	rival := w.rival()
	var overtaken int
	var once sync.Once
	var cost uint64
	c := w.client(wallet(t, 1), func(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
		if path.Base(method) == execute {
			overtaken++
			once.Do(func() {
				out, err := rival.Register(ctx, chain.TxID{8}, []chain.Registration{registration(2)})
				if err != nil {
					t.Error(err)
					return
				}
				cost = out.CostFrost
			})
		}
		return call(ctx, method, request, reply, cc, options...)
	})
	out, err := c.Register(t.Context(), chain.TxID{9}, []chain.Registration{registration(1)})
	if err != nil {
		t.Fatal(err)
	}
	if overtaken != 2 {
		t.Errorf("sent %d times, want twice", overtaken)
	}
	if paid := poorer(t, c); paid != out.CostFrost+cost {
		t.Errorf("paid %d, the calls cost %d", paid, out.CostFrost+cost)
	}
	// The same with an anchor: who comes second has lost, and is not built anew.
	blob := out.Registered[0].Object
	owned, err := c.Owned(t.Context(), chain.OwnedQuery{Objects: []walrus.ObjectID{blob}})
	if err != nil {
		t.Fatal(err)
	}
	set := func(value string) *chain.AnchorUpdate {
		return &chain.AnchorUpdate{Object: blob, Version: owned[0].Version, Attributes: []chain.Attribute{{Key: "k", Value: value}}}
	}
	once = sync.Once{}
	anchored := w.client(wallet(t, 1), func(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
		if path.Base(method) == execute {
			once.Do(func() {
				if _, err := rival.Certify(ctx, chain.TxID{7}, nil, set("rival")); err != nil {
					t.Error(err)
				}
			})
		}
		return call(ctx, method, request, reply, cc, options...)
	})
	if _, err := anchored.Certify(t.Context(), chain.TxID{6}, nil, set("mine")); !errors.Is(err, chain.ErrStaleVersion) {
		t.Errorf("anchor of the loser: %v, want ErrStaleVersion", err)
	}
	if _, err := anchored.Outcome(t.Context(), chain.TxID{6}); !errors.Is(err, chain.ErrNotExist) {
		t.Errorf("outcome of the loser: %v, want ErrNotExist", err)
	}
}

// TestOtherChain lets the full node turn into one of another chain: nothing is signed for it.
func TestOtherChain(t *testing.T) {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	var other bool
	p := newProxy()
	c := w.client(wallet(t, 1), p.intercept, func(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
		err := call(ctx, method, request, reply, cc, options...)
		if info, ok := reply.(*pb.GetServiceInfoResponse); ok && other {
			id := "11111111111111111111111111111112"
			info.ChainId = &id
		}
		return err
	})
	if _, err := c.Register(t.Context(), chain.TxID{1}, []chain.Registration{registration(1)}); err != nil {
		t.Fatal(err)
	}
	other = true
	if _, err := c.Register(t.Context(), chain.TxID{2}, []chain.Registration{registration(2)}); !errors.Is(err, sui.ErrOtherChain) {
		t.Errorf("register: %v, want ErrOtherChain", err)
	}
	if _, err := c.State(t.Context()); !errors.Is(err, sui.ErrOtherChain) {
		t.Errorf("state: %v, want ErrOtherChain", err)
	}
	if p.calls[execute] != 1 {
		t.Errorf("%d transactions were sent, want the first one alone", p.calls[execute])
	}
	// A client that has never seen the chain knows it from the journal.
	if _, err := sui.New(t.Context(), sui.Config{Profile: w.profile(), Wallet: wallet(t, 1), Journal: w.journal, Chain: [32]byte{1}}); !errors.Is(err, sui.ErrOtherChain) {
		t.Errorf("a client that is bound to another chain than its journal: %v", err)
	}
	wrong := w.profile()
	wrong.Chain = "00000001"
	c2, err := sui.New(t.Context(), sui.Config{Profile: wrong, Wallet: wallet(t, 1), Journal: w.journal,
		Dial: []grpc.DialOption{grpc.WithContextDialer(w.server.Pipe)}})
	if err != nil {
		t.Fatal(err)
	}
	w.clients = append(w.clients, c2)
	if _, err := c2.State(t.Context()); !errors.Is(err, sui.ErrOtherChain) {
		t.Errorf("a profile of another chain: %v", err)
	}
}

// TestLocked lets the ledger say that an object is locked: nobody knows what
// will become of the transaction, so it stays open, and nothing else is signed
// before it has been settled.
func TestLocked(t *testing.T) {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	locked, p := true, newProxy()
	c := w.client(wallet(t, 1), func(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
		if path.Base(method) == execute && locked {
			return status.Error(codes.FailedPrecondition, "object is locked by another transaction")
		}
		return call(ctx, method, request, reply, cc, options...)
	}, p.intercept)
	if _, err := c.Register(t.Context(), chain.TxID{1}, []chain.Registration{registration(1)}); !errors.Is(err, sui.ErrLocked) {
		t.Errorf("first: %v, want ErrLocked", err)
	}
	if _, err := c.Register(t.Context(), chain.TxID{2}, []chain.Registration{registration(2)}); !errors.Is(err, sui.ErrLocked) {
		t.Errorf("second: %v, want ErrLocked", err)
	}
	if _, err := c.Outcome(t.Context(), chain.TxID{2}); !errors.Is(err, sui.ErrLocked) && !errors.Is(err, chain.ErrNotExist) {
		t.Errorf("outcome of the second: %v", err)
	}
	locked = false
	second, err := c.Register(t.Context(), chain.TxID{2}, []chain.Registration{registration(2)})
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Outcome(t.Context(), chain.TxID{1})
	if err != nil || len(first.Registered) != 1 {
		t.Fatalf("outcome of the first: %+v, %v", first, err)
	}
	if paid := poorer(t, c); paid != first.CostFrost+second.CostFrost || len(p.sent) != 2 {
		t.Errorf("paid %d in %d transactions, the calls cost %d", paid, len(p.sent), first.CostFrost+second.CostFrost)
	}
}

// TestForgotten lets the full node forget a transaction whose answer was lost,
// as those do that keep no history: it is not paid a second time.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, 4, 10)
		w.fund(1, wallet(t, 1), chaintest.MinFunds)
		p, forgets := newProxy(), false
		c := w.client(wallet(t, 1), func(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
			switch name := path.Base(method); {
			case forgets && name == "GetTransaction":
				return status.Error(codes.NotFound, "pruned")
			case forgets && name == execute:
				return status.Error(codes.InvalidArgument, "object version is not available")
			case name == execute:
				defer func() { forgets = true }()
				if err := call(ctx, method, request, reply, cc, options...); err != nil {
					return err
				}
				return errLost
			}
			return call(ctx, method, request, reply, cc, options...)
		}, p.intercept)
		if _, err := c.Register(t.Context(), chain.TxID{1}, []chain.Registration{registration(1)}); !errors.Is(err, sui.ErrForgotten) {
			t.Errorf("got %v, want ErrForgotten", err)
		}
		if len(p.sent) != 1 {
			t.Errorf("%d transactions arrived, want the first one", len(p.sent))
		}
	})
}

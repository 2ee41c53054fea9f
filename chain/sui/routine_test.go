package sui_test

import (
	"context"
	"errors"
	"path"
	"sync"
	"testing"
	"testing/synctest"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/chaintest"
	"github.com/walfs/walfs/chain/move"
	"github.com/walfs/walfs/chain/sui"
)

// spoiler executes what is sent to it, or, where it is told to, says instead that it failed.
type spoiler struct {
	mu   sync.Mutex
	with *pb.ExecutionError // of the next transaction
}

func (s *spoiler) set(e *pb.ExecutionError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.with = e
}

func (s *spoiler) intercept(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
	s.mu.Lock()
	e := s.with
	if path.Base(method) == execute {
		s.with = nil
	} else {
		e = nil
	}
	s.mu.Unlock()
	if e == nil {
		return call(ctx, method, request, reply, cc, options...)
	}
	digest := move.TransactionDigest(request.(*pb.ExecuteTransactionRequest).GetTransaction().GetBcs().GetValue()).String()
	reply.(*pb.ExecuteTransactionResponse).Transaction = &pb.ExecutedTransaction{Digest: &digest,
		Effects: &pb.TransactionEffects{Status: &pb.ExecutionStatus{Success: proto.Bool(false), Error: e}}}
	return nil
}

// TestRoutine registers and certifies again and again: the first one of each kind is tried out,
// those like it are not, nor is read again what the owner's own transactions have left. In virtual time, as
// prices are read again when they are old.
func TestRoutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, 4, 10)
		w.fund(1, wallet(t, 1), chaintest.MinFunds)
		p := newProxy()
		c := w.client(wallet(t, 1), p.intercept)
		for i := range byte(4) {
			before := map[string]int{simulate: p.count(simulate), "BatchGetObjects": p.count("BatchGetObjects"), "GetEpoch": p.count("GetEpoch")}
			w.store(c, i)
			for name, n := range before {
				if got := p.count(name) - n; i > 0 && got != 0 {
					t.Errorf("pair %d: %d calls of %s", i, got, name)
				}
			}
		}
		if got := p.count(simulate); got != 2 {
			t.Errorf("%d transactions were tried out, want one of each kind", got)
		}
		// Those of another shape are tried out, and those that a person asks for.
		if _, err := c.Register(t.Context(), chain.TxID{9, 100}, []chain.Registration{registration(101), registration(102)}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Dry().Register(t.Context(), chain.TxID{9, 101}, []chain.Registration{registration(103)}); !errors.As(err, new(*sui.DryRun)) {
			t.Errorf("dry run: %v", err)
		}
		if got := p.count(simulate); got != 4 {
			t.Errorf("%d transactions were tried out, want those too", got)
		}
	})
}

// count returns how often a method was called.
func (p *proxy) count(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[name]
}

// store registers and certifies a blob, and returns what that cost.
func (w *town) store(c *sui.Client, n byte) (object walrus.ObjectID, cost uint64) {
	w.t.Helper()
	out, err := c.Register(context.Background(), chain.TxID{9, n}, []chain.Registration{registration(n)})
	if err != nil {
		w.t.Fatalf("register %d: %v", n, err)
	}
	object = out.Registered[0].Object
	if _, err := c.Certify(context.Background(), chain.TxID{8, n}, []chain.Certification{w.certificate(n, object)}, nil); err != nil {
		w.t.Fatalf("certify %d: %v", n, err)
	}
	return object, out.CostFrost
}

func (w *town) certificate(n byte, object walrus.ObjectID) chain.Certification {
	msg := walrus.ConfirmationMessage(w.net.Committee().Epoch, registration(n).Blob, walrus.Persistence{Deletable: true, Object: object})
	return chain.Certification{Object: object, Cert: w.sign([]int{0, 1, 2, 3}, msg)}
}

// TestRoutineFails lets a transaction fail that was not tried out: it is built anew and tried
// out, and what comes of that counts. It is paid once.
func TestRoutineFails(t *testing.T) {
	kind := func(k pb.ExecutionError_ExecutionErrorKind) *pb.ExecutionError { return &pb.ExecutionError{Kind: &k} }
	abort := func(module string, code uint64) *pb.ExecutionError {
		e := kind(pb.ExecutionError_MOVE_ABORT)
		e.ErrorDetails = &pb.ExecutionError_Abort{Abort: &pb.MoveAbort{AbortCode: &code, Location: &pb.MoveLocation{Module: &module}}}
		return e
	}
	for name, e := range map[string]*pb.ExecutionError{
		"the budget did not do": kind(pb.ExecutionError_INSUFFICIENT_GAS),
		"the price has risen":   abort("balance", 2),
		"an upgrade":            abort("system", 1),
		"something else":        abort("system_state_inner", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(t, 4, 10)
			w.fund(1, wallet(t, 1), chaintest.MinFunds)
			p, s := newProxy(), new(spoiler)
			c := w.client(wallet(t, 1), p.intercept, s.intercept)
			_, first := w.store(c, 1)
			tried := p.count(simulate)
			s.set(e)
			_, second := w.store(c, 2)
			if got := p.count(simulate) - tried; got != 1 {
				t.Errorf("%d transactions were tried out, want the one that failed", got)
			}
			if owned, err := c.Owned(t.Context(), chain.OwnedQuery{}); err != nil || len(owned) != 2 {
				t.Errorf("%d objects, %v", len(owned), err)
			}
			if paid := poorer(t, c); paid != first+second {
				t.Errorf("paid %d, the calls cost %d", paid, first+second)
			}
			if n, _ := c.Undecided(); n != 0 {
				t.Errorf("%d transactions are open", n)
			}
		})
	}
	// What fails for good is refused before it is sent a second time.
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	p := newProxy()
	c := w.client(wallet(t, 1), p.intercept)
	object, _ := w.store(c, 1)
	sent := len(p.sent)
	var abortErr *chain.AbortError
	if _, err := c.Certify(t.Context(), chain.TxID{7}, []chain.Certification{w.certificate(1, object)}, nil); !errors.As(err, &abortErr) || abortErr.Name != "EAlreadyCertified" {
		t.Errorf("certified twice: %v", err)
	}
	if got := len(p.sent) - sent; got != 1 {
		t.Errorf("sent %d times, want once", got)
	}
}

// TestHandedElsewhere changes an object that a client remembers through another client of the
// same owner: the transaction that names it as it was is refused, and built anew.
func TestHandedElsewhere(t *testing.T) {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	c, rival := w.client(wallet(t, 1)), w.client(wallet(t, 1))
	w.store(c, 1)
	out, err := c.Register(t.Context(), chain.TxID{9, 2}, []chain.Registration{registration(2)})
	if err != nil {
		t.Fatal(err)
	}
	object := out.Registered[0].Object
	owned, err := rival.Owned(t.Context(), chain.OwnedQuery{Objects: []walrus.ObjectID{object}})
	if err != nil || len(owned) != 1 {
		t.Fatalf("%+v, %v", owned, err)
	}
	if _, err := rival.Certify(t.Context(), chain.TxID{6}, nil, &chain.AnchorUpdate{Object: object, Version: owned[0].Version,
		Attributes: []chain.Attribute{{Key: "k", Value: "v"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Certify(t.Context(), chain.TxID{8, 2}, []chain.Certification{w.certificate(2, object)}, nil); err != nil {
		t.Errorf("certify: %v", err)
	}
	// An anchor that another one moved is not built anew.
	if _, err := c.Certify(t.Context(), chain.TxID{5}, nil, &chain.AnchorUpdate{Object: object, Version: owned[0].Version,
		Attributes: []chain.Attribute{{Key: "k", Value: "w"}}}); !errors.Is(err, chain.ErrStaleVersion) {
		t.Errorf("anchor at an old version: %v", err)
	}
}

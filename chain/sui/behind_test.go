package sui_test

import (
	"bytes"
	"context"
	"errors"
	"path"
	"sync"
	"testing"
	"testing/synctest"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/chaintest"
	"github.com/walfs/walfs/chain/move"
	"github.com/walfs/walfs/chain/sui"
)

// laggard is a full node that is one of several behind a name: it executes at once, and answers a
// number of reads after that, of each kind, as if it had not.
type laggard struct {
	lag int // reads of each kind

	mu   sync.Mutex
	left map[string]int           // reads from the past, by method
	past map[string]proto.Message // answers, by method and request
}

func (l *laggard) intercept(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
	name := path.Base(method)
	key, err := proto.MarshalOptions{Deterministic: true}.Marshal(request.(proto.Message))
	if err != nil {
		return err
	}
	id := name + string(key)
	if name != execute {
		l.mu.Lock()
		old, late := l.past[id], l.left[name] > 0
		if late {
			l.left[name]--
		}
		l.mu.Unlock()
		if late {
			return l.before(name, request, reply, old)
		}
	}
	if err := call(ctx, method, request, reply, cc, options...); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if name == execute {
		l.left = map[string]int{"BatchGetObjects": l.lag, "ListOwnedObjects": l.lag, "GetTransaction": l.lag, "GetObject": l.lag, simulate: l.lag}
		return nil
	}
	l.past[id] = proto.Clone(reply.(proto.Message))
	return nil
}

// before answers as before the last transaction.
func (l *laggard) before(name string, request, reply any, old proto.Message) error {
	switch {
	case name == simulate || name == "GetTransaction" || name == "GetObject" && old == nil:
		return status.Error(codes.NotFound, "not known yet")
	case old != nil:
		proto.Merge(reply.(proto.Message), old)
	case name == "BatchGetObjects":
		for range request.(*pb.BatchGetObjectsRequest).Requests {
			none := &pb.GetObjectResult{Result: &pb.GetObjectResult_Error{Error: status.New(codes.NotFound, "not known yet").Proto()}}
			reply.(*pb.BatchGetObjectsResponse).Objects = append(reply.(*pb.BatchGetObjectsResponse).Objects, none)
		}
	}
	return nil
}

// TestBehind lets a full node lag: everything goes well the first time, in
// this process and after a restart, and is paid once.
func TestBehind(t *testing.T) {
	w := newTown(t, 4, 10)
	w.fund(1, wallet(t, 1), chaintest.MinFunds)
	l, p := &laggard{lag: 2, past: map[string]proto.Message{}}, newProxy()
	c := w.client(wallet(t, 1), l.intercept, p.intercept)
	var cost uint64
	var objects []walrus.ObjectID
	for i := range byte(3) {
		object, paid := w.store(c, i)
		owned, err := c.Owned(t.Context(), chain.OwnedQuery{Objects: []walrus.ObjectID{object}})
		if err != nil || len(owned) != 1 || !owned[0].Certified {
			t.Fatalf("read what was stored: %+v, %v", owned, err)
		}
		cost += paid
		objects = append(objects, object)
	}
	if _, err := c.Delete(t.Context(), chain.TxID{7}, objects[:1]); err != nil {
		t.Fatal(err)
	}
	if list, err := c.Owned(t.Context(), chain.OwnedQuery{}); err != nil || len(list) != 2 {
		t.Errorf("after a deletion: %d objects, %v", len(list), err)
	}
	if len(p.sent) != 7 {
		t.Errorf("%d transactions were sent for 7 calls", len(p.sent))
	}
	// A process that starts reads nothing of the past.
	out, err := c.Register(t.Context(), chain.TxID{6}, []chain.Registration{registration(6)})
	if err != nil {
		t.Fatal(err)
	}
	next := w.client(wallet(t, 1), l.intercept)
	if list, err := next.Owned(t.Context(), chain.OwnedQuery{}); err != nil || len(list) != 3 {
		t.Errorf("after a restart: %d objects, %v", len(list), err)
	}
	if paid := poorer(t, next); paid != cost+out.CostFrost {
		t.Errorf("paid %d, the calls cost %d", paid, cost+out.CostFrost)
	}
}

// deaf is a full node that gives no answer to the first transaction sent to it and refuses the same bytes after
// that. Between the two others go on. It knows that transaction late, and in part never.
type deaf struct {
	arrives   bool   // the first transaction
	meanwhile func() // after it
	lag       int    // lookups of it in vain
	blind     int    // lookups of any other in vain

	mu     sync.Mutex // guards the fields above and below
	first  []byte
	digest string
	sent   int // other transactions
}

func (d *deaf) intercept(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch q := request.(type) {
	case *pb.ExecuteTransactionRequest:
		raw := q.GetTransaction().GetBcs().GetValue()
		if bytes.Equal(raw, d.first) {
			return status.Error(codes.InvalidArgument, "object version is not available for consumption")
		}
		if d.sent++; d.first == nil {
			d.first, d.digest = raw, move.TransactionDigest(raw).String()
			if d.arrives {
				if err := call(ctx, method, request, reply, cc, options...); err != nil {
					return err
				}
			}
			d.meanwhile()
			return errLost
		}
	case *pb.GetTransactionRequest:
		left := &d.blind
		if q.GetDigest() == d.digest {
			left = &d.lag
		}
		if *left > 0 {
			*left--
			return status.Error(codes.NotFound, "not known yet")
		}
	}
	return call(ctx, method, request, reply, cc, options...)
}

// TestRival loses the answer to a transaction. Then somebody else with the same key goes on with
// its coins, and the full node does not know the transaction: it is paid once, whatever became of it.
func TestRival(t *testing.T) {
	const never = 1 << 30
	for name, c := range map[string]struct {
		arrives, rival int // transactions
		lag, blind     int
		err            error
		sent           int // of ours
	}{
		"executed, known late":            {arrives: 1, rival: 1, lag: 3, sent: 1},
		"executed, long ago":              {arrives: 1, rival: 3, lag: 3, sent: 1},
		"executed, never known":           {arrives: 1, rival: 2, lag: never, err: sui.ErrForgotten, sent: 1},
		"executed, nothing is known":      {arrives: 1, rival: 2, lag: never, blind: never, err: sui.ErrBehind, sent: 1},
		"executed, no rival, known late":  {arrives: 1, lag: 3, sent: 1},
		"not executed":                    {rival: 1, sent: 2},
		"not executed, long ago":          {rival: 3, sent: 2},
		"not executed, rival known late":  {rival: 2, blind: 3, sent: 2},
		"not executed, rival never known": {rival: 2, blind: never, err: sui.ErrBehind, sent: 1},
		"refused, no rival":               {err: sui.ErrBehind, sent: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t, 4, 10)
				w.fund(1, wallet(t, 1), chaintest.MinFunds)
				rival := w.rival()
				var cost uint64
				d := &deaf{arrives: c.arrives > 0, lag: c.lag, blind: c.blind, meanwhile: func() {
					for i := range c.rival {
						out, err := rival.Register(t.Context(), chain.TxID{8, byte(i)}, []chain.Registration{registration(byte(10 + i))})
						if err != nil {
							t.Error(err)
							return
						}
						cost += out.CostFrost
					}
				}}
				l := w.client(wallet(t, 1), d.intercept)
				out, err := l.Register(t.Context(), chain.TxID{9}, []chain.Registration{registration(1)})
				if !errors.Is(err, c.err) {
					t.Fatalf("%v, want %v", err, c.err)
				}
				if err == nil {
					cost += out.CostFrost
				}
				if d.sent != c.sent {
					t.Errorf("%d transactions were sent, want %d", d.sent, c.sent)
				}
				if n, _ := l.Undecided(); (n == 0) != (err == nil) {
					t.Errorf("%d transactions are open after %v", n, err)
				}
				// What was not told is told once the node knows more.
				d.lag, d.blind, d.first = 0, 0, []byte{}
				if out, again := l.Register(t.Context(), chain.TxID{9}, []chain.Registration{registration(1)}); again != nil {
					t.Errorf("later: %v", again)
				} else if err != nil {
					cost += out.CostFrost
				}
				if paid := poorer(t, rival); paid != cost {
					t.Errorf("paid %d, the calls cost %d", paid, cost)
				}
			})
		})
	}
}

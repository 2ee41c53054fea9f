package sui_test

import (
	"context"
	"path"
	"sync"
	"testing"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/chaintest"
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

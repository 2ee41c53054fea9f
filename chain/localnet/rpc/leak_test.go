package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// descriptors counts those of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// settled waits until there are no more goroutines than before.
func settled(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, before %d\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// piped connects through the pipe of a server. The caller closes it.
func piped(t *testing.T, s *Server) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///localnet", grpc.WithContextDialer(s.Pipe), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestPipesEnd opens and closes the way into the ledger a thousand times, with a call, a stream and
// a second Close each: nothing of it stays.
func TestPipesEnd(t *testing.T) {
	w := newWorld(t)
	once := func() {
		s := New(w.net, Config{})
		conn := piped(t, s)
		if _, err := pb.NewLedgerServiceClient(conn).GetServiceInfo(w.Context(), &pb.GetServiceInfoRequest{}); err != nil {
			t.Fatal(err)
		}
		stream, err := pb.NewSubscriptionServiceClient(conn).SubscribeCheckpoints(w.Context(), &pb.SubscribeCheckpointsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for err = nil; err == nil; { // what was sent before may come yet
			_, err = stream.Recv()
		}
		if _, err := s.Pipe(w.Context(), ""); err == nil {
			t.Fatal("a server that is closed was reached")
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	once()
	goroutines, open := runtime.NumGoroutine(), descriptors(t)
	for range 1000 {
		once()
	}
	settled(t, goroutines)
	if now := descriptors(t); now > open+100 { // those of the database come and go, by a few
		t.Errorf("%d descriptors, before %d", now, open)
	}
}

// TestPipeOfClosedServer closes a server that nobody has reached: it cannot be reached later.
func TestPipeOfClosedServer(t *testing.T) {
	w := newWorld(t)
	goroutines := runtime.NumGoroutine()
	s := New(w.net, Config{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pipe(w.Context(), ""); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reached: %v", err)
	}
	settled(t, goroutines)
}

// TestCallsEnd ends calls from either side while they are answered: the callers give up, or the
// server is closed. Each comes back with an answer or an error, and nothing of it stays.
func TestCallsEnd(t *testing.T) {
	w := newWorld(t)
	goroutines := runtime.NumGoroutine()
	for name, closed := range map[string]bool{"callers give up": false, "server is closed": true} {
		for range 20 {
			s := New(w.net, Config{})
			conn := piped(t, s)
			ledger := pb.NewLedgerServiceClient(conn)
			if _, err := ledger.GetServiceInfo(w.Context(), &pb.GetServiceInfoRequest{}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(w.Context())
			var calls sync.WaitGroup
			answered := make(chan error, 1000)
			begun := make(chan struct{}, 16)
			for range 8 {
				calls.Go(func() {
					for i := range 100 {
						_, err := ledger.GetServiceInfo(ctx, &pb.GetServiceInfoRequest{})
						if i == 0 {
							begun <- struct{}{}
						}
						if err != nil {
							answered <- err
							return
						}
					}
				})
			}
			for range 8 {
				<-begun
			}
			if closed {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				cancel()
			}
			calls.Wait()
			close(answered)
			for err := range answered {
				switch code := status.Code(err); {
				case !closed && code == codes.Canceled, closed && (code == codes.Unavailable || code == codes.Canceled):
				default:
					t.Errorf("%s: %v", name, err)
				}
			}
			cancel()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	settled(t, goroutines)
}

// slowLog holds up a call where it is written down that it is refused.
type slowLog struct {
	slog.Handler
	begun, goOn chan struct{}
	ended       atomic.Bool
}

func (l *slowLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *slowLog) Handle(context.Context, slog.Record) error {
	close(l.begun)
	<-l.goOn
	time.Sleep(50 * time.Millisecond) // in which Close would come back if it did not wait
	l.ended.Store(true)
	return nil
}

// TestCloseWaits closes a server while it answers a call: the ledger may only go once that is over.
func TestCloseWaits(t *testing.T) {
	w := newWorld(t)
	log := &slowLog{Handler: slog.DiscardHandler, begun: make(chan struct{}), goOn: make(chan struct{})}
	s := New(w.net, Config{Log: slog.New(log)})
	conn := piped(t, s)
	defer conn.Close()
	go func() {
		_, err := pb.NewLedgerServiceClient(conn).GetObject(w.Context(), &pb.GetObjectRequest{})
		if err == nil {
			t.Error("a request without an object was answered")
		}
		close(log.goOn) // the connection is gone
	}()
	<-log.begun
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !log.ended.Load() {
		t.Error("closed while a call was answered")
	}
}

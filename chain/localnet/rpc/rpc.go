// Package rpc answers sui.rpc.v2 for a localnet: the services that ledger, state,
// packages, transactions and checkpoints have on a full node of Sui, with
// their read masks, pages and errors.
//
// New makes a Server. Programs of this process reach it through Pipe, without a
// port; others through Handler and Serve, which take native gRPC (HTTP/2 without
// TLS) and gRPC-web, binary and text, on one port. Nobody is asked who he is: whoever
// reaches the port may read all there is and send what he can sign. So Listen
// gives loopback addresses only, unless it is told otherwise.
//
// What a model cannot have is left out: there are no signatures of validators, no
// modules of packages, no older versions of objects.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"

	"github.com/walfs/walfs/chain/localnet"
)

// Limits of one call.
const (
	maxRequest = 4 << 20   // bytes; a transaction is at most 128 KiB
	maxBatch   = 50        // members. Source: Sui, BatchGetObjects as its client calls it
	maxStreams = 250       // concurrent calls of one connection
	pipeSize   = 256 << 10 // bytes on the way through Pipe
)

// minPing is how often a client may ping at most: Sui's Go SDK does so every 30 s, also when idle.
const minPing = 10 * time.Second

// Config says how a server answers. Its zero value works.
type Config struct {
	CORS bool         // pages of any site may call it
	Log  *slog.Logger // nil means silent
}

// Server answers for one ledger. Its methods may be called concurrently.
type Server struct {
	net  *localnet.Net
	cfg  Config
	grpc *grpc.Server

	mu      sync.Mutex // guards pipe and closed
	pipe    *bufconn.Listener
	closed  bool
	serving sync.WaitGroup // the goroutine behind pipe
}

// New returns a server for a ledger, which has to stay open until Close.
func New(n *localnet.Net, cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{net: n, cfg: cfg}
	s.grpc = grpc.NewServer(
		grpc.MaxRecvMsgSize(maxRequest), grpc.MaxConcurrentStreams(maxStreams), grpc.WaitForHandlers(true),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(s.answer), grpc.StreamInterceptor(s.answerStream))
	pb.RegisterLedgerServiceServer(s.grpc, &ledgerService{net: n})
	pb.RegisterStateServiceServer(s.grpc, &stateService{net: n})
	pb.RegisterMovePackageServiceServer(s.grpc, &packageService{net: n})
	pb.RegisterTransactionExecutionServiceServer(s.grpc, &executionService{net: n})
	pb.RegisterSubscriptionServiceServer(s.grpc, &subscriptionService{net: n})
	return s
}

// answer turns the errors of a call into those of gRPC.
func (s *Server) answer(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	reply, err := handler(ctx, request)
	if err != nil {
		s.cfg.Log.Debug("call refused", "op", info.FullMethod, "err", err)
		return nil, statusOf(err)
	}
	return reply, nil
}

// answerStream is answer for streams.
func (s *Server) answerStream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	err := handler(service, stream)
	if err == nil {
		return nil
	}
	s.cfg.Log.Debug("stream ended", "op", info.FullMethod, "err", err)
	return statusOf(err)
}

// Pipe dials the server within the process; it is a dialer for grpc.WithContextDialer,
// which takes any address. After Close it returns net.ErrClosed.
func (s *Server) Pipe(ctx context.Context, _ string) (net.Conn, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, fmt.Errorf("reach the ledger: %w", net.ErrClosed)
	}
	if s.pipe == nil {
		s.pipe = bufconn.Listen(pipeSize)
		listener := s.pipe
		s.serving.Go(func() {
			if err := s.grpc.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				s.cfg.Log.Error("pipe of the ledger ended", "err", err)
			}
		})
	}
	pipe := s.pipe
	s.mu.Unlock()
	return pipe.DialContext(ctx)
}

// Close ends all calls and waits for those that are being answered, so that the ledger can be
// closed then. It may be called again.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.grpc.Stop()
	s.serving.Wait()
	return nil
}

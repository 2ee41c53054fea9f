package sui

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/block-vision/sui-go-sdk/common/grpcconn"
	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/walfs/walfs/chain/move"
)

// conn is a connection to a full node, with the services that a client asks.
type conn struct {
	dialed    *grpcconn.SuiGrpcClient
	ledger    pb.LedgerServiceClient
	state     pb.StateServiceClient
	packages  pb.MovePackageServiceClient
	execution pb.TransactionExecutionServiceClient
	checks    pb.SubscriptionServiceClient
	tries     int
	left      leavings
	patience  time.Duration // with a full node that is behind
}

// dial connects to the full node of a profile. It does not wait until the node answers.
func dial(ctx context.Context, p *Profile, options []grpc.DialOption) (*conn, error) {
	if p.TLS {
		options = append([]grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(nil))}, options...)
	}
	c := &conn{dialed: grpcconn.NewSuiGrpcClient(p.Target, grpcconn.WithDialOptions(options...)), tries: rpcTries, patience: behindPatience}
	// The SDK's own service clients are made lazily without a lock: these here are made once.
	cc, err := c.dialed.GetConnection(ctx)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", p.Target, err)
	}
	c.ledger, c.state = pb.NewLedgerServiceClient(cc), pb.NewStateServiceClient(cc)
	c.packages, c.execution = pb.NewMovePackageServiceClient(cc), pb.NewTransactionExecutionServiceClient(cc)
	c.checks = pb.NewSubscriptionServiceClient(cc)
	return c, nil
}

func (c *conn) close() error { return c.dialed.Close() }

// How a call is repeated when the full node is away or busy.
const (
	rpcTries      = 6
	rpcTimeout    = 20 * time.Second       // of one try
	rpcBackoff    = 100 * time.Millisecond // before the second try; doubles
	rpcMaxBackoff = 3 * time.Second
)

// ask calls a method until it is answered. An answer that the node is away,
// busy or too slow is no answer; what else goes wrong is returned as it is. The
// request is the same each time, so a method that changes something must be one
// that may be repeated.
func ask[Q, A any](ctx context.Context, c *conn, method func(context.Context, *Q, ...grpc.CallOption) (*A, error), request *Q) (*A, error) {
	wait := rpcBackoff
	for try := 1; ; try++ {
		one, cancel := context.WithTimeout(ctx, rpcTimeout)
		answer, err := method(one, request)
		cancel()
		if err == nil {
			return answer, nil
		}
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), err)
		}
		if !isAway(err) {
			return nil, err
		}
		if try == c.tries {
			return nil, fmt.Errorf("%w: %w", ErrAway, err)
		}
		if err := sleep(ctx, wait/2+rand.N(wait/2+1)); err != nil {
			return nil, err
		}
		wait = min(2*wait, rpcMaxBackoff)
	}
}

// isAway tells whether an error says nothing about the request itself.
func isAway(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		return true
	}
	return false
}

// sleep waits, or returns early with the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// splitURL returns the gRPC target of an address, and whether to speak TLS.
func splitURL(s string) (target string, tls bool, err error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return s, false, nil // host:port, or a target with a scheme of gRPC
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return "", false, fmt.Errorf("%w: rpc_url %q has more than a host and a port", ErrProfile, s)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Hostname() + ":" + port, u.Scheme == "https", nil
}

// shortChain returns the form of a chain id that Profile.Chain has, of that or of the Base58 form.
func shortChain(s string) string {
	if d, err := move.ParseDigest(s); err == nil {
		return hex.EncodeToString(d[:4])
	}
	return s
}

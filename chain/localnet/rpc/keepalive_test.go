package rpc

import (
	"context"
	"os"
	"testing"
	"time"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/keepalive"
)

// Sui's Go SDK pings every 30 s, also when nothing is asked; it must not be cut off for that.
func TestIdlePings(t *testing.T) {
	if os.Getenv("WALFS_SOAK") == "" {
		t.Skip("takes a minute: WALFS_SOAK=1")
	}
	w := newWorld(t)
	// As often as the library lets a client. A server with its default policy takes the third ping for an attack.
	pings := grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true})
	for _, conn := range []*grpc.ClientConn{
		w.dial("passthrough:///localnet", grpc.WithContextDialer(w.server.Pipe), pings), w.dial(w.listen(), pings),
	} {
		ledger := pb.NewLedgerServiceClient(conn)
		if _, err := ledger.GetServiceInfo(w.ctx(), new(pb.GetServiceInfoRequest)); err != nil {
			t.Fatal(err)
		}
		idle, cancel := context.WithTimeout(w.ctx(), 45*time.Second)
		if conn.WaitForStateChange(idle, connectivity.Ready) {
			t.Errorf("idle connection to %s is %s", conn.Target(), conn.GetState())
		}
		cancel()
	}
}

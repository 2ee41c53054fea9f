package rpc

import (
	"slices"
	"testing"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/chain/move"
)

func TestCheckpoints(t *testing.T) {
	both(t, func(w *world, conn *grpc.ClientConn) {
		ledger := pb.NewLedgerServiceClient(conn)
		e := w.execute(w.reserve(2), "checkpoint", "digest", "effects.digest")
		seq := &pb.GetCheckpointRequest_SequenceNumber{SequenceNumber: e.GetCheckpoint()}
		got, err := ledger.GetCheckpoint(w.ctx(), &pb.GetCheckpointRequest{CheckpointId: seq, ReadMask: maskOf("*")})
		if err != nil {
			w.Fatal(err)
		}
		c := got.Checkpoint
		if c.GetSequenceNumber() != e.GetCheckpoint() || len(c.Transactions) != 1 || c.Transactions[0].GetDigest() != e.GetDigest() ||
			c.Contents.Transactions[0].GetEffects() != e.Effects.GetDigest() || c.Summary.Timestamp == nil || c.Summary.GetPreviousDigest() == "" || c.Signature != nil {
			w.Errorf("checkpoint %v", c)
		}
		before, err := ledger.GetCheckpoint(w.ctx(), &pb.GetCheckpointRequest{CheckpointId: &pb.GetCheckpointRequest_SequenceNumber{SequenceNumber: e.GetCheckpoint() - 1}})
		if err != nil || before.Checkpoint.GetDigest() != c.Summary.GetPreviousDigest() || before.Checkpoint.Summary != nil {
			w.Errorf("the one before: %v, %v", before, err)
		}
		newest, err := ledger.GetCheckpoint(w.ctx(), new(pb.GetCheckpointRequest))
		if err != nil || newest.Checkpoint.GetSequenceNumber() != e.GetCheckpoint() {
			w.Errorf("newest: %v, %v", newest, err)
		}
		for _, n := range []uint64{0, 1 << 40} {
			_, err = ledger.GetCheckpoint(w.ctx(), &pb.GetCheckpointRequest{CheckpointId: &pb.GetCheckpointRequest_SequenceNumber{SequenceNumber: n}})
			wantCode(w, err, codes.NotFound)
		}
		byDigest := func(digest string) (*pb.GetCheckpointResponse, error) {
			return ledger.GetCheckpoint(w.ctx(), &pb.GetCheckpointRequest{CheckpointId: &pb.GetCheckpointRequest_Digest{Digest: digest}})
		}
		for _, want := range []*pb.Checkpoint{c, before.Checkpoint} {
			found, err := byDigest(want.GetDigest())
			if err != nil || found.Checkpoint.GetSequenceNumber() != want.GetSequenceNumber() || found.Checkpoint.GetDigest() != want.GetDigest() {
				w.Errorf("by digest: %v, %v, want %d", found, err, want.GetSequenceNumber())
			}
		}
		other, err := move.ParseDigest(c.GetDigest())
		if err != nil {
			w.Fatal(err)
		}
		for i := range other { // near misses: another hash, another number
			other[i] ^= 1
			_, err = byDigest(other.String())
			wantCode(w, err, codes.NotFound)
			other[i] ^= 1
		}
		_, err = byDigest("checkpoint")
		wantCode(w, err, codes.InvalidArgument)
	})
}

// A checkpoint that is in the subscription already when the newest one is asked for comes once.
func TestFollowSendsOnce(t *testing.T) {
	following := make(chan *localnet.Checkpoint, 3)
	for seq := range uint64(3) {
		following <- &localnet.Checkpoint{Seq: 4 + seq}
	}
	close(following)
	var sent []uint64
	err := follow(&localnet.Checkpoint{Seq: 5}, following, func(c *localnet.Checkpoint) error {
		sent = append(sent, c.Seq)
		return nil
	})
	if err != nil || !slices.Equal(sent, []uint64{5, 6}) {
		t.Errorf("sent %v, %v", sent, err)
	}
}

// A subscription begins with the newest checkpoint and misses none, whatever is executed meanwhile.
func TestSubscribe(t *testing.T) {
	both(t, func(w *world, conn *grpc.ClientConn) {
		stream, err := pb.NewSubscriptionServiceClient(conn).SubscribeCheckpoints(w.ctx(), &pb.SubscribeCheckpointsRequest{
			ReadMask: maskOf("sequence_number", "summary.timestamp", "transactions.digest", "transactions.events", "transactions.effects.status"),
		})
		if err != nil {
			w.Fatal(err)
		}
		const count = 20
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range count {
				w.fund(move.SmallAddress(7), 1, 1)
			}
		}()
		first, err := stream.Recv()
		if err != nil {
			w.Fatal(err)
		}
		<-done
		newest, err := pb.NewLedgerServiceClient(conn).GetCheckpoint(w.ctx(), new(pb.GetCheckpointRequest))
		if err != nil {
			w.Fatal(err)
		}
		for seq := first.GetCursor() + 1; seq <= newest.Checkpoint.GetSequenceNumber(); seq++ {
			c, err := stream.Recv()
			if err != nil {
				w.Fatal(err)
			}
			if c.GetCursor() != seq || c.Checkpoint.GetTransactions()[0].Digest == nil || c.Checkpoint.Summary.Digest != nil || c.Checkpoint.Summary.Timestamp == nil {
				w.Errorf("checkpoint %v, want %d", c, seq)
			}
		}
	})
}

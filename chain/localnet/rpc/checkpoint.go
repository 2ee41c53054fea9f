package rpc

import (
	"context"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/walfs/walfs/chain/localnet"
)

// checkpointDefault is what is told of a checkpoint without a mask. Source: sui.rpc.v2, ledger_service.proto.
const checkpointDefault = "sequence_number,digest"

// GetCheckpoint implements the method of sui.rpc.v2.LedgerService.
func (s *ledgerService) GetCheckpoint(ctx context.Context, q *pb.GetCheckpointRequest) (*pb.GetCheckpointResponse, error) {
	m, err := readMask(q.ReadMask, new(pb.Checkpoint), checkpointDefault)
	if err != nil {
		return nil, err
	}
	c, err := s.checkpoint(ctx, q)
	if err != nil {
		return nil, err
	}
	out, err := checkpointOf(c, m)
	return &pb.GetCheckpointResponse{Checkpoint: out}, err
}

// checkpoint finds the checkpoint that a request names, the newest one if it names none.
func (s *ledgerService) checkpoint(ctx context.Context, q *pb.GetCheckpointRequest) (*localnet.Checkpoint, error) {
	switch id := q.CheckpointId.(type) {
	case *pb.GetCheckpointRequest_SequenceNumber:
		if id.SequenceNumber == 0 {
			return nil, status.Errorf(codes.NotFound, "Checkpoint 0 not found: the first one is %d", firstCheckpoint)
		}
		return s.net.Checkpoint(ctx, id.SequenceNumber)
	case *pb.GetCheckpointRequest_Digest:
		digest, err := parseDigest("digest", &id.Digest)
		if err != nil {
			return nil, err
		}
		return s.net.CheckpointByDigest(ctx, digest)
	}
	return s.net.Checkpoint(ctx, 0)
}

// checkpointOf returns what m keeps of a checkpoint. There are no validators, so nobody has signed it.
func checkpointOf(c *localnet.Checkpoint, m mask) (*pb.Checkpoint, error) {
	out := &pb.Checkpoint{
		SequenceNumber: proto.Uint64(c.Seq), Digest: text(c.Digest),
		Summary: &pb.CheckpointSummary{
			Digest: text(c.Digest), Epoch: proto.Uint64(c.Epoch), SequenceNumber: proto.Uint64(c.Seq),
			TotalNetworkTransactions: proto.Uint64(c.Seq), Timestamp: timestampOf(c.TimeMS),
		},
	}
	if c.Seq > firstCheckpoint {
		out.Summary.PreviousDigest = text(c.Previous)
	}
	if c.Transaction == nil || !m.keeps("contents") && !m.keeps("transactions") && !m.keeps("objects") {
		return prune(m, out), nil
	}
	t, err := executedOf(c.Transaction, nil)
	if err != nil {
		return nil, err
	}
	out.Transactions, out.Objects = []*pb.ExecutedTransaction{t}, t.Objects
	out.Contents = &pb.CheckpointContents{Version: proto.Int32(1), Transactions: []*pb.CheckpointedTransactionInfo{
		{Transaction: t.Digest, Effects: t.Effects.Digest, Signatures: t.Signatures},
	}}
	return prune(m, out), nil
}

// subscriptionService streams checkpoints.
type subscriptionService struct {
	pb.UnimplementedSubscriptionServiceServer
	net *localnet.Net
}

// SubscribeCheckpoints implements the method of sui.rpc.v2.SubscriptionService: the
// newest checkpoint, then each that follows, without a gap. The mask is one of a checkpoint.
func (s *subscriptionService) SubscribeCheckpoints(q *pb.SubscribeCheckpointsRequest, stream grpc.ServerStreamingServer[pb.SubscribeCheckpointsResponse]) error {
	m, err := readMask(q.ReadMask, new(pb.Checkpoint), checkpointDefault)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	following, err := s.net.Subscribe(ctx)
	if err != nil {
		return err
	}
	newest, err := s.net.Checkpoint(ctx, 0)
	if err != nil {
		return err
	}
	send := func(c *localnet.Checkpoint) error {
		out, err := checkpointOf(c, m)
		if err != nil {
			return err
		}
		return stream.Send(&pb.SubscribeCheckpointsResponse{Cursor: proto.Uint64(c.Seq), Checkpoint: out})
	}
	if err := follow(newest, following, send); err != nil {
		return err
	}
	return ctx.Err()
}

// follow sends the newest checkpoint and those that follow it. It was asked for after
// the subscription had begun, so that none is missing, and some may come twice.
func follow(newest *localnet.Checkpoint, following <-chan *localnet.Checkpoint, send func(*localnet.Checkpoint) error) error {
	if err := send(newest); err != nil {
		return err
	}
	for c := range following {
		if c.Seq <= newest.Seq {
			continue
		}
		if err := send(c); err != nil {
			return err
		}
	}
	return nil
}

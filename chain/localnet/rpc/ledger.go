package rpc

import (
	"context"
	"runtime/debug"
	"strconv"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/chain/move"
)

// chainName is what a client is told in the place of mainnet or testnet.
const chainName = "localnet"

// firstCheckpoint is the number of the oldest checkpoint: all are kept.
const firstCheckpoint = 1

// ledgerService answers for objects, transactions, checkpoints and epochs.
type ledgerService struct {
	pb.UnimplementedLedgerServiceServer
	net *localnet.Net
}

// server names this program to clients.
func server() string {
	version := "devel"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return "walfs-localnet/" + version
}

// GetServiceInfo implements the method of sui.rpc.v2.LedgerService.
func (s *ledgerService) GetServiceInfo(ctx context.Context, _ *pb.GetServiceInfoRequest) (*pb.GetServiceInfoResponse, error) {
	height, err := s.net.Height(ctx)
	if err != nil {
		return nil, err
	}
	facts, err := s.net.Facts(ctx)
	if err != nil {
		return nil, err
	}
	epoch, _ := s.net.SuiEpoch()
	return &pb.GetServiceInfoResponse{
		ChainId: text(facts.ChainID), Chain: proto.String(chainName), Epoch: proto.Uint64(epoch),
		CheckpointHeight: proto.Uint64(height), Timestamp: timestamppb.New(s.net.Now()),
		LowestAvailableCheckpoint: proto.Uint64(firstCheckpoint), LowestAvailableCheckpointObjects: proto.Uint64(height),
		Server: proto.String(server()),
	}, nil
}

// GetObject implements the method of sui.rpc.v2.LedgerService.
func (s *ledgerService) GetObject(ctx context.Context, q *pb.GetObjectRequest) (*pb.GetObjectResponse, error) {
	m, err := readMask(q.ReadMask, new(pb.Object), objectDefault)
	if err != nil {
		return nil, err
	}
	results, err := s.objects(ctx, []*pb.GetObjectRequest{q}, m)
	if err != nil {
		return nil, err
	}
	if refused := results[0].GetError(); refused != nil {
		return nil, status.FromProto(refused).Err()
	}
	return &pb.GetObjectResponse{Object: results[0].GetObject()}, nil
}

// BatchGetObjects implements the method of sui.rpc.v2.LedgerService. An object
// that is not there is an error of its member alone. The mask is that of the batch.
func (s *ledgerService) BatchGetObjects(ctx context.Context, q *pb.BatchGetObjectsRequest) (*pb.BatchGetObjectsResponse, error) {
	if len(q.Requests) > maxBatch {
		return nil, invalid("requests", "%d members, at most %d", len(q.Requests), maxBatch)
	}
	m, err := readMask(q.ReadMask, new(pb.Object), objectDefault)
	if err != nil {
		return nil, err
	}
	results, err := s.objects(ctx, q.Requests, m)
	return &pb.BatchGetObjectsResponse{Objects: results}, err
}

// objects reads objects of one state of the ledger.
func (s *ledgerService) objects(ctx context.Context, requests []*pb.GetObjectRequest, m mask) ([]*pb.GetObjectResult, error) {
	ids := make([]move.ID, len(requests))
	for i, q := range requests {
		var err error
		if ids[i], err = parseID("object_id", q.ObjectId); err != nil {
			return nil, err
		}
	}
	found, err := s.net.Objects(ctx, ids)
	if err != nil {
		return nil, err
	}
	results := make([]*pb.GetObjectResult, len(requests))
	for i, q := range requests {
		object, err := pick(found[i], ids[i], q.Version, m)
		if err != nil {
			results[i] = &pb.GetObjectResult{Result: &pb.GetObjectResult_Error{Error: itemStatus(err)}}
			continue
		}
		results[i] = &pb.GetObjectResult{Result: &pb.GetObjectResult_Object{Object: object}}
	}
	return results, nil
}

// pick returns an object that was found, if it is the version asked for.
func pick(o *move.Object, id move.ID, version *uint64, m mask) (*pb.Object, error) {
	if o == nil {
		return nil, status.Errorf(codes.NotFound, "Object %s not found", id)
	}
	if version != nil && *version != o.Version {
		return nil, status.Errorf(codes.NotFound, "Object %s with version %d not found: only version %d is kept", id, *version, o.Version)
	}
	return objectOf(o, m)
}

// GetTransaction implements the method of sui.rpc.v2.LedgerService.
func (s *ledgerService) GetTransaction(ctx context.Context, q *pb.GetTransactionRequest) (*pb.GetTransactionResponse, error) {
	m, err := readMask(q.ReadMask, new(pb.ExecutedTransaction), transactionDefault)
	if err != nil {
		return nil, err
	}
	t, err := s.transaction(ctx, q.Digest, m)
	if err != nil {
		return nil, err
	}
	return &pb.GetTransactionResponse{Transaction: t}, nil
}

// BatchGetTransactions implements the method of sui.rpc.v2.LedgerService.
func (s *ledgerService) BatchGetTransactions(ctx context.Context, q *pb.BatchGetTransactionsRequest) (*pb.BatchGetTransactionsResponse, error) {
	if len(q.Digests) > maxBatch {
		return nil, invalid("digests", "%d members, at most %d", len(q.Digests), maxBatch)
	}
	m, err := readMask(q.ReadMask, new(pb.ExecutedTransaction), transactionDefault)
	if err != nil {
		return nil, err
	}
	reply := new(pb.BatchGetTransactionsResponse)
	for _, digest := range q.Digests {
		t, err := s.transaction(ctx, &digest, m)
		switch {
		case err == nil:
			reply.Transactions = append(reply.Transactions, &pb.GetTransactionResult{Result: &pb.GetTransactionResult_Transaction{Transaction: t}})
		case codeOf(err) == codes.NotFound:
			reply.Transactions = append(reply.Transactions, &pb.GetTransactionResult{Result: &pb.GetTransactionResult_Error{Error: itemStatus(err)}})
		default:
			return nil, err
		}
	}
	return reply, nil
}

func (s *ledgerService) transaction(ctx context.Context, digest *string, m mask) (*pb.ExecutedTransaction, error) {
	d, err := parseDigest("digest", digest)
	if err != nil {
		return nil, err
	}
	e, err := s.net.Transaction(ctx, d)
	if err != nil {
		return nil, err
	}
	return executedOf(e, m)
}

// epochDefault is what is told of an epoch without a mask. Source: sui.rpc.v2, ledger_service.proto.
const epochDefault = "epoch"

// limits are the parts of Sui's protocol configuration that this ledger keeps to, too.
var limits = map[string]string{
	"max_programmable_tx_commands": strconv.Itoa(maxCommands),
	"max_input_objects":            strconv.Itoa(maxInputs),
	"max_gas_payment_objects":      strconv.Itoa(maxPayment),
	"max_move_object_size":         strconv.Itoa(move.MaxSize),
}

// GetEpoch implements the method of sui.rpc.v2.LedgerService. Only the epoch that runs is known.
func (s *ledgerService) GetEpoch(ctx context.Context, q *pb.GetEpochRequest) (*pb.GetEpochResponse, error) {
	m, err := readMask(q.ReadMask, new(pb.Epoch), epochDefault)
	if err != nil {
		return nil, err
	}
	epoch, start := s.net.SuiEpoch()
	if q.Epoch != nil && *q.Epoch != epoch {
		return nil, status.Errorf(codes.NotFound, "Epoch %d not found: epoch %d runs", *q.Epoch, epoch)
	}
	facts, err := s.net.Facts(ctx)
	if err != nil {
		return nil, err
	}
	price := facts.GasPrice
	return &pb.GetEpochResponse{Epoch: prune(m, &pb.Epoch{
		Epoch: proto.Uint64(epoch), Start: timestamppb.New(start), ReferenceGasPrice: proto.Uint64(price),
		ProtocolConfig: &pb.ProtocolConfig{Attributes: limits},
		SystemState:    &pb.SystemState{Epoch: proto.Uint64(epoch), ReferenceGasPrice: proto.Uint64(price), EpochStartTimestampMs: proto.Uint64(uint64(start.UnixMilli()))},
	})}, nil
}

package sui

import (
	"context"
	"errors"
	"fmt"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/walfs/walfs/chain/move"
)

// errDead reports a transaction that was not executed and never will be.
var errDead = errors.New("transaction cannot be executed any more")

// send sends a signed transaction, which is in the journal, until the ledger
// has decided. It returns errDead when it will never be executed, and the error
// that readResult makes of one that failed. Any other error leaves it open: it
// is to be sent again, byte for byte.
func (c *Client) send(ctx context.Context, r *record, wal move.StructTag) (*Result, error) {
	digest, name, signature := r.Digest, "TransactionData", "UserSignature"
	sent := 0
	once := func(ctx context.Context, q *pb.ExecuteTransactionRequest, o ...grpc.CallOption) (*pb.ExecuteTransactionResponse, error) {
		sent++
		return c.conn.execution.ExecuteTransaction(ctx, q, o...)
	}
	answer, err := ask(ctx, c.conn, once, &pb.ExecuteTransactionRequest{
		Transaction: &pb.Transaction{Bcs: &pb.Bcs{Name: &name, Value: r.Attempt.Raw}},
		Signatures:  []*pb.UserSignature{{Bcs: &pb.Bcs{Name: &signature, Value: r.Attempt.Signature}}},
		ReadMask:    mask(executedMask...),
	})
	first := r.unsent && sent == 1
	r.unsent = false
	if err == nil {
		if answer.GetTransaction().GetDigest() != digest.String() {
			return nil, fmt.Errorf("transaction %s executed for %s: %w", answer.GetTransaction().GetDigest(), digest, ErrAnswer)
		}
		return c.settled(answer.GetTransaction(), wal)
	}
	switch status.Code(err) {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.Aborted, codes.NotFound, codes.AlreadyExists:
		return c.verdict(ctx, r, first, wal, err)
	}
	return nil, fmt.Errorf("send transaction %s: %w", digest, err)
}

// settled reads an executed transaction, a failed one as a failure.
func (c *Client) settled(tx *pb.ExecutedTransaction, wal move.StructTag) (*Result, error) {
	r, err := readResult(tx, c.me(), wal)
	if err != nil && !errors.Is(err, ErrAnswer) {
		return nil, &failed{err: err}
	}
	return r, err
}

// failed is the error of a transaction that was executed and failed: it paid its gas, and no more.
type failed struct {
	err     error
	untried bool // it was sent without having been tried out
}

func (f *failed) Error() string { return f.err.Error() }
func (f *failed) Unwrap() error { return f.err }

// lookup asks what an executed transaction did, nil when the full node does not know it.
func (c *Client) lookup(ctx context.Context, digest move.Digest, wal move.StructTag) (*Result, error) {
	text := digest.String()
	answer, err := ask(ctx, c.conn, c.conn.ledger.GetTransaction,
		&pb.GetTransactionRequest{Digest: &text, ReadMask: mask(executedMask...)})
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up transaction %s: %w", digest, err)
	}
	return c.settled(answer.GetTransaction(), wal)
}

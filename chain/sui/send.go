package sui

import (
	"context"
	"errors"
	"fmt"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"
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
func (c *Client) send(ctx context.Context, a *attempt, digest move.Digest, wal move.StructTag) (*Result, error) {
	name := "TransactionData"
	signature := "UserSignature"
	answer, err := ask(ctx, c.conn, c.conn.execution.ExecuteTransaction, &pb.ExecuteTransactionRequest{
		Transaction: &pb.Transaction{Bcs: &pb.Bcs{Name: &name, Value: a.Raw}},
		Signatures:  []*pb.UserSignature{{Bcs: &pb.Bcs{Name: &signature, Value: a.Signature}}},
		ReadMask:    mask(executedMask...),
	})
	if err == nil {
		if answer.GetTransaction().GetDigest() != digest.String() {
			return nil, fmt.Errorf("transaction %s executed for %s: %w", answer.GetTransaction().GetDigest(), digest, ErrAnswer)
		}
		return c.settled(answer.GetTransaction(), wal)
	}
	switch status.Code(err) {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.Aborted, codes.NotFound, codes.AlreadyExists:
		return c.verdict(ctx, a, digest, wal, err)
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

// verdict finds out what a refusal means: the transaction may have been
// executed by an earlier try, may have become impossible because something
// else used its objects, or may be locked for now.
func (c *Client) verdict(ctx context.Context, a *attempt, digest move.Digest, wal move.StructTag, refusal error) (*Result, error) {
	moved, ours, err := c.moved(ctx, a, digest)
	if err != nil {
		return nil, err
	}
	// Asked after the objects were read, so that an execution in between is seen.
	r, err := c.lookup(ctx, digest, wal)
	if r != nil || err != nil {
		return r, err
	}
	switch {
	case ours:
		return nil, fmt.Errorf("transaction %s: %w", digest, ErrForgotten)
	case moved || status.Code(refusal) == codes.InvalidArgument:
		return nil, fmt.Errorf("transaction %s: %s: %w", digest, status.Convert(refusal).Message(), errDead)
	}
	return nil, fmt.Errorf("transaction %s: %w: %w", digest, ErrLocked, refusal)
}

// moved tells whether an owned object that a transaction names is at another
// version or gone, and whether it was this very transaction that changed one.
func (c *Client) moved(ctx context.Context, a *attempt, digest move.Digest) (moved, ours bool, err error) {
	var tx move.Transaction
	if err := move.Unmarshal(a.Raw, &tx); err != nil {
		return false, false, fmt.Errorf("transaction %s: %w", digest, err)
	}
	refs := tx.Gas.Payment
	for _, in := range tx.Inputs {
		if in.Kind == move.InputOwned {
			refs = append(refs, in.Object)
		}
	}
	for _, ref := range refs {
		id := ref.ID.String()
		answer, err := ask(ctx, c.conn, c.conn.ledger.GetObject,
			&pb.GetObjectRequest{ObjectId: &id, ReadMask: mask("object_id", "version", "previous_transaction")})
		switch {
		case status.Code(err) == codes.NotFound:
			moved = true
		case err != nil:
			return false, false, fmt.Errorf("read object %s: %w", ref.ID, err)
		case answer.GetObject().GetVersion() != ref.Version:
			moved = true
			ours = ours || answer.GetObject().GetPreviousTransaction() == digest.String()
		}
	}
	return moved, ours, nil
}

package blobstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/chain"
)

// ErrLedger reports that the ledger did not answer, or not with a decision: the
// same call can go well later, and until then those of others fail too.
var ErrLedger = errors.New("the ledger does not answer")

// asked is a ledger that tells in its errors whether it has decided: it marks
// all others with ErrLedger.
type asked struct{ chain.Ledger }

// away marks an error that is no decision of the ledger.
func away(err error) error {
	if err == nil || refused(err) || errors.Is(err, chain.ErrNotOwner) || errors.Is(err, chain.ErrStaleEpoch) || errors.Is(err, chain.ErrBatch) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrLedger, err)
}

func (l asked) State(ctx context.Context) (*chain.State, error) {
	s, err := l.Ledger.State(ctx)
	return s, away(err)
}

func (l asked) Register(ctx context.Context, tx chain.TxID, batch []chain.Registration) (*chain.Outcome, error) {
	out, err := l.Ledger.Register(ctx, tx, batch)
	return out, away(err)
}

func (l asked) Certify(ctx context.Context, tx chain.TxID, batch []chain.Certification, anchor *chain.AnchorUpdate) (*chain.Outcome, error) {
	out, err := l.Ledger.Certify(ctx, tx, batch, anchor)
	return out, away(err)
}

func (l asked) Outcome(ctx context.Context, tx chain.TxID) (*chain.Outcome, error) {
	out, err := l.Ledger.Outcome(ctx, tx)
	return out, away(err)
}

func (l asked) Owned(ctx context.Context, q chain.OwnedQuery) ([]chain.OwnedObject, error) {
	list, err := l.Ledger.Owned(ctx, q)
	return list, away(err)
}

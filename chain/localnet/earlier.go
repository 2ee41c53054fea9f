package localnet

import (
	"context"
	"fmt"

	"github.com/walfs/walfs/chain"
)

// Earlier returns the outcome of a transaction of the time before transactions
// were signed, when callers chose the IDs, as BCS of a chain.Outcome, or chain.ErrNotExist. Request is the
// hash of what the caller asks for now; chain.ErrTxReused says that it was
// something else then. Zero asks for the outcome alone.
func (n *Net) Earlier(ctx context.Context, tx chain.TxID, request [32]byte) ([]byte, error) {
	out, asked, err := n.lookup(ctx, n.store.reader, tx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("outcome: %w", err)
	case out == nil:
		return nil, fmt.Errorf("transaction %x: %w", tx, chain.ErrNotExist)
	case request != [32]byte{} && request != asked:
		return nil, chain.ErrTxReused
	}
	return out, nil
}

package localnet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/ptb"
	"github.com/walfs/walfs/chain/move"
)

// own is a transaction that the ledger builds for the house, which signs it.
type own struct {
	kind  string
	key   chain.TxID // it is executed once; zero: as often as it is called
	hash  [32]byte   // of what was asked for under the key
	build func(ctx context.Context, tx *sql.Tx, d *draft) error
}

// submitOwn builds, signs and executes a transaction of the house. One that was
// executed under its key before is not built again. When it fails nothing is written.
func (n *Net) submitOwn(ctx context.Context, o own) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // as in submit
	err := n.logTransaction(ctx, func(tx *sql.Tx) (*Executed, *ptb.Outcome, error) {
		if done, err := n.doneOwn(ctx, tx, &o); done || err != nil {
			return nil, nil, err
		}
		return n.executeOwn(ctx, tx, &o)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", o.kind, err)
	}
	return nil
}

// executeOwn builds a transaction of the house and executes it.
func (n *Net) executeOwn(ctx context.Context, tx *sql.Tx, o *own) (*Executed, *ptb.Outcome, error) {
	env, err := n.env(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	system, err := n.readSystem(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	d := newDraft(n.house.address, system.PackageID)
	if err := errors.Join(o.build(ctx, tx, d), d.err); err != nil {
		return nil, nil, err
	}
	full, err := n.resolve(ctx, tx, env, &d.Partial)
	if err != nil {
		return nil, nil, err
	}
	bcs, err := move.Marshal(full)
	if err != nil {
		return nil, nil, err
	}
	s := &submitted{tx: full, digest: move.TransactionDigest(bcs), bcs: bcs, signatures: n.house.sign(bcs)}
	out, err := env.Execute(full, s.digest, ptb.Options{})
	if err != nil {
		return nil, nil, err
	}
	if f := out.Effects.Status.Failure; f != nil {
		if out.Abort != nil {
			return nil, nil, out.Abort
		}
		return nil, nil, fmt.Errorf("transaction failed: %s", f)
	}
	e := s.executed(out, env.TimeMS)
	e.key, e.asked = o.key, o.hash
	return e, out, nil
}

// doneOwn reports whether a transaction was executed under its key before. It
// returns chain.ErrTxReused when that was for something else.
func (n *Net) doneOwn(ctx context.Context, tx *sql.Tx, o *own) (bool, error) {
	if o.key == (chain.TxID{}) {
		return false, nil
	}
	out, asked, err := n.lookup(ctx, tx, o.key)
	if out != nil && asked != o.hash {
		return false, chain.ErrTxReused
	}
	return out != nil, err
}

// lookup returns the outcome of a transaction that was executed under a key, in
// BCS, and the hash of its request, or nil when there is none.
func (n *Net) lookup(ctx context.Context, q queryer, key chain.TxID) (out []byte, hash [32]byte, err error) {
	err = q.QueryRowContext(ctx, `SELECT outcome FROM transactions WHERE request = ? AND length(outcome) > 0`, key[:]).Scan(&out)
	if err == nil {
		out = out[copy(hash[:], out):]
	}
	if errors.Is(err, sql.ErrNoRows) { // unless by a program that gave transactions the IDs of their callers
		var asked []byte
		err = q.QueryRowContext(ctx, `SELECT request, outcome FROM transactions WHERE digest = ? AND length(outcome) > 0`, key[:]).Scan(&asked, &out)
		copy(hash[:], asked)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return nil, hash, nil
	}
	return out, hash, err
}

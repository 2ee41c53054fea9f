package localnet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// call makes objects when a ledger is made, or gets what later ledgers are made
// with. Nothing else changes the ledger without a signed transaction.
type call struct {
	tx      chain.TxID
	sender  chain.Address
	request *request
	body    func(e *env) error // calls the contracts
}

// env is what the body of a call works with.
type env struct {
	*overlay.Tx
	net *Net
	ctx context.Context
	sql *sql.Tx
}

// execute runs a call, once: one that was executed before does nothing. A call
// that fails leaves no trace.
func (n *Net) execute(ctx context.Context, c call) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.executeLogged(ctx, c); err != nil {
		return fmt.Errorf("%s: %w", c.request.kind, err)
	}
	return nil
}

// executeLogged executes a call so that database and log both know it, or
// neither. The caller holds mu.
func (n *Net) executeLogged(ctx context.Context, c call) (err error) {
	if n.doubt != nil {
		return n.doubt
	}
	tx, err := n.store.writer.BeginTx(ctx, nil)
	if err != nil {
		return n.store.named(err)
	}
	defer func() {
		if err != nil {
			err = n.store.named(errors.Join(err, ignoreDone(tx.Rollback())))
		}
	}()
	did, err := n.executeIn(ctx, tx, c)
	if err != nil {
		return err
	}
	if did == nil { // it was executed before
		return tx.Rollback()
	}
	payload, err := move.Marshal(logged(did.record, did.result))
	if err != nil {
		return err
	}
	b, after, err := n.home.next(kindTransaction, n.home.tip.era, did.record.timeMS, payload)
	if err != nil {
		return err
	}
	if err := n.commitLogged(ctx, tx, b, after); err != nil {
		return err
	}
	n.news.tell()
	return nil
}

// update runs f in an SQL transaction that writes. The caller holds mu.
func (n *Net) update(ctx context.Context, f func(tx *sql.Tx) error) (err error) {
	tx, err := n.store.writer.BeginTx(ctx, nil)
	if err != nil {
		return n.store.named(err)
	}
	defer func() {
		if err != nil {
			err = n.store.named(errors.Join(err, ignoreDone(tx.Rollback())))
		}
	}()
	if err := f(tx); err != nil {
		return err
	}
	defer n.changes.Add(1)
	return tx.Commit()
}

// ignoreDone hides that a transaction was over already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// executed is what the execution of a call wrote.
type executed struct {
	record record
	result *overlay.Result
}

// executeIn executes a call inside an SQL transaction. What it did is nil when
// the call was executed before.
func (n *Net) executeIn(ctx context.Context, tx *sql.Tx, c call) (*executed, error) {
	hash, err := c.request.hash(c.sender)
	if err != nil {
		return nil, err
	}
	if out, _, err := n.lookup(ctx, tx, c.tx); out != nil || err != nil {
		return nil, err
	}
	source := func(id move.ID) (*move.Object, error) { return n.store.object(ctx, tx, id) }
	timeMS := n.clock.timeMS()
	e := &env{net: n, ctx: ctx, sql: tx,
		Tx: overlay.New(move.Digest(c.tx), move.Address(c.sender), timeMS, &n.facts.packages, source)}
	e.FixedCommittee = n.mover == nil
	if err := c.body(e); err != nil {
		return nil, err
	}
	result, err := e.Finish()
	if err != nil {
		return nil, err
	}
	w := &writer{n.store, tx, &n.facts.packages}
	r := record{digest: e.Digest, sender: e.Sender, request: hash, outcome: noOutcome, timeMS: timeMS}
	_, err = w.commit(ctx, r, result)
	return &executed{r, result}, err
}

// readSystem borrows the System object to read it.
func (e *env) readSystem() (*move.System, error) {
	return overlay.Borrow[move.System](e.Tx, e.net.facts.system, e.Types.System())
}

// purse merges the sender's coins of a type into one and borrows that. It
// returns chain.ErrNoFunds when there is none.
func (e *env) purse(coinType move.StructTag) (*move.Coin, error) {
	ids, err := e.net.ownedIDs(e.ctx, e.sql, e.Sender, coinType)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, chain.ErrNoFunds
	}
	first, err := overlay.BorrowMut[move.Coin](e.Tx, ids[0], coinType)
	if err != nil {
		return nil, err
	}
	for _, id := range ids[1:] {
		coin, err := overlay.Take[move.Coin](e.Tx, id, coinType)
		if err != nil {
			return nil, err
		}
		if err := contract.JoinCoin(e.Tx, first, coin); err != nil {
			return nil, err
		}
	}
	return first, nil
}

// ownedIDs lists the objects of one type that an address owns, oldest first.
func (n *Net) ownedIDs(ctx context.Context, q queryer, owner move.Address, tag move.StructTag) ([]move.ID, error) {
	return queryIDs(ctx, q, `SELECT objects.id FROM objects JOIN types ON types.id = objects.type
		WHERE types.name = ? AND objects.owner = ? ORDER BY objects.rowid`, tag.String(), owner[:])
}

// queryIDs returns the object IDs that a query selects.
func queryIDs(ctx context.Context, q queryer, query string, args ...any) (ids []move.ID, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, move.ID(id))
	}
	return ids, rows.Err()
}

package localnet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// call is a ledger transaction to execute.
type call struct {
	tx      chain.TxID
	sender  chain.Address
	request *request
	// body calls the contracts. It may be called again for another attempt of the caller, never twice for one.
	body func(e *env) (*chain.Outcome, error)
}

// env is what the body of a call works with.
type env struct {
	*overlay.Tx
	net    *Net
	ctx    context.Context
	sql    *sql.Tx
	anchor bool // the outcome tells the version that the anchor gets
}

// execute runs a call, once: a call with an ID that was executed before gives
// the outcome of that time, if it asks for the same. A call that fails leaves
// no trace, and its ID can be used again.
func (n *Net) execute(ctx context.Context, c call) (*chain.Outcome, error) {
	hash, err := c.request.hash(c.sender)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.request.kind, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// From here on the call is carried through: half of it would be undone anyway.
	ctx = context.WithoutCancel(ctx)
	out, err := n.executeLogged(ctx, c, hash)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.request.kind, err)
	}
	return out, nil
}

// executeLogged executes a call so that database and log both know it, or
// neither. The caller holds mu.
func (n *Net) executeLogged(ctx context.Context, c call, hash [32]byte) (out *chain.Outcome, err error) {
	if n.doubt != nil {
		return nil, n.doubt
	}
	tx, err := n.store.writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}()
	out, did, err := n.executeIn(ctx, tx, c, hash)
	if err != nil {
		return nil, err
	}
	if did == nil { // it was executed before
		return out, tx.Rollback()
	}
	payload, err := move.Marshal(logged(did.record, did.result))
	if err != nil {
		return nil, err
	}
	b, after, err := n.home.next(kindTransaction, n.home.tip.era, did.record.timeMS, payload)
	if err != nil {
		return nil, err
	}
	return out, n.commitLogged(ctx, tx, b, after)
}

// update runs f in an SQL transaction that writes. The caller holds mu.
func (n *Net) update(ctx context.Context, f func(tx *sql.Tx) error) (err error) {
	tx, err := n.store.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}()
	if err := f(tx); err != nil {
		return err
	}
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
func (n *Net) executeIn(ctx context.Context, tx *sql.Tx, c call, hash [32]byte) (*chain.Outcome, *executed, error) {
	if out, stored, err := n.lookup(ctx, tx, c.tx); err != nil {
		return nil, nil, err
	} else if out != nil {
		if stored != hash {
			return nil, nil, chain.ErrTxReused
		}
		return out, nil, nil
	}
	source := func(id move.ID) (*move.Object, error) { return n.store.object(ctx, tx, id) }
	timeMS := n.clock.timeMS()
	e := &env{net: n, ctx: ctx, sql: tx,
		Tx: overlay.New(move.Digest(c.tx), move.Address(c.sender), timeMS, &n.facts.packages, source)}
	out, err := c.body(e)
	if err != nil {
		return nil, nil, err
	}
	result, err := e.Finish()
	if err != nil {
		return nil, nil, err
	}
	if e.anchor {
		out.AnchorVersion = result.Version
	}
	bcs, err := move.Marshal((*outcome)(out))
	if err != nil {
		return nil, nil, err
	}
	w := &writer{n.store, tx, &n.facts.packages}
	r := record{digest: e.Digest, sender: e.Sender, request: hash, outcome: bcs, timeMS: timeMS}
	return out, &executed{r, result}, w.commit(ctx, r, result)
}

// lookup returns the outcome of an executed transaction and the hash of its
// request, or nil when there is none.
func (n *Net) lookup(ctx context.Context, q queryer, tx chain.TxID) (*chain.Outcome, [32]byte, error) {
	var request, bcs []byte
	err := q.QueryRowContext(ctx, `SELECT request, outcome FROM transactions WHERE digest = ?`, tx[:]).Scan(&request, &bcs)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, [32]byte{}, nil
	}
	if err != nil {
		return nil, [32]byte{}, err
	}
	var out outcome
	if err := move.Unmarshal(bcs, &out); err != nil {
		return nil, [32]byte{}, fmt.Errorf("outcome of transaction %x: %w", tx, err)
	}
	var hash [32]byte
	copy(hash[:], request)
	return (*chain.Outcome)(&out), hash, nil
}

// system borrows the System object to change it.
func (e *env) system() (*move.System, error) {
	return overlay.BorrowMut[move.System](e.Tx, e.net.facts.system, e.Types.System())
}

// readSystem borrows the System object to read it.
func (e *env) readSystem() (*move.System, error) {
	return overlay.Borrow[move.System](e.Tx, e.net.facts.system, e.Types.System())
}

// own checks that the sender owns an object.
func (e *env) own(id walrus.ObjectID) error {
	o, err := e.Peek(move.ID(id))
	if err != nil {
		return err
	}
	if o.Owner != move.AddressOwner(e.Sender) {
		return fmt.Errorf("object %s: %w", id, chain.ErrNotOwner)
	}
	return nil
}

// blob borrows a blob object of the sender to change it.
func (e *env) blob(id walrus.ObjectID) (*move.Blob, error) {
	if err := e.own(id); err != nil {
		return nil, err
	}
	return overlay.BorrowMut[move.Blob](e.Tx, move.ID(id), e.Types.Blob())
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
func (n *Net) ownedIDs(ctx context.Context, q queryer, owner move.Address, tag move.StructTag) (ids []move.ID, err error) {
	rows, err := q.QueryContext(ctx, `SELECT objects.id FROM objects JOIN types ON types.id = objects.type
		WHERE types.name = ? AND objects.owner = ? ORDER BY objects.rowid`, tag.String(), owner[:])
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

// payment turns the abort of a coin that is short into chain.ErrNoFunds.
func payment(err error, have uint64) error {
	var abort *chain.AbortError
	if errors.As(err, &abort) && abort.Module == "balance" && abort.Name == "ENotEnough" {
		return fmt.Errorf("%d FROST do not cover the price: %w", have, chain.ErrNoFunds)
	}
	return err
}

package sui

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// call is a transaction to build and send.
type call struct {
	tx      chain.TxID
	request *request
	// build puts the transaction together from what the ledger has now. It may
	// be called again when that has changed.
	build func(ctx context.Context, s *session) error
}

// session is one attempt at building a transaction.
type session struct {
	*builder
	world *world
	fresh bool // all is to be read anew, as an attempt before went wrong
	// routine says that nobody asked for just this transaction and wants to see first what it
	// would do: one like it that went well tells its gas.
	routine bool
	shape   shape
	me      move.Address
	// money is the owner's coins of SUI, the fullest first.
	money []coin
	spend uint64 // MIST that the commands take out of the gas coin
}

// walrus calls a function of the current Walrus package.
func (s *session) walrus(module, function string, args ...move.Argument) move.Argument {
	return s.call(s.world.current, module, function, nil, args...)
}

// How often a transaction is built anew because somebody else was faster.
const (
	maxRebuilds  = 8
	rebuildPause = 50 * time.Millisecond // before the second time; doubles
)

// execute executes a call, once: a transaction ID that was used before gives
// the outcome of that time, if it asks for the same.
func (c *Client) execute(ctx context.Context, v call) (*chain.Outcome, error) {
	out, err := c.executeTurn(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.request.kind, err)
	}
	return out, nil
}

func (c *Client) executeTurn(ctx context.Context, v call) (*chain.Outcome, error) {
	hash, err := v.request.hash(c.Address())
	if err != nil {
		return nil, err
	}
	giveBack, err := c.takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer giveBack()
	if out, err := c.executed(ctx, v.tx, hash); out != nil || err != nil {
		return out, err
	}
	_, out, err := c.attempts(ctx, v, hash)
	return out, err
}

// takeTurn waits until no other transaction of the owner is on its way, and
// settles those that an earlier call or an earlier run left open: they hold coins.
func (c *Client) takeTurn(ctx context.Context) (giveBack func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	turn := c.journal.turn(c.Address())
	select {
	case <-turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	giveBack = func() { turn <- struct{}{} }
	if err := c.settle(ctx); err != nil {
		giveBack()
		return nil, err
	}
	return giveBack, nil
}

// settle finds out what became of transactions that were signed and never
// heard of again. What the ledger does not know yet is sent to it: whoever
// signed it may have promised it.
func (c *Client) settle(ctx context.Context) error {
	open, err := c.journal.unsettled(c.Address())
	if err != nil || len(open) == 0 {
		return err
	}
	w, err := c.world(ctx, false)
	if err != nil {
		return err
	}
	for _, r := range open {
		result, err := c.lookup(ctx, r.Digest, w.types.WALType())
		if result == nil && err == nil {
			result, err = c.send(ctx, r, w.types.WALType())
		}
		if _, err := c.close(ctx, r, result, err); err != nil && !isOver(err) {
			return fmt.Errorf("settle transaction %s: %w", r.Digest, err)
		}
	}
	return nil
}

// isOver tells whether an error says that a transaction will never take effect.
func isOver(err error) bool {
	var f *failed
	return errors.Is(err, errDead) || errors.As(err, &f)
}

// close writes down how a transaction ended. One that is still open stays so.
func (c *Client) close(_ context.Context, r *record, result *Result, err error) (*chain.Outcome, error) {
	if isOver(err) {
		dead := &record{Kind: recordDead, Tx: r.Tx, Owner: r.Owner, Request: r.Request, Digest: r.Digest, Reason: clip(err.Error())}
		if e := c.journal.append(dead); e != nil {
			return nil, errors.Join(err, e)
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	c.belongs.learn(result)
	c.conn.left.learn(result)
	out, err := result.outcome(&r.Attempt.Shape)
	if err != nil {
		return nil, err
	}
	b, err := move.Marshal((*outcome)(out))
	if err != nil {
		return nil, err
	}
	done := &record{Kind: recordDone, Tx: r.Tx, Owner: r.Owner, Request: r.Request, Digest: r.Digest, Outcome: b}
	return out, c.journal.append(done)
}

// clip keeps a text short, and UTF-8.
func clip(s string) string {
	runes := []rune(s)
	return string(runes[:min(len(runes), 500)])
}

// executed returns the outcome of a transaction ID that was used before, nil if it was not.
func (c *Client) executed(ctx context.Context, tx chain.TxID, hash [32]byte) (*chain.Outcome, error) {
	r, err := c.recall(ctx, tx)
	if err != nil {
		return nil, err
	}
	if r == nil {
		out, err := c.before(ctx, tx, hash)
		if errors.Is(err, chain.ErrNotExist) {
			return nil, nil
		}
		return out, err
	}
	if r.Request != hash {
		return nil, chain.ErrTxReused
	}
	if r.Kind != recordDone {
		return nil, fmt.Errorf("transaction %s is not settled: %w", r.Digest, ErrLocked) // of a client that shares the journal
	}
	return r.outcome()
}

// before returns the outcome of a transaction of the time before the journal, or chain.ErrNotExist.
func (c *Client) before(ctx context.Context, tx chain.TxID, hash [32]byte) (*chain.Outcome, error) {
	if c.earlier == nil {
		return nil, fmt.Errorf("transaction %x: %w", tx, chain.ErrNotExist)
	}
	kept, err := c.earlier(ctx, tx, hash)
	if err != nil {
		return nil, err
	}
	var out outcome
	if err := move.Unmarshal(kept, &out); err != nil {
		return nil, fmt.Errorf("outcome of transaction %x: %w", tx, err)
	}
	return (*chain.Outcome)(&out), nil
}

// recall returns what the journal knows of a transaction ID, nil if it is
// nothing, or nothing that is true any more.
func (c *Client) recall(ctx context.Context, tx chain.TxID) (*record, error) {
	r, err := c.journal.get(tx)
	if err != nil || r == nil || r.Kind != recordDone || !c.whole {
		return r, err
	}
	w, err := c.world(ctx, false)
	if err != nil {
		return nil, err
	}
	result, err := c.lookup(ctx, r.Digest, w.types.WALType())
	if result != nil || err != nil {
		return r, err
	}
	c.log.Warn("ledger has lost a transaction", "digest", r.Digest)
	return nil, c.journal.append(&record{Kind: recordDead, Tx: r.Tx, Owner: r.Owner, Request: r.Request, Digest: r.Digest,
		Reason: "the ledger does not have it any more"})
}

// outcome returns what a finished record tells.
func (r *record) outcome() (*chain.Outcome, error) {
	var out outcome
	if err := move.Unmarshal(r.Outcome, &out); err != nil {
		return nil, fmt.Errorf("outcome of transaction %s: %w", r.Digest, err)
	}
	return (*chain.Outcome)(&out), nil
}

// attempts builds and sends until one attempt has been decided.
func (c *Client) attempts(ctx context.Context, v call, hash [32]byte) (*Result, *chain.Outcome, error) {
	pause, upgraded, fresh := rebuildPause, false, false
	for try := 1; ; try++ {
		result, out, err := c.attempt(ctx, v, hash, fresh)
		fresh = true
		var f *failed
		switch {
		case err == nil:
			return result, out, nil
		case isOutdated(err) && !upgraded:
			upgraded = true
			if _, err := c.world(ctx, true); err != nil {
				return nil, nil, err
			}
			continue
		case errors.As(err, &f) && f.untried:
			c.log.Warn("transaction failed that was not tried out; it is tried out now", "op", v.request.kind, "err", err)
			continue
		case !errors.Is(err, errDead) && !errors.Is(err, errStaleRead) || try == maxRebuilds:
			return nil, nil, err
		}
		c.log.Debug("transaction is built anew", "op", v.request.kind, "err", err)
		if err := sleep(ctx, pause); err != nil {
			return nil, nil, err
		}
		pause *= 2
	}
}

// attempt builds, signs, journals and sends one transaction.
func (c *Client) attempt(ctx context.Context, v call, hash [32]byte, fresh bool) (*Result, *chain.Outcome, error) {
	draft, err := c.draft(ctx, v, fresh)
	if err != nil {
		return nil, nil, err
	}
	if c.dryRun {
		return nil, nil, &DryRun{*draft}
	}
	signature, err := c.wallet.SignTransaction(draft.Raw)
	if err != nil {
		return nil, nil, err
	}
	r := &record{Kind: recordSigned, Tx: v.tx, Owner: c.Address(), Request: hash, Digest: draft.Digest,
		Attempt: attempt{Raw: draft.Raw, Signature: signature, Shape: draft.shape}, unsent: true}
	c.stage("signed")
	if err := c.journal.append(r); err != nil {
		return nil, nil, err
	}
	c.stage("journalled")
	result, err := c.send(ctx, r, draft.wal)
	c.stage("sent")
	out, err := c.close(ctx, r, result, err)
	c.stage("closed")
	c.tell(v, draft, result, err)
	return result, out, err
}

// tell notes what a transaction took, for those that are like it.
func (c *Client) tell(v call, d *Draft, result *Result, err error) {
	shape := shapeOf(d.Tx.Commands)
	var f *failed
	switch {
	case err == nil:
		c.gas.learn(shape, result.gas)
		c.log.Debug("transaction executed", "op", v.request.kind, "commands", len(d.Tx.Commands), "size", len(d.Raw), "tried", d.tried)
	case errors.As(err, &f):
		c.gas.forget(shape)
		f.untried = !d.tried
	}
}

// Outcome implements chain.Ledger. A transaction that was signed and not heard
// of again is settled first.
func (c *Client) Outcome(ctx context.Context, tx chain.TxID) (*chain.Outcome, error) {
	out, err := c.outcome(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("outcome: %w", err)
	}
	return out, nil
}

func (c *Client) outcome(ctx context.Context, tx chain.TxID) (*chain.Outcome, error) {
	r, err := c.journal.get(tx)
	if err != nil {
		return nil, err
	}
	if r != nil && r.Kind != recordDone {
		giveBack, err := c.takeTurn(ctx)
		if err != nil {
			return nil, err
		}
		giveBack()
	}
	if r, err = c.recall(ctx, tx); err != nil {
		return nil, err
	}
	switch {
	case r != nil && r.Kind == recordDone:
		return r.outcome()
	case r != nil:
		return nil, fmt.Errorf("transaction %s is not settled: %w", r.Digest, ErrLocked)
	}
	return c.before(ctx, tx, [32]byte{})
}

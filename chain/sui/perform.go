package sui

import (
	"context"
	"fmt"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// perform executes a call that is not part of chain.Ledger, once, and tells
// what it did. A transaction ID that was used before gives what it did then.
func (c *Client) perform(ctx context.Context, v call) (*Result, error) {
	r, err := c.performTurn(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.request.kind, err)
	}
	return r, nil
}

func (c *Client) performTurn(ctx context.Context, v call) (*Result, error) {
	hash, err := v.request.hash(c.Address())
	if err != nil {
		return nil, err
	}
	giveBack, err := c.takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer giveBack()
	before, err := c.recall(ctx, v.tx)
	if err != nil {
		return nil, err
	}
	if before == nil {
		r, _, err := c.attempts(ctx, v, hash)
		return r, err
	}
	if before.Request != hash {
		return nil, chain.ErrTxReused
	}
	w, err := c.world(ctx, false)
	if err != nil {
		return nil, err
	}
	r, err := c.lookup(ctx, before.Digest, w.types.WALType())
	if r == nil && err == nil {
		err = fmt.Errorf("transaction %s: %w", before.Digest, ErrForgotten)
	}
	return r, err
}

// Done returns what a transaction ID was used for before, nil when it was not.
func (c *Client) Done(ctx context.Context, tx chain.TxID) (*Result, error) {
	giveBack, err := c.takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer giveBack()
	r, err := c.recall(ctx, tx)
	if err != nil || r == nil {
		return nil, err
	}
	w, err := c.world(ctx, false)
	if err != nil {
		return nil, err
	}
	result, err := c.lookup(ctx, r.Digest, w.types.WALType())
	if result == nil && err == nil {
		err = fmt.Errorf("transaction %s: %w", r.Digest, ErrForgotten)
	}
	return result, err
}

// one is a request about some addresses and numbers.
func one(kind string, ids []move.ID, numbers ...uint64) *request {
	return &request{kind, func(c *move.Codec) {
		move.Vector(c, &ids, (*move.Codec).ID)
		move.Vector(c, &numbers, (*move.Codec).U64)
	}}
}

// sharedObject reads from which version on an object is shared. One that the
// profile does not name gives ErrUnknown.
func (c *Client) sharedObject(ctx context.Context, id move.ID) (shared, error) {
	if id.IsZero() {
		return shared{}, fmt.Errorf("object of %s: %w", c.profile.Name, ErrUnknown)
	}
	found, err := c.conn.objects(ctx, []move.ID{id})
	if err != nil {
		return shared{}, err
	}
	o := found[id]
	switch {
	case o == nil:
		return shared{}, fmt.Errorf("object %s: %w", id, chain.ErrNotExist)
	case o.owner.Kind != move.OwnerShared:
		return shared{}, fmt.Errorf("object %s is not shared: %w", id, errKind)
	}
	return shared{id, o.owner.InitialVersion}, nil
}

// single reads one object of the owner.
func (c *Client) single(ctx context.Context, tag move.StructTag, id move.ID) (*object, error) {
	found, err := c.refs(ctx, tag, []move.ID{id})
	return found[id], err
}

package blobstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// register makes sure that the ledger holds a paid object for the blob.
func (p *put) register(ctx context.Context) error {
	if p.receipt.Stage >= walrus.Registered {
		return nil
	}
	if err := p.c.registrar.do(ctx, p); err != nil {
		return err
	}
	return p.advance(walrus.Registered)
}

// registerBatch gives every Put what the owner already has for it, and buys the rest.
func (c *Client) registerBatch(ctx context.Context, batch []*ticket) {
	ctx, cancel := context.WithTimeout(ctx, 2*ledgerTries*ledgerTimeout)
	defer cancel()
	owned, free, err := c.belongings(ctx, batch)
	if err != nil {
		settle(batch, err)
		return
	}
	if named := slices.ContainsFunc(batch, func(t *ticket) bool { return !t.p.o.Storage.IsZero() }); len(owned)+len(free) == 0 && !named {
		c.buy(ctx, batch, nil)
		return
	}
	state, err := c.hear(ctx)
	if err != nil {
		settle(batch, err)
		return
	}
	var buy []*ticket
	for _, t := range batch {
		if t.p.adoptOne(owned, state.Epoch) {
			settle([]*ticket{t}, nil)
		} else {
			buy = append(buy, t)
		}
	}
	for range maxReuses {
		dealt := c.reuse(buy, free, state.Epoch)
		if len(dealt) == 0 {
			break
		}
		var first, rest []*ticket
		for _, t := range buy {
			if dealt[t.p] != nil {
				first = append(first, t)
			} else {
				rest = append(rest, t)
			}
		}
		c.buy(ctx, first, dealt)
		if buy = rest; len(buy) == 0 {
			return
		}
		// What was cut off may do for the others.
		if free, err = c.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Storage: true}); err != nil {
			settle(buy, fmt.Errorf("list free reservations: %w", err))
			return
		}
	}
	if len(buy) > 0 {
		c.buy(ctx, buy, nil)
	}
}

// maxReuses is how many transactions one batch takes at most to use free storage, before
// the rest is bought: each of them is waited for.
const maxReuses = 4

// belongings lists the owner's objects of the batch's blobs, and free reservations.
func (c *Client) belongings(ctx context.Context, batch []*ticket) (owned, free []chain.OwnedObject, err error) {
	blobs := make([]walrus.BlobID, len(batch))
	for i, t := range batch {
		blobs[i] = t.p.receipt.Blob
	}
	if owned, err = c.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Blobs: blobs}); err != nil {
		return nil, nil, fmt.Errorf("list own objects: %w", err)
	}
	if free, err = c.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Storage: true}); err != nil {
		return nil, nil, fmt.Errorf("list free reservations: %w", err)
	}
	return owned, free, nil
}

func (p *put) adoptOne(owned []chain.OwnedObject, now walrus.Epoch) bool {
	for _, o := range owned {
		if p.adopt(o, now) {
			return true
		}
	}
	return false
}

// reuse deals free reservations to a batch: what is paid for already is used before anything is bought.
//
// The claims are kept in memory only. They keep apart the Puts of this process,
// which alone has the drive open; the ledger uses a reservation up in the
// transaction that registers, whose ID is journalled. So after a crash the
// reservation is either in the object that this transaction made, or free.
func (c *Client) reuse(batch []*ticket, free []chain.OwnedObject, now walrus.Epoch) map[*put][]walrus.ObjectID {
	dealt := map[*put][]walrus.ObjectID{}
	needs := make([]chain.Need, len(batch))
	for i, t := range batch {
		if asked := t.p.o.Storage; !asked.IsZero() {
			t.p.claim(asked)
			dealt[t.p] = []walrus.ObjectID{asked}
			continue
		}
		if size, err := c.geometry.EncodedSize(t.p.receipt.Size); err == nil {
			needs[i] = chain.Need{Size: size, From: now, Until: now + walrus.Epoch(t.p.epochs())}
		}
	}
	for i, list := range chain.PlanReuse(free, needs, c.claims.has) {
		if len(list) > 0 && batch[i].p.claimAll(list) {
			dealt[batch[i].p] = list
		}
	}
	return dealt
}

// buy registers a batch in one transaction, which every Put writes down first.
// A batch that the ledger refuses is halved, so that one bad member does not block the rest.
func (c *Client) buy(ctx context.Context, batch []*ticket, free map[*put][]walrus.ObjectID) {
	tx := newTx()
	batch = each(batch, func(p *put) error {
		p.receipt.RegisterTx = tx
		return p.checkpoint()
	})
	if len(batch) == 0 {
		return
	}
	registrations := make([]chain.Registration, len(batch))
	for i, t := range batch {
		r := t.p.receipt
		registrations[i] = chain.Registration{
			Blob: r.Blob, Root: r.Root, Size: r.Size, Reuse: free[t.p],
			EpochsAhead: t.p.epochs(), Deletable: t.p.o.Deletable, Attributes: t.p.o.Attributes,
		}
	}
	out, err := transact(ctx, func(ctx context.Context) (*chain.Outcome, error) {
		return c.cfg.Ledger.Register(ctx, tx, registrations)
	})
	if err == nil && len(out.Registered) != len(batch) {
		err = fmt.Errorf("ledger registered %d of %d blobs", len(out.Registered), len(batch))
	}
	if half := len(batch) / 2; half > 0 && err != nil && splits(err) {
		c.buy(ctx, batch[:half], free)
		c.buy(ctx, batch[half:], free)
		return
	}
	if err != nil && unusable(err) && free[batch[0].p] != nil && batch[0].p.o.Storage.IsZero() {
		c.buy(ctx, batch, nil) // the reservations went elsewhere meanwhile, in a renewal or by hand
		return
	}
	if err != nil {
		settle(batch, err)
		return
	}
	c.cfg.Log.Debug("blobs registered", "op", "register", "blobs", len(batch), "cost", out.CostFrost)
	for i, t := range batch {
		t.p.receipt.Object, t.p.receipt.EndEpoch = out.Registered[i].Object, out.Registered[i].EndEpoch
		t.p.deletable = t.p.o.Deletable
		t.p.claim(out.Registered[i].Object)
	}
	settle(batch, nil)
}

// unusable tells whether free reservations may be to blame for an error.
func unusable(err error) bool {
	var abort *chain.AbortError
	return errors.As(err, &abort) || errors.Is(err, chain.ErrNotExist) || errors.Is(err, chain.ErrNotOwner)
}

// claims are the objects that running Puts work with: no other Put may take them.
type claims struct {
	mu   sync.Mutex // guards held
	held map[walrus.ObjectID]bool
}

// claim takes an object for this Put. It returns false if another Put has it.
func (p *put) claim(o walrus.ObjectID) bool {
	for _, mine := range p.claimed {
		if mine == o {
			return true
		}
	}
	c := &p.c.claims
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[o] {
		return false
	}
	if c.held == nil {
		c.held = map[walrus.ObjectID]bool{}
	}
	c.held[o] = true
	p.claimed = append(p.claimed, o)
	return true
}

// claimAll takes all of some objects for this Put, or none. It returns false if another Put has one.
func (p *put) claimAll(objects []walrus.ObjectID) bool {
	had := len(p.claimed)
	for _, o := range objects {
		if !p.claim(o) {
			p.c.claims.drop(p.claimed[had:])
			p.claimed = p.claimed[:had]
			return false
		}
	}
	return true
}

func (c *claims) has(o walrus.ObjectID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held[o]
}

func (c *claims) drop(objects []walrus.ObjectID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range objects {
		delete(c.held, o)
	}
}

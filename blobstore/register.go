package blobstore

import (
	"context"
	"fmt"
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
	state, err := c.hear(ctx)
	if err != nil {
		settle(batch, err)
		return
	}
	owned, free, err := c.belongings(ctx, batch)
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
	storage := map[*put]reservation{}
	for _, t := range buy {
		storage[t.p] = t.p.reserve(free, state.Epoch)
	}
	c.buy(ctx, buy, storage)
}

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

// reservation is storage that a registration is to use, and for how long. Without
// an object it is to be bought.
type reservation struct {
	object walrus.ObjectID
	epochs uint32
}

// A free reservation is used if it lasts for at least one of enoughTime parts of
// the time asked for, and is at most a part of looseFit larger than needed: who
// renews a blob pays for all of its reservation, and for as long as it lasts it
// is paid for already.
const (
	enoughTime = 2
	looseFit   = 4
)

// reserve claims the smallest free reservation that is large enough and lasts
// long enough, if there is one, and of equal ones the one that lasts longest.
//
// The claim is kept in memory only. It keeps apart the Puts of this process,
// which alone has the drive open; the ledger uses a reservation up in the
// transaction that registers, whose ID is journalled. So after a crash the
// reservation is either in the object that this transaction made, or free.
func (p *put) reserve(free []chain.OwnedObject, now walrus.Epoch) reservation {
	need, err := p.c.geometry.EncodedSize(p.receipt.Size)
	if err != nil {
		return reservation{epochs: p.epochs()}
	}
	var best *chain.OwnedObject
	least := now + walrus.Epoch((p.epochs()+enoughTime-1)/enoughTime)
	for i := range free {
		o := &free[i]
		fits := o.StorageSize >= need && o.StorageSize <= need+need/looseFit && o.StartEpoch <= now && o.EndEpoch >= least
		better := best == nil || o.StorageSize < best.StorageSize || o.StorageSize == best.StorageSize && o.EndEpoch > best.EndEpoch
		if fits && better && !p.c.claims.has(o.Object) {
			best = o
		}
	}
	if best == nil || !p.claim(best.Object) {
		return reservation{epochs: p.epochs()}
	}
	return reservation{object: best.Object, epochs: 1} // the object gets all that is left of it, in a later epoch too
}

// buy registers a batch in one transaction, which every Put writes down first.
// A batch that the ledger refuses is halved, so that one bad member does not block the rest.
func (c *Client) buy(ctx context.Context, batch []*ticket, storage map[*put]reservation) {
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
			Blob: r.Blob, Root: r.Root, Size: r.Size, Storage: storage[t.p].object,
			EpochsAhead: storage[t.p].epochs, Deletable: t.p.o.Deletable,
		}
	}
	out, err := transact(ctx, func(ctx context.Context) (*chain.Outcome, error) {
		return c.cfg.Ledger.Register(ctx, tx, registrations)
	})
	if err == nil && len(out.Registered) != len(batch) {
		err = fmt.Errorf("ledger registered %d of %d blobs", len(out.Registered), len(batch))
	}
	if half := len(batch) / 2; half > 0 && err != nil && splits(err) {
		c.buy(ctx, batch[:half], storage)
		c.buy(ctx, batch[half:], storage)
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

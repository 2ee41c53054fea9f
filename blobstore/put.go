package blobstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// PutOptions says how a blob is to be stored.
type PutOptions struct {
	Epochs    uint32 // to pay for, counted from now; 0 means 1
	Deletable bool   // whether the owner can delete it before its end epoch
	// Apart says that the blob is none of the drive's: the anchor does not move for it.
	Apart bool
	// Attributes are set on an object that is registered now.
	Attributes []chain.Attribute
	// Storage is the free reservation to use for it, cut to fit; zero picks some that fit, or buys.
	Storage walrus.ObjectID
	Resume  walrus.Receipt // where an earlier Put of the same bytes had come to; zero starts anew
	// Checkpoint writes the receipt down before Put goes on, and before a
	// transaction is sent; an error ends the Put. It is never called twice at a
	// time for one Put, and not after Put returned. It may be nil.
	Checkpoint func(walrus.Receipt) error
}

// errEpoch reports that the ledger has gone on to another epoch, in which
// confirmations of the last one are worth nothing.
var errEpoch = errors.New("epoch has changed")

// maxEpochChanges is how many changes of epoch one Put survives.
const maxEpochChanges = 5

// Put encodes, registers, stores and certifies a blob, and returns what is
// known of it, also when it fails. It may be repeated with the last receipt in
// Resume: whatever was done is not done twice, and paid for once. Blob must
// not be changed until Put has returned, nor unmapped for as long as a node in
// this process hangs in a disk call.
//
// Errors: *QuorumError when too few nodes took the blob, ErrLedger, chain.ErrNoFunds,
// chain.ErrStaleVersion when another machine has moved the anchor,
// *chain.AbortError, ErrResume, walrus.ErrTooLarge, and those of Checkpoint and Anchor.
func (c *Client) Put(ctx context.Context, blob []byte, o PutOptions) (walrus.Receipt, error) {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return o.Resume, fmt.Errorf("put: %w", err)
	}
	defer done()
	c.foreground.Add(1)
	defer c.foreground.Add(-1)
	p := &put{c: c, o: o, blob: blob, receipt: o.Resume, deletable: o.Deletable}
	defer p.end()
	if err := p.resume(ctx); err != nil {
		return p.receipt, fmt.Errorf("put: %w", err)
	}
	for range maxEpochChanges {
		if err = p.encode(ctx); err != nil {
			break
		}
		if err = p.register(ctx); err != nil {
			break
		}
		if err = p.store(ctx); err != nil {
			break
		}
		p.release()
		if err = p.certify(ctx); !errors.Is(err, errEpoch) {
			break
		}
	}
	if err != nil {
		return p.receipt, fmt.Errorf("put %s: %w", p.receipt.Blob, err)
	}
	return p.receipt, nil
}

// put is one run of Put. Each of its steps does nothing if the receipt is
// beyond it.
type put struct {
	c         *Client
	o         PutOptions
	blob      []byte
	receipt   walrus.Receipt
	deletable bool // of the blob object
	encoded   *redstuff.Encoded
	sending   *sending          // what goes to the nodes now
	claimed   []walrus.ObjectID // objects that other Puts must not take
	arrived   func()            // takes back that the Put is about to come to a coalescer; nil when it is not
}

// checkpoint writes the receipt down.
func (p *put) checkpoint() error {
	if p.o.Checkpoint == nil {
		return nil
	}
	if err := p.o.Checkpoint(p.receipt); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// advance records that a stage is reached.
func (p *put) advance(s walrus.Stage) error {
	p.receipt.Stage = s
	p.c.cfg.Log.Debug("put", "op", "put", "blob", p.receipt.Blob, "stage", s, "size", len(p.blob))
	return p.checkpoint()
}

func (p *put) epochs() uint32 { return max(p.o.Epochs, 1) }

func (p *put) persistence() walrus.Persistence {
	if !p.deletable {
		return walrus.Persistence{}
	}
	return walrus.Persistence{Deletable: true, Object: p.receipt.Object}
}

// encode computes the slivers, once a place for them is free, unless they are
// not needed any more.
func (p *put) encode(ctx context.Context) error {
	if p.receipt.Stage >= walrus.Stored {
		return nil
	}
	select {
	case p.c.encodings <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.receipt.Stage < walrus.Registered {
		p.announce(p.c.registrar)
	}
	encoded, err := p.c.codec.Encode(ctx, p.blob)
	if err != nil {
		<-p.c.encodings
		return err
	}
	p.encoded = encoded
	if p.receipt.Stage > 0 {
		if encoded.Blob() != p.receipt.Blob {
			return fmt.Errorf("bytes of %s: %w", encoded.Blob(), ErrResume)
		}
		return nil
	}
	p.receipt = walrus.Receipt{Blob: encoded.Blob(), Root: encoded.Metadata().Root(), Size: int64(len(p.blob))}
	return p.advance(walrus.Encoded)
}

// release gives the memory of the slivers back, once no node reads it any
// more: those that are late finish, or fail, on their own. One that hangs keeps
// the memory, but not the place: see peer.enter for the bound.
func (p *put) release() {
	encoded, sending := p.encoded, p.sending
	if encoded == nil {
		return
	}
	p.encoded = nil
	if sending == nil || sending.idle() {
		encoded.Release()
		<-p.c.encodings
		return
	}
	p.c.calls.Go(func() {
		select {
		case <-sending.done:
		case <-sending.abandoned:
		}
		<-p.c.encodings
		<-sending.done
		encoded.Release()
	})
}

// end leaves nothing behind that still works for this Put.
func (p *put) end() {
	if p.sending != nil {
		p.sending.stop()
	}
	p.release()
	p.arrive()
	p.c.claims.drop(p.claimed)
}

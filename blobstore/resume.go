package blobstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// resume finds out how far an earlier Put came: whether the transactions that
// it had written down, and perhaps sent, were executed.
func (p *put) resume(ctx context.Context) error {
	r := &p.receipt
	if r.Stage == 0 || r.Stage == walrus.Certified {
		return nil
	}
	if r.Size != int64(len(p.blob)) {
		return fmt.Errorf("%d bytes for a receipt over %d: %w", len(p.blob), r.Size, ErrResume)
	}
	if r.Stage == walrus.Stored && r.Cert == nil {
		r.Stage = walrus.Registered
	}
	if r.Stage == walrus.Encoded && r.RegisterTx != (chain.TxID{}) {
		return p.resumeRegister(ctx)
	}
	if r.Stage < walrus.Registered {
		return nil
	}
	if r.CertifyTx != (chain.TxID{}) {
		done, err := p.resumeCertify(ctx)
		if err != nil || done {
			return err
		}
	}
	return p.resumeObject(ctx)
}

// resumeRegister looks for the object that the journalled registration made.
func (p *put) resumeRegister(ctx context.Context) error {
	out, err := p.c.cfg.Ledger.Outcome(ctx, p.receipt.RegisterTx)
	if errors.Is(err, chain.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("outcome of the registration: %w", err)
	}
	objects := make([]walrus.ObjectID, len(out.Registered))
	for i := range out.Registered {
		objects[i] = out.Registered[i].Object
	}
	// The transaction may have been shared, and an outcome does not name blobs.
	owned, err := p.c.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Objects: objects, Blobs: []walrus.BlobID{p.receipt.Blob}})
	if err != nil {
		return fmt.Errorf("objects of the registration: %w", err)
	}
	state, err := p.c.hear(ctx)
	if err != nil {
		return err
	}
	for _, o := range owned {
		if slices.Contains(objects, o.Object) && p.adopt(o, state.Epoch) {
			return p.advance(walrus.Registered)
		}
	}
	return nil
}

// resumeCertify reports whether the journalled certification was executed.
func (p *put) resumeCertify(ctx context.Context) (bool, error) {
	out, err := p.c.cfg.Ledger.Outcome(ctx, p.receipt.CertifyTx)
	if errors.Is(err, chain.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("outcome of the certification: %w", err)
	}
	if !slices.Contains(out.Certified, p.receipt.Object) {
		return false, nil
	}
	p.receipt.AnchorVersion = out.AnchorVersion
	return true, p.advance(walrus.Certified)
}

// resumeObject makes sure that the receipt's object can still be certified.
// If it has expired or is gone, the blob is registered anew.
func (p *put) resumeObject(ctx context.Context) error {
	r := &p.receipt
	owned, err := p.c.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Objects: []walrus.ObjectID{r.Object}})
	if err != nil {
		return fmt.Errorf("look up object %s: %w", r.Object, err)
	}
	state, err := p.c.hear(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(owned, func(o chain.OwnedObject) bool { return o.Object == r.Object })
	if i >= 0 && owned[i].EndEpoch > state.Epoch && owned[i].Blob == r.Blob && p.claim(r.Object) {
		p.deletable = owned[i].Deletable
		if owned[i].Certified { // by a transaction that this journal knows nothing of
			return p.advance(walrus.Certified)
		}
		return nil
	}
	*r = walrus.Receipt{Stage: walrus.Encoded, Blob: r.Blob, Root: r.Root, Size: r.Size}
	return p.checkpoint()
}

// adopt goes on with an object that is there already, if it is one for this
// blob that can still be certified and no other Put has it.
func (p *put) adopt(o chain.OwnedObject, now walrus.Epoch) bool {
	if o.Blob != p.receipt.Blob || o.Certified || o.EndEpoch <= now || o.Deletable != p.o.Deletable || !p.claim(o.Object) {
		return false
	}
	p.deletable = o.Deletable
	p.receipt.Object, p.receipt.EndEpoch = o.Object, o.EndEpoch
	return true
}

package blobstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// certify gives the certificate to the ledger, in a batch that also moves the
// anchor. It returns errEpoch, with the receipt back at Registered, when the
// confirmations have become worthless.
func (p *put) certify(ctx context.Context) error {
	if p.receipt.Stage >= walrus.Certified {
		return nil
	}
	err := p.c.certifier.do(ctx, p)
	var abort *chain.AbortError
	if errors.As(err, &abort) && p.outdated(ctx) {
		err = errEpoch
	}
	if errors.Is(err, errEpoch) {
		p.receipt.Stage, p.receipt.Cert, p.receipt.CertifyTx = walrus.Registered, nil, chain.TxID{}
	}
	return err
}

// outdated tells whether the epoch of the certificate is over.
func (p *put) outdated(ctx context.Context) bool {
	state, err := p.c.hear(ctx)
	return err == nil && !current(p.receipt.Cert, state.Epoch)
}

func current(cert *walrus.Certificate, now walrus.Epoch) bool {
	epoch, _, _, err := walrus.ParseConfirmation(cert.Message)
	return err == nil && epoch == now
}

// certifyBatch certifies a batch and moves the anchor with it. Only when every
// Put has written the outcome down does it return: the next batch moves the
// anchor on from the version that they wrote down.
func (c *Client) certifyBatch(ctx context.Context, batch []*ticket) {
	state, err := c.lately(ctx)
	if err != nil {
		settle(batch, err)
		return
	}
	batch = each(batch, func(p *put) error {
		if !current(p.receipt.Cert, state.Epoch) {
			return errEpoch
		}
		return nil
	})
	c.sendBatch(ctx, batch)
}

// sendBatch is certifyBatch for certificates that are current. A batch that
// the ledger refuses is halved, so that one bad member does not block the rest.
func (c *Client) sendBatch(ctx context.Context, batch []*ticket) {
	if len(batch) == 0 {
		return
	}
	anchor, err := c.anchor(ctx, batch)
	if err != nil {
		settle(batch, err)
		return
	}
	tx := newTx()
	ready := each(batch, func(p *put) error {
		p.receipt.CertifyTx = tx
		return p.checkpoint()
	})
	if len(ready) < len(batch) {
		c.sendBatch(ctx, ready) // the anchor spoke of all
		return
	}
	certifications := make([]chain.Certification, len(batch))
	for i, t := range batch {
		certifications[i] = chain.Certification{Object: t.p.receipt.Object, Cert: *t.p.receipt.Cert}
	}
	out, err := transact(ctx, func(ctx context.Context) (*chain.Outcome, error) {
		return c.cfg.Ledger.Certify(ctx, tx, certifications, anchor)
	})
	if half := len(batch) / 2; half > 0 && err != nil && splits(err) {
		c.sendBatch(ctx, batch[:half])
		c.sendBatch(ctx, batch[half:])
		return
	}
	if err != nil {
		settle(batch, err)
		return
	}
	c.cfg.Log.Debug("blobs certified", "op", "certify", "blobs", len(batch), "anchor", out.AnchorVersion)
	settle(each(batch, func(p *put) error {
		p.receipt.AnchorVersion = out.AnchorVersion
		return p.advance(walrus.Certified)
	}), nil)
}

// anchor asks how the drive's anchor moves with a batch.
func (c *Client) anchor(ctx context.Context, batch []*ticket) (*chain.AnchorUpdate, error) {
	var blobs []walrus.BlobID
	for _, t := range batch {
		if !t.p.o.Apart {
			blobs = append(blobs, t.p.receipt.Blob)
		}
	}
	if c.cfg.Anchor == nil || len(blobs) == 0 {
		return nil, nil
	}
	update, err := c.cfg.Anchor(ctx, blobs)
	if err != nil {
		return nil, fmt.Errorf("anchor: %w", err)
	}
	return update, nil
}

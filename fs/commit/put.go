package commit

import (
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// stepTo names the step of a Put that leads to a stage.
func stepTo(s walrus.Stage) string {
	switch s {
	case walrus.Registered:
		return "register"
	case walrus.Stored:
		return "store"
	case walrus.Certified:
		return "certify"
	}
	return ""
}

// receipt returns where an earlier Put of a segment had come to: nowhere, as
// long as the blob ID is not known.
func (c *Committer) receipt(ctx context.Context, number uint64) (walrus.Receipt, error) {
	r, err := c.cfg.Index.Receipt(ctx, number)
	if err != nil {
		return r, fmt.Errorf("receipt of segment %d: %w", number, err)
	}
	if r.Blob.IsZero() {
		return walrus.Receipt{}, nil
	}
	return r, nil
}

// checkpoint returns what writes the receipts of a segment's Put down, and
// takes notice of the anchor that moved with it.
func (c *Committer) checkpoint(ctx context.Context, number uint64, resume walrus.Receipt) func(walrus.Receipt) error {
	ctx = context.WithoutCancel(ctx) // what was paid for must be recorded
	stage := resume.Stage
	return func(r walrus.Receipt) error {
		reached := r.Stage > stage && r.Stage > walrus.Encoded
		stage = r.Stage
		if reached {
			c.flights.heard(number)
			c.stage("after-" + stepTo(r.Stage))
		}
		if err := c.cfg.Index.Checkpoint(ctx, number, r); err != nil {
			return fmt.Errorf("segment %d: %w", number, err)
		}
		switch {
		case r.Stage == walrus.Encoded && r.RegisterTx != [32]byte{}:
			c.stage("before-register")
		case r.Stage == walrus.Registered && reached:
			c.stage("before-store")
		case r.Stage == walrus.Stored && r.CertifyTx != [32]byte{}:
			c.stage("before-certify")
		case r.Stage == walrus.Certified && r.AnchorVersion > 0:
			if err := c.anchorMoved(ctx, r.Blob, r.AnchorVersion); err != nil {
				c.moving.setUncertain(true)
				c.log.Warn("where the anchor is must be asked again", "err", err)
			}
		}
		return nil
	}
}

// outbox returns the sealed bytes of a segment after opening all of them:
// what is damaged must not be paid for. Bytes that are lost may already be on
// the nodes, checked against the blob ID; else ErrOutboxLost. Once the nodes
// have them all it is only a question of time.
func (c *Committer) outbox(ctx context.Context, f flight, receipt walrus.Receipt) ([]byte, error) {
	rows, err := c.cfg.Index.Segments(ctx, index.SegmentFilter{Number: f.number})
	if err == nil && len(rows) != 1 {
		err = index.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("row of segment %d: %w", f.number, err)
	}
	sealed, err := c.cfg.Staging.Outbox(f.number)
	if err == nil {
		err = c.verify(ctx, rows[0], sealed)
	}
	if err == nil {
		return sealed, nil
	}
	if !errors.Is(err, staging.ErrNotExist) && !errors.Is(err, ErrOutboxLost) {
		return nil, fmt.Errorf("segment %d: %w", f.number, err)
	}
	sealed, rerr := c.fetch(ctx, rows[0], receipt)
	if rerr != nil && receipt.Stage >= walrus.Stored {
		return nil, fmt.Errorf("segment %d is lost here: %w", f.number, rerr)
	}
	if rerr != nil {
		return nil, fmt.Errorf("segment %d: %w: %w", f.number, ErrOutboxLost, errors.Join(err, rerr))
	}
	c.log.Warn("sealed segment came back from the nodes", "segment", f.number, "err", err)
	if err := c.cfg.Staging.PutOutbox(f.number, sealed); err != nil {
		return nil, fmt.Errorf("segment %d: %w", f.number, err)
	}
	return sealed, nil
}

// verify opens a sealed segment from end to end.
func (c *Committer) verify(ctx context.Context, row index.SegmentRow, sealed []byte) error {
	header, err := seal.ParseHeader(sealed)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOutboxLost, err)
	}
	if header != row.Header || int64(len(sealed)) != row.Size {
		return fmt.Errorf("%w: not what was committed", ErrOutboxLost)
	}
	opener, err := c.cfg.Keys.Open(header, row.Size)
	if err != nil {
		return err
	}
	source := func(_ context.Context, p []byte, off int64) (int, error) { return copy(p, sealed[off:]), nil }
	if err := opener.Check(ctx, source); err != nil {
		return fmt.Errorf("%w: %w", ErrOutboxLost, err)
	}
	return nil
}

// fetch reads a segment whose slivers some nodes may have already.
func (c *Committer) fetch(ctx context.Context, row index.SegmentRow, receipt walrus.Receipt) ([]byte, error) {
	if receipt.Blob.IsZero() || receipt.Stage < walrus.Registered {
		return nil, errors.New("it never reached the nodes")
	}
	sealed := make([]byte, row.Size)
	if n, err := c.cfg.Blobs.ReadAt(ctx, receipt.Blob, sealed, 0); int64(n) < row.Size {
		return nil, fmt.Errorf("read it back: %w", err)
	}
	return sealed, c.verify(ctx, row, sealed)
}

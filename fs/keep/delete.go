package keep

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// delete deletes what has been condemned for the grace period. Each transaction
// is written down in the one that sees that nothing needs its segments; from
// there on nothing can refer to them. The rows go when the ledger has confirmed.
func (r *round) delete(ctx context.Context) error {
	condemned, err := r.c.cfg.Index.Condemned(ctx)
	if err != nil {
		return err
	}
	total := 0
	for _, s := range condemned {
		if r.now.Sub(time.Unix(0, s.Condemned)) >= r.grace {
			total++
		}
	}
	for done := 0; ; {
		tx := newTx()
		list, err := r.c.cfg.Index.BeginDeletion(ctx, tx, r.now.Add(-r.grace), chain.MaxBatch)
		if err != nil || len(list) == 0 {
			return err
		}
		r.c.stage("before-delete")
		if err := r.send(ctx, index.Deletion{Tx: tx, Segments: list}); err != nil {
			return err
		}
		done += len(list)
		r.o.Progress("delete", done, max(done, total))
	}
}

// finish brings deletions to their end that were written down before. Which
// were executed is asked of the ledger, so that each is sent once.
func (r *round) finish(ctx context.Context) error {
	list, err := r.c.cfg.Index.Deletions(ctx)
	if err != nil {
		return err
	}
	for _, d := range list {
		_, err := r.c.cfg.Ledger.Outcome(ctx, d.Tx)
		switch {
		case err == nil:
			err = r.forget(ctx, d.Segments)
		case errors.Is(err, chain.ErrNotExist):
			err = r.send(ctx, d)
		default:
			err = fmt.Errorf("outcome of a deletion: %w", err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// send deletes the objects of a deletion. What the wallet does not have any
// more, cannot delete, or what has ended, nodes drop by themselves. A batch that
// a contract refuses is halved, so that one bad member does not block the rest.
func (r *round) send(ctx context.Context, d index.Deletion) error {
	there, gone, err := r.sort(ctx, d.Segments)
	if err != nil {
		return err
	}
	if err := r.forget(ctx, gone); err != nil || len(there) == 0 {
		return err
	}
	objects := make([]walrus.ObjectID, len(there))
	for i, s := range there {
		objects[i] = s.Object
	}
	_, err = r.c.cfg.Ledger.Delete(ctx, d.Tx, objects)
	if half := len(there) / 2; half > 0 && isRefusal(err) {
		return errors.Join(r.resend(ctx, there[:half]), r.resend(ctx, there[half:]))
	}
	if err != nil {
		err = fmt.Errorf("delete %d blobs: %w", len(there), err)
		if isRefusal(err) { // it stays written down, and holds nobody up
			r.refused, err = errors.Join(r.refused, err), nil
		}
		return err
	}
	r.c.stage("after-delete")
	return r.forget(ctx, there)
}

// resend deletes a part of a batch that was refused.
func (r *round) resend(ctx context.Context, segments []index.DeletedSegment) error {
	d := index.Deletion{Tx: newTx(), Segments: segments}
	if err := r.c.cfg.Index.SplitDeletion(ctx, d.Tx, segments); err != nil {
		return err
	}
	return r.send(ctx, d)
}

// sort tells what the wallet can delete from what it cannot.
func (r *round) sort(ctx context.Context, segments []index.DeletedSegment) (there, gone []index.DeletedSegment, err error) {
	objects := make([]walrus.ObjectID, len(segments))
	for i, s := range segments {
		objects[i] = s.Object
	}
	owned, err := r.c.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Objects: objects})
	if err != nil {
		return nil, nil, fmt.Errorf("look up %d blobs: %w", len(objects), err)
	}
	known := make(map[walrus.ObjectID]chain.OwnedObject, len(owned))
	for _, o := range owned {
		known[o.Object] = o
	}
	for _, s := range segments {
		o, ok := known[s.Object]
		for _, a := range o.Attributes {
			if a.Key == index.KeyAnchor { // nothing may ever delete it
				return nil, nil, fmt.Errorf("segment %d is the anchor %s: %w", s.Number, s.Object, index.ErrCorrupt)
			}
		}
		if ok && o.Blob == s.Blob && o.Deletable && o.EndEpoch > r.epoch {
			there = append(there, s)
		} else {
			gone = append(gone, s)
		}
	}
	return there, gone, nil
}

// forget drops the rows of segments that are gone.
func (r *round) forget(ctx context.Context, segments []index.DeletedSegment) error {
	if len(segments) == 0 {
		return nil
	}
	if err := r.c.cfg.Index.Deleted(ctx, segments); err != nil {
		return err
	}
	for _, s := range segments {
		r.add(&r.done.Deleted, s.Size)
	}
	r.c.stage("after-forget")
	return nil
}

// isRefusal tells whether one member of a batch may be to blame for an error of all.
func isRefusal(err error) bool {
	var abort *chain.AbortError
	return errors.As(err, &abort) || errors.Is(err, chain.ErrNotExist) || errors.Is(err, chain.ErrNotOwner)
}

func newTx() (tx chain.TxID) {
	_, _ = rand.Read(tx[:]) // never fails, by its documentation
	return tx
}

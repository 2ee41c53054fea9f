package keep

import (
	"context"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/index"
)

// Trailers and full snapshots speak of segments that were collected since.
// Nothing of the tree refers to them, but for trees that are older than the
// grace period.

// absent returns those of the segments that the wallet does not have any more.
func (r *restore) absent(ctx context.Context, list []index.DeletedSegment) (absent []index.DeletedSegment, err error) {
	objects := make([]walrus.ObjectID, len(list))
	for i, s := range list {
		objects[i] = s.Object
	}
	if len(list) == 0 {
		return nil, nil
	}
	owned, err := r.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Objects: objects})
	if err != nil {
		return nil, fmt.Errorf("look up %d blobs: %w", len(objects), err)
	}
	there := make(map[walrus.ObjectID]bool, len(owned))
	for _, o := range owned {
		there[o.Object] = true
	}
	for _, s := range list {
		if !there[s.Object] {
			absent = append(absent, s)
		}
	}
	return absent, nil
}

// forgetCollected drops the segments that were collected before the restore.
func (r *restore) forgetCollected(ctx context.Context) error {
	list, err := r.replay.Unused(ctx)
	if err != nil {
		return err
	}
	if list, err = r.absent(ctx, list); err != nil {
		return err
	}
	return r.replay.Forget(ctx, list)
}

// missing counts the segments with content of an older generation that were collected.
func (r *restore) missing(ctx context.Context) (int, error) {
	if r.cfg.At == (At{}) {
		return 0, nil
	}
	list, err := r.replay.Used(ctx)
	if err != nil {
		return 0, err
	}
	list, err = r.absent(ctx, list)
	return len(list), err
}

// collected reports whether a trailer cannot be read since a segment of its was
// collected: it is older than a full snapshot, and the wallet does not have it.
func (d *descent) collected(ctx context.Context, g uint64) bool {
	s, ok := d.known[g]
	if !d.full || !ok {
		return d.full
	}
	owned, err := d.r.cfg.Ledger.Owned(ctx, chain.OwnedQuery{Blobs: []walrus.BlobID{s.blob}})
	return err == nil && len(owned) == 0
}

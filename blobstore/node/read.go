package node

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// Metadata returns the metadata of blob, or ErrNotFound.
func (n *Node) Metadata(ctx context.Context, blob walrus.BlobID) (md *redstuff.Metadata, err error) {
	id := walrus.SliverID{Blob: blob, Axis: BadMetadata}
	err = n.read(ctx, id, func(b *blobFile) error {
		md, err = b.metadata()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", blob, err)
	}
	n.metadataReads.Add(1)
	return md, nil
}

// Sliver returns the bytes of a sliver, or ErrNotFound. A slot that does not
// match its checksum is not found, and shown in Status from then on.
func (n *Node) Sliver(ctx context.Context, id walrus.SliverID) (data []byte, err error) {
	err = n.read(ctx, id, func(b *blobFile) error {
		i := b.find(slotKey{id.Axis, id.Index})
		if i < 0 {
			return ErrNotFound
		}
		data, err = b.slot(i)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sliver %s: %w", id, err)
	}
	n.sliverReads.Add(1)
	return data, nil
}

// read opens the file of a blob for get and remembers damage.
func (n *Node) read(ctx context.Context, id walrus.SliverID, get func(*blobFile) error) error {
	return n.inFile(ctx, id.Blob, func(b *blobFile, err error) error {
		switch {
		case err == nil:
			err = get(b)
		case errors.Is(err, ErrNotFound):
			if listed, e := n.catalogue.hasFile(ctx, id.Blob); e == nil && listed {
				err = errGone
			}
		}
		if err == nil || errors.Is(err, ErrNotFound) {
			return err
		}
		// A file on which Store is at work is not damaged but unfinished.
		if !n.blobs.busy(id.Blob) {
			n.damaged(ctx, id, err)
		}
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	})
}

// inFile opens the file of a blob for get, which is told when that fails.
func (n *Node) inFile(ctx context.Context, blob walrus.BlobID, get func(*blobFile, error) error) error {
	leave, err := n.enter()
	if err != nil {
		return err
	}
	defer leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	b, err := openBlob(n.path(blob), blob, os.O_RDONLY)
	if b != nil {
		defer b.f.Close()
	}
	return get(b, err)
}

// damaged remembers a bad slot.
func (n *Node) damaged(ctx context.Context, id walrus.SliverID, why error) {
	n.durable.drop(id.Blob)
	n.bad.Lock()
	_, known := n.bad.slots[id]
	n.bad.slots[id] = why.Error()
	n.bad.Unlock()
	if known {
		return
	}
	n.cfg.Log.Error("slot is damaged", "blob", id.Blob, "sliver", id, "err", why)
	err := n.catalogue.addBad(ctx, BadSlot{ID: id, Reason: why.Error()})
	if err = errors.Join(err, n.lacks(ctx, id.Blob)); err != nil {
		n.cfg.Log.Warn("bad slot is not in the catalogue", "sliver", id, "err", err)
	}
}

// healed forgets damage to slots that were handed over, as Store has written
// them or found them good, and to the head, which Store leaves sound.
func (n *Node) healed(ctx context.Context, h Handover) error {
	ids := []walrus.SliverID{{Blob: h.Blob, Axis: BadMetadata}}
	for _, slot := range h.Slots {
		ids = append(ids, sliverOf(h.Blob, keyOf(slot)))
	}
	return n.forget(ctx, ids)
}

// forget takes slots off the list of the damaged.
func (n *Node) forget(ctx context.Context, ids []walrus.SliverID) error {
	n.bad.Lock()
	var known []walrus.SliverID
	for _, id := range ids {
		if _, ok := n.bad.slots[id]; ok {
			known = append(known, id)
			delete(n.bad.slots, id)
		}
	}
	n.bad.Unlock()
	if len(known) == 0 {
		return nil
	}
	n.cfg.Log.Warn("damaged slots are good again", "blob", ids[0].Blob, "slots", len(known))
	return n.catalogue.dropBad(ctx, known)
}

// Confirm signs, for the ledger's current epoch, that the node holds metadata
// and all its slivers of blob. It returns ErrNotRegistered if the ledger has
// no live registration like p, and ErrNotFound if anything is missing.
func (n *Node) Confirm(ctx context.Context, blob walrus.BlobID, p walrus.Persistence) (walrus.Confirmation, error) {
	c, err := n.confirm(ctx, blob, p)
	if err != nil {
		return walrus.Confirmation{}, fmt.Errorf("confirm %s: %w", blob, err)
	}
	return c, nil
}

func (n *Node) confirm(ctx context.Context, blob walrus.BlobID, p walrus.Persistence) (c walrus.Confirmation, err error) {
	leave, err := n.enter()
	if err != nil {
		return c, err
	}
	defer leave()
	if err := n.registered(ctx, blob, &p); err != nil {
		return c, err
	}
	state, err := n.hear(ctx)
	if err != nil {
		return c, err
	}
	if c.Member = n.member(&state.Committee); c.Member < 0 {
		return c, fmt.Errorf("not in the committee of epoch %d: %w", state.Epoch, ErrRefused)
	}
	unlock := n.blobs.lock(blob)
	defer unlock()
	if !n.durable.is(blob, state.Epoch) {
		own := n.own(state, blob)
		if err := n.secure(ctx, blob, own); err != nil {
			return c, err
		}
		n.durable.add(blob, state.Epoch)
		// Its slots may have come one by one.
		if err := errors.Join(n.catalogue.setWhole(ctx, blob), n.settled(ctx, blob, own)); err != nil {
			return c, err
		}
	}
	c.Message = walrus.ConfirmationMessage(state.Epoch, blob, p)
	c.Signature = n.cfg.Key.Sign(c.Message)
	return c, nil
}

// secure checks that metadata and all the given slots are in the file of a
// blob, and syncs it and its folder. It returns ErrNotFound if any is not.
func (n *Node) secure(ctx context.Context, blob walrus.BlobID, own []slotKey) error {
	path := n.path(blob)
	b, err := openBlob(path, blob, os.O_RDWR)
	if b != nil {
		defer b.f.Close()
	}
	if err == nil {
		_, err = b.metadata()
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		n.damaged(ctx, walrus.SliverID{Blob: blob, Axis: BadMetadata}, err)
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err != nil {
		return err
	}
	missing := 0
	for _, key := range own {
		if err := ctx.Err(); err != nil {
			return err
		}
		i := b.find(key)
		if i < 0 {
			missing++
		} else if _, err := b.check(i); err != nil {
			missing++
			if errors.Is(err, errRot) {
				n.damaged(ctx, walrus.SliverID{Blob: blob, Axis: key.axis, Index: key.index}, err)
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d slivers are missing: %w", missing, len(own), ErrNotFound)
	}
	if err := n.os.sync(b.f); err != nil {
		n.os.evict(b.f) // what the disk did not take must not pass for good the next time
		return err
	}
	return n.syncName(path)
}

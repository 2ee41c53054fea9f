package sui

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// belongsFor is how long it is remembered which blob objects the owner has. The
// client sees its own transactions; those of another machine come in after this time.
const belongsFor = 10 * time.Minute

// belongings remembers which blob object is of which blob: full nodes cannot be
// asked for the objects of a blob. What is found here is read from the ledger
// before it is answered.
type belongings struct {
	mu    sync.Mutex // held while the list is read, so that what is learned meanwhile comes after it
	until time.Time
	blobs map[move.ID]walrus.BlobID
}

// learn brings the list up to what a transaction did.
func (b *belongings) learn(r *Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.blobs == nil {
		return
	}
	for _, e := range r.Events {
		var v move.BlobRegistered
		if e.Type.Module == "events" && e.Type.Name == v.EventName() && move.Unmarshal(e.BCS, &v) == nil {
			b.blobs[v.Object] = walrus.BlobID(v.Blob)
		}
	}
	for _, c := range r.Changes {
		if c.Version == 0 {
			delete(b.blobs, c.ID)
		}
	}
}

// of returns the objects that may be of some blobs.
func (b *belongings) of(ctx context.Context, c *Client, w *world, blobs []walrus.BlobID) ([]walrus.ObjectID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.blobs == nil || time.Now().After(b.until) {
		list, err := c.conn.owned(ctx, c.me(), w.types.Blob())
		if err != nil {
			return nil, err
		}
		fresh := make(map[move.ID]walrus.BlobID, len(list))
		for _, o := range list {
			var v move.Blob
			if err := move.Unmarshal(o.contents, &v); err != nil {
				return nil, fmt.Errorf("blob object %s: %w", o.ref.ID, err)
			}
			fresh[o.ref.ID] = walrus.BlobID(v.BlobID)
		}
		b.blobs, b.until = fresh, time.Now().Add(belongsFor)
	}
	wanted := make(map[walrus.BlobID]bool, len(blobs))
	for _, id := range blobs {
		wanted[id] = true
	}
	var found []walrus.ObjectID
	for object, blob := range b.blobs {
		if wanted[blob] {
			found = append(found, walrus.ObjectID(object))
		}
	}
	return found, nil
}

// Owned implements chain.Ledger.
func (c *Client) Owned(ctx context.Context, q chain.OwnedQuery) ([]chain.OwnedObject, error) {
	list, err := c.ownedObjects(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("owned: %w", err)
	}
	return list, nil
}

func (c *Client) ownedObjects(ctx context.Context, q chain.OwnedQuery) (list []chain.OwnedObject, err error) {
	w, err := c.world(ctx, false)
	if err != nil {
		return nil, err
	}
	if q.Storage {
		return c.storages(ctx, w)
	}
	objects := q.Objects
	if objects == nil && q.Blobs != nil {
		if objects, err = c.belongs.of(ctx, c, w, q.Blobs); err != nil {
			return nil, err
		}
	}
	var found []*object
	if objects == nil && q.Blobs == nil {
		found, err = c.conn.owned(ctx, c.me(), w.types.Blob())
	} else {
		found, err = c.ownedByID(ctx, w, objects)
	}
	if err != nil {
		return nil, err
	}
	if list, err = c.describe(ctx, w, found); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(o chain.OwnedObject) bool {
		return q.Blobs != nil && !slices.Contains(q.Blobs, o.Blob) || q.Key != "" && !hasKey(o.Attributes, q.Key)
	}), nil
}

func hasKey(list []chain.Attribute, key string) bool {
	return slices.ContainsFunc(list, func(a chain.Attribute) bool { return a.Key == key })
}

// storages lists the owner's free reservations.
func (c *Client) storages(ctx context.Context, w *world) (list []chain.OwnedObject, err error) {
	found, err := c.conn.owned(ctx, c.me(), w.types.Storage())
	if err != nil {
		return nil, err
	}
	for _, o := range found {
		var s move.Storage
		if err := move.Unmarshal(o.contents, &s); err != nil {
			return nil, fmt.Errorf("reservation %s: %w", o.ref.ID, err)
		}
		list = append(list, chain.OwnedObject{Object: walrus.ObjectID(s.ID), Version: o.ref.Version, StorageSize: s.Size,
			StartEpoch: walrus.Epoch(s.StartEpoch), EndEpoch: walrus.Epoch(s.EndEpoch)})
	}
	return list, nil
}

// ownedByID reads those of some objects that are blob objects of the owner.
func (c *Client) ownedByID(ctx context.Context, w *world, objects []walrus.ObjectID) (list []*object, err error) {
	ids := make([]move.ID, len(objects))
	for i, id := range objects {
		ids[i] = move.ID(id)
	}
	ids = unique(ids)
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := c.conn.objects(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if c.mine(found[id], id, w.types.Blob()) == nil {
			list = append(list, found[id])
		}
	}
	return list, nil
}

// describe reads blob objects and their attributes.
func (c *Client) describe(ctx context.Context, w *world, found []*object) ([]chain.OwnedObject, error) {
	if len(found) == 0 {
		return nil, nil
	}
	fields := make([]move.ID, len(found))
	for i, o := range found {
		var err error
		if fields[i], err = move.FieldID(o.ref.ID, move.MetadataKey()); err != nil {
			return nil, err
		}
	}
	metadata, err := c.conn.objects(ctx, fields)
	if err != nil {
		return nil, fmt.Errorf("attributes: %w", err)
	}
	list := make([]chain.OwnedObject, len(found))
	for i, o := range found {
		var b move.Blob
		if err := move.Unmarshal(o.contents, &b); err != nil {
			return nil, fmt.Errorf("blob object %s: %w", o.ref.ID, err)
		}
		list[i] = chain.OwnedObject{Object: walrus.ObjectID(b.ID), Version: o.ref.Version, Blob: walrus.BlobID(b.BlobID), Size: int64(b.Size),
			StorageSize: b.Storage.Size, StartEpoch: walrus.Epoch(b.Storage.StartEpoch), EndEpoch: walrus.Epoch(b.Storage.EndEpoch),
			Deletable: b.Deletable, Certified: b.CertifiedEpoch != nil, Registered: walrus.Epoch(b.RegisteredEpoch)}
		if b.CertifiedEpoch != nil {
			list[i].CertifiedIn = walrus.Epoch(*b.CertifiedEpoch)
		}
		if field := metadata[fields[i]]; field != nil && field.tag.Equal(w.types.MetadataField()) {
			var m move.Metadata
			if err := readField(field, len(move.MetadataKey().BCS), &m); err != nil {
				return nil, fmt.Errorf("attributes of %s: %w", o.ref.ID, err)
			}
			for _, pair := range m.Pairs {
				list[i].Attributes = append(list[i].Attributes, chain.Attribute{Key: pair.Key, Value: pair.Value})
			}
		}
	}
	return list, nil
}

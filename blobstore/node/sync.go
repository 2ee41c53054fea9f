package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// How much of a shard is given at once. Source of the first: Walrus, limit of the
// storage node's server. The last is what one answer has in memory, in bytes.
const (
	maxSyncCount = 100_000
	syncPage     = 256 // blobs that are looked up at a time
	maxSyncBytes = 32 << 20
)

// SyncShard gives slivers of a shard to the node that has it in the current
// epoch: those of blobs certified before that epoch, in order of blob IDs. What
// this node does not have is left out; an empty answer is the end. Key is the
// asking node's, signature its own over message, which walrus.SyncShardMessage has made.
func (n *Node) SyncShard(ctx context.Context, key [48]byte, message []byte, signature [96]byte) ([]Synced, error) {
	leave, err := n.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := n.follow(ctx); err != nil {
		return nil, err
	}
	r, err := n.admitSync(key, message, signature)
	if err != nil {
		return nil, err
	}
	var all []Synced
	for size := 0; ; {
		blobs, err := n.catalogue.certifiedBefore(ctx, r.Epoch, r.Start, syncPage)
		if err != nil {
			return nil, fmt.Errorf("slivers of shard %d: %w", r.Shard, err)
		}
		for _, blob := range blobs {
			s, err := n.synced(ctx, blob, &r)
			switch {
			case err == nil:
				all, size = append(all, s), size+len(s.Data)
			case !errors.Is(err, ErrNotFound):
				return nil, err
			}
			if uint64(len(all)) >= r.Count || size >= maxSyncBytes {
				return all, nil
			}
		}
		if len(blobs) < syncPage {
			return all, nil
		}
		var more bool
		if r.Start, more = after(blobs[len(blobs)-1]); !more {
			return all, nil
		}
	}
}

// admitSync checks who asks for what.
func (n *Node) admitSync(key [48]byte, message []byte, signature [96]byte) (r walrus.SyncShard, err error) {
	committee := &n.state.Load().Committee
	member := slices.IndexFunc(committee.Members, func(m walrus.Member) bool { return m.PublicKey == key })
	if member < 0 {
		return r, refuse("PERMISSION_DENIED", "REQUEST_UNAUTHORIZED", "the key is of no node of the committee")
	}
	if r, err = walrus.ParseSyncShard(message); err == nil {
		err = bls.Verify(key, message, signature)
	}
	switch {
	case err != nil:
		return r, refuse("INVALID_ARGUMENT", "MESSAGE_VERIFICATION_FAILED", "the message is not one that the node has signed")
	case r.Epoch != committee.Epoch:
		f := refuse("INVALID_ARGUMENT", "INVALID_EPOCH", "the request is for another epoch")
		f.metadata = map[string]string{"request_epoch": fmt.Sprint(r.Epoch), "server_epoch": fmt.Sprint(committee.Epoch)}
		return r, f
	case r.Count > maxSyncCount:
		return r, refuse("INVALID_ARGUMENT", "SLIVER_COUNT_EXCEEDS_LIMIT", fmt.Sprintf("%d slivers, at most %d", r.Count, maxSyncCount))
	case int(r.Shard) >= n.geometry.Shards:
		return r, refuse("FAILED_PRECONDITION", "SHARD_NOT_ASSIGNED", "there is no such shard")
	case !slices.Contains(committee.Members[member].Shards, r.Shard):
		return r, refuse("PERMISSION_DENIED", "REQUEST_UNAUTHORIZED", "the shard is another node's")
	}
	return r, nil
}

// synced returns the sliver of a blob for a shard.
func (n *Node) synced(ctx context.Context, blob walrus.BlobID, r *walrus.SyncShard) (Synced, error) {
	s := Synced{ID: n.sliverFor(blob, r.Shard, r.Axis)}
	md, err := n.Metadata(ctx, blob)
	if err != nil {
		return s, err
	}
	size, err := n.geometry.SymbolSize(md.Size)
	if err != nil {
		return s, err
	}
	s.SymbolSize = uint16(size)
	s.Data, err = n.Sliver(ctx, s.ID)
	return s, err
}

// sliverFor returns the sliver of a blob that a shard keeps.
func (n *Node) sliverFor(blob walrus.BlobID, shard uint16, axis walrus.Axis) walrus.SliverID {
	pair := n.geometry.Pair(blob, int(shard))
	return walrus.SliverID{Blob: blob, Axis: axis, Index: uint16(n.geometry.SliverIndex(pair, axis))}
}

// after returns the blob ID that follows another one, if there is any.
func after(id walrus.BlobID) (next walrus.BlobID, ok bool) {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			return id, true
		}
	}
	return id, false
}

// requestCount is how many slivers are asked for at once. Source: Walrus, default of the storage node.
const requestCount = 1000

// FetchShard gets the slivers of a shard that is this node's now from the one
// that had it, and stores them. It returns how many it stored. What the other
// node does not have, or gives wrong, is left to be recovered; Gap tells of it.
func (n *Node) FetchShard(ctx context.Context, shard uint16, from *Client) (stored int, err error) {
	leave, err := n.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	n.fetching.Lock() // Trim goes by an epoch that is over
	defer n.fetching.Unlock()
	state, err := n.hear(ctx)
	if err != nil {
		return 0, err
	}
	for _, axis := range []walrus.Axis{walrus.Primary, walrus.Secondary} {
		r := walrus.SyncShard{Shard: shard, Axis: axis, Count: requestCount, Epoch: state.Epoch}
		for more := true; more; {
			message := walrus.SyncShardMessage(r)
			page, err := requestShard(ctx, from, n.public, message, n.cfg.Key.Sign(message))
			if err != nil {
				return stored, fmt.Errorf("fetch shard %d: %w", shard, err)
			}
			if len(page) == 0 {
				break
			}
			count, further, err := n.storeSynced(ctx, page, &r, from)
			if stored += count; err != nil {
				return stored, fmt.Errorf("fetch shard %d: %w", shard, err)
			}
			more = further
		}
	}
	return stored, nil
}

// requestTimeout bounds one request for slivers of a shard: a node that hangs is one that does not answer.
const requestTimeout = time.Minute

func requestShard(ctx context.Context, from *Client, key [48]byte, message []byte, signature [96]byte) ([]Synced, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return from.SyncShard(ctx, key, message, signature)
}

// storeSynced stores a page of slivers, and moves the request behind it. It
// tells whether there can be more.
func (n *Node) storeSynced(ctx context.Context, page []Synced, r *walrus.SyncShard, from *Client) (stored int, more bool, err error) {
	for i := range page {
		s := &page[i]
		if bytes.Compare(s.ID.Blob[:], r.Start[:]) < 0 || s.ID != n.sliverFor(s.ID.Blob, r.Shard, r.Axis) {
			return stored, false, fmt.Errorf("sliver %s is not one that was asked for: %w", s.ID, ErrRefused)
		}
		if err := n.storeOne(ctx, s, from); err == nil {
			stored++
		} else if ctx.Err() != nil || !errors.Is(err, ErrNotRegistered) && !errors.Is(err, ErrNotFound) && !errors.Is(err, redstuff.ErrSliver) {
			return stored, false, err
		} else {
			n.cfg.Log.Warn("sliver of a shard that came is left to be recovered", "op", "sync", "sliver", s.ID, "err", err)
		}
		if r.Start, more = after(s.ID.Blob); !more {
			break
		}
	}
	return stored, more, nil
}

// storeOne verifies a sliver and stores it, unless it is there.
func (n *Node) storeOne(ctx context.Context, s *Synced, from *Client) error {
	if n.filled(ctx, s.ID) == nil {
		return nil
	}
	md, err := n.Metadata(ctx, s.ID.Blob)
	if errors.Is(err, ErrNotFound) {
		if md, err = from.Metadata(ctx, s.ID.Blob); err == nil {
			err = md.Verify(n.geometry, s.ID.Blob)
		}
	}
	if err != nil {
		return err
	}
	slot, err := n.cfg.Codec.VerifySlot(md, s.ID, s.Data)
	if err != nil {
		return err
	}
	return n.Store(ctx, Handover{Blob: s.ID.Blob, Metadata: md, Slots: []redstuff.Slot{slot}})
}

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// eventPage is how many events are asked for at once.
const eventPage = 1000

// Sync follows the ledger's events to their end and removes the files of blobs
// of which the ledger said that they were deleted or have expired. A file of
// which the ledger says nothing stays.
func (n *Node) Sync(ctx context.Context) error {
	leave, err := n.enter()
	if err != nil {
		return err
	}
	defer leave()
	return n.follow(ctx)
}

// follow is Sync for calls that are counted in. One caller follows at a time.
func (n *Node) follow(ctx context.Context) error {
	select {
	case <-n.following:
		defer func() { n.following <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	state, err := n.hear(ctx)
	if err != nil {
		return err
	}
	from, err := n.start(ctx, state.ChainID)
	if err != nil {
		return err
	}
	for {
		events, err := n.cfg.Ledger.Events(ctx, from, eventPage)
		if err != nil {
			return fmt.Errorf("follow events after %d: %w", from, err)
		}
		if len(events) == 0 {
			break
		}
		if err := n.catalogue.apply(ctx, events); err != nil {
			return fmt.Errorf("apply events after %d: %w", from, err)
		}
		if from = events[len(events)-1].Seq; len(events) < eventPage {
			break
		}
	}
	if err := n.catalogue.expire(ctx, state.Epoch); err != nil {
		return fmt.Errorf("expire at epoch %d: %w", state.Epoch, err)
	}
	if err := n.reap(ctx); err != nil {
		return err
	}
	return n.recount(ctx)
}

// hear asks the ledger for its state and keeps the answer.
func (n *Node) hear(ctx context.Context) (*chain.State, error) {
	state, err := n.cfg.Ledger.State(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the ledger for its state: %w", err)
	}
	n.state.Store(state)
	return state, nil
}

// start returns the event to go on after. It begins anew when the ledger is
// another one, or no longer has the event that was applied last.
func (n *Node) start(ctx context.Context, chainID [32]byte) (after uint64, err error) {
	known, err := n.catalogue.meta(ctx, "chain")
	if err != nil {
		return 0, err
	}
	at, err := n.catalogue.cursor(ctx)
	if err != nil {
		return 0, err
	}
	same := string(known) == string(chainID[:])
	if same && at.seq > 0 {
		last, err := n.cfg.Ledger.Events(ctx, at.seq-1, 1)
		if err != nil {
			return 0, fmt.Errorf("look up event %d: %w", at.seq, err)
		}
		same = len(last) == 1 && cursorOf(&last[0]) == at
	}
	if same {
		return at.seq, nil
	}
	if len(known) > 0 {
		n.cfg.Log.Warn("ledger is not the one that was followed; starting from its first event", "seq", at.seq)
	}
	return 0, n.catalogue.forget(ctx, chainID)
}

// reap removes the files of condemned blobs that nobody has registered anew.
// It runs only at the end of the events: in the middle a blob may look dead
// whose next registration is still to come.
func (n *Node) reap(ctx context.Context) error {
	blobs, err := n.catalogue.condemned(ctx)
	if err != nil {
		return err
	}
	for _, blob := range blobs {
		if err := n.reapOne(ctx, blob); err != nil {
			return fmt.Errorf("remove blob %s: %w", blob, err)
		}
	}
	return nil
}

func (n *Node) reapOne(ctx context.Context, blob walrus.BlobID) error {
	unlock := n.blobs.lock(blob)
	defer unlock()
	live, err := n.catalogue.live(ctx, blob, nil)
	if err != nil {
		return err
	}
	if live {
		return n.catalogue.spare(ctx, blob)
	}
	return n.removeBlob(ctx, blob)
}

// removeBlob removes the file of a blob, whose lock the caller has.
func (n *Node) removeBlob(ctx context.Context, blob walrus.BlobID) error {
	n.durable.drop(blob)
	err := n.os.remove(n.path(blob))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		n.cfg.Log.Info("blob removed", "blob", blob)
	}
	bytes, err := n.catalogue.dropFile(ctx, blob)
	if err != nil {
		return err
	}
	if bytes > 0 {
		n.room.add(-1, -bytes)
	}
	n.bad.Lock()
	defer n.bad.Unlock()
	for id := range n.bad.slots {
		if id.Blob == blob {
			delete(n.bad.slots, id)
		}
	}
	return nil
}

// registered returns nil if the ledger has a live registration of blob, with
// the given persistence unless that is nil. It follows the events if the
// catalogue knows of none.
func (n *Node) registered(ctx context.Context, blob walrus.BlobID, p *walrus.Persistence) error {
	live, err := n.catalogue.live(ctx, blob, p)
	if err != nil || live {
		return err
	}
	if err := n.follow(ctx); err != nil {
		return err
	}
	if live, err = n.catalogue.live(ctx, blob, p); err != nil || live {
		return err
	}
	return fmt.Errorf("blob %s: %w", blob, ErrNotRegistered)
}

// own returns the slots that this node is to hold of blob, and for which epoch.
func (n *Node) own(state *chain.State, blob walrus.BlobID) []slotKey {
	var keys []slotKey
	committee := &state.Committee
	member := n.member(committee)
	if member < 0 {
		return nil
	}
	for _, shard := range committee.Members[member].Shards {
		pair := n.geometry.Pair(blob, int(shard))
		for _, axis := range []walrus.Axis{walrus.Primary, walrus.Secondary} {
			keys = append(keys, slotKey{axis, uint16(n.geometry.SliverIndex(pair, axis))})
		}
	}
	return keys
}

// member returns the node's place in a committee, or -1.
func (n *Node) member(c *walrus.Committee) int {
	for i := range c.Members {
		if c.Members[i].PublicKey == n.public {
			return i
		}
	}
	return -1
}

package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// Fault is what goes wrong at a node, for trials and tests; faults may be
// or-ed. The zero Fault is none.
type Fault uint16

// The faults.
const (
	Down          Fault = 1 << iota // every call fails at once
	Hang                            // no call is answered
	Slow                            // every call is answered after SlowDelay
	Corrupt                         // flips a bit in each sliver and symbol answered
	WrongSliver                     // answers with another sliver of the blob
	WrongMetadata                   // answers with the metadata of another blob
	RefuseStore                     // refuses to store
	NoRoom                          // has no room
	BadSignature                    // confirms with a signature over something else
	OldEpoch                        // confirms for the epoch before
)

// SlowDelay is how long a Slow node takes.
const SlowDelay = 2 * time.Second

// Inject sets what goes wrong at a node from now on. It is forgotten by Close.
func (n *Network) Inject(name string, f Fault) error {
	m, _, err := n.find(name)
	if err != nil {
		return fmt.Errorf("inject a fault: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
	return nil
}

// call is use for a call with a context: it also is as slow as the fault says.
func (m *member) call(ctx context.Context) (*node.Node, Fault, error) {
	n, fault, err := m.use()
	if err != nil {
		return nil, fault, err
	}
	var delay <-chan time.Time
	switch {
	case fault&Hang != 0:
	case fault&Slow != 0:
		delay = time.After(SlowDelay)
	default:
		return n, fault, nil
	}
	select {
	case <-delay:
		return n, fault, nil
	case <-ctx.Done():
		return nil, fault, ctx.Err()
	}
}

func (m *member) store(ctx context.Context, h node.Handover) error {
	n, fault, err := m.call(ctx)
	switch {
	case err != nil:
		return err
	case fault&RefuseStore != 0:
		return fmt.Errorf("node %s does not want it: %w", m.name, node.ErrRefused)
	case fault&NoRoom != 0:
		return fmt.Errorf("node %s: %w", m.name, node.ErrNoRoom)
	}
	return n.Store(ctx, h)
}

func (m *member) confirm(ctx context.Context, blob walrus.BlobID, p walrus.Persistence) (walrus.Confirmation, error) {
	n, fault, err := m.call(ctx)
	if err != nil {
		return walrus.Confirmation{}, err
	}
	c, err := n.Confirm(ctx, blob, p)
	if err != nil {
		return c, err
	}
	if fault&OldEpoch != 0 {
		epoch, _, _, err := walrus.ParseConfirmation(c.Message)
		if err != nil {
			return c, err
		}
		c.Message = walrus.ConfirmationMessage(epoch-1, blob, p)
		c.Signature = m.key.Sign(c.Message)
	}
	if fault&BadSignature != 0 {
		c.Signature = m.key.Sign(walrus.InvalidBlobMessage(0, blob))
	}
	return c, nil
}

func (m *member) metadata(ctx context.Context, blob walrus.BlobID) (*redstuff.Metadata, error) {
	n, fault, err := m.call(ctx)
	if err != nil {
		return nil, err
	}
	md, err := n.Metadata(ctx, blob)
	if err == nil && fault&WrongMetadata != 0 {
		md.Size ^= 1
	}
	return md, err
}

func (m *member) sliver(ctx context.Context, id walrus.SliverID) ([]byte, error) {
	n, fault, err := m.call(ctx)
	if err != nil {
		return nil, err
	}
	data, err := n.Sliver(ctx, id)
	if err != nil {
		return nil, err
	}
	if fault&WrongSliver != 0 {
		other := id
		for i := 1; i < m.shards; i++ {
			other.Index = uint16((int(id.Index) + i) % m.shards)
			if wrong, err := n.Sliver(ctx, other); err == nil {
				return wrong, nil
			}
		}
	}
	if fault&(Corrupt|WrongSliver) != 0 {
		data[int(id.Index)*7919%len(data)] ^= 1 << (id.Index % 8)
	}
	return data, nil
}

func (m *member) symbols(ctx context.Context, source walrus.SliverID, targets []int) ([]redstuff.Symbol, error) {
	n, fault, err := m.call(ctx)
	if err != nil {
		return nil, err
	}
	symbols, err := n.Symbols(ctx, source, targets)
	if err == nil && fault&(Corrupt|WrongSliver) != 0 {
		for _, s := range symbols {
			s.Data[int(source.Index)%len(s.Data)] ^= 1
		}
	}
	return symbols, err
}

func (m *member) syncShard(ctx context.Context, key [48]byte, message []byte, signature [96]byte) ([]node.Synced, error) {
	n, fault, err := m.call(ctx)
	if err != nil {
		return nil, err
	}
	slivers, err := n.SyncShard(ctx, key, message, signature)
	if err == nil && fault&(Corrupt|WrongSliver) != 0 {
		for _, s := range slivers {
			s.Data[int(s.ID.Index)%len(s.Data)] ^= 1
		}
	}
	return slivers, err
}

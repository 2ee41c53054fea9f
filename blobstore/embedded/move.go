package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/localnet"
)

// learnNames notes which nodes the members of the current committee are: one
// that leaves it still has what others are to get.
func (n *Network) learnNames() {
	committee := n.ledger.Committee()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.names == nil {
		n.names = map[walrus.NodeID]string{}
	}
	for i := range committee.Members {
		n.names[committee.Members[i].ID] = committee.Members[i].Name
	}
}

func (n *Network) nameOf(id walrus.NodeID) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.names[id]
}

// moveShards brings shards to the nodes that have them from an epoch on: from the
// nodes before, and what those do not give is rebuilt from all others. It
// returns when everything is there, or why it is not. Who gave a shard away
// keeps its slivers, and serves them, until the ledger says that they have come: see node.Node.Trim.
func (n *Network) moveShards(ctx context.Context, epoch walrus.Epoch, moves []localnet.ShardMove) error {
	n.learnNames()
	gained := map[string]int{}
	for _, m := range moves {
		to, err := n.nodeNamed(n.nameOf(m.To))
		if err != nil {
			return err
		}
		gained[n.nameOf(m.To)]++
		from, err := n.Dial(walrus.Member{Name: n.nameOf(m.From)})
		stored := 0
		if err == nil {
			stored, err = to.FetchShard(ctx, m.Shard, from)
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			n.cfg.Log.Warn("shard has to be rebuilt from others", "op", "move", "epoch", epoch, "shard", m.Shard, "node", n.nameOf(m.To), "err", err)
			continue
		}
		n.cfg.Log.Info("shard has come", "op", "move", "epoch", epoch, "shard", m.Shard, "node", n.nameOf(m.To), "slivers", stored)
	}
	for name := range gained {
		if err := n.recoverRest(ctx, name); err != nil {
			return fmt.Errorf("node %s: %w", name, err)
		}
	}
	return nil
}

// nodeNamed returns a node that is up.
func (n *Network) nodeNamed(name string) (*node.Node, error) {
	m, _, err := n.find(name)
	if err != nil {
		return nil, err
	}
	up, _, err := m.use()
	return up, err
}

// recoverRest rebuilds what a node still lacks. Blobs that are no valid encodings cannot be rebuilt by anybody.
func (n *Network) recoverRest(ctx context.Context, name string) error {
	up, err := n.nodeNamed(name)
	if err != nil {
		return err
	}
	if err := up.Sync(ctx); err != nil {
		return err
	}
	return up.Survey(ctx, node.Marks, walrus.BlobID{}, func(g node.Gap) error {
		if g.None() {
			return ctx.Err()
		}
		err := n.cfg.Recover(ctx, up, g.Blob)
		if errors.Is(err, node.ErrNotRegistered) || errors.Is(err, redstuff.ErrInconsistent) {
			return nil
		}
		return err
	})
}

package localnet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/move"
)

// ErrShards reports an epoch whose nodes do not have the shards that it gives them.
var ErrShards = errors.New("nodes lack shards of the epoch")

// errMove reports shards that could not be brought to their nodes now.
var errMove = errors.New("shards cannot be moved now")

// ShardMove is a shard that is another node's from an epoch on.
type ShardMove struct {
	Shard    uint16
	From, To walrus.NodeID // From is zero when nobody had the shard
}

// moves lists the shards that changed hands with the current epoch, in order of their new owners.
func moves(staking *move.StakingInner) (all []ShardMove) {
	owners := make(map[uint16]walrus.NodeID)
	for _, member := range staking.PreviousCommittee {
		for _, shard := range member.Value {
			owners[shard] = walrus.NodeID(member.Key)
		}
	}
	for _, member := range staking.Committee {
		for _, shard := range member.Value {
			if from := owners[shard]; from != walrus.NodeID(member.Key) {
				all = append(all, ShardMove{Shard: shard, From: from, To: walrus.NodeID(member.Key)})
			}
		}
	}
	return all
}

// moveShards has the shards of a new epoch brought to their nodes. Where that
// is nobody's task, the nodes that need none must be a quorum.
func (n *Net) moveShards(ctx context.Context, staking *move.StakingInner) error {
	all := moves(staking)
	if len(all) == 0 || len(staking.PreviousCommittee) == 0 {
		return nil
	}
	if n.mover != nil {
		if err := n.mover(ctx, walrus.Epoch(staking.Epoch), all); err != nil {
			return fmt.Errorf("%w: %d for epoch %d: %w", errMove, len(all), staking.Epoch, err)
		}
		return nil
	}
	weight := 0
	for _, member := range staking.Committee {
		if !lacks(all, member.Key) {
			weight += len(member.Value)
		}
	}
	if 3*weight < 2*int(staking.Shards)+1 {
		return fmt.Errorf("epoch %d, %d shards: %w", staking.Epoch, len(all), ErrShards)
	}
	return nil
}

// lacks reports whether a node has to get a shard.
func lacks(all []ShardMove, node move.ID) bool {
	return slices.ContainsFunc(all, func(m ShardMove) bool { return m.To == walrus.NodeID(node) })
}

// epochSyncDone speaks for the nodes of the house that hold their shards and
// have not said so: those that got no new ones, and all when there is somebody
// who moved them. Nodes of other operators speak for themselves.
func (n *Net) epochSyncDone() own {
	return own{kind: "epoch_sync_done", build: func(ctx context.Context, tx *sql.Tx, d *draft) error {
		_, _, staking, err := n.inners(ctx, tx)
		if err != nil {
			return err
		}
		caps, err := n.nodeCaps(ctx, tx, &d.Sender)
		if err != nil {
			return err
		}
		var missing []ShardMove
		if n.mover == nil && len(staking.PreviousCommittee) > 0 {
			missing = moves(staking)
		}
		for _, member := range staking.Committee {
			held, ok := caps[member.Key]
			if !ok {
				continue
			}
			if !lacks(missing, member.Key) && held.LastEpochSyncDone != staking.Epoch {
				d.call("staking", "epoch_sync_done", d.object(n.facts.staking), d.object(held.ID), d.u32(staking.Epoch), d.object(move.ClockID))
			}
		}
		if len(d.Commands) == 0 {
			return fmt.Errorf("epoch %d: %w", staking.Epoch, ErrShards)
		}
		return nil
	}}
}

// nodeCaps finds the capabilities that an account has, by node; nil: those of all nodes.
func (n *Net) nodeCaps(ctx context.Context, tx *sql.Tx, owner *move.Address) (caps map[move.ID]*move.NodeCap, err error) {
	query, args := `SELECT objects.contents FROM objects JOIN types ON types.id = objects.type WHERE types.name = ?`, []any{n.facts.packages.NodeCap().String()}
	if owner != nil {
		query, args = query+` AND objects.owner = ?`, append(args, owner[:])
	}
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	caps = make(map[move.ID]*move.NodeCap)
	for rows.Next() {
		var contents []byte
		if err := rows.Scan(&contents); err != nil {
			return nil, err
		}
		c := new(move.NodeCap)
		if err := move.Unmarshal(contents, c); err != nil {
			return nil, fmt.Errorf("node capability: %w", err)
		}
		caps[c.Node] = c
	}
	return caps, rows.Err()
}

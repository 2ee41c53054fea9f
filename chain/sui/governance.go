package sui

import (
	"context"
	"fmt"
	"slices"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// proposals reads the object that holds proposals, and the fields of the table in it.
func (c *Client) proposals(ctx context.Context, id move.ID, manager move.Layout, table *move.Table) ([]*pb.DynamicField, error) {
	found, err := c.conn.objects(ctx, []move.ID{id})
	if err != nil {
		return nil, err
	}
	if found[id] == nil {
		return nil, fmt.Errorf("object %s: %w", id, chain.ErrNotExist)
	}
	if err := move.Unmarshal(found[id].contents, manager); err != nil {
		return nil, fmt.Errorf("object %s: %w", id, err)
	}
	return c.fields(ctx, table.ID)
}

// SlashingProposals lists the nodes whose commission others have voted to
// burn. It returns ErrUnknown when the profile does not name the manager of them.
func (c *Client) SlashingProposals(ctx context.Context) ([]move.SlashingProposal, error) {
	if c.profile.Slashing.IsZero() {
		return nil, fmt.Errorf("slashing proposals of %s: %w", c.profile.Name, ErrUnknown)
	}
	var manager move.SlashingManager
	fields, err := c.proposals(ctx, c.profile.Slashing, &manager, &manager.Candidates)
	if err != nil {
		return nil, fmt.Errorf("list slashing proposals: %w", err)
	}
	list := make([]move.SlashingProposal, len(fields))
	for i, f := range fields {
		if err := move.Unmarshal(f.GetValue().GetValue(), &list[i]); err != nil {
			return nil, fmt.Errorf("slashing proposal: %w", err)
		}
	}
	return list, nil
}

// UpgradeProposals lists the packages that nodes have voted for, and the
// version that the contracts have. It returns ErrUnknown when the profile does
// not name the manager of them.
func (c *Client) UpgradeProposals(ctx context.Context) (list []move.UpgradeProposal, version uint64, err error) {
	if c.profile.Upgrades.IsZero() {
		return nil, 0, fmt.Errorf("upgrade proposals of %s: %w", c.profile.Name, ErrUnknown)
	}
	var manager move.UpgradeManager
	fields, err := c.proposals(ctx, c.profile.Upgrades, &manager, &manager.Proposals)
	if err != nil {
		return nil, 0, fmt.Errorf("list upgrade proposals: %w", err)
	}
	list = make([]move.UpgradeProposal, len(fields))
	for i, f := range fields {
		if err := move.Unmarshal(f.GetValue().GetValue(), &list[i]); err != nil {
			return nil, 0, fmt.Errorf("upgrade proposal: %w", err)
		}
	}
	return list, manager.Cap.Version, nil
}

// VoteUpgrade votes for an upgrade of the contracts to the package of a
// digest, in the name of a node that authorized the owner to vote.
func (c *Client) VoteUpgrade(ctx context.Context, tx chain.TxID, voter move.ID, digest [32]byte) (*Result, error) {
	return c.perform(ctx, call{tx, one("vote_upgrade", []move.ID{voter, move.ID(digest)}), func(ctx context.Context, s *session) error {
		manager, err := c.sharedObject(ctx, c.profile.Upgrades)
		if err != nil {
			return err
		}
		auth := s.walrus("auth", "authenticate_sender")
		s.walrus("upgrade", "vote_for_upgrade", s.shared(manager, true), s.shared(s.world.staking, false), auth, s.id(voter), s.bytes(digest[:]))
		return nil
	}})
}

// Weight is how much of a committee somebody's stakes make up.
type Weight struct {
	Frost  uint64       // staked with nodes of the committee, and at work
	Shards float64      // the part of those nodes' shards that the stake stands for
	Of     int          // shards in all
	Nodes  []NodeWeight // those that it counts for
}

// NodeWeight is the part of a Weight that is with one node.
type NodeWeight struct {
	Node   move.ID
	Frost  uint64
	Shards float64
}

// Weight tells how much the owner's stakes weigh in the current committee: as
// many shards of a node as the stake is of all that is staked with it.
func (c *Client) Weight(ctx context.Context) (w Weight, err error) {
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return w, err
	}
	stakes, err := c.Stakes(ctx)
	if err != nil {
		return w, err
	}
	state, err := c.State(ctx)
	if err != nil {
		return w, err
	}
	w.Of = state.Committee.Shards
	for _, s := range stakes {
		i := slices.IndexFunc(nodes, func(n Node) bool { return n.ID == s.Node })
		if i < 0 || nodes[i].Shards == 0 || nodes[i].StakeFrost == 0 || walrus.Epoch(s.ActivationEpoch) > state.Epoch {
			continue
		}
		part := NodeWeight{Node: s.Node, Frost: s.Principal, Shards: float64(nodes[i].Shards) * float64(s.Principal) / float64(nodes[i].StakeFrost)}
		w.Frost += part.Frost
		w.Shards += part.Shards
		if at := slices.IndexFunc(w.Nodes, func(n NodeWeight) bool { return n.Node == s.Node }); at >= 0 {
			w.Nodes[at].Frost += part.Frost
			w.Nodes[at].Shards += part.Shards
		} else {
			w.Nodes = append(w.Nodes, part)
		}
	}
	return w, nil
}

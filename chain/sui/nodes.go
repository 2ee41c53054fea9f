package sui

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// Node is a storage node, in the committee or not.
type Node struct {
	ID             move.ID
	Name           string
	Address        string // host:port
	Shards         int    // in the current committee; 0 when it is not in it
	NextShards     int    // in the next one, when that is selected
	StakeFrost     uint64 // at work now
	NextFrost      uint64 // that counts when the next committee is chosen, as far as it is known now
	RewardsFrost   uint64 // held for those who staked
	Commission     uint16 // basis points of the rewards
	CommissionHeld uint64 // FROST that the node has not collected
	Votes          move.VotingParams
	Pool           move.StakingPool // all there is
}

// Nodes lists all registered storage nodes, those with the most stake first.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	_, _, staking, err := c.inners(ctx)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return c.nodes(ctx, staking)
}

// Committees is the storage nodes at one moment.
type Committees struct {
	Epoch                    uint32
	Shards                   int
	NextKnown                bool   // the next committee is chosen
	StoragePrice, WritePrice uint64 // in force, as prices of chain.State
	Nodes                    []Node // as Nodes lists them
}

// Committees lists all storage nodes, with the epoch that it is.
func (c *Client) Committees(ctx context.Context) (v Committees, err error) {
	_, system, staking, err := c.inners(ctx)
	if err != nil {
		return v, fmt.Errorf("list nodes: %w", err)
	}
	v = Committees{Epoch: staking.Epoch, Shards: int(staking.Shards), NextKnown: staking.NextCommittee != nil,
		StoragePrice: system.StoragePrice, WritePrice: system.WritePrice}
	v.Nodes, err = c.nodes(ctx, staking)
	return v, err
}

// nodes lists the storage nodes of a state of Staking.
func (c *Client) nodes(ctx context.Context, staking *move.StakingInner) ([]Node, error) {
	fields, err := c.fields(ctx, staking.Pools.ID)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	var ids []move.ID
	for _, f := range fields {
		id, err := move.ParseAddress(f.GetChildId())
		if err != nil {
			return nil, fmt.Errorf("list nodes: child %q: %w", f.GetChildId(), ErrAnswer)
		}
		ids = append(ids, id)
	}
	pools, err := c.conn.objects(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	active, err := c.activeSet(ctx, staking)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	nodes := make([]Node, 0, len(pools))
	for _, id := range ids {
		if pools[id] == nil {
			continue
		}
		var v Node
		if err := move.Unmarshal(pools[id].contents, &v.Pool); err != nil {
			return nil, fmt.Errorf("storage node %s: %w", id, err)
		}
		v.ID, v.Name, v.Address = id, v.Pool.Info.Name, v.Pool.Info.NetworkAddress
		v.StakeFrost, v.RewardsFrost, v.Commission = v.Pool.WALBalance, v.Pool.RewardsPool, v.Pool.CommissionRate
		v.CommissionHeld, v.Votes = v.Pool.Commission, v.Pool.Votes
		v.NextFrost = active[id]
		shards, _ := staking.Committee.Get(id)
		v.Shards = len(shards)
		if staking.NextCommittee != nil {
			next, _ := staking.NextCommittee.Get(id)
			v.NextShards = len(next)
		}
		nodes = append(nodes, v)
	}
	slices.SortStableFunc(nodes, func(a, b Node) int { return cmp.Compare(b.StakeFrost, a.StakeFrost) })
	return nodes, nil
}

// activeSet reads the stake with which nodes go into the next choice of a committee.
func (c *Client) activeSet(ctx context.Context, staking *move.StakingInner) (map[move.ID]uint64, error) {
	w, err := c.world(ctx, false)
	if err != nil {
		return nil, err
	}
	id, err := move.FieldID(staking.ActiveSet, w.types.ExtendedKey())
	if err != nil {
		return nil, err
	}
	found, err := c.conn.objects(ctx, []move.ID{id})
	if err != nil {
		return nil, err
	}
	if found[id] == nil {
		return nil, fmt.Errorf("active set %s: %w", id, chain.ErrNotExist)
	}
	var set move.ActiveSet
	if err := readField(found[id], len(w.types.ExtendedKey().BCS), &set); err != nil {
		return nil, fmt.Errorf("active set: %w", err)
	}
	stakes := make(map[move.ID]uint64, len(set.Nodes))
	for _, n := range set.Nodes {
		stakes[n.Node] = n.Stake
	}
	return stakes, nil
}

// fields lists the dynamic fields of an object, keys, values and children's IDs.
func (c *Client) fields(ctx context.Context, parent move.ID) (list []*pb.DynamicField, err error) {
	size, text := uint32(objectsPerPage), parent.String()
	request := &pb.ListDynamicFieldsRequest{Parent: &text, PageSize: &size, ReadMask: mask("kind", "field_id", "name", "value", "child_id")}
	for {
		answer, err := ask(ctx, c.conn, c.conn.state.ListDynamicFields, request)
		if err != nil {
			return nil, fmt.Errorf("fields of %s: %w", parent, err)
		}
		list = append(list, answer.GetDynamicFields()...)
		if len(answer.GetNextPageToken()) == 0 {
			return list, nil
		}
		request.PageToken = answer.GetNextPageToken()
	}
}

// Staked is the receipt of a stake that the owner has.
type Staked struct {
	move.StakedWAL
	Version uint64
}

// Stakes lists the owner's stakes.
func (c *Client) Stakes(ctx context.Context) ([]Staked, error) {
	w, err := c.world(ctx, false)
	if err != nil {
		return nil, fmt.Errorf("list stakes: %w", err)
	}
	found, err := c.conn.owned(ctx, c.me(), w.types.StakedWAL())
	if err != nil {
		return nil, fmt.Errorf("list stakes: %w", err)
	}
	list := make([]Staked, len(found))
	for i, o := range found {
		list[i].Version = o.ref.Version
		if err := move.Unmarshal(o.contents, &list[i].StakedWAL); err != nil {
			return nil, fmt.Errorf("receipt %s: %w", o.ref.ID, err)
		}
	}
	return list, nil
}

// NodeCaps lists the capabilities of storage nodes that the owner has: who holds one acts for the node.
func (c *Client) NodeCaps(ctx context.Context) ([]move.NodeCap, error) {
	w, err := c.world(ctx, false)
	if err != nil {
		return nil, fmt.Errorf("list capabilities: %w", err)
	}
	found, err := c.conn.owned(ctx, c.me(), w.types.NodeCap())
	if err != nil {
		return nil, fmt.Errorf("list capabilities: %w", err)
	}
	list := make([]move.NodeCap, len(found))
	for i, o := range found {
		if err := move.Unmarshal(o.contents, &list[i]); err != nil {
			return nil, fmt.Errorf("capability %s: %w", o.ref.ID, err)
		}
	}
	return list, nil
}

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/chain/move"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

func newStakeCommand(a *app) *cobra.Command {
	var f ledgerFlags
	cmd := &cobra.Command{
		Use: "stake", Short: "Lend WAL to storage nodes, and see what it earns",
		Long: "Stake puts WAL to work with storage nodes: the more is staked with a node, the more shards it serves, and the\n" +
			"more it earns, of which it keeps its commission. A stake counts from the next epoch on, or the one after, and\n" +
			"comes back one or two epochs after it was asked for, with what it has earned.",
		Args: arguments(0), RunE: needSubcommand,
	}
	f.add(cmd)
	cmd.AddCommand(newNodesCommand(a, &f), newStakesCommand(a, &f), newStakeAddCommand(a, &f), newStakeRequestCommand(a, &f),
		newStakeWithdrawCommand(a, &f), newStakeSplitCommand(a, &f), newStakeJoinCommand(a, &f))
	return cmd
}

// nodeInfo is a line of walfs stake nodes.
type nodeInfo struct {
	ID         string `json:"node_id"`
	Name       string `json:"name"`
	Address    string `json:"address"`
	Shards     int    `json:"shards"`      // in this epoch's committee; 0: not in it
	NextShards int    `json:"next_shards"` // in the next one's; counts when next_known
	Stake      uint64 `json:"stake_frost,string"`
	NextStake  uint64 `json:"next_stake_frost,string"` // that counts when the next committee is chosen
	Commission uint16 `json:"commission_basis_points"`
	Held       uint64 `json:"commission_held_frost,string"` // that the node has not collected
	Rewards    uint64 `json:"rewards_frost,string"`         // held for those who staked
	Storage    uint64 `json:"storage_price_vote_frost,string"`
	Write      uint64 `json:"write_price_vote_frost,string"`
	Capacity   uint64 `json:"node_capacity_vote_bytes,string"`
	State      string `json:"state"` // active, withdrawing or withdrawn
}

// nodeInfos is the answer of opNodeInfo.
type nodeInfos struct {
	Epoch     uint32     `json:"epoch"`
	Shards    int        `json:"shards"`
	NextKnown bool       `json:"next_known"` // the next committee is chosen
	Nodes     []nodeInfo `json:"nodes"`
}

func newNodesCommand(a *app, f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "nodes", Short: "List storage nodes with their stake, commission, votes and shards",
		Long: "Nodes lists all registered storage nodes, those with the most stake first, with the shards that they serve in\n" +
			"this epoch and, once that is chosen, in the next one. The prices are those that each of them votes for, in FROST\n" +
			"per MiB (and epoch).",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v nodeInfos
			if err := a.onLedger(cmd.Context(), f, opNodeInfo, nothing{}, &v); err != nil {
				return err
			}
			return a.result("nodes", v, func() error { return a.showNodeInfos(v) })
		},
	}
}

func (a *app) showNodeInfos(v nodeInfos) error {
	next := ""
	if !v.NextKnown {
		next = "; the next committee is not chosen yet"
	}
	if err := a.Print("epoch %d, %d shards%s", v.Epoch, v.Shards, next); err != nil {
		return err
	}
	t := a.Table("NODE", "SHARDS", "NEXT", "STAKE", "NEXT STAKE", "COMMISSION", "STORAGE", "WRITE", "ID")
	for _, n := range v.Nodes {
		next := "?"
		if v.NextKnown {
			next = fmt.Sprint(n.NextShards)
		}
		t.Row(n.Name, n.Shards, next, wal(n.Stake), wal(n.NextStake), percent(n.Commission), n.Storage, n.Write, n.ID)
	}
	return t.Flush()
}

// percent writes basis points.
func percent(points uint16) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%02d", points/100, points%100), "0"), ".") + " %"
}

// poolStates are the words for the states of a pool.
var poolStates = map[uint8]string{move.PoolActive: "active", move.PoolWithdrawing: "withdrawing", move.PoolWithdrawn: "withdrawn"}

func (acc *account) nodeInfo(ctx context.Context, _ nothing) (v nodeInfos, err error) {
	committee, err := acc.Committees(ctx)
	if err != nil {
		return v, err
	}
	v.Epoch, v.Shards, v.NextKnown = committee.Epoch, committee.Shards, committee.NextKnown
	v.Nodes = []nodeInfo{}
	for i := range committee.Nodes {
		n := &committee.Nodes[i]
		v.Nodes = append(v.Nodes, nodeInfo{ID: n.ID.String(), Name: n.Name, Address: n.Address, Shards: n.Shards, NextShards: n.NextShards,
			Stake: n.StakeFrost, NextStake: n.NextFrost, Commission: n.Commission, Held: n.CommissionHeld, Rewards: n.RewardsFrost,
			Storage: n.Votes.StoragePrice, Write: n.Votes.WritePrice, Capacity: n.Votes.NodeCapacity, State: poolStates[n.Pool.State]})
	}
	return v, nil
}

// findNode finds a storage node by its ID, its name, or the only beginning of either.
func findNode(nodes []sui.Node, name string) (*sui.Node, error) {
	var near []*sui.Node
	for i := range nodes {
		n := &nodes[i]
		if n.ID.String() == name {
			return n, nil
		}
		if n.Name == name || len(name) > len("0x") && strings.HasPrefix(n.ID.String(), name) {
			near = append(near, n)
		}
	}
	if len(near) == 1 {
		return near[0], nil
	}
	said, candidates := "no storage node is called %q", nodes
	if len(near) > 1 {
		said, candidates = "several storage nodes are called %q", nil
		for _, n := range near {
			candidates = append(candidates, *n)
		}
	}
	var names []string
	for i := range candidates[:min(len(candidates), maxCandidates)] {
		names = append(names, fmt.Sprintf("%s (%s)", ui.Clean(candidates[i].Name), candidates[i].ID))
	}
	if more := len(candidates) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more: walfs stake nodes", more))
	}
	return nil, usagef(said, name).WithHint("there are %s", strings.Join(names, ", "))
}

// maxCandidates is how many nodes an error names.
const maxCandidates = 12

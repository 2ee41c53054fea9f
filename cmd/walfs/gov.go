package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/chain/move"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

func newGovernCommand(a *app) *cobra.Command {
	var f ledgerFlags
	cmd := &cobra.Command{
		Use: "gov", Short: "Prices, proposals and votes of the storage nodes",
		Long: "Storage nodes vote on prices, on their capacity, on burning the commission of one of them, and on upgrades of the\n" +
			"contracts. Their shards weigh their votes, and stake gives them shards: who stakes with a node has that part of\n" +
			"its weight, but no vote of his own.",
		Args: arguments(0), RunE: needSubcommand,
	}
	f.add(cmd)
	cmd.AddCommand(newPricesCommand(a, &f), newProposalsCommand(a, &f), newWeightCommand(a, &f), newVoteCommand(a, &f), newSlashCommand(a, &f))
	return cmd
}

// polls is the answer of opPolls.
type polls struct {
	Epoch     uint32            `json:"epoch"`
	Shards    int               `json:"shards"`
	Quorum    int               `json:"quorum"` // shards that decide
	Storage   uint64            `json:"storage_price_frost,string"`
	Write     uint64            `json:"write_price_frost,string"`
	Votes     []nodeVote        `json:"votes"` // of the nodes in the committee
	Slashing  []slashProposal   `json:"slashing_proposals"`
	Upgrades  []upgradeProposal `json:"upgrade_proposals"`
	Version   uint64            `json:"package_version,omitempty"` // of the contracts; 0: not known
	Unknown   []string          `json:"unknown,omitempty"`         // proposals that this network's profile does not lead to
	Address   string            `json:"address"`
	Staked    uint64            `json:"staked_frost,string"` // by the wallet, at work in the committee
	Weight    float64           `json:"weight_shards"`       // that this stands for
	WeightsOf []weightPart      `json:"weight_by_node"`
}

// nodeVote is what a node of the committee votes for.
type nodeVote struct {
	ID       string `json:"node_id"`
	Name     string `json:"name"`
	Shards   int    `json:"shards"`
	Storage  uint64 `json:"storage_price_frost,string"`
	Write    uint64 `json:"write_price_frost,string"`
	Capacity uint64 `json:"node_capacity_bytes,string"`
}

// proposal is what both kinds of proposals tell.
type proposal struct {
	Epoch   uint32   `json:"epoch"`
	Current bool     `json:"current"` // its votes count: they are of this epoch
	Weight  int      `json:"weight_shards"`
	Decided bool     `json:"decided"` // a quorum voted for it
	Voters  []string `json:"voters"`  // names of nodes
}

type slashProposal struct {
	ID   string `json:"node_id"`
	Name string `json:"name"`
	Held uint64 `json:"commission_held_frost,string"` // that would be burnt
	proposal
}

type upgradeProposal struct {
	Digest  string `json:"package_digest"` // hex
	Version uint64 `json:"version"`
	proposal
}

// weightPart is the part of a wallet's weight that is with one node.
type weightPart struct {
	Name   string  `json:"name"`
	ID     string  `json:"node_id"`
	Staked uint64  `json:"staked_frost,string"`
	Shards float64 `json:"weight_shards"`
}

// quorumOf is how many of n shards decide. Source: module bls_aggregate: 3·w ≥ 2·n+1.
func quorumOf(n int) int { return (2*n + 1 + 2) / 3 }

func (acc *account) polls(ctx context.Context, _ nothing) (p polls, err error) {
	c, err := acc.Committees(ctx)
	if err != nil {
		return p, err
	}
	p = polls{Epoch: c.Epoch, Shards: c.Shards, Quorum: quorumOf(c.Shards), Storage: c.StoragePrice, Write: c.WritePrice, Address: acc.Address().String(),
		Votes: []nodeVote{}, Slashing: []slashProposal{}, Upgrades: []upgradeProposal{}, WeightsOf: []weightPart{}}
	for i := range c.Nodes {
		if n := &c.Nodes[i]; n.Shards > 0 {
			p.Votes = append(p.Votes, nodeVote{ID: n.ID.String(), Name: n.Name, Shards: n.Shards,
				Storage: n.Votes.StoragePrice, Write: n.Votes.WritePrice, Capacity: n.Votes.NodeCapacity})
		}
	}
	slices.SortStableFunc(p.Votes, func(a, b nodeVote) int { return strings.Compare(a.Name, b.Name) })
	if err := acc.addProposals(ctx, &c, &p); err != nil {
		return p, err
	}
	err = acc.addWeight(ctx, &c, &p)
	return p, err
}

// addProposals adds what nodes have been asked to decide.
func (acc *account) addProposals(ctx context.Context, c *sui.Committees, p *polls) error {
	slashing, err := acc.SlashingProposals(ctx)
	if errors.Is(err, sui.ErrUnknown) {
		p.Unknown = append(p.Unknown, "slashing")
	} else if err != nil {
		return err
	}
	for i := range slashing {
		s := &slashing[i]
		one := slashProposal{ID: s.Node.String(), Name: nameOf(c.Nodes, s.Node), proposal: p.proposal(c, s.Epoch, s.Weight, s.Voters)}
		if at := slices.IndexFunc(c.Nodes, func(n sui.Node) bool { return n.ID == s.Node }); at >= 0 {
			one.Held = c.Nodes[at].CommissionHeld
		}
		p.Slashing = append(p.Slashing, one)
	}
	upgrades, version, err := acc.UpgradeProposals(ctx)
	if errors.Is(err, sui.ErrUnknown) {
		p.Unknown = append(p.Unknown, "upgrades")
	} else if err != nil {
		return err
	}
	p.Version = version
	for i := range upgrades {
		u := &upgrades[i]
		p.Upgrades = append(p.Upgrades, upgradeProposal{Digest: fmt.Sprintf("%x", u.Digest), Version: u.Version, proposal: p.proposal(c, u.Epoch, u.Weight, u.Voters)})
	}
	return nil
}

func (p *polls) proposal(c *sui.Committees, epoch uint32, weight uint16, voters move.IDs) proposal {
	one := proposal{Epoch: epoch, Current: epoch == c.Epoch, Weight: int(weight), Voters: []string{}}
	one.Decided = one.Current && one.Weight >= p.Quorum
	for _, v := range voters {
		one.Voters = append(one.Voters, nameOf(c.Nodes, v))
	}
	return one
}

// nameOf returns the name of a node, or its ID.
func nameOf(nodes []sui.Node, id move.ID) string {
	for i := range nodes {
		if nodes[i].ID == id && nodes[i].Name != "" {
			return nodes[i].Name
		}
	}
	return id.String()
}

// addWeight adds what the wallet's stakes weigh.
func (acc *account) addWeight(ctx context.Context, c *sui.Committees, p *polls) error {
	w, err := acc.Weight(ctx)
	if err != nil {
		return err
	}
	p.Staked, p.Weight = w.Frost, w.Shards
	for _, n := range w.Nodes {
		p.WeightsOf = append(p.WeightsOf, weightPart{Name: nameOf(c.Nodes, n.Node), ID: n.Node.String(), Staked: n.Frost, Shards: n.Shards})
	}
	return nil
}

// pollCommand makes a command that shows a part of the answer of opPolls.
func pollCommand(a *app, f *ledgerFlags, use, short, long string, show func(p *polls) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var p polls
			if err := a.onLedger(cmd.Context(), f, opPolls, nothing{}, &p); err != nil {
				return err
			}
			return a.result("governance", p, func() error { return show(&p) })
		},
	}
}

func newPricesCommand(a *app, f *ledgerFlags) *cobra.Command {
	return pollCommand(a, f, "prices", "Show the prices, and which node voted for what",
		"Prices shows what storing and writing cost now, and the votes. The price is the lowest one such that a quorum of\n"+
			"shards voted for it or less; votes count at once.",
		func(p *polls) error {
			if err := a.Print("storage  %d FROST per MiB and epoch\nwrite    %d FROST per MiB\nquorum   %d of %d shards, in epoch %d", p.Storage, p.Write, p.Quorum, p.Shards, p.Epoch); err != nil {
				return err
			}
			t := a.Table("NODE", "SHARDS", "STORAGE", "WRITE", "CAPACITY")
			for _, v := range p.Votes {
				t.Row(v.Name, v.Shards, v.Storage, v.Write, ui.Size(int64(min(v.Capacity, 1<<62))))
			}
			return t.Flush()
		})
}

func newProposalsCommand(a *app, f *ledgerFlags) *cobra.Command {
	return pollCommand(a, f, "proposals", "Show proposals to slash nodes and to upgrade the contracts",
		"Proposals shows what nodes have voted for in this epoch: burning the commission of a node, and upgrades of the\n"+
			"contracts. Votes count for one epoch. Once a quorum has voted, anybody can have a node slashed.",
		func(p *polls) error {
			if len(p.Slashing)+len(p.Upgrades) == 0 {
				if err := a.Print("no proposals"); err != nil {
					return err
				}
			}
			t := a.Table("PROPOSAL", "WEIGHT", "QUORUM", "EPOCH", "STATE", "VOTERS")
			for _, s := range p.Slashing {
				t.Row("slash "+s.Name+", which holds "+wal(s.Held), s.Weight, p.Quorum, s.Epoch, s.state(), strings.Join(s.Voters, " "))
			}
			for _, u := range p.Upgrades {
				t.Row("upgrade to "+u.Digest, u.Weight, p.Quorum, u.Epoch, u.state(), strings.Join(u.Voters, " "))
			}
			for _, what := range p.Unknown {
				a.Note("proposals about %s: this network's profile does not say where they are", what)
			}
			return t.Flush()
		})
}

func (p *proposal) state() string {
	switch {
	case !p.Current:
		return "over"
	case p.Decided:
		return "decided"
	}
	return "open"
}

func newWeightCommand(a *app, f *ledgerFlags) *cobra.Command {
	return pollCommand(a, f, "weight", "Show how much a wallet's stakes weigh in the committee",
		"Weight shows the part of the nodes' shards that the wallet's stakes stand for. It is indirect: the nodes vote.",
		func(p *polls) error {
			if err := a.Print("%s has %s at work, %.3f of %d shards", p.Address, wal(p.Staked), p.Weight, p.Shards); err != nil {
				return err
			}
			t := a.Table("NODE", "STAKED", "SHARDS")
			for _, w := range p.WeightsOf {
				t.Row(w.Name, wal(w.Staked), fmt.Sprintf("%.3f", w.Shards))
			}
			return t.Flush()
		})
}

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// voteArgs is the question of opVote.
type voteArgs struct {
	order
	Node     string  `json:"node,omitempty"` // that votes; may be missing when the key acts for one alone
	Key      string  `json:"key,omitempty"`  // secret key of who acts for it
	Storage  *uint64 `json:"storage_price_frost,omitempty,string"`
	Write    *uint64 `json:"write_price_frost,omitempty,string"`
	Capacity *uint64 `json:"node_capacity_bytes,omitempty,string"`
	Slash    string  `json:"slash,omitempty"`   // node to vote against
	Upgrade  string  `json:"upgrade,omitempty"` // digest of a package, in hex
	Execute  bool    `json:"execute,omitempty"` // burn the commission of Slash: no vote
}

// voted is the answer.
type voted struct {
	Node     string  `json:"node_id,omitempty"`
	NodeName string  `json:"node_name,omitempty"`
	For      string  `json:"for"`
	Storage  *uint64 `json:"storage_price_frost,omitempty,string"` // in force after it
	Write    *uint64 `json:"write_price_frost,omitempty,string"`
	Burnt    uint64  `json:"burnt_frost,omitempty,string"`
	receipt
}

// voteOptions are the flags of gov vote.
type voteOptions struct {
	node    string
	keyFile string
	storage string
	write   string
	size    string
	slash   string
	upgrade string
}

func newVoteCommand(a *app, f *ledgerFlags) *cobra.Command {
	var o voteOptions
	var ask consent
	cmd := &cobra.Command{
		Use: "vote", Short: "Vote in the name of a storage node",
		Long: "Vote casts the votes of a storage node, with the key that acts for it: that of the drive's own nodes unless\n" +
			"--node-key or --wallet name another one. A FILE is a wallet, a text that begins with suiprivkey1, a sui.keystore,\n" +
			"or network.json in the folder of walfs localnet serve --dir. Prices change at once, if a quorum is for it.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			args, err := a.voteArgs(cmd.Context(), &o)
			if err != nil {
				return err
			}
			return a.vote(cmd.Context(), f, ask, args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.node, "node", "", "vote for `NODE`, by name or ID (default: the only one that the key acts for)")
	flags.StringVar(&o.keyFile, "node-key", "", "vote with the key in `FILE`")
	flags.StringVar(&o.storage, "storage-price", "", "`AMOUNT` per MiB and epoch, as 90000FROST")
	flags.StringVar(&o.write, "write-price", "", "`AMOUNT` per MiB")
	flags.StringVar(&o.size, "capacity", "", "`SIZE` that the node stores at most, as 20TiB")
	flags.StringVar(&o.slash, "slash", "", "burn the commission of `NODE`")
	flags.StringVar(&o.upgrade, "upgrade", "", "upgrade the contracts to the package of `DIGEST`, 64 hex digits")
	needOne(cmd, "storage-price", "write-price", "capacity", "slash", "upgrade")
	exclusive(cmd, "storage-price", "slash", "upgrade")
	exclusive(cmd, "write-price", "slash", "upgrade")
	exclusive(cmd, "capacity", "slash", "upgrade")
	ask.flags(flags)
	return cmd
}

// voteArgs reads what the flags say.
func (a *app) voteArgs(ctx context.Context, o *voteOptions) (args voteArgs, err error) {
	args = voteArgs{Node: o.node, Slash: o.slash, Upgrade: strings.TrimPrefix(o.upgrade, "0x")}
	for _, price := range []struct {
		text string
		to   **uint64
	}{{o.storage, &args.Storage}, {o.write, &args.Write}} {
		if price.text == "" {
			continue
		}
		frost, err := parseWAL(price.text)
		if err != nil {
			return args, err
		}
		*price.to = &frost
	}
	if o.size != "" {
		n, err := ui.ParseSize(o.size)
		if err != nil || n == 0 {
			return args, usagef("--capacity %s: want a size, as 20TiB", o.size)
		}
		size := uint64(n)
		args.Capacity = &size
	}
	if o.upgrade != "" {
		if raw, err := hex.DecodeString(args.Upgrade); err != nil || len(raw) != 32 {
			return args, usagef("--upgrade %s: want 64 hex digits", o.upgrade)
		}
	}
	if o.keyFile != "" {
		w, err := a.readNodeKey(ctx, o.keyFile)
		if err != nil {
			return args, err
		}
		args.Key = w.Text()
	}
	return args, nil
}

// readNodeKey reads the key of who acts for a storage node.
func (a *app) readNodeKey(ctx context.Context, file string) (*sui.Wallet, error) {
	text, err := readPrivate(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ui.Errorf(ui.WrongKey, "--node-key: %w", err)
	}
	if err != nil {
		return nil, err
	}
	defer clear(text)
	if w, err := embedded.HouseOfPlan(text); err == nil {
		return w, nil
	}
	if strings.HasPrefix(string(text), "age-encryption.org/") {
		return a.openWallet(ctx, &ledgerFlags{wallet: absolute(file)})
	}
	return parseSecret(text, "")
}

func (a *app) vote(ctx context.Context, f *ledgerFlags, ask consent, args voteArgs) error {
	v, err := transact(ctx, a, f, ask, opVote, func(o order) any {
		args.order = o
		return args
	}, func(v voted) string { return v.said() })
	if err != nil {
		return err
	}
	done := "done: " + v.said()
	if v.Storage != nil && v.Write != nil {
		done += fmt.Sprintf("\nin force now: %d FROST per MiB and epoch for storage, %d FROST per MiB written", *v.Storage, *v.Write)
	}
	return a.sent("vote", v, done, v.said())
}

func (v *voted) said() string {
	if v.NodeName == "" {
		return v.For
	}
	return "vote for " + v.For + " in the name of " + v.NodeName
}

func newSlashCommand(a *app, f *ledgerFlags) *cobra.Command {
	var ask consent
	cmd := &cobra.Command{
		Use: "slash NODE", Short: "Burn the commission of a node that a quorum voted against",
		Long: "Slash executes what a quorum of shards voted for in this epoch: the commission that NODE has not collected is\n" +
			"burnt. Stake is never touched. Anybody may do it.",
		Args: arguments(1, "NODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.vote(cmd.Context(), f, ask, voteArgs{Slash: args[0], Execute: true})
		},
	}
	ask.flags(cmd.Flags())
	return cmd
}

// vote casts votes for a node, or executes what was voted for.
func (acc *account) vote(ctx context.Context, args voteArgs) (v voted, err error) {
	c, err := acc.Committees(ctx)
	if err != nil {
		return v, err
	}
	if args.Execute {
		return acc.slash(ctx, &c, args)
	}
	voter, held, err := acc.voter(ctx, &c, args)
	if err != nil {
		return v, err
	}
	v.Node, v.NodeName = held.Node.String(), nameOf(c.Nodes, held.Node)
	call, err := voter.voteCall(ctx, &c, held, args, &v)
	if err != nil {
		return v, err
	}
	if v.receipt, err = voter.send(ctx, args.order, call); err != nil || v.Dry || args.Slash != "" || args.Upgrade != "" {
		return v, voteRefused(err)
	}
	state, err := acc.State(ctx)
	if err == nil {
		v.Storage, v.Write = &state.StoragePrice, &state.WritePrice
	}
	return v, err
}

// voter finds the account that acts for a node, and the capability that says so.
func (acc *account) voter(ctx context.Context, c *sui.Committees, args voteArgs) (*account, *move.NodeCap, error) {
	var wanted *sui.Node
	if args.Node != "" {
		var err error
		if wanted, err = findNode(c.Nodes, args.Node); err != nil {
			return nil, nil, err
		}
	}
	voters := []func() (*sui.Wallet, error){func() (*sui.Wallet, error) { return nil, nil }}
	switch {
	case args.Key != "":
		voters[0] = func() (*sui.Wallet, error) { return sui.WalletFromText(args.Key) }
	case acc.house != nil:
		voters = append(voters, acc.house)
	}
	var all []move.NodeCap
	for _, key := range voters {
		voter := acc
		w, err := key()
		if w != nil && err == nil {
			voter, err = acc.other(ctx, w)
		}
		if err != nil {
			return nil, nil, err
		}
		caps, err := voter.NodeCaps(ctx)
		if err != nil {
			return nil, nil, err
		}
		if wanted == nil && len(caps) == 1 {
			return voter, &caps[0], nil
		}
		if i := slices.IndexFunc(caps, func(n move.NodeCap) bool { return wanted != nil && n.Node == wanted.ID }); i >= 0 {
			return voter, &caps[i], nil
		}
		all = append(all, caps...)
	}
	return nil, nil, noVoter(c, wanted, all)
}

// noVoter says for which nodes the key could vote.
func noVoter(c *sui.Committees, wanted *sui.Node, caps []move.NodeCap) error {
	var names []string
	for i := range caps {
		names = append(names, nameOf(c.Nodes, caps[i].Node))
	}
	slices.Sort(names)
	switch {
	case wanted != nil:
		return ui.Errorf(ui.WrongKey, "the key does not act for %s", wanted.Name).WithHint("--node-key names the file of the one that does")
	case len(names) == 0:
		return ui.Errorf(ui.WrongKey, "the key acts for no storage node").WithHint("--node-key names the file of one that does; who stakes has no vote of his own")
	}
	return usagef("the key acts for %s: which one votes?", ui.Plural(len(names), "node", "nodes")).WithHint("--node %s", strings.Join(names, ", or --node "))
}

// voteCall returns what casts the votes.
func (acc *account) voteCall(ctx context.Context, c *sui.Committees, held *move.NodeCap, args voteArgs, v *voted) (func(*sui.Client, chain.TxID) (*sui.Result, error), error) {
	switch {
	case args.Slash != "":
		candidate, err := findNode(c.Nodes, args.Slash)
		if err != nil {
			return nil, err
		}
		v.For = fmt.Sprintf("burning the commission of %s, which holds %s", candidate.Name, wal(candidate.CommissionHeld))
		return func(cl *sui.Client, tx chain.TxID) (*sui.Result, error) {
			return cl.VoteSlash(ctx, tx, held.Node, candidate.ID)
		}, nil
	case args.Upgrade != "":
		raw, err := hex.DecodeString(args.Upgrade)
		if err != nil || len(raw) != 32 {
			return nil, usagef("digest %q: want 64 hex digits", args.Upgrade)
		}
		v.For = "the upgrade to " + args.Upgrade
		return func(cl *sui.Client, tx chain.TxID) (*sui.Result, error) {
			return cl.VoteUpgrade(ctx, tx, held.Node, [32]byte(raw))
		}, nil
	}
	var wants []string
	if args.Storage != nil {
		wants = append(wants, fmt.Sprintf("%d FROST per MiB and epoch for storage", *args.Storage))
	}
	if args.Write != nil {
		wants = append(wants, fmt.Sprintf("%d FROST per MiB written", *args.Write))
	}
	if args.Capacity != nil {
		wants = append(wants, fmt.Sprintf("a capacity of %s", ui.Size(int64(min(*args.Capacity, 1<<62)))))
	}
	if len(wants) == 0 {
		return nil, usagef("nothing to vote on")
	}
	v.For = strings.Join(wants, ", ")
	return func(cl *sui.Client, tx chain.TxID) (*sui.Result, error) {
		return cl.Vote(ctx, tx, held.ID, sui.Votes{StoragePrice: args.Storage, WritePrice: args.Write, NodeCapacity: args.Capacity})
	}, nil
}

// slash burns the commission of a node that a quorum voted against.
func (acc *account) slash(ctx context.Context, c *sui.Committees, args voteArgs) (v voted, err error) {
	candidate, err := findNode(c.Nodes, args.Slash)
	if err != nil {
		return v, err
	}
	v = voted{For: fmt.Sprintf("burn the commission of %s, which holds %s", candidate.Name, wal(candidate.CommissionHeld)), Burnt: candidate.CommissionHeld}
	v.receipt, err = acc.send(ctx, args.order, func(cl *sui.Client, tx chain.TxID) (*sui.Result, error) {
		return cl.ExecuteSlash(ctx, tx, candidate.ID)
	})
	return v, voteRefused(err)
}

// voteHints are what to do about the contracts' reasons.
var voteHints = map[string]string{
	"ENotAuthorized":     "the node lets another key vote in its name",
	"EDuplicateVote":     "the node has voted for it in this epoch",
	"ENotInCommittee":    "only nodes with shards in this epoch vote",
	"ENoProposalForNode": "no node has voted for it: walfs gov proposals",
	"EWrongEpoch":        "the votes are of another epoch, and count no more: walfs gov proposals",
	"ENotEnoughVotes":    "a quorum of shards must vote for it: walfs gov proposals",
}

// voteRefused gives the contracts' reasons in words.
func voteRefused(err error) error {
	var abort *chain.AbortError
	if !errors.As(err, &abort) || voteHints[abort.Name] == "" {
		return err
	}
	return ui.Errorf(ui.Chain, "%w", err).WithHint("%s", voteHints[abort.Name])
}

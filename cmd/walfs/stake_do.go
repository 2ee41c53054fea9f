package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// minStake is the least that can be staked. Source: module staked_wal, MIN_STAKING_THRESHOLD.
const minStake = chain.FrostPerWAL

// stakeArgs is the question of opStake.
type stakeArgs struct {
	order
	Node  string `json:"node"`
	Frost uint64 `json:"frost,string"`
}

// staked is the answer.
type staked struct {
	Stake    string `json:"stake_id,omitempty"` // missing in a dry run
	Node     string `json:"node_id"`
	NodeName string `json:"node_name"`
	Frost    uint64 `json:"principal_frost,string"`
	receipt
}

func newStakeAddCommand(a *app, f *ledgerFlags) *cobra.Command {
	var ask consent
	cmd := &cobra.Command{
		Use: "add NODE AMOUNT", Short: "Stake WAL with a storage node",
		Long: "Add stakes AMOUNT, at least 1WAL, with NODE: a name or an ID that walfs stake nodes shows, or the beginning of an\n" +
			"ID. The answer names the stake, which is an object of the wallet.",
		Args: arguments(2, "NODE", "AMOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			frost, err := parseWAL(args[1])
			if err == nil && frost < minStake {
				err = usagef("%s: the least that can be staked is %s", wal(frost), wal(minStake))
			}
			if err != nil {
				return err
			}
			s, err := transact(cmd.Context(), a, f, ask, opStake, func(o order) any { return stakeArgs{o, args[0], frost} },
				func(s staked) string { return fmt.Sprintf("stake %s with %s", wal(frost), s.NodeName) })
			if err != nil {
				return err
			}
			what := wal(frost) + " with " + s.NodeName
			return a.sent("staked", s, fmt.Sprintf("staked %s as %s", what, s.Stake), "stake "+what)
		},
	}
	ask.flags(cmd.Flags())
	return cmd
}

func (acc *account) stake(ctx context.Context, args stakeArgs) (s staked, err error) {
	nodes, err := acc.Nodes(ctx)
	if err != nil {
		return s, err
	}
	n, err := findNode(nodes, args.Node)
	if err != nil {
		return s, err
	}
	if n.Pool.State != move.PoolActive {
		return s, ui.Errorf(ui.Chain, "%s is leaving, and takes no stake", n.Name).WithHint("walfs stake nodes lists the others")
	}
	s = staked{Node: n.ID.String(), NodeName: n.Name, Frost: args.Frost}
	s.receipt, err = acc.send(ctx, args.order, func(c *sui.Client, tx chain.TxID) (*sui.Result, error) {
		r, err := c.Stake(ctx, tx, n.ID, args.Frost)
		if err != nil {
			return nil, err
		}
		id, err := c.Receipt(ctx, r)
		s.Stake = id.String()
		return r, err
	})
	return s, err
}

// stakeDoArgs is the question of opStakeDo.
type stakeDoArgs struct {
	order
	Do    string `json:"do"`
	Stake string `json:"stake"`
	Other string `json:"other,omitempty"`        // of join: goes into Stake
	Frost uint64 `json:"frost,omitempty,string"` // of split
}

// What opStakeDo does.
const (
	stakeRequest  = "request-withdraw"
	stakeWithdraw = "withdraw"
	stakeSplit    = "split"
	stakeJoin     = "join"
)

// stakeDone is the answer.
type stakeDone struct {
	Do string `json:"do"`
	holding
	Part string `json:"part_id,omitempty"`           // of split: the new stake
	Paid uint64 `json:"paid_frost,omitempty,string"` // of withdraw: principal and rewards
	receipt
}

func newStakeRequestCommand(a *app, f *ledgerFlags) *cobra.Command {
	return stakeDoCommand(a, f, stakeRequest, "Ask for a stake back",
		"Request-withdraw asks for a stake back, which walfs stake withdraw pays one or two epochs later. It goes on to earn\n"+
			"until then. One that was never at work, or whose node serves nothing, can be withdrawn without asking.",
		func(d *stakeDone) string { return fmt.Sprintf("ask for %s of %s back", wal(d.Principal), d.NodeName) },
		func(d *stakeDone) string {
			return fmt.Sprintf("asked for %s of %s back: walfs stake withdraw pays from epoch %d on", wal(d.Principal), d.NodeName, d.Free)
		})
}

func newStakeWithdrawCommand(a *app, f *ledgerFlags) *cobra.Command {
	return stakeDoCommand(a, f, stakeWithdraw, "Take a stake back that was asked for, with what it has earned",
		"Withdraw pays a stake and what it has earned into the wallet.",
		func(d *stakeDone) string { return fmt.Sprintf("take %s of %s back", wal(d.Principal), d.NodeName) },
		func(d *stakeDone) string {
			return fmt.Sprintf("%s of %s came back: %s staked and %s earned", wal(d.Paid), d.NodeName, wal(d.Principal), wal(d.Paid-min(d.Paid, d.Principal)))
		})
}

// stakeDoCommand makes a command about one stake.
func stakeDoCommand(a *app, f *ledgerFlags, do, short, long string, would, did func(*stakeDone) string) *cobra.Command {
	var ask consent
	cmd := &cobra.Command{
		Use: do + " STAKE", Short: short, Long: long + " STAKE is an ID that walfs stake list shows, or its beginning.",
		Args: arguments(1, "STAKE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.stakeDo(cmd.Context(), f, ask, stakeDoArgs{Do: do, Stake: args[0]}, would, did)
		},
	}
	ask.flags(cmd.Flags())
	return cmd
}

func (a *app) stakeDo(ctx context.Context, f *ledgerFlags, ask consent, args stakeDoArgs, would, did func(*stakeDone) string) error {
	d, err := transact(ctx, a, f, ask, opStakeDo, func(o order) any {
		args.order = o
		return args
	}, func(d stakeDone) string { return would(&d) })
	if err != nil {
		return err
	}
	return a.sent("stake", d, did(&d), would(&d))
}

func newStakeSplitCommand(a *app, f *ledgerFlags) *cobra.Command {
	var ask consent
	cmd := &cobra.Command{
		Use: "split STAKE AMOUNT", Short: "Take a part out of a stake, as a stake of its own",
		Long: "Split makes two stakes of one, of the same node and age, both of at least 1WAL: to ask for a part back.",
		Args: arguments(2, "STAKE", "AMOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			frost, err := parseWAL(args[1])
			if err != nil {
				return err
			}
			return a.stakeDo(cmd.Context(), f, ask, stakeDoArgs{Do: stakeSplit, Stake: args[0], Frost: frost},
				func(d *stakeDone) string {
					return fmt.Sprintf("take %s out of the %s staked with %s", wal(frost), wal(d.Principal), d.NodeName)
				},
				func(d *stakeDone) string { return fmt.Sprintf("%s is a stake of its own: %s", wal(frost), d.Part) })
		},
	}
	ask.flags(cmd.Flags())
	return cmd
}

func newStakeJoinCommand(a *app, f *ledgerFlags) *cobra.Command {
	var ask consent
	cmd := &cobra.Command{
		Use: "join STAKE OTHER", Short: "Put a stake into another one",
		Long: "Join puts OTHER into STAKE. Both must be with the same node, active from the same epoch on, and in the same state.",
		Args: arguments(2, "STAKE", "OTHER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.stakeDo(cmd.Context(), f, ask, stakeDoArgs{Do: stakeJoin, Stake: args[0], Other: args[1]},
				func(d *stakeDone) string { return fmt.Sprintf("put %s into %s", args[1], d.ID) },
				func(d *stakeDone) string { return fmt.Sprintf("%s is part of %s now", args[1], d.ID) })
		},
	}
	ask.flags(cmd.Flags())
	return cmd
}

// stakeDo does something with a stake that the account has.
func (acc *account) stakeDo(ctx context.Context, args stakeDoArgs) (d stakeDone, err error) {
	list, err := acc.Holdings(ctx)
	if err != nil {
		return d, err
	}
	again, err := acc.done(ctx, args.order)
	if err != nil {
		return d, err
	}
	if again != nil { // the stake may be gone by that
		d = stakeDone{Do: args.Do, holding: holding{ID: args.Stake}, receipt: receipt{Digest: again.Digest.String(), Gas: again.GasMist}}
		d.Paid, err = again.Gained()
		return d, err
	}
	s, err := findStake(list, args.Stake)
	if err != nil {
		return d, err
	}
	call, err := acc.stakeCall(ctx, list, s, args, &d)
	if err != nil {
		return d, err
	}
	d.Do, d.holding = args.Do, holdingOf(s)
	d.receipt, err = acc.send(ctx, args.order, call)
	return d, stakeRefused(err)
}

// stakeCall checks whether something can be done with a stake now, and returns what does it.
func (acc *account) stakeCall(ctx context.Context, list []sui.Holding, s *sui.Holding, args stakeDoArgs, d *stakeDone) (func(*sui.Client, chain.TxID) (*sui.Result, error), error) {
	switch args.Do {
	case stakeRequest:
		if s.Withdrawing {
			return nil, ui.Errorf(ui.Chain, "stake %s was asked for already", s.ID).WithHint("%s", whenFree(s))
		}
		if s.Early || s.Idle {
			return nil, ui.Errorf(ui.Chain, "stake %s needs no request", s.ID).WithHint("walfs stake withdraw %s pays it now", s.ID)
		}
		if s.ActivationEpoch > s.Epoch+1 {
			return nil, ui.Errorf(ui.Chain, "stake %s is not active before epoch %d", s.ID, s.ActivationEpoch).WithHint("ask for it in epoch %d", s.Epoch+1)
		}
		return func(c *sui.Client, tx chain.TxID) (*sui.Result, error) { return c.RequestWithdraw(ctx, tx, s.ID) }, nil
	case stakeWithdraw:
		if !s.Withdrawing && !s.Early && !s.Idle {
			return nil, ui.Errorf(ui.Chain, "stake %s is at work with %s", s.ID, s.NodeName).
				WithHint("walfs stake request-withdraw %s asks for it: it can be withdrawn from epoch %d on then; it is epoch %d", s.ID, s.Free, s.Epoch)
		}
		if s.Free > s.Epoch {
			return nil, ui.Errorf(ui.Chain, "stake %s can be withdrawn from epoch %d on; it is epoch %d", s.ID, s.Free, s.Epoch).WithHint("%s", whenFree(s))
		}
		return func(c *sui.Client, tx chain.TxID) (*sui.Result, error) {
			r, err := c.Withdraw(ctx, tx, s.ID)
			if err == nil {
				d.Paid, err = r.Gained()
			}
			return r, err
		}, nil
	case stakeSplit:
		if args.Frost < minStake || s.Principal < minStake+args.Frost {
			return nil, usagef("%s of %s: both parts must be at least %s", wal(args.Frost), wal(s.Principal), wal(minStake))
		}
		return func(c *sui.Client, tx chain.TxID) (*sui.Result, error) {
			r, err := c.SplitStake(ctx, tx, s.ID, args.Frost)
			if err != nil {
				return nil, err
			}
			id, err := c.Receipt(ctx, r)
			d.Part = id.String()
			return r, err
		}, nil
	case stakeJoin:
		o, err := findStake(list, args.Other)
		if err != nil {
			return nil, err
		}
		if o.ID == s.ID || o.Node != s.Node || o.ActivationEpoch != s.ActivationEpoch || o.Withdrawing != s.Withdrawing || o.WithdrawEpoch != s.WithdrawEpoch {
			return nil, ui.Errorf(ui.Chain, "the stakes do not fit together").
				WithHint("two of them can be joined that are with the same node, active from the same epoch on, and in the same state")
		}
		return func(c *sui.Client, tx chain.TxID) (*sui.Result, error) { return c.JoinStake(ctx, tx, s.ID, o.ID) }, nil
	}
	return nil, usagef("nothing called %q is done with stakes", args.Do)
}

// whenFree says how a stake that was asked for is had.
func whenFree(s *sui.Holding) string {
	if s.Free <= s.Epoch {
		return fmt.Sprintf("walfs stake withdraw %s pays it now", s.ID)
	}
	return fmt.Sprintf("walfs stake withdraw %s pays it from epoch %d on; on a localnet, walfs localnet advance-epoch ends an epoch", s.ID, s.Free)
}

// findStake finds one of the account's stakes by its ID, or the only beginning of it.
func findStake(list []sui.Holding, id string) (*sui.Holding, error) {
	var near []string
	at := slices.IndexFunc(list, func(s sui.Holding) bool { return s.ID.String() == id })
	for i := range list {
		if at < 0 && len(id) > len("0x") && strings.HasPrefix(list[i].ID.String(), id) {
			near = append(near, list[i].ID.String())
		}
	}
	if at < 0 && len(near) == 1 {
		at = slices.IndexFunc(list, func(s sui.Holding) bool { return s.ID.String() == near[0] })
	}
	switch {
	case at >= 0:
		return &list[at], nil
	case len(near) > 1:
		return nil, usagef("several stakes begin with %q", id).WithHint("%s", strings.Join(near, ", "))
	}
	return nil, ui.Errorf(ui.Failed, "the wallet has no stake %q", id).WithHint("walfs stake list shows those that it has")
}

// stakeRefused gives the contracts' reasons, which the account looks for before, in words.
func stakeRefused(err error) error {
	var abort *chain.AbortError
	if !errors.As(err, &abort) || abort.Module != "staking_pool" && abort.Module != "staked_wal" {
		return err
	}
	return ui.Errorf(ui.Chain, "%w", err).WithHint("the epoch may have changed meanwhile: walfs stake list shows how the stake is now")
}

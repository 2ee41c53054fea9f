package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
	"github.com/walfs/walfs/chain/sui"
)

// historyArgs is the question of opHistory.
type historyArgs struct {
	Most        int    `json:"most"`
	Checkpoints uint64 `json:"checkpoints"`
}

// history is the answer.
type history struct {
	Past     []pastTransaction `json:"transactions"`
	Complete bool              `json:"complete"`
}

// pastTransaction is a line of walfs wallet history.
type pastTransaction struct {
	Digest     string         `json:"digest"`
	Time       string         `json:"time"` // RFC 3339
	Kind       string         `json:"kind"`
	Sender     string         `json:"sender"`
	Checkpoint uint64         `json:"checkpoint,omitempty"` // 0: in none
	Gas        int64          `json:"gas_mist,string"`      // that the wallet paid
	Journalled bool           `json:"journalled"`
	Open       bool           `json:"open,omitempty"` // signed, and not on the ledger
	Failed     string         `json:"failed,omitempty"`
	Changes    []amountChange `json:"balance_changes"`
}

// amountChange is by how much coins of the wallet rose or fell.
type amountChange struct {
	Type   string `json:"coin_type"`
	Coin   coin   `json:"coin,omitempty"` // WAL or SUI; else only the type says
	Amount string `json:"amount"`         // in the smallest unit, with its sign
}

// How far walfs wallet history looks unless it is told.
const (
	historyLines = 20
	// historyLocal is how many checkpoints of a localnet, which has one for each transaction.
	historyLocal = 2000
)

func newHistoryCommand(a *app, f *ledgerFlags) *cobra.Command {
	args := historyArgs{Most: historyLines, Checkpoints: historyLocal}
	cmd := &cobra.Command{
		Use: "history", Short: "List what a wallet sent and got, newest first",
		Long: "History lists transactions that the wallet sent, or that paid it: those in its journal, those in the newest\n" +
			"checkpoints, and those that its coins come from. Full nodes cannot be asked for the transactions of an address,\n" +
			"so that on a public network others are not found; there --checkpoints is 0 unless it is given.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if args.Most < 1 {
				return usagef("--limit %d: at least 1", args.Most)
			}
			if _, public := sui.PublicProfile(f.profile); public && !cmd.Flags().Changed("checkpoints") {
				args.Checkpoints = 0
			}
			var h history
			if err := a.onLedger(cmd.Context(), f, opHistory, args, &h); err != nil {
				return err
			}
			return a.showHistory(h)
		},
	}
	cmd.Flags().IntVar(&args.Most, "limit", args.Most, "show the newest `N`")
	cmd.Flags().Uint64Var(&args.Checkpoints, "checkpoints", args.Checkpoints, "look through the newest `N` checkpoints")
	return cmd
}

func (a *app) showHistory(h history) error {
	if a.JSON() {
		for _, p := range h.Past {
			if err := a.Emit("transaction", p); err != nil {
				return err
			}
		}
		return nil
	}
	t := a.Table("TIME", "KIND", "WAL", "SUI", "TRANSACTION", "")
	for _, p := range h.Past {
		state := ""
		switch {
		case p.Failed != "":
			state = "failed: " + p.Failed
		case p.Open:
			state = "signed, not on the ledger"
		}
		t.Row(p.Time, p.Kind, p.change(coinWAL), p.change(coinSUI), p.Digest, state)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if !h.Complete {
		a.Note("there may be others: --limit and --checkpoints look further")
	}
	return nil
}

// change writes by how much one currency changed.
func (p *pastTransaction) change(c coin) string {
	for _, v := range p.Changes {
		if v.Coin != c {
			continue
		}
		digits, minus := strings.CutPrefix(v.Amount, "-")
		n, err := parseDecimal(digits, 0)
		if err != nil {
			return v.Amount // more than there can be
		}
		text := strings.TrimSuffix(formatAmount(n, c), " "+string(c))
		if minus {
			return "-" + text
		}
		return "+" + text
	}
	return ""
}

func (acc *account) history(ctx context.Context, args historyArgs) (h history, err error) {
	found, err := acc.History(ctx, sui.HistoryQuery{Most: args.Most, Checkpoints: args.Checkpoints})
	if err != nil {
		return h, err
	}
	real, err := acc.WALType(ctx)
	if err != nil {
		return h, err
	}
	h.Complete = found.Complete
	for i := range found.Past {
		p := &found.Past[i]
		line := pastTransaction{Digest: p.Digest.String(), Time: p.Time.UTC().Format(time.RFC3339), Sender: p.Sender.String(),
			Checkpoint: p.Checkpoint, Journalled: p.Journalled, Open: p.Open, Failed: p.Failed, Changes: []amountChange{}}
		mine := chain.Address(p.Sender) == acc.Address()
		if mine {
			line.Gas = p.GasMist
		}
		line.Kind = kindOfCalls(p.Calls, mine)
		for _, c := range p.Changes {
			line.Changes = append(line.Changes, amountChange{Type: c.Currency.String(), Coin: coinOf(c.Currency, real), Amount: c.Amount.String()})
		}
		h.Past = append(h.Past, line)
	}
	return h, nil
}

// coinOf names the two currencies that amounts are written in. Anybody can make another coin that calls itself WAL.
func coinOf(tag, real move.StructTag) coin {
	switch {
	case tag.Equal(move.SUI):
		return coinSUI
	case tag.Equal(real):
		return coinWAL
	}
	return ""
}

// callKinds are what calls are for, in a word. Calls that go with others have none.
var callKinds = map[string]string{
	"system::reserve_space":                "",
	"system::register_blob":                "register",
	"system::certify_blob":                 "certify",
	"system::extend_blob":                  "extend",
	"system::extend_blob_with_resource":    "extend",
	"system::delete_blob":                  "delete",
	"blob::insert_or_update_metadata_pair": "attributes",
	"blob::remove_metadata_pair":           "attributes",
	"blob::burn":                           "burn",
	"storage_resource::split_by_size":      "split-storage",
	"storage_resource::split_by_epoch":     "split-storage",
	"storage_resource::fuse":               "fuse-storage",
	"staking::stake_with_pool":             "stake",
	"staking::request_withdraw_stake":      "request-withdraw",
	"staking::withdraw_stake":              "withdraw",
	"staked_wal::split":                    "split-stake",
	"staked_wal::join":                     "join-stakes",
	"staking::set_storage_price_vote":      "vote",
	"staking::set_write_price_vote":        "vote",
	"staking::set_node_capacity_vote":      "vote",
	"staking::update_prices":               "",
	"slashing::vote_for_slashing":          "vote-slash",
	"slashing::execute_slashing":           "slash",
	"upgrade::vote_for_upgrade":            "vote-upgrade",
	"auth::authenticate_sender":            "",
	"auth::authenticate_with_object":       "",
	"wal_exchange::exchange_all_for_wal":   "exchange",
	"staking::collect_commission":          "collect-commission",
	"staking::initiate_epoch_change_v2":    "epoch",
	"staking::voting_end":                  "epoch",
	"staking::epoch_sync_done":             "epoch",
	"coin::destroy_zero":                   "",
	"metadata::new":                        "",
	"blob::add_metadata":                   "attributes",
	"staking::set_governance_authorized":   "authorize",
	"auth::authorized_address":             "",
}

// kindOfCalls says what a transaction was for, by its calls.
func kindOfCalls(calls []string, mine bool) string {
	var kinds []string
	for _, call := range calls {
		if !strings.Contains(call, "::") {
			continue
		}
		kind, known := callKinds[call]
		if !known {
			kind = call
		}
		if kind != "" && !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	switch {
	case len(kinds) > 0:
		return strings.Join(kinds, "+")
	case calls == nil:
		return "unknown"
	case mine:
		return "send"
	}
	return "receive"
}

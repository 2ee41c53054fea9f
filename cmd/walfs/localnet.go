package main

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/index"
)

// advanceArgs is the question of opAdvance.
type advanceArgs struct {
	Expire bool `json:"expire,omitempty"` // go on although storage ends
}

// ledgerTime is the answer of opAdvance.
type ledgerTime struct {
	Epoch      walrus.Epoch `json:"epoch"`
	NearestEnd walrus.Epoch `json:"nearest_end_epoch"` // 0: nothing is paid for yet
	Renewed    int          `json:"renewed_blobs"`
	Frost      uint64       `json:"paid_frost"`
}

// funded is the answer of opFaucet.
type funded struct {
	Wallet  string `json:"wallet"`
	Balance uint64 `json:"wal_balance_frost"`
}

func newLocalnetCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "localnet", Short: "Drills on the ledger of an embedded drive: let epochs pass, get play money",
		Args: arguments(0), RunE: needSubcommand,
	}
	cmd.AddCommand(newAdvanceCommand(a), &cobra.Command{
		Use: "faucet", Short: "Pay play money into the drive's wallet", Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var f funded
			if err := a.ask(cmd.Context(), opFaucet, nothing{}, &f); err != nil {
				return err
			}
			return a.result("wallet", f, func() error { return a.Print("%s has %s", f.Wallet, wal(f.Balance)) })
		},
	})
	return cmd
}

func newAdvanceCommand(a *app) *cobra.Command {
	var args advanceArgs
	count := 1
	cmd := &cobra.Command{
		Use: "advance-epoch", Short: "End the epoch now, and renew what is due",
		Long: "Advance-epoch moves the ledger's clock to the end of the epoch. Before an epoch in which\n" +
			"storage would end that could not be renewed it stops, unless --expire is given: the nodes\n" +
			"then delete it, and what only they have is lost for good.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if count < 1 {
				return usagef("--count %d: at least 1", count)
			}
			for range count {
				var t ledgerTime
				if err := a.ask(cmd.Context(), opAdvance, args, &t); err != nil {
					return err
				}
				if err := a.result("epoch", t, func() error { return a.Print("epoch %d, %d blobs renewed for %s", t.Epoch, t.Renewed, wal(t.Frost)) }); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&count, "count", count, "end `N` epochs, one after the other")
	cmd.Flags().BoolVar(&args.Expire, "expire", false, "let storage end that is not renewed: its data is lost")
	return cmd
}

func (d *drive) answerAdvance(ctx context.Context, args advanceArgs, _ func(any) error) (t ledgerTime, err error) {
	renewing := d.renewer.Renew(ctx)
	if t, err = d.ledgerTime(ctx); err != nil {
		return t, err
	}
	ending, err := d.endsWith(ctx, t.Epoch)
	if err != nil {
		return t, err
	}
	if ending && !args.Expire {
		return t, ui.Errorf(ui.Chain, "storage of some data ends with epoch %d: %w", t.Epoch, cannotRenew(renewing)).
			WithHint("%s", "--expire goes on, and loses that data")
	}
	if err := d.net.AdvanceEpoch(ctx); err != nil {
		return t, err
	}
	d.net.Sync(ctx)
	if err := d.renewer.Renew(ctx); err != nil {
		d.log.Warn("storage is not renewed", "op", "renew", "err", err)
	}
	return d.ledgerTime(ctx)
}

// endsWith reports whether storage of some segments ends with an epoch.
func (d *drive) endsWith(ctx context.Context, epoch walrus.Epoch) (bool, error) {
	rows, err := d.index.Segments(ctx, index.SegmentFilter{EndBy: epoch + 1})
	return slices.ContainsFunc(rows, func(s index.SegmentRow) bool { return s.EndEpoch == epoch+1 }), err
}

// cannotRenew says why storage is not renewed.
func cannotRenew(err error) error {
	if err == nil {
		return errors.New("it is not renewed")
	}
	return err
}

func (d *drive) ledgerTime(ctx context.Context) (t ledgerTime, err error) {
	state, err := d.ledger.State(ctx)
	if err != nil {
		return t, err
	}
	paid, err := d.index.Stored(ctx)
	found := d.renewer.Found()
	return ledgerTime{Epoch: state.Epoch, NearestEnd: paid.NearestEnd, Renewed: found.Renewed, Frost: found.Frost}, err
}

func (d *drive) answerFaucet(ctx context.Context, _ nothing, _ func(any) error) (f funded, err error) {
	var tx chain.TxID
	_, _ = rand.Read(tx[:]) // never fails, by its documentation
	if err := d.net.Faucet(ctx, tx, d.keys.wallet.Address()); err != nil {
		return f, err
	}
	balance, err := d.ledger.Balance(ctx)
	return funded{Wallet: d.keys.wallet.Address().String(), Balance: balance.WALFrost}, err
}

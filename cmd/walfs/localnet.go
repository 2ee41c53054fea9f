package main

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
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

// mistPerSUI is the number of MIST in one SUI. Source: Sui, module sui.
const mistPerSUI = 1_000_000_000

// funded is the answer of opFaucet.
type funded struct {
	Wallet  string `json:"wallet"`
	Balance uint64 `json:"wal_balance_frost"`
}

func newLocalnetCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "localnet", Short: "A ledger to try things on: serve one, let epochs pass, get play money",
		Args: arguments(0), RunE: needSubcommand,
	}
	cmd.AddCommand(newServeCommand(a), newAdvanceCommand(a), newFaucetCommand(a))
	return cmd
}

// What the faucet of a served localnet pays by default, in WAL and SUI.
const (
	defaultFaucetWAL = 1000
	defaultFaucetSUI = 10
)

func newFaucetCommand(a *app) *cobra.Command {
	var url string
	var walCoins, suiCoins uint64
	cmd := &cobra.Command{
		Use: "faucet [ADDRESS]", Short: "Pay play money into the drive's wallet, or to an address of a served localnet",
		Long: "Faucet pays play money into the wallet of the embedded drive. With ADDRESS it asks a running\n" +
			"walfs localnet serve to pay that address.",
		Args: arguments(0, "ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.askFaucet(cmd.Context(), url, args[0], walCoins, suiCoins)
			}
			for _, name := range []string{"rpc", "wal", "sui"} {
				if cmd.Flags().Changed(name) {
					return usagef("--%s goes with an ADDRESS", name)
				}
			}
			var f funded
			if err := a.ask(cmd.Context(), opFaucet, nothing{}, &f); err != nil {
				return err
			}
			return a.result("wallet", f, func() error { return a.Print("%s has %s", f.Wallet, wal(f.Balance)) })
		},
	}
	rpcFlag(cmd, &url, "http://"+defaultRPC)
	cmd.Flags().Uint64Var(&walCoins, "wal", defaultFaucetWAL, "pay `N` WAL")
	cmd.Flags().Uint64Var(&suiCoins, "sui", defaultFaucetSUI, "pay `N` SUI")
	return cmd
}

// rpcFlag adds the flag that names a served localnet.
func rpcFlag(cmd *cobra.Command, url *string, byDefault string) {
	cmd.Flags().StringVar(url, "rpc", byDefault, "`URL` of a running walfs localnet serve")
}

// askFaucet lets a served localnet pay an address.
func (a *app) askFaucet(ctx context.Context, url, address string, walCoins, suiCoins uint64) error {
	if walCoins > math.MaxUint64/chain.FrostPerWAL || suiCoins > math.MaxUint64/mistPerSUI {
		return usagef("there is not so much money")
	}
	order := faucetOrder{address, walCoins * chain.FrostPerWAL, suiCoins * mistPerSUI}
	if err := callLocalnet(ctx, url, routeFaucet, order, &order); err != nil {
		return err
	}
	return a.result("faucet", order, func() error { return a.Print("%s got %s and %d SUI", order.Address, wal(order.Frost), suiCoins) })
}

func newAdvanceCommand(a *app) *cobra.Command {
	var args advanceArgs
	var url string
	count := 1
	cmd := &cobra.Command{
		Use: "advance-epoch", Short: "End the epoch now, and renew what is due",
		Long: "Advance-epoch moves the ledger's clock to the end of the epoch. Before an epoch in which\n" +
			"storage would end that could not be renewed it stops, unless --expire is given: the nodes\n" +
			"then delete it, and what only they have is lost for good.\n\n" +
			"With --rpc it ends the epoch of a running walfs localnet serve, at once.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if count < 1 {
				return usagef("--count %d: at least 1", count)
			}
			for range count {
				if url != "" {
					if err := a.advanceServed(cmd.Context(), url); err != nil {
						return err
					}
					continue
				}
				var t ledgerTime
				if err := a.ask(cmd.Context(), opAdvance, args, &t); err != nil {
					return err
				}
				if err := a.result("epoch", t, func() error {
					return a.Print("epoch %d, %s renewed for %s", t.Epoch, ui.Plural(t.Renewed, "blob", "blobs"), wal(t.Frost))
				}); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&count, "count", count, "end `N` epochs, one after the other")
	cmd.Flags().BoolVar(&args.Expire, "expire", false, "let storage end that is not renewed: its data is lost")
	rpcFlag(cmd, &url, "")
	return cmd
}

// advanceServed ends the epoch of a served localnet.
func (a *app) advanceServed(ctx context.Context, url string) error {
	var ended endedEpoch
	if err := callLocalnet(ctx, url, routeAdvance, nothing{}, &ended); err != nil {
		return err
	}
	return a.result("epoch", ended, func() error { return a.Print("epoch %d", ended.Epoch) })
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

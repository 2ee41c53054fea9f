package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newWalletCommand(a *app) *cobra.Command {
	var f ledgerFlags
	cmd := &cobra.Command{
		Use: "wallet", Short: "The key that pays: its address, its money, what it sent; and other wallets",
		Long: "A wallet is a key on the ledger. That of the drive lies in wallet.age in the state folder, pays for\n" +
			"storage, and is meant without --wallet; walfs key copies it. A secret never stands in an argument,\n" +
			"and is printed by wallet export --show-secret alone.",
		Args: arguments(0), RunE: needSubcommand,
	}
	f.add(cmd)
	cmd.AddCommand(newWalletNewCommand(a), newWalletImportCommand(a), newWalletListCommand(a), newWalletExportCommand(a, &f),
		newAddressCommand(a, &f), newBalanceCommand(a, &f), newSendCommand(a, &f), newExchangeCommand(a, &f), newHistoryCommand(a, &f))
	return cmd
}

// addressed is what walfs wallet address prints.
type addressed struct {
	Address string `json:"address"`
}

func newAddressCommand(a *app, f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "address", Short: "Show the address of a wallet",
		Long: "Address shows where others pay to. It opens the wallet, and asks no ledger.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			w, err := a.openWallet(cmd.Context(), f)
			if err != nil {
				return err
			}
			v := addressed{w.Address().String()}
			return a.result("address", v, func() error { return a.Print("%s", v.Address) })
		},
	}
}

// funds is what walfs wallet balance prints. Coins are what can be spent at once.
type funds struct {
	Address  string `json:"address"`
	WAL      uint64 `json:"wal_frost,string"`
	SUI      uint64 `json:"sui_mist,string"`
	WALAside uint64 `json:"wal_aside_frost,string"` // in an address balance, beside the coins
	SUIAside uint64 `json:"sui_aside_mist,string"`
}

func newBalanceCommand(a *app, f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "balance", Short: "Show the money of a wallet",
		Long: "Balance shows WAL, which storage costs, and SUI, which gas costs. Aside is what the ledger keeps for the\n" +
			"address beside its coins: it cannot be spent before a wallet of Sui's has made coins of it.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var b funds
			if err := a.onLedger(cmd.Context(), f, opBalance, nothing{}, &b); err != nil {
				return err
			}
			return a.result("balance", b, func() error { return a.showBalance(b) })
		},
	}
}

func (a *app) showBalance(b funds) error {
	t := a.Table("COIN", "AMOUNT", "ASIDE")
	for _, row := range []struct {
		coin        coin
		coins, more uint64
	}{{coinWAL, b.WAL, b.WALAside}, {coinSUI, b.SUI, b.SUIAside}} {
		aside := ""
		if row.more > 0 {
			aside = formatAmount(row.more, row.coin)
		}
		t.Row(row.coin, formatAmount(row.coins, row.coin), aside)
	}
	return t.Flush()
}

func (acc *account) balance(ctx context.Context, _ nothing) (funds, error) {
	f, err := acc.Funds(ctx)
	return funds{Address: acc.Address().String(), WAL: f.WALCoins, SUI: f.SUICoins, WALAside: f.WALAside, SUIAside: f.SUIAside}, err
}

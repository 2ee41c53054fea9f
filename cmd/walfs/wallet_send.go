package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/sui"
)

// sendArgs is the question of opSend.
type sendArgs struct {
	order
	To     string `json:"to"`
	Amount uint64 `json:"amount,string"` // FROST or MIST
	Coin   coin   `json:"coin"`
}

// sending is the answer.
type sending struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Amount uint64 `json:"amount,string"`
	Coin   coin   `json:"coin"`
	receipt
}

func newSendCommand(a *app, f *ledgerFlags) *cobra.Command {
	var ask consent
	cmd := &cobra.Command{
		Use: "send ADDRESS AMOUNT", Short: "Pay WAL or SUI to an address",
		Long: "Send pays AMOUNT, as 1.5WAL, 20FROST, 2SUI or 20MIST, to an address of 0x and 64 digits. It tries the payment\n" +
			"out and asks before it sends. What was paid cannot be had back.",
		Args: arguments(2, "ADDRESS", "AMOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := parseWholeAddress(args[0])
			if err != nil {
				return err
			}
			amount, kind, err := parseAmount(args[1])
			if err != nil {
				return err
			}
			what := fmt.Sprintf("%s to %s", formatAmount(amount, kind), to)
			s, err := transact(cmd.Context(), a, f, ask, opSend, func(o order) any { return sendArgs{o, to.String(), amount, kind} },
				func(s sending) string { return fmt.Sprintf("send %s from %s", what, s.From) })
			if err != nil {
				return err
			}
			return a.sent("send", s, "sent "+what, "send "+what)
		},
	}
	ask.flags(cmd.Flags())
	return cmd
}

// parseWholeAddress reads an address with all its digits: one that lost some is somebody else's.
func parseWholeAddress(text string) (to chain.Address, err error) {
	digits, ok := strings.CutPrefix(text, "0x")
	raw, err := hex.DecodeString(digits)
	if !ok || err != nil || len(raw) != len(to) {
		return to, usagef("address %q: want 0x and %d hex digits", text, 2*len(to))
	}
	return chain.Address(raw), nil
}

func (acc *account) pay(ctx context.Context, args sendArgs) (s sending, err error) {
	to, err := parseWholeAddress(args.To)
	if err != nil {
		return s, err
	}
	s = sending{From: acc.Address().String(), To: args.To, Amount: args.Amount, Coin: args.Coin}
	switch args.Coin {
	case coinWAL:
		s.receipt, err = acc.send(ctx, args.order, func(c *sui.Client, tx chain.TxID) (*sui.Result, error) {
			return c.SendWAL(ctx, tx, to, args.Amount)
		})
	case coinSUI:
		own := *acc
		own.gassed = ungassed // what is paid is not made for it
		s.receipt, err = own.send(ctx, args.order, func(c *sui.Client, tx chain.TxID) (*sui.Result, error) {
			return c.SendSUI(ctx, tx, to, args.Amount)
		})
	default:
		err = usagef("coin %q: want WAL or SUI", args.Coin)
	}
	return s, err
}

// exchangeArgs is the question of opExchange.
type exchangeArgs struct {
	order
	Mist uint64 `json:"sui_mist,string"`
}

// exchanged is the answer.
type exchanged struct {
	Mist uint64 `json:"sui_mist,string"`
	WAL  uint64 `json:"wal_frost,string"` // that came; 0 in a dry run
	receipt
}

func newExchangeCommand(a *app, f *ledgerFlags) *cobra.Command {
	var ask consent
	cmd := &cobra.Command{
		Use: "exchange AMOUNT", Short: "Change SUI into WAL, on networks that have an exchange",
		Long: "Exchange gives SUI for WAL at the rate of the network's exchange. Testnet and localnets have one, mainnet has not.",
		Args: arguments(1, "AMOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			mist, kind, err := parseAmount(args[0])
			if err == nil && kind != coinSUI {
				err = usagef("amount %q: want SUI or MIST", args[0])
			}
			if err != nil {
				return err
			}
			x, err := transact(cmd.Context(), a, f, ask, opExchange, func(o order) any { return exchangeArgs{o, mist} },
				func(exchanged) string { return "give " + suis(mist) + " for WAL" })
			if err != nil {
				return err
			}
			return a.sent("exchange", x, fmt.Sprintf("%s became %s", suis(mist), wal(x.WAL)), "give "+suis(mist)+" for WAL")
		},
	}
	ask.flags(cmd.Flags())
	return cmd
}

func (acc *account) exchange(ctx context.Context, args exchangeArgs) (x exchanged, err error) {
	x.Mist = args.Mist
	own := *acc
	own.gassed = ungassed
	x.receipt, err = own.send(ctx, args.order, func(c *sui.Client, tx chain.TxID) (*sui.Result, error) {
		r, err := c.Exchange(ctx, tx, args.Mist)
		if err == nil {
			x.WAL, err = r.Gained()
		}
		return r, err
	})
	return x, err
}

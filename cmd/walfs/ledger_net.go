package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// openAccount opens the account of a wallet on a ledger that is not the drive's own.
func (a *app) openAccount(ctx context.Context, f *ledgerFlags) (*account, error) {
	h, err := a.home()
	if err != nil {
		return nil, err
	}
	p, err := a.ledgerProfile(ctx, f)
	if err != nil {
		return nil, err
	}
	w, err := a.openWallet(ctx, f)
	if err != nil {
		return nil, err
	}
	return a.accountOn(ctx, h, p, w)
}

// accountOn opens the account of a wallet on the ledger of a profile.
func (a *app) accountOn(ctx context.Context, h home, p sui.Profile, w *sui.Wallet) (*account, error) {
	network := p.Name
	if p.Chain != "" {
		network = p.Chain
	}
	journal, err := sui.OpenJournal(h.journalOf(network, w))
	if err != nil {
		return nil, err
	}
	client, err := sui.New(ctx, sui.Config{Profile: p, Wallet: w, Journal: journal, Log: a.Logger()})
	if err != nil {
		return nil, errors.Join(err, journal.Close())
	}
	return &account{
		Client: client, gassed: ungassed, faucet: faucetHint(p, w),
		other: func(ctx context.Context, w *sui.Wallet) (*account, error) { return a.accountOn(ctx, h, p, w) },
		end:   func() error { return errors.Join(client.Close(), journal.Close()) },
	}, nil
}

// faucetHint says how to get money on a network.
func faucetHint(p sui.Profile, w *sui.Wallet) string {
	switch p.Name {
	case "mainnet":
		return fmt.Sprintf("send it to %s", w.Address())
	case "testnet":
		return fmt.Sprintf("the faucet of Sui's testnet pays SUI to %s; walfs wallet exchange makes WAL of it", w.Address())
	}
	return fmt.Sprintf("walfs localnet faucet %s --rpc %s", w.Address(), "http://"+strings.TrimPrefix(p.Target, "http://"))
}

// ledgerProfile says where the ledger is that the flags name.
func (a *app) ledgerProfile(ctx context.Context, f *ledgerFlags) (p sui.Profile, err error) {
	known := false
	switch {
	case f.profile == "" || f.profile == "localnet":
		url := f.rpc
		if url == "" {
			url = "http://" + defaultRPC
		}
		return askProfile(ctx, url)
	default:
		if p, known = sui.PublicProfile(f.profile); !known {
			if p, err = sui.LoadProfile(f.profile); err != nil {
				return p, profileError(err)
			}
		}
	}
	if f.rpc != "" {
		p, err = p.At(f.rpc)
	}
	return p, err
}

// profileError says what --profile takes.
func profileError(err error) error {
	if errors.Is(err, sui.ErrProfile) {
		return err
	}
	return ui.Errorf(ui.Usage, "--profile: %w", err).WithHint("want localnet, testnet, mainnet, or a file as walfs localnet serve prints it")
}

// askProfile asks a served localnet what to know of it.
func askProfile(ctx context.Context, url string) (p sui.Profile, err error) {
	var served json.RawMessage
	if err := callLocalnet(ctx, url, routeProfile, nothing{}, &served); err != nil {
		return p, err
	}
	return sui.ParseProfile(served)
}

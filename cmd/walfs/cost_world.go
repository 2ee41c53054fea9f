package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/commit"
)

// The worlds that --world names.
const (
	worldEmbedded = "embedded"
	worldLocalnet = "localnet"
	worldTestnet  = "testnet"
	worldMainnet  = "mainnet"
)

// publicEpochs is how many epochs are bought ahead on the public networks.
const publicEpochs = 4

// priceWithin is how long a ledger that is away is waited for.
const priceWithin = 10 * time.Second

// prices is the answer of opPrices: what a ledger asks for now, in FROST per MiB of encoded size.
type prices struct {
	World     string       `json:"world"`
	Drive     bool         `json:"drive"`           // they are those of the drive that is here
	Date      string       `json:"as_of,omitempty"` // month and year, as the ledger could not be asked
	Away      string       `json:"away,omitempty"`  // why not
	Epoch     walrus.Epoch `json:"epoch"`
	Shards    int          `json:"shards"`
	Plain     bool         `json:"plain"`
	Storage   uint64       `json:"storage_price_frost"` // and epoch
	Write     uint64       `json:"write_price_frost"`
	Gas       uint64       `json:"gas_price_mist"`    // per unit of gas
	Deposit   uint64       `json:"blob_deposit_mist"` // for a blob object, as long as there is one
	Epochs    uint32       `json:"epochs"`            // that walfs buys ahead
	MaxEpochs uint32       `json:"max_epochs"`
}

// pricesOf tells the prices of a world: the drive's that is here, unless the flags name another.
func (a *app) pricesOf(ctx context.Context, world string, f *ledgerFlags) (prices, error) {
	public := world == worldTestnet || world == worldMainnet
	switch {
	case world == "" && f.away():
		world = f.profile
	case world != "" && world != worldEmbedded && world != worldLocalnet && !public:
		return prices{}, usagef("--world %s: want %s, %s, %s or %s", world, worldEmbedded, worldLocalnet, worldTestnet, worldMainnet)
	case world == worldEmbedded && f.away(), world != "" && f.profile != "":
		return prices{}, usagef("--world %s names one ledger, --rpc or --profile another", world)
	}
	if world == worldEmbedded || world == "" && !f.away() {
		return a.embeddedPrices(ctx)
	}
	at := *f
	at.profile = world
	profile, err := a.ledgerProfile(ctx, &at)
	if err != nil {
		return prices{}, err
	}
	p, err := a.askPrices(ctx, profile)
	known := profile.Known
	if err == nil || known.Date == "" || ctx.Err() != nil {
		return p, err
	}
	return prices{World: profile.Name, Date: known.Date, Away: err.Error(), Shards: known.Shards, Storage: known.Storage, Write: known.Write,
		Gas: known.Gas, Deposit: sui.BlobDeposit, Epochs: publicEpochs, MaxEpochs: known.MaxEpochs}, nil
}

// embeddedPrices asks the drive's ledger, or tells the prices of a drive that does not exist yet.
func (a *app) embeddedPrices(ctx context.Context) (prices, error) {
	h, err := a.home()
	if err != nil {
		return prices{}, err
	}
	if !h.exists() {
		c, err := loadConfig(h, a.getenv)
		p := prices{
			World: worldEmbedded, Shards: embedded.DefaultShards, Storage: localnet.DefaultStoragePrice, Write: localnet.DefaultWritePrice,
			Gas: localnet.GasPrice, Epochs: commit.DefaultEpochs, MaxEpochs: localnet.MaxEpochsAhead,
		}
		if c.Shards > 0 {
			p.Shards = c.Shards
		}
		return p, err
	}
	var p prices
	return p, a.ask(ctx, opPrices, nothing{}, &p)
}

func (d *drive) answerPrices(ctx context.Context, _ nothing, _ func(any) error) (prices, error) {
	p, err := readPrices(ctx, d.owner.Client)
	p.World, p.Drive, p.Plain, p.Epochs = worldEmbedded, true, d.about.Plain, min(commit.DefaultEpochs, p.MaxEpochs)
	return p, err
}

// readPrices asks a ledger.
func readPrices(ctx context.Context, c *sui.Client) (p prices, err error) {
	state, err := c.State(ctx)
	if err != nil {
		return p, err
	}
	p = prices{Epoch: state.Epoch, Shards: state.Committee.Geometry().Shards, Storage: state.StoragePrice, Write: state.WritePrice, MaxEpochs: state.MaxEpochsAhead}
	p.Gas, err = c.GasPrice(ctx)
	return p, err
}

// askPrices asks the ledger of a profile. Nobody's wallet is needed for that.
func (a *app) askPrices(ctx context.Context, profile sui.Profile) (p prices, err error) {
	ctx, cancel := context.WithTimeout(ctx, priceWithin)
	defer cancel()
	nobody, err := sui.NewWallet()
	if err != nil {
		return p, err
	}
	dir, err := os.MkdirTemp("", "walfs-prices-*")
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	journal, err := sui.OpenJournal(dir)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	client, err := sui.New(ctx, sui.Config{Profile: profile, Wallet: nobody, Journal: journal, Log: a.Logger()})
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if p, err = readPrices(ctx, client); err != nil {
		return p, ui.Errorf(ui.Chain, "ask %s at %s: %w", profile.Name, profile.Target, err)
	}
	p.World, p.Epochs = profile.Name, commit.DefaultEpochs
	if profile.Known.Date != "" { // one of the public networks, where an object costs a deposit
		p.Deposit, p.Epochs = sui.BlobDeposit, publicEpochs
	}
	p.Epochs = min(p.Epochs, p.MaxEpochs)
	return p, nil
}

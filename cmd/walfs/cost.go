package main

import (
	"context"
	"errors"
	"fmt"
	"math/bits"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/commit"
)

// prices is the answer of opPrices: what a ledger asks for now, in FROST per MiB of encoded size.
type prices struct {
	Drive     bool         `json:"drive"` // else they are those of a drive that is made now
	Epoch     walrus.Epoch `json:"epoch"`
	Shards    int          `json:"shards"`
	Plain     bool         `json:"plain"`
	Storage   uint64       `json:"storage_price_frost"` // and epoch
	Write     uint64       `json:"write_price_frost"`
	Epochs    uint32       `json:"epochs"` // that walfs buys ahead
	MaxEpochs uint32       `json:"max_epochs"`
}

// costs is what walfs cost prints.
type costs struct {
	Files   int64   `json:"files"`
	Bytes   int64   `json:"bytes"`
	Skipped int64   `json:"skipped"` // entries that are not stored, or cannot be read
	Epochs  uint32  `json:"epochs"`
	Prices  prices  `json:"prices"`
	Packed  costsOf `json:"packed"`        // as walfs stores them
	Single  costsOf `json:"blob_per_file"` // as blobs of their own
}

// costsOf is the cost of one way to store files.
type costsOf struct {
	Blobs   int64  `json:"blobs"`
	Bytes   int64  `json:"bytes"`         // of the blobs
	Encoded uint64 `json:"encoded_bytes"` // that the ledger charges for
	Storage uint64 `json:"storage_frost"`
	Write   uint64 `json:"write_frost"`
	Total   uint64 `json:"total_frost"`
}

func newCostCommand(a *app) *cobra.Command {
	var epochs uint32
	cmd := &cobra.Command{
		Use:   "cost PATH...",
		Short: "Tell what storing files would cost, before anything is paid",
		Long: "Cost counts files of this machine, and says what storing them costs at the ledger's present prices:\n" +
			"packed together, as walfs does it, and as a blob for each file. It reads no content, so that\n" +
			"what walfs would find to be zeros or stored already counts in full. Without a drive it takes the\n" +
			"prices of one that is made now. Entries that are not stored are left out, with exit code 3.",
		Args: someNames,
		RunE: func(cmd *cobra.Command, args []string) error { return a.cost(cmd.Context(), args, epochs) },
	}
	cmd.Flags().Uint32Var(&epochs, "epochs", 0, "pay for `N` epochs (default: what walfs buys ahead)")
	return cmd
}

func (a *app) cost(ctx context.Context, paths []string, epochs uint32) error {
	p, err := a.prices(ctx)
	if err != nil {
		return err
	}
	if epochs == 0 {
		epochs = p.Epochs
	}
	if epochs > p.MaxEpochs {
		return usagef("--epochs %d: storage is sold for %d epochs ahead at most", epochs, p.MaxEpochs)
	}
	g, err := walrus.NewGeometry(p.Shards)
	if err != nil {
		return err
	}
	c := costing{app: a, g: g, costs: costs{Epochs: epochs, Prices: p}}
	c.layout = commit.NewLayout(g, p.Plain, func(sealed int64) { c.blob(&c.costs.Packed, sealed) })
	if err := c.run(ctx, paths); err != nil {
		return err
	}
	if err := a.result("cost", c.costs, func() error { return a.showCosts(c.costs) }); err != nil {
		return err
	}
	if c.costs.Skipped > 0 {
		return ui.Errorf(ui.Partial, "%d entries were left out", c.costs.Skipped)
	}
	return nil
}

// prices asks the drive's ledger, or tells the prices of a drive that does not exist yet.
func (a *app) prices(ctx context.Context) (prices, error) {
	h, err := a.home()
	if err != nil {
		return prices{}, err
	}
	if !h.exists() {
		c, err := loadConfig(h, a.getenv)
		p := prices{
			Shards: embedded.DefaultShards, Storage: localnet.DefaultStoragePrice, Write: localnet.DefaultWritePrice,
			Epochs: commit.DefaultEpochs, MaxEpochs: localnet.MaxEpochsAhead,
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
	state, err := d.ledger.State(ctx)
	if err != nil {
		return prices{}, err
	}
	return prices{
		Drive: true, Epoch: state.Epoch, Shards: state.Committee.Geometry().Shards, Plain: d.about.Plain,
		Storage: state.StoragePrice, Write: state.WritePrice,
		Epochs: min(commit.DefaultEpochs, state.MaxEpochsAhead), MaxEpochs: state.MaxEpochsAhead,
	}, nil
}

// costing counts what files cost.
type costing struct {
	app    *app
	g      walrus.Geometry
	layout *commit.Layout
	costs  costs
	failed error // an impossible sum
}

// blob adds a blob of some bytes, or several where it is longer than a blob can be.
func (c *costing) blob(to *costsOf, size int64) {
	for most := c.g.MaxBlobSize(); size > most; size -= most {
		c.blob(to, most)
	}
	encoded, err := c.g.EncodedSize(size)
	if err != nil {
		c.failed = errors.Join(c.failed, err)
		return
	}
	units := chain.Units(encoded)
	to.Blobs++
	to.Bytes += size
	to.Encoded += encoded
	to.Storage = c.sum(to.Storage, units, c.costs.Prices.Storage, uint64(c.costs.Epochs))
	to.Write = c.sum(to.Write, units, c.costs.Prices.Write, 1)
	to.Total = c.sum(to.Storage, to.Write, 1, 1)
}

// sum returns to + a·b·n.
func (c *costing) sum(to, a, b, n uint64) uint64 {
	high, ab := bits.Mul64(a, b)
	over, all := bits.Mul64(ab, n)
	total, carry := bits.Add64(to, all, 0)
	if high|over|carry != 0 {
		c.failed = errors.New("the price is more WAL than there can be")
	}
	return total
}

func (a *app) showCosts(c costs) error {
	err := a.Print("%s, %s, for %d epochs", files(c.Files), ui.Size(c.Bytes), c.Epochs)
	if !c.Prices.Drive {
		err = errors.Join(err, a.Print("there is no drive yet: at the prices of an embedded one"))
	}
	table := a.Table("", "BLOBS", "ENCODED", "STORAGE", "WRITE", "TOTAL")
	for _, way := range []struct {
		name string
		costsOf
	}{{"packed by walfs", c.Packed}, {"a blob for each file", c.Single}} {
		table.Row(way.name, way.Blobs, ui.Size(int64(way.Encoded)), wal(way.Storage), wal(way.Write), wal(way.Total))
	}
	return errors.Join(err, table.Flush())
}

// frostPerWAL is how many FROST a WAL has. Source: the WAL coin, decimals 9.
const frostPerWAL = 1_000_000_000

// wal writes FROST in WAL.
func wal(frost uint64) string {
	return fmt.Sprintf("%d.%09d WAL", frost/frostPerWAL, frost%frostPerWAL)
}

package main

import (
	"context"
	"errors"
	"math/bits"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/commit"
)

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
	// Gas is for two transactions and the deposit of each blob: what is stored at the same time
	// shares transactions, and the deposit comes back.
	Gas uint64 `json:"gas_mist"`
}

func newCostCommand(a *app) *cobra.Command {
	var epochs uint32
	var world string
	var at ledgerFlags
	cmd := &cobra.Command{
		Use:   "cost PATH...",
		Short: "Tell what storing files would cost, before anything is paid",
		Long: "Cost counts files of this machine, and says what storing them costs at the ledger's present prices:\n" +
			"packed together, as walfs does it, and as a blob for each file. It reads no content, so that\n" +
			"what walfs would find to be zeros or stored already counts in full, as does free storage of the wallet\n" +
			"that would be used. Without a drive it takes the prices of one that is made now. --world, --rpc and\n" +
			"--profile ask another ledger; where a public network cannot be asked, the prices are those of a day\n" +
			"that it names. GAS is at most: what is stored together shares transactions. Entries that are not\n" +
			"stored are left out, with exit code 3.",
		Args: someNames,
		RunE: func(cmd *cobra.Command, args []string) error { return a.cost(cmd.Context(), args, epochs, world, &at) },
	}
	cmd.Flags().Uint32Var(&epochs, "epochs", 0, "pay for `N` epochs (default: what walfs buys ahead)")
	cmd.Flags().StringVar(&world, "world", "", "prices of `WORLD`: embedded, localnet, testnet or mainnet")
	cmd.Flags().StringVar(&at.rpc, "rpc", "", "ask the ledger at `URL`")
	cmd.Flags().StringVar(&at.profile, "profile", "", "ask the ledger of a `FILE` of JSON as walfs localnet serve prints it")
	return cmd
}

func (a *app) cost(ctx context.Context, paths []string, epochs uint32, world string, at *ledgerFlags) error {
	p, err := a.pricesOf(ctx, world, at)
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
		return ui.Errorf(ui.Partial, "%s left out", ui.Plural(c.costs.Skipped, "entry was", "entries were"))
	}
	return nil
}

// txPerBlob is how many transactions a blob takes: one registers it, one certifies it.
const txPerBlob = 2

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
	to.Gas = c.sum(to.Gas, txPerBlob, sui.TransactionGas(c.costs.Prices.Gas), 1)
	to.Gas = c.sum(to.Gas, c.costs.Prices.Deposit, 1, 1)
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
	err := a.Print("%s, %s, for %s", files(c.Files), ui.Size(c.Bytes), ui.Plural(int64(c.Epochs), "epoch", "epochs"))
	switch p := c.Prices; {
	case p.Drive:
	case p.World == worldEmbedded:
		err = errors.Join(err, a.Print("there is no drive yet: at the prices of an embedded one"))
	case p.Date != "":
		a.Warn("%s", p.Away)
		err = errors.Join(err, a.Print("%s cannot be asked: at its prices of %s, which may have changed", p.World, p.Date))
	default:
		err = errors.Join(err, a.Print("at the prices of %s in epoch %d", p.World, p.Epoch))
	}
	table := a.Table("", "BLOBS", "ENCODED", "STORAGE", "WRITE", "TOTAL", "GAS")
	for _, way := range []struct {
		name string
		costsOf
	}{{"packed by walfs", c.Packed}, {"a blob for each file", c.Single}} {
		table.Row(way.name, way.Blobs, ui.Size(int64(way.Encoded)), wal(way.Storage), wal(way.Write), wal(way.Total), suis(way.Gas))
	}
	return errors.Join(err, table.Flush())
}

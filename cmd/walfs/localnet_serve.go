package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/chain/localnet/rpc"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// defaultRPC is where localnet serve listens. Source: the port of a Sui full node.
const defaultRPC = "127.0.0.1:9000"

// epochManual is the --epoch that ends with advance-epoch only.
const epochManual = "manual"

// serveOptions are the flags of localnet serve.
type serveOptions struct {
	listen   string
	anywhere bool
	cors     bool
	dir      string
	nodes    int
	shards   int
	epoch    string
}

// servedNet is what localnet serve prints when it is ready.
type servedNet struct {
	RPC      string       `json:"rpc_url"`
	ChainID  string       `json:"chain_id"`
	System   string       `json:"system_object"`
	Staking  string       `json:"staking_object"`
	Exchange string       `json:"exchange_object,omitempty"`
	Package  string       `json:"walrus_package"`
	WAL      string       `json:"wal_type"`
	Nodes    []servedNode `json:"nodes"`
	Dir      string       `json:"dir"`
	Treasury string       `json:"treasury_object"`
	Slashing string       `json:"slashing_object"`
	Upgrades string       `json:"upgrade_object"`
}

// servedNode is a storage node of a served localnet.
type servedNode struct {
	Name      string `json:"name"`
	ID        string `json:"node_id"`
	URL       string `json:"url"`
	PublicKey string `json:"public_key"` // BLS12-381, compressed, in hex
	Shards    int    `json:"shards"`
}

func newServeCommand(a *app) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve a ledger and storage nodes to other programs, such as the official Walrus clients",
		Long: "Serve runs a ledger that speaks Sui's gRPC and gRPC-web (sui.rpc.v2) and storage nodes that speak\n" +
			"Walrus's HTTP, and prints one line of JSON when both answer. It ends with Ctrl-C or SIGTERM.\n\n" +
			"It is a model: the rules of the Walrus contracts as Go functions. There is no Move VM and nobody's own\n" +
			"packages, no consensus and no validators, and its WAL and SUI are play money. It asks nobody who he is and\n" +
			"has no TLS, so it listens on loopback only; --anywhere lets other machines reach it.\n\n" +
			"  walfs localnet serve --nodes 4 --shards 10 --epoch manual\n" +
			"  walfs localnet faucet 0x5be1… --wal 100 --sui 10\n" +
			"  walfs localnet advance-epoch --rpc http://" + defaultRPC,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serveLocalnet(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.listen, "listen", defaultRPC, "`ADDRESS:PORT` of the ledger; port 0 takes a free one")
	flags.BoolVar(&o.anywhere, "anywhere", false, "allow an address that other machines can reach")
	flags.BoolVar(&o.cors, "cors", false, "let the pages of any site call ledger and nodes from a browser")
	flags.StringVar(&o.dir, "dir", "", "keep the state in `DIR` (default: a temporary folder that goes with the process)")
	flags.IntVar(&o.nodes, "nodes", 0, fmt.Sprintf("make `K` storage nodes (default %d)", embedded.DefaultNodes))
	flags.IntVar(&o.shards, "shards", 0, fmt.Sprintf("deal `N` shards to them (default %d)", embedded.DefaultShards))
	flags.StringVar(&o.epoch, "epoch", "", "how long an epoch lasts, as 24h, or manual: until advance-epoch ends it (default 336h)")
	return cmd
}

// serveLocalnet serves until ctx ends.
func (a *app) serveLocalnet(ctx context.Context, o serveOptions) (err error) {
	manual, length, err := o.epochLength()
	if err != nil {
		return err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "walfs-localnet-"); err != nil {
			return fmt.Errorf("make a folder for the state: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	o.dir = absolute(o.dir)
	ledger, err := listenAt(ctx, o.listen, o.anywhere)
	if err != nil {
		return err
	}
	s := &localnetServer{options: o, ledger: ledger}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx, a, length); err != nil {
		return err
	}
	group, serving := errgroup.WithContext(ctx)
	s.serve(serving, group, manual)
	described, err := s.describe(ctx)
	if err != nil {
		return err
	}
	if err := a.Emit("localnet", described); err != nil {
		return err
	}
	a.Note("serving a model of Sui and Walrus at %s; Ctrl-C ends it", s.url())
	return group.Wait()
}

// epochLength reads --epoch. Zero is the default.
func (o *serveOptions) epochLength() (manual bool, length time.Duration, err error) {
	switch o.epoch {
	case "":
		return false, 0, nil
	case epochManual:
		return true, 0, nil
	}
	length, err = time.ParseDuration(o.epoch)
	if err != nil || length < time.Second {
		return false, 0, usagef("--epoch %s: want a duration of at least 1s, as 24h, or %s", o.epoch, epochManual)
	}
	return false, length, nil
}

// listenAt opens a port, and says what to do about one that cannot be.
func listenAt(ctx context.Context, address string, anywhere bool) (net.Listener, error) {
	l, err := rpc.Listen(ctx, address, anywhere)
	if errors.Is(err, rpc.ErrNotLoopback) {
		return nil, ui.Errorf(ui.Usage, "%w", err).WithHint("--anywhere allows it: whoever reaches the port can use the ledger")
	}
	return l, err
}

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/localnet/rpc"
	"github.com/walfs/walfs/chain/sui"
)

// localnetServer is a network with its ports.
type localnetServer struct {
	options serveOptions
	net     *embedded.Network
	rpc     *rpc.Server
	blobs   *blobstore.Client // for the healer
	healer  *blobstore.Healer
	ledger  net.Listener
	nodes   []net.Listener // by node
	names   []string       // of the nodes
}

// open opens the network, and a port for each of its nodes.
func (s *localnetServer) open(ctx context.Context, a *app, epoch time.Duration) (err error) {
	config := embedded.Config{Dir: s.options.dir, Nodes: s.options.nodes, Shards: s.options.shards, Epoch: epoch, Log: a.Logger(),
		Recover: func(ctx context.Context, n *node.Node, blob walrus.BlobID) error {
			_, err := s.blobs.Mend(ctx, n, blob)
			return err
		}}
	_, err = os.Stat(filepath.Join(s.options.dir, "network.json"))
	if errors.Is(err, os.ErrNotExist) {
		// The ledger of a new network says where its nodes are, so their ports come first.
		if config.Addresses, err = s.listenNew(ctx); err != nil {
			return err
		}
	}
	if s.net, err = embedded.Open(context.WithoutCancel(ctx), config); err != nil {
		return err
	}
	s.rpc = rpc.New(s.net.Net(), rpc.Config{CORS: s.options.cors, Log: a.Logger()})
	if err := s.openBlobs(ctx, a); err != nil {
		return err
	}
	s.healer = blobstore.NewHealer(blobstore.HealerConfig{Client: s.blobs, Nodes: s.net.Up, Ailing: s.net.Ailing(), Log: a.Logger()})
	fresh := s.nodes != nil
	committee := s.net.Net().Committee()
	addresses := map[string]string{}
	for _, m := range committee.Members {
		addresses[m.Name] = m.Address
	}
	for _, n := range s.net.Nodes() {
		s.names = append(s.names, n.Name)
		if fresh {
			continue
		}
		l, err := listenAt(ctx, addresses[n.Name], s.options.anywhere)
		if err != nil {
			return fmt.Errorf("node %s is at %q by the ledger: %w", n.Name, addresses[n.Name], err)
		}
		s.nodes = append(s.nodes, l)
	}
	return nil
}

// openBlobs opens a client for the healer, who only reads: it is nobody's.
func (s *localnetServer) openBlobs(ctx context.Context, a *app) error {
	wallet, err := sui.NewWallet()
	if err != nil {
		return err
	}
	ledger, err := s.net.Owner(ctx, wallet, filepath.Join(s.options.dir, "transactions"))
	if err != nil {
		return err
	}
	s.blobs, err = blobstore.New(blobstore.Config{Ledger: ledger, Dial: s.net.Dial, Codec: s.net.Codec(), Log: a.Logger()})
	return err
}

// listenNew opens free ports beside that of the ledger.
func (s *localnetServer) listenNew(ctx context.Context) (addresses []string, err error) {
	host, _, err := net.SplitHostPort(s.ledger.Addr().String())
	if err != nil {
		return nil, err
	}
	count := s.options.nodes
	if count == 0 {
		count = embedded.DefaultNodes
	}
	for range count {
		l, err := listenAt(ctx, net.JoinHostPort(host, "0"), s.options.anywhere)
		if err != nil {
			return nil, err
		}
		s.nodes = append(s.nodes, l)
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// serve starts to answer at all ports, and lets epochs pass unless that is done by hand.
func (s *localnetServer) serve(ctx context.Context, group *errgroup.Group, manual bool) {
	mux := http.NewServeMux()
	mux.Handle("/", s.rpc.Handler())
	s.control(mux)
	s.profile(mux)
	handler := http.Handler(mux)
	if !s.options.anywhere {
		handler = rpc.Guard(handler)
	}
	group.Go(func() error { return rpc.Serve(ctx, s.ledger, handler) })
	for i, l := range s.nodes {
		group.Go(func() error {
			handler, err := s.net.Handler(s.names[i], s.options.cors)
			if err != nil {
				return err
			}
			if !s.options.anywhere {
				handler = rpc.Guard(handler)
			}
			return rpc.Serve(ctx, l, handler)
		})
	}
	group.Go(func() error { return s.net.FollowClosely(ctx) })
	group.Go(func() error { return s.healer.Run(ctx) })
	group.Go(func() error {
		if manual {
			s.net.Follow(ctx)
			return nil
		}
		return s.net.Run(ctx)
	})
}

// url returns where the ledger is.
func (s *localnetServer) url() string { return "http://" + s.ledger.Addr().String() }

// describe says what clients have to know.
func (s *localnetServer) describe(ctx context.Context) (servedNet, error) {
	facts, err := s.net.Net().Facts(ctx)
	if err != nil {
		return servedNet{}, err
	}
	out := servedNet{
		RPC: s.url(), ChainID: facts.ChainID.String(), System: facts.System.String(), Staking: facts.Staking.String(),
		Package: facts.Walrus.String(), WAL: facts.Packages.WALType().String(), Dir: s.options.dir,
		Treasury: facts.Treasury.String(), Slashing: facts.Slashing.String(), Upgrades: facts.Upgrades.String(),
	}
	if !facts.Exchange.IsZero() {
		out.Exchange = facts.Exchange.String()
	}
	committee := s.net.Net().Committee()
	for i, m := range committee.Members {
		out.Nodes = append(out.Nodes, servedNode{
			Name: m.Name, ID: m.ID.String(), URL: "http://" + m.Address, PublicKey: hex.EncodeToString(m.PublicKey[:]), Shards: committee.Weight(i),
		})
	}
	return out, nil
}

// close ends what open began, ports last.
func (s *localnetServer) close() error {
	var errs []error
	if s.rpc != nil {
		errs = append(errs, s.rpc.Close())
	}
	if s.blobs != nil {
		errs = append(errs, s.blobs.Close())
	}
	if s.net != nil {
		errs = append(errs, s.net.Close())
	}
	for _, l := range append(s.nodes, s.ledger) {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

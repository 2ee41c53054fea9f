package sui_test

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/chaintest"
	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/chain/localnet/rpc"
	"github.com/walfs/walfs/chain/sui"
)

// town is a localnet with its server, and what clients of it need.
type town struct {
	t      testing.TB
	cfg    localnet.Config
	keys   map[[48]byte]*bls.SecretKey
	net    *localnet.Net
	server *rpc.Server
	folder string // of the journal

	journal *sui.Journal
	clients []*sui.Client
}

// newTown makes a localnet whose keys and IDs are the same in every run.
func newTown(t testing.TB, nodes, shards int) *town {
	t.Helper()
	w := &town{t: t, keys: map[[48]byte]*bls.SecretKey{}, folder: t.TempDir()}
	g, seed := &localnet.Genesis{Shards: shards}, [32]byte{1}
	for i := range nodes {
		key, err := bls.SecretKeyFromBytes([32]byte{31: byte(i + 1), 30: 7})
		if err != nil {
			t.Fatal(err)
		}
		n := localnet.GenesisNode{Name: fmt.Sprintf("node-%d", i), Address: fmt.Sprintf("127.0.0.1:%d", 9000+i),
			PublicKey: key.PublicKey(), NetworkKey: [33]byte{2, 9}}
		n.ProofOfPossession = key.Sign(n.ProofMessage(localnet.House(seed)))
		g.Nodes = append(g.Nodes, n)
		w.keys[key.PublicKey()] = key
	}
	w.cfg = localnet.Config{Dir: t.TempDir(), Seed: seed, Genesis: g}
	w.open()
	t.Cleanup(w.close)
	return w
}

func (w *town) open() {
	w.t.Helper()
	var err error
	if w.net, err = localnet.Open(context.Background(), w.cfg); err != nil {
		w.t.Fatal(err)
	}
	w.server = rpc.New(w.net, rpc.Config{})
	if w.journal, err = sui.OpenJournal(w.folder); err != nil {
		w.t.Fatal(err)
	}
}

// close closes all there is. Closing again does nothing.
func (w *town) close() {
	for _, c := range w.clients {
		if err := c.Close(); err != nil {
			w.t.Error(err)
		}
	}
	w.clients = nil
	if w.server == nil {
		return
	}
	for _, part := range []interface{ Close() error }{w.server, w.net, w.journal} {
		if err := part.Close(); err != nil {
			w.t.Error(err)
		}
	}
	w.server = nil
}

func (w *town) profile() sui.Profile {
	f, err := w.net.Facts(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	p := sui.Profile{Name: "localnet", Target: "passthrough:///localnet", System: f.System, Staking: f.Staking,
		Treasury: f.Treasury, Slashing: f.Slashing}
	if !f.Exchange.IsZero() {
		p.Exchange = append(p.Exchange, f.Exchange)
	}
	return p
}

// wallet returns the n-th owner.
func wallet(t testing.TB, n byte) *sui.Wallet {
	t.Helper()
	w, err := sui.WalletFromSeed([32]byte{n})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// house returns the wallet of the account that operates the nodes.
func house(t testing.TB) *sui.Wallet {
	t.Helper()
	w, err := sui.WalletFromSeed(localnet.HouseSecret([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// client returns a client of an owner, whose calls go through interceptors.
func (w *town) client(owner *sui.Wallet, interceptors ...grpc.UnaryClientInterceptor) *sui.Client {
	w.t.Helper()
	return w.clientWith(sui.Config{Wallet: owner}, interceptors...)
}

func (w *town) clientWith(cfg sui.Config, interceptors ...grpc.UnaryClientInterceptor) *sui.Client {
	w.t.Helper()
	cfg.Profile, cfg.Journal = w.profile(), w.journal
	cfg.Dial = []grpc.DialOption{grpc.WithContextDialer(w.server.Pipe), grpc.WithChainUnaryInterceptor(interceptors...)}
	c, err := sui.New(context.Background(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.clients = append(w.clients, c)
	return c
}

// fund gives an owner money.
func (w *town) fund(tx byte, owner *sui.Wallet, frost uint64) {
	w.t.Helper()
	if err := w.net.Faucet(context.Background(), chain.TxID{tx}, owner.Address(), frost, 1e9); err != nil {
		w.t.Fatal(err)
	}
}

// sign aggregates signatures of members of the current committee.
func (w *town) sign(members []int, msg []byte) walrus.Certificate {
	w.t.Helper()
	c := w.net.Committee()
	cert := walrus.Certificate{Bitmap: make([]byte, (len(c.Members)+7)/8), Message: msg}
	var sigs [][96]byte
	for _, i := range members {
		cert.Bitmap[i/8] |= 1 << (i % 8)
		sigs = append(sigs, w.keys[c.Members[i].PublicKey].Sign(msg))
	}
	var err error
	if cert.Signature, err = bls.AggregateSignatures(sigs); err != nil {
		w.t.Fatal(err)
	}
	return cert
}

func TestConformance(t *testing.T) {
	for _, size := range []struct{ nodes, shards int }{{4, 10}, {10, 100}} {
		t.Run(fmt.Sprintf("%d nodes", size.nodes), func(t *testing.T) {
			t.Parallel()
			chaintest.Run(t, func(t *testing.T) *chaintest.Env {
				w := newTown(t, size.nodes, size.shards)
				w.fund(1, wallet(t, 1), chaintest.MinFunds)
				w.fund(2, wallet(t, 1), chaintest.MinFunds) // two coins, to be merged
				w.fund(3, wallet(t, 2), chaintest.MinFunds)
				return w.env(t)
			})
		})
	}
}

func (w *town) env(t *testing.T) *chaintest.Env {
	return &chaintest.Env{
		Ledger: w.client(wallet(t, 1)), Other: w.client(wallet(t, 2)), Poor: w.client(wallet(t, 3)),
		Sign: func(_ *testing.T, members []int, msg []byte) walrus.Certificate { return w.sign(members, msg) },
		AdvanceEpoch: func(t *testing.T) {
			if err := w.net.AdvanceEpoch(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		Restart: func(t *testing.T) *chaintest.Env {
			w.close()
			w.cfg.Genesis = nil
			w.open()
			return w.env(t)
		},
	}
}

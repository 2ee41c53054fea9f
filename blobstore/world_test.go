package blobstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cache"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/sui"
)

// world is an embedded network, with real files and a real localnet, and a
// client of it that the test may replace.
type world struct {
	t      testing.TB
	net    *embedded.Network
	dir    string
	wallet *sui.Wallet
	ledger *meddler
	config blobstore.Config
	client *blobstore.Client
	blobs  []walrus.BlobID // that were put
}

// meddler stands between a client and the ledger: it counts, and fails what the test says.
type meddler struct {
	chain.Ledger
	mu     sync.Mutex
	before func(op string, members int) error // not sent when it fails
	after  func(op string, members int) error // sent, but the answer is lost
	sent   []sentTx
}

type sentTx struct {
	op      string
	members int
	anchor  bool
	err     error
}

func (m *meddler) around(op string, members int, anchor bool, call func() (*chain.Outcome, error)) (*chain.Outcome, error) {
	m.mu.Lock()
	before, after := m.before, m.after
	m.mu.Unlock()
	if before != nil {
		if err := before(op, members); err != nil {
			return nil, err
		}
	}
	out, err := call()
	m.mu.Lock()
	m.sent = append(m.sent, sentTx{op, members, anchor, err})
	m.mu.Unlock()
	if err == nil && after != nil {
		if err := after(op, members); err != nil {
			return nil, err
		}
	}
	return out, err
}

func (m *meddler) Register(ctx context.Context, tx chain.TxID, batch []chain.Registration) (*chain.Outcome, error) {
	return m.around("register", len(batch), false, func() (*chain.Outcome, error) { return m.Ledger.Register(ctx, tx, batch) })
}

func (m *meddler) Certify(ctx context.Context, tx chain.TxID, batch []chain.Certification, a *chain.AnchorUpdate) (*chain.Outcome, error) {
	return m.around("certify", len(batch), a != nil, func() (*chain.Outcome, error) { return m.Ledger.Certify(ctx, tx, batch, a) })
}

func (m *meddler) set(before, after func(op string, members int) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before, m.after = before, after
}

// count returns how many transactions of a kind the ledger accepted, and for how many blobs.
func (m *meddler) count(op string) (transactions, members int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sent {
		if s.op == op && s.err == nil {
			transactions++
			members += s.members
		}
	}
	return transactions, members
}

// newWorld starts a network of the given shape, for 0 the default of 10 nodes and 100 shards.
func newWorld(t testing.TB, nodes, shards int) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), wallet: someWallet(t, 1)}
	net, err := embedded.Open(t.Context(), embedded.Config{Dir: w.dir, Nodes: nodes, Shards: shards})
	if err != nil {
		t.Fatal(err)
	}
	w.net = net
	t.Cleanup(func() {
		if err := net.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := net.Faucet(t.Context(), chain.TxID{1}, w.wallet.Address()); err != nil {
		t.Fatal(err)
	}
	w.ledger = &meddler{Ledger: w.ledgerOf(w.wallet)}
	w.config = blobstore.Config{Ledger: w.ledger, Dial: net.Dial, Codec: net.Codec(), ReadTimeout: time.Minute}
	w.reconnect()
	return w
}

func someWallet(t testing.TB, n byte) *sui.Wallet {
	t.Helper()
	wallet, err := sui.WalletFromSeed([32]byte{n})
	if err != nil {
		t.Fatal(err)
	}
	return wallet
}

// ledgerOf returns a client of the ledger, with a journal of its own.
func (w *world) ledgerOf(wallet *sui.Wallet) chain.Ledger {
	w.t.Helper()
	l, err := w.net.Owner(w.t.Context(), wallet, w.t.TempDir())
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// reconnect replaces the client by one that remembers nothing.
func (w *world) reconnect() {
	w.t.Helper()
	if w.client != nil {
		w.client.Close()
	}
	client, err := blobstore.New(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.client = client
	w.t.Cleanup(func() { client.Close() })
}

// withCache gives the client a disk cache.
func (w *world) withCache(budget int64) *cache.Cache {
	w.t.Helper()
	c, err := cache.Open(cache.Config{Dir: w.t.TempDir(), Budget: budget, MinFree: -1})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	w.config.Cache = c
	w.reconnect()
	return c
}

func (w *world) put(blob []byte) walrus.Receipt {
	w.t.Helper()
	r, err := w.client.Put(w.t.Context(), blob, blobstore.PutOptions{Epochs: 3})
	if err != nil {
		w.t.Fatal(err)
	}
	if r.Stage != walrus.Certified || r.Size != int64(len(blob)) || r.Object.IsZero() {
		w.t.Fatalf("receipt %+v", r)
	}
	w.blobs = append(w.blobs, r.Blob)
	return r
}

// node returns the name of node i.
func (w *world) node(i int) string { return w.net.Nodes()[i].Name }

func (w *world) inject(f embedded.Fault, nodes ...int) {
	w.t.Helper()
	for _, i := range nodes {
		if err := w.net.Inject(w.node(i), f); err != nil {
			w.t.Fatal(err)
		}
	}
}

// reads checks every byte of a blob, in pieces that do not fit slivers.
func (w *world) reads(r walrus.Receipt, blob []byte) {
	w.t.Helper()
	got := make([]byte, 0, len(blob))
	buffer := make([]byte, 99_991)
	for {
		n, err := w.client.ReadAt(w.t.Context(), r.Blob, buffer, int64(len(got)))
		got = append(got, buffer[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			w.t.Fatalf("read at %d of %d: %v", len(got), len(blob), err)
		}
	}
	if !bytes.Equal(got, blob) {
		w.t.Fatalf("%d bytes read differ from the %d that were put", len(got), len(blob))
	}
}

// owned returns the owner's objects of a blob.
func (w *world) owned(blob walrus.BlobID) []chain.OwnedObject {
	w.t.Helper()
	o, err := w.ledger.Owned(w.t.Context(), chain.OwnedQuery{Blobs: []walrus.BlobID{blob}})
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) balance() uint64 {
	w.t.Helper()
	b, err := w.ledger.Balance(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return b.WALFrost
}

func randomBlob(seed uint64, size int) []byte {
	b := make([]byte, size)
	chacha := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 3})
	_, _ = chacha.Read(b)
	return b
}

// TestMain wants no goroutine to be left over. On a busy machine one takes its time to end.
func TestMain(m *testing.M) {
	code := m.Run()
	leaked := goleak.Find()
	for end := time.Now().Add(time.Minute); leaked != nil && time.Now().Before(end); {
		leaked = goleak.Find()
	}
	if code == 0 && leaked != nil {
		fmt.Fprintln(os.Stderr, leaked)
		code = 1
	}
	os.Exit(code)
}

package keep_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

var id = [16]byte{0xd1}

// world is a network and the key of a drive on it.
type world struct {
	testing.TB
	net  *embedded.Network
	dir  string // of the network
	keys *seal.Keyring

	wallet *sui.Wallet
	ledger chain.Ledger // as the wallet sees it

	fullAfter int64 // as in commit.Policy
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir()
	net, err := embedded.Open(ctx, embedded.Config{Dir: dir, Nodes: 4, Shards: 7})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { _ = net.Run(running) })
	t.Cleanup(func() {
		stop()
		wait.Wait()
		if err := net.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{TB: t, net: net, dir: dir, keys: seal.NewKeyring(1, seal.Key{7})}
	w.wallet, w.ledger = w.owner(0xa1)
	w.must(net.Faucet(ctx, chain.TxID{1}, w.wallet.Address()))
	return w
}

// owner returns a wallet, and the ledger as it sees it.
func (w *world) owner(seed byte) (*sui.Wallet, chain.Ledger) {
	w.Helper()
	wallet, err := sui.WalletFromSeed([32]byte{seed})
	w.must(err)
	ledger, err := w.net.Owner(context.Background(), wallet, w.TempDir())
	w.must(err)
	return wallet, ledger
}

// pay pays WAL to somebody.
func (w *world) pay(to chain.Address, frost uint64) {
	w.Helper()
	payer := w.ledger.(interface {
		SendWAL(ctx context.Context, tx chain.TxID, to chain.Address, frost uint64) (*sui.Result, error)
	})
	var tx chain.TxID
	_, _ = rand.Read(tx[:])
	_, err := payer.SendWAL(context.Background(), tx, to, frost)
	w.must(err)
}

// earn gets WAL from the faucet.
func (w *world) earn(frost uint64) {
	w.Helper()
	var tx chain.TxID
	_, _ = rand.Read(tx[:])
	w.must(w.net.Net().Faucet(context.Background(), tx, w.wallet.Address(), frost, 0))
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// machine is a state folder that uses the drive.
type machine struct {
	*world
	dir   string
	db    *index.DB
	stage *staging.Dir
	blobs *blobstore.Client
	c     *commit.Committer
	ran   chan error // of Run

	copies atomic.Pointer[keep.Copies] // that take over what is certified; nil: all is
}

// machine opens a folder: a new drive unless a restore has put an index there.
func (w *world) machine(dir string) *machine {
	w.Helper()
	ctx := context.Background()
	m := &machine{world: w, dir: dir, ran: make(chan error, 1)}
	var err error
	m.db, err = index.Open(ctx, index.Config{Path: filepath.Join(dir, "index.db")})
	w.must(err)
	err = m.db.Init(ctx, index.Drive{ID: id, Writer: [16]byte{1}})
	if !errors.Is(err, index.ErrExist) {
		w.must(err)
	}
	w.must(commit.CreateAnchor(ctx, w.ledger, m.db, w.keys))
	m.stage, err = staging.Open(staging.Config{
		Dir: filepath.Join(dir, "staging"), NoSync: true, MarkDirty: m.db.MarkDirty,
		Version: func(ctx context.Context, ino index.Ino) (uint64, error) {
			attr, err := m.db.Get(ctx, ino)
			return attr.Version, err
		},
	})
	w.must(err)
	m.blobs = w.client(func(ctx context.Context, blobs []walrus.BlobID) (*chain.AnchorUpdate, error) {
		return m.c.Anchor(ctx, blobs)
	})
	m.c, err = commit.New(ctx, commit.Config{
		Index: m.db, Staging: m.stage, Blobs: m.blobs, Keys: w.keys, Ledger: w.ledger,
		Keep: func(ctx context.Context, copies ...index.KeptCopy) error {
			if c := m.copies.Load(); c != nil {
				return c.Keep(ctx, copies...)
			}
			return m.db.CopyKeep(ctx, copies...)
		},
		// What is made between two drains is one segment, however slow the machine is.
		Policy: commit.Policy{Quiet: time.Hour, MaxAge: time.Hour, Fill: 1 << 40, FullAfter: w.fullAfter},
	})
	w.must(err)
	w.must(m.c.Recover(ctx))
	running, stop := context.WithCancel(ctx)
	go func() { m.ran <- m.c.Run(running) }()
	w.Cleanup(func() {
		stop()
		select {
		case <-m.ran:
		case <-time.After(patience):
			w.Error("Run does not end")
		}
		w.must(m.blobs.Close())
		w.must(m.stage.Close())
		w.must(m.db.Close())
	})
	return m
}

func (w *world) client(anchor func(context.Context, []walrus.BlobID) (*chain.AnchorUpdate, error)) *blobstore.Client {
	w.Helper()
	c, err := blobstore.New(blobstore.Config{
		Ledger: w.ledger, Dial: w.net.Dial, Codec: w.net.Codec(), Anchor: anchor, ReadTimeout: time.Minute,
	})
	w.must(err)
	return c
}

// put makes a file of the root.
func (m *machine) put(name string, content []byte) index.Ino {
	m.Helper()
	ctx := context.Background()
	attr, err := m.db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte(name), Mode: 0o100644})
	m.must(err)
	f, err := m.stage.File(ctx, attr.Ino, staging.Shape{Version: attr.Version})
	m.must(err)
	defer f.Release()
	_, err = f.WriteAt(ctx, content, 0, nil)
	m.must(err)
	m.must(m.db.Queue(ctx, attr.Ino, index.Queued{Size: f.Size(), Mtime: f.Mtime()}))
	m.c.Wake()
	return attr.Ino
}

func (m *machine) drain() {
	m.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m.must(m.c.Drain(ctx, nil))
}

// pack has all packed that waits, although it cannot be stored.
func (m *machine) pack(segments int) {
	m.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var drain sync.WaitGroup
	drain.Go(func() { _ = m.c.Drain(ctx, nil) })
	waitFor(m, "all to be packed", func() bool {
		waiting, err := m.db.Pending(ctx)
		m.must(err)
		open, err := m.db.Segments(ctx, index.SegmentFilter{Below: walrus.Certified})
		m.must(err)
		return waiting.Jobs == 0 && len(open) >= segments
	})
	stop()
	drain.Wait()
}

// same compares published content.
func (m *machine) same(name string, want []byte) {
	m.Helper()
	ctx := context.Background()
	attr, err := m.db.Lookup(ctx, index.Root, []byte(name))
	m.must(err)
	if got := m.contentOf(attr.Ino); !bytes.Equal(got, want) {
		m.Errorf("%s: %d bytes that differ from the %d that were written", name, len(got), len(want))
	}
}

// contentOf reads the published content of a file from the nodes.
func (m *machine) contentOf(ino index.Ino) []byte {
	m.Helper()
	ctx := context.Background()
	attr, err := m.db.Get(ctx, ino)
	m.must(err)
	extents, err := m.db.Extents(ctx, ino, 0, -1)
	m.must(err)
	got := make([]byte, attr.PubSize)
	for _, e := range extents {
		opener, err := m.keys.Open(e.Header, e.SealedSize)
		m.must(err)
		source := func(ctx context.Context, p []byte, off int64) (int, error) {
			return m.blobs.ReadAt(ctx, e.Blob, p, off)
		}
		if _, err := opener.ReadAt(ctx, source, got[e.Off:e.Off+e.Len], e.Pos); err != nil && !errors.Is(err, io.EOF) {
			m.Fatalf("read inode %d: %v", ino, err)
		}
	}
	return got
}

func content(seed byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*i>>3) ^ byte(i>>9) ^ seed
	}
	return b
}

// patience bounds what would hang.
const patience = 5 * time.Minute

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

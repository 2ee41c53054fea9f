package commit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
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

var (
	drive  = index.Drive{ID: [16]byte{0xd1}, Writer: [16]byte{0xf1}}
	secret = seal.Key{7}
)

// small is a network that costs little: blobs of up to 0.9 MB fill it.
var small = embedded.Config{Nodes: 4, Shards: 7}

// quick makes tests wait for nothing that they do not test.
var quick = commit.Policy{Quiet: 20 * time.Millisecond, MaxAge: 200 * time.Millisecond}

// calm packs when somebody asks: what is made between two drains is one pass, however slow the machine is.
var calm = commit.Policy{Quiet: time.Hour, MaxAge: time.Hour, Fill: 1 << 40}

// patience bounds what would hang.
const patience = 5 * time.Minute

// rig is a drive without a mount: what fs would do is done here.
type rig struct {
	testing.TB
	dir   string
	net   *embedded.Network
	db    *index.DB
	stage *staging.Dir
	blobs *blobstore.Client
	keys  *seal.Keyring
	c     *commit.Committer

	wallet *sui.Wallet
	owner  chain.Ledger // as the wallet sees it
	ledger chain.Ledger // the same, or what a test wraps around it
	stop   context.CancelFunc
	wait   sync.WaitGroup
	ran    error // of Run
}

// options are what tests vary.
type options struct {
	dir     string
	network embedded.Config
	policy  commit.Policy
	hook    func(string)
	ledger  func(chain.Ledger) chain.Ledger // wraps it
	idle    bool                            // do not Run
	now     func() time.Time                // the machine's clock as the index reads it
	plain   bool
	noTrash bool // what is deleted is gone
}

func newRig(tb testing.TB, o options) *rig {
	tb.Helper()
	if o.dir == "" {
		o.dir = tb.TempDir()
	}
	if o.network.Shards == 0 {
		o.network = small
	}
	if o.policy == (commit.Policy{}) {
		o.policy = quick
	}
	r := &rig{TB: tb, dir: o.dir, keys: seal.NewKeyring(1, secret)}
	r.open(o)
	tb.Cleanup(r.close)
	return r
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) open(o options) {
	r.Helper()
	ctx := context.Background()
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("WALFS_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var err error
	o.network.Dir = filepath.Join(r.dir, "network")
	r.await("the network to be free", func() bool {
		// A test that starts a process has the lock, too, until exec.
		r.net, err = embedded.Open(ctx, o.network)
		return !errors.Is(err, embedded.ErrLocked)
	})
	r.must(err)
	r.wallet, err = sui.WalletFromSeed([32]byte{0xa1})
	r.must(err)
	r.owner, err = r.net.Owner(ctx, r.wallet, filepath.Join(r.dir, "transactions"))
	r.must(err)
	r.ledger = r.owner
	if o.ledger != nil {
		r.ledger = o.ledger(r.ledger)
	}
	r.must(r.net.Faucet(ctx, chain.TxID{1}, r.wallet.Address()))
	r.db, err = index.Open(ctx, index.Config{Path: filepath.Join(r.dir, "index.db"), Trash: !o.noTrash, Now: o.now})
	r.must(err)
	d := drive
	d.Plain = o.plain
	if err := r.db.Init(ctx, d); !errors.Is(err, index.ErrExist) {
		r.must(err)
	}
	r.must(commit.CreateAnchor(ctx, r.ledger, r.db, r.keys))
	r.stage, err = staging.Open(staging.Config{
		Dir: filepath.Join(r.dir, "staging"), NoSync: true, Log: log,
		MarkDirty: r.db.MarkDirty, Unmark: r.db.Unmark,
		Version: func(ctx context.Context, ino index.Ino) (uint64, error) {
			attr, err := r.db.Get(ctx, ino)
			return attr.Version, err
		},
	})
	r.must(err)
	r.blobs, err = blobstore.New(blobstore.Config{
		Ledger: r.ledger, Dial: r.net.Dial, Codec: r.net.Codec(), ReadTimeout: time.Minute,
		Anchor: func(ctx context.Context, certifying []walrus.BlobID) (*chain.AnchorUpdate, error) {
			return r.c.Anchor(ctx, certifying)
		},
		Log: log,
	})
	r.must(err)
	r.c, err = commit.New(ctx, commit.Config{
		Index: r.db, Staging: r.stage, Blobs: r.blobs, Keys: r.keys, Ledger: r.ledger,
		Policy: o.policy, Stage: o.hook, Log: log,
	})
	r.must(err)
	r.must(r.c.Recover(ctx))
	running, stop := context.WithCancel(ctx)
	r.stop = stop
	if !o.idle {
		r.wait.Go(func() { r.ran = r.c.Run(running) })
	}
	r.wait.Go(func() { _ = r.net.Run(running) })
}

func (r *rig) close() {
	r.Helper()
	if r.stop == nil {
		return
	}
	r.stop()
	r.wait.Wait()
	r.stop = nil
	r.must(r.blobs.Close())
	r.must(r.stage.Close())
	r.must(r.db.Close())
	r.must(r.net.Close())
}

// reopen ends everything and starts it anew from disk.
func (r *rig) reopen(o options) {
	r.Helper()
	r.close()
	r.wait = sync.WaitGroup{}
	if o.network.Shards == 0 {
		o.network = embedded.Config{}
	}
	if o.policy == (commit.Policy{}) {
		o.policy = quick
	}
	r.open(o)
}

// dirOf returns a directory below the root and makes it when it is missing.
func (r *rig) dirOf(name string) index.Ino {
	r.Helper()
	ctx := context.Background()
	attr, err := r.db.Lookup(ctx, index.Root, []byte(name))
	if errors.Is(err, index.ErrNotExist) {
		attr, err = r.db.Create(ctx, index.CreateRequest{Parent: index.Root, Name: []byte(name), Mode: 0o40755})
		r.c.Wake()
	}
	r.must(err)
	return attr.Ino
}

// file opens a file of the root for writing, like an open(2) with O_CREAT.
func (r *rig) file(parent index.Ino, name string) *staging.File {
	r.Helper()
	ctx := context.Background()
	attr, err := r.db.Lookup(ctx, parent, []byte(name))
	shape := staging.Shape{}
	if errors.Is(err, index.ErrNotExist) {
		attr, err = r.db.Create(ctx, index.CreateRequest{Parent: parent, Name: []byte(name), Mode: 0o100644})
		shape.Version = attr.Version
	}
	r.must(err)
	if !attr.Dirty {
		shape = staging.Shape{Size: attr.Size, Mtime: attr.Mtime, Base: attr.PubSize}
	}
	f, err := r.stage.File(ctx, attr.Ino, shape)
	r.must(err)
	if !attr.Dirty {
		r.must(f.Clean())
	}
	f.AddWriter()
	return f
}

// done closes what file opened.
func (r *rig) done(f *staging.File) {
	r.Helper()
	r.must(r.db.Queue(context.Background(), f.Ino(), index.Queued{Size: f.Size(), Mtime: f.Mtime()}))
	f.DropWriter()
	f.Release()
	r.c.Wake()
}

func (r *rig) writeAt(f *staging.File, p []byte, off int64) {
	r.Helper()
	n, err := f.WriteAt(context.Background(), p, off, func(ctx context.Context, p []byte, off int64) error {
		return published(ctx, r.db, r.blobs, r.keys, f.Ino(), p, off)
	})
	if err != nil || n != len(p) {
		r.Fatalf("write %d bytes at %d: %d, %v", len(p), off, n, err)
	}
}

// put replaces the content of a file of the root.
func (r *rig) put(name string, content []byte) { r.putIn(index.Root, name, content) }

func (r *rig) putIn(parent index.Ino, name string, content []byte) {
	r.Helper()
	f := r.file(parent, name)
	r.must(f.Truncate(context.Background(), 0))
	if len(content) > 0 {
		r.writeAt(f, content, 0)
	}
	r.done(f)
}

// patch overwrites a range of a file of the root.
func (r *rig) patch(name string, p []byte, off int64) {
	r.Helper()
	f := r.file(index.Root, name)
	r.writeAt(f, p, off)
	r.done(f)
}

func (r *rig) drain() {
	r.Helper()
	r.drainWithin(patience)
}

// inBackground has a Drain wait, so that all is packed that there is, until stop is called.
func (r *rig) inBackground() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var drain sync.WaitGroup
	drain.Go(func() { _ = r.c.Drain(ctx, nil) })
	return func() { cancel(); drain.Wait() }
}

func (r *rig) drainWithin(d time.Duration) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if err := r.c.Drain(ctx, nil); err != nil {
		r.Fatal(err)
	}
}

// blobCount returns how many segments there are.
func (r *rig) segments() []index.SegmentRow {
	r.Helper()
	rows, err := r.db.Segments(context.Background(), index.SegmentFilter{})
	r.must(err)
	return rows
}

// stored returns the sealed bytes of all segments after the given number.
func (r *rig) stored(after uint64) (n int64) {
	r.Helper()
	for _, s := range r.segments() {
		if s.Number > after {
			n += s.Size
		}
	}
	return n
}

func (r *rig) last() uint64 {
	r.Helper()
	rows := r.segments()
	if len(rows) == 0 {
		return 0
	}
	return rows[len(rows)-1].Number
}

// registrations counts how often each blob was registered.
func (r *rig) registrations() map[walrus.BlobID]int {
	r.Helper()
	count := map[walrus.BlobID]int{}
	for after := uint64(0); ; {
		events, err := r.owner.Events(context.Background(), after, 1000)
		r.must(err)
		if len(events) == 0 {
			return count
		}
		for _, e := range events {
			after = e.Seq
			if e.Kind == chain.BlobRegistered {
				count[e.Blob]++
			}
		}
	}
}

// restored rebuilds the index from the network alone, without taking over.
func (r *rig) restored() *tree {
	r.Helper()
	ctx := context.Background()
	path := filepath.Join(r.TempDir(), "restored.db")
	report, err := keep.Restore(ctx, keep.RestoreConfig{
		Ledger: r.owner, Blobs: r.blobs, Keys: r.keys, Path: path, ReadOnly: true,
	})
	r.must(err)
	if len(report.Problems) > 0 {
		r.Fatalf("problems: %q", report.Problems)
	}
	db, err := index.Open(ctx, index.Config{Path: path})
	r.must(err)
	r.Cleanup(func() { r.must(db.Close()) })
	return &tree{TB: r.TB, db: db, blobs: r.blobs, keys: r.keys}
}

// tree reads published content through an index.
type tree struct {
	testing.TB
	db    *index.DB
	blobs *blobstore.Client
	keys  *seal.Keyring
}

// names lists a directory, sorted.
func (t *tree) names(path string) (list []string) {
	t.Helper()
	ctx := context.Background()
	dir, err := t.db.Resolve(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	for after := uint64(0); ; {
		entries, err := t.db.ReadDir(ctx, dir.Ino, after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			slices.Sort(list)
			return list
		}
		for _, e := range entries {
			list = append(list, string(e.Name))
			after = e.Cookie
		}
	}
}

// read returns the content of a file, nil when there is none.
func (t *tree) read(path string) []byte {
	t.Helper()
	ctx := context.Background()
	attr, err := t.db.Resolve(ctx, path)
	if errors.Is(err, index.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, attr.Size)
	if err := published(ctx, t.db, t.blobs, t.keys, attr.Ino, b, 0); err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	return b
}

func (t *tree) same(path string, want []byte) {
	t.Helper()
	if got := t.read(path); !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want %d; first difference at %d", path, len(got), len(want), differ(got, want))
	}
}

func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// published reads a range of a file's published content.
func published(ctx context.Context, db *index.DB, blobs *blobstore.Client, keys *seal.Keyring, ino index.Ino, p []byte, off int64) error {
	clear(p)
	extents, err := db.Extents(ctx, ino, off, int64(len(p)))
	if err != nil {
		return err
	}
	for _, e := range extents {
		opener, err := keys.Open(e.Header, e.SealedSize)
		if err != nil {
			return fmt.Errorf("segment %d: %w", e.Segment, err)
		}
		source := func(ctx context.Context, p []byte, off int64) (int, error) { return blobs.ReadAt(ctx, e.Blob, p, off) }
		n, err := opener.ReadAt(ctx, source, p[e.Off-off:e.Off-off+e.Len], e.Pos)
		if int64(n) < e.Len || err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("segment %d: %w", e.Segment, err)
		}
	}
	return nil
}

// random returns bytes that no dedup or hole can make smaller.
func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b)
	return b
}

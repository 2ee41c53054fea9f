// Package node is a storage node of Walrus and the client that calls one.
//
// A node keeps one file for each blob, blobs/<2 hex>/<64 hex of the blob ID>,
// with a slot for each sliver that it is to hold; layout.go has the format. It
// signs a confirmation only for what is durable:
//
// Store makes the file at its final name and at its full length, so that a
// full disk shows at once, writes head and slots, marks each slot as filled
// after its bytes, and then syncs the file and its folder. Only after both
// does it answer, and only for such a file does Confirm sign. A crash in
// between leaves a file whose head or slots do not match their checksums, or
// lack their marks, or no file at all: each of these counts as "not there",
// nothing was signed for it, and the next Store writes what is missing. A
// process that was killed may leave pages that no fsync has seen, so Confirm
// syncs a file once more unless this process has done it before.
//
// The catalogue, a small SQLite database, holds what the ledger said and what
// lies in the folder. It can be rebuilt from both and is not synced.
package node

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// The errors of a node. ErrUnavailable and ErrNotRegistered may pass; the others are answers.
var (
	ErrUnavailable   = errors.New("node does not answer")
	ErrNotRegistered = errors.New("blob is not registered")
	ErrNotFound      = errors.New("node does not have it")
	ErrRefused       = errors.New("node refuses the data")
	ErrNoRoom        = errors.New("node has no room")
)

// Config says where a node lives and what it follows. Dir, Key, Codec and Ledger are required.
type Config struct {
	Dir    string // made when missing; only one process may have it open
	Name   string
	Key    *bls.SecretKey
	Codec  *redstuff.Codec
	Ledger chain.Chronicle
	Quota  int64        // bytes of blob files; 0 means what the disk has
	Lacks  func()       // called when the node lacks more than before; must not block; nil means nobody asks
	Log    *slog.Logger // nil means silent
}

// Node is one storage node. All methods may be called concurrently.
type Node struct {
	cfg       Config
	os        layer
	catalogue *catalogue
	geometry  walrus.Geometry
	public    [48]byte
	following chan struct{} // holds a token while nobody follows the events
	blobs     locks
	room      room
	durable   durable
	state     atomic.Pointer[chain.State] // as last heard; nil at first

	sliverReads, metadataReads, symbolReads atomic.Uint64

	fetching sync.Mutex // held while a shard comes, and while Trim works on a blob

	lacking struct {
		sync.Mutex              // held while the catalogue's list changes
		count      atomic.Int64 // blobs of which something is missing
	}

	folders struct {
		sync.Mutex
		synced map[string]bool // names under blobs that are durable
	}

	bad struct {
		sync.Mutex
		slots map[walrus.SliverID]string
	}
	calls struct {
		sync.WaitGroup
		sync.Mutex
		closed bool
	}
}

// BadSlot names a sliver that the disk gave back damaged or not at all.
// Damage to the metadata is told with axis BadMetadata.
type BadSlot struct {
	ID     walrus.SliverID
	Reason string
}

// BadMetadata stands in a BadSlot for the head of a file and the metadata in it.
const BadMetadata walrus.Axis = 2

// Status is what a node says of itself.
type Status struct {
	Name          string
	Blobs         int
	Bytes         int64 // of blob files
	SliverReads   uint64
	MetadataReads uint64
	SymbolReads   uint64
	Lacking       int       // certified blobs of which something is missing or damaged
	BadSlots      []BadSlot // by blob, axis and index
}

// Open opens the node in cfg.Dir. It tries to catch up with the ledger and
// goes on without if the ledger does not answer.
func Open(ctx context.Context, cfg Config) (*Node, error) { return open(ctx, cfg, disk()) }

func open(ctx context.Context, cfg Config, os layer) (*Node, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Lacks == nil {
		cfg.Lacks = func() {}
	}
	cfg.Log = cfg.Log.With("node", cfg.Name)
	n := &Node{
		cfg: cfg, os: os, geometry: cfg.Codec.Geometry(), public: cfg.Key.PublicKey(),
		following: make(chan struct{}, 1),
	}
	n.following <- struct{}{}
	if err := n.makeFolders(); err != nil {
		return nil, fmt.Errorf("open node %s: %w", cfg.Name, err)
	}
	if err := n.load(ctx); err != nil {
		return nil, fmt.Errorf("open node %s: %w", cfg.Name, err)
	}
	if err := n.Sync(ctx); err != nil {
		cfg.Log.Warn("node cannot follow the ledger yet", "err", err)
	}
	return n, nil
}

// makeFolders makes the folders of the node and syncs their names, and those
// of the folders that files lie in already.
func (n *Node) makeFolders() error {
	if err := os.MkdirAll(n.blobsDir(), 0o700); err != nil {
		return err
	}
	for _, dir := range []string{n.blobsDir(), n.cfg.Dir, filepath.Dir(filepath.Clean(n.cfg.Dir))} {
		if err := n.os.syncDir(dir); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(n.blobsDir())
	n.folders.synced = map[string]bool{}
	for _, entry := range entries {
		n.folders.synced[entry.Name()] = true
	}
	return err
}

// makeFolder makes the folder of a blob file. If it was not there, whoever has
// synced its name before has synced another.
func (n *Node) makeFolder(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	n.folders.Lock()
	delete(n.folders.synced, filepath.Base(dir))
	n.folders.Unlock()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The folder of all blobs is gone too. That of the node is not made here: where that is
	// not, its disk is not.
	if err := os.Mkdir(n.blobsDir(), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return n.os.syncDir(n.cfg.Dir)
}

// PublicKey returns the key that the ledger knows the node by.
func (n *Node) PublicKey() [48]byte { return n.public }

func (n *Node) blobsDir() string { return filepath.Join(n.cfg.Dir, "blobs") }

// syncName makes the name of a file durable, and that of its folder if that is
// not known to be.
func (n *Node) syncName(path string) error {
	dir := filepath.Dir(path)
	if err := n.os.syncDir(dir); err != nil {
		return err
	}
	f := &n.folders
	f.Lock()
	synced := f.synced[filepath.Base(dir)]
	f.Unlock()
	if synced {
		return nil
	}
	if err := n.os.syncDir(n.blobsDir()); err != nil {
		return err
	}
	f.Lock()
	defer f.Unlock()
	f.synced[filepath.Base(dir)] = true
	return nil
}

// load opens the catalogue, makes it agree with the folder and reads what is kept in memory.
func (n *Node) load(ctx context.Context) (err error) {
	c, fresh, clean, err := openCatalogue(ctx, filepath.Join(n.cfg.Dir, "catalogue.db"))
	if err != nil {
		return err
	}
	n.catalogue = c
	defer func() {
		if err != nil {
			err = errors.Join(err, c.db.Close())
		}
	}()
	if fresh || !clean {
		found, err := n.scan()
		if err != nil {
			return err
		}
		if err := c.replaceFiles(ctx, found); err != nil {
			return err
		}
		n.cfg.Log.Info("node scanned its folder", "blobs", len(found))
	}
	if err := c.setClean(ctx, 0); err != nil {
		return err
	}
	if n.room.blobs, n.room.bytes, err = c.totals(ctx); err != nil {
		return err
	}
	if n.bad.slots, err = c.bad(ctx); err != nil {
		return err
	}
	return n.recount(ctx)
}

// scan lists the blob files with their lengths and removes unfinished ones with temporary names.
func (n *Node) scan() (map[walrus.BlobID]int64, error) {
	found := map[walrus.BlobID]int64{}
	folders, err := os.ReadDir(n.blobsDir())
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		dir := filepath.Join(n.blobsDir(), folder.Name())
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if filepath.Ext(entry.Name()) == temporary {
				if err := n.os.remove(filepath.Join(dir, entry.Name())); err != nil {
					return nil, err
				}
				continue
			}
			raw, err := hex.DecodeString(entry.Name())
			if err != nil || len(raw) != len(walrus.BlobID{}) {
				continue
			}
			info, err := entry.Info()
			if err != nil {
				return nil, err
			}
			found[walrus.BlobID(raw)] = info.Size()
		}
	}
	return found, nil
}

// temporary ends the name of a file that is not whole yet.
const temporary = ".tmp"

func (n *Node) path(blob walrus.BlobID) string {
	name := hex.EncodeToString(blob[:])
	return filepath.Join(n.blobsDir(), name[:2], name)
}

// enter counts a call in. The caller calls leave when it ends, unless enter
// returned ErrUnavailable because the node is closed.
func (n *Node) enter() (leave func(), err error) {
	n.calls.Lock()
	defer n.calls.Unlock()
	if n.calls.closed {
		return nil, fmt.Errorf("node %s is closed: %w", n.cfg.Name, ErrUnavailable)
	}
	n.calls.Add(1)
	return n.calls.Done, nil
}

// Status returns what the node holds and has seen.
func (n *Node) Status() Status {
	s := Status{Name: n.cfg.Name, SliverReads: n.sliverReads.Load(), MetadataReads: n.metadataReads.Load(),
		SymbolReads: n.symbolReads.Load(), Lacking: int(n.lacking.count.Load())}
	s.Blobs, s.Bytes = n.room.used()
	n.bad.Lock()
	defer n.bad.Unlock()
	for _, id := range slices.SortedFunc(maps.Keys(n.bad.slots), compareSlivers) {
		s.BadSlots = append(s.BadSlots, BadSlot{ID: id, Reason: n.bad.slots[id]})
	}
	return s
}

func compareSlivers(a, b walrus.SliverID) int {
	return cmp.Or(slices.Compare(a.Blob[:], b.Blob[:]), cmp.Compare(a.Axis, b.Axis), cmp.Compare(a.Index, b.Index))
}

// Close refuses further calls, waits for those that are running and closes the catalogue.
func (n *Node) Close() error {
	n.calls.Lock()
	closed := n.calls.closed
	n.calls.closed = true
	n.calls.Unlock()
	n.calls.Wait()
	if closed {
		return nil
	}
	return n.catalogue.close()
}

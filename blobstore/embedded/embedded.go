// Package embedded is a whole Walrus in one process: storage nodes on folders
// of one or several disks, and a localnet.
//
// A network lives in one folder:
//
//	lock           held by the process that has it open
//	network.json   the nodes, where they lie, which of them are stopped
//	ledger/        the localnet: its database and its log
//	keys/node-00   copies of the keys of a node, for the day its folder is lost
//	nodes/node-00  the nodes, unless Config.NodeDirs puts them elsewhere:
//	  key            signing key, base64 of 04 and 32 bytes, mode 0600
//	  network.key    transport key, base64 of 02 and 32 bytes, mode 0600
//	  catalogue.db   see package node
//	  blobs/
//	  ledger.log     copy of the localnet's log
//	  lock           held by the process that has the node up
//	  drive/         copies of what else it takes to go on elsewhere: network.json,
//	                 the sealed keys of all nodes, and the files of Config.Files
//
// So a network can be made of node folders alone, with Find and Adopt.
//
// The key of a node is the proof that its folder is there: on a folder without
// it, for example because a disk is not mounted, no node is started.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet"
)

// The errors of a network.
var (
	ErrLocked   = errors.New("another process has the network open")
	ErrUnknown  = errors.New("no such node")
	ErrSettings = errors.New("network was made with other settings")
)

// Config says where a network lives. Dir is required. Nodes, Shards and
// NodeDirs only matter when the network is made; later they may be left out.
type Config struct {
	Dir      string        // made when missing
	Nodes    int           // 0 means DefaultNodes
	Shards   int           // 0 means DefaultShards
	NodeDirs []string      // folders to deal the nodes to; empty means Dir/nodes
	Keys     *seal.Keyring // seals the copies of the nodes' keys in each node folder; nil: none are kept
	// Files returns small files of the drive, by name, of which each node folder keeps copies; nil: none.
	Files func() (map[string][]byte, error)
	Now   func() time.Time // the ledger's clock; nil means time.Now
	Log   *slog.Logger     // nil means silent
}

// The size of a network when Config leaves it open: three nodes may die for
// writes, six for reads, and one signature covers ten shards.
const (
	DefaultNodes  = 10
	DefaultShards = 100
)

// Network is an open network. All methods may be called concurrently.
type Network struct {
	cfg      Config
	lock     *os.File
	ledger   *localnet.Net
	codec    *redstuff.Codec
	geometry walrus.Geometry
	nodes    []*member // does not change
	ailing   chan struct{}

	mu   sync.Mutex // guards plan
	plan plan
}

// Open opens the network in cfg.Dir and makes it when there is none. Nodes
// that cannot be opened are down, and Nodes says why.
func Open(ctx context.Context, cfg Config) (n *Network, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	n = &Network{cfg: cfg, ailing: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open network: %w", err), n.Close())
		}
	}()
	if n.lock, err = lock(cfg.Dir); err != nil {
		return n, err
	}
	if n.plan, err = loadPlan(cfg); err != nil {
		return n, err
	}
	if n.geometry, err = walrus.NewGeometry(n.plan.Shards); err != nil {
		return n, err
	}
	if n.codec, err = redstuff.New(n.geometry); err != nil {
		return n, err
	}
	if err := n.openLedger(ctx); err != nil {
		return n, err
	}
	if err := n.keepKeys(); err != nil {
		cfg.Log.Warn("keys of nodes cannot be copied", "err", err)
	}
	n.openNodes(ctx)
	return n, nil
}

// lock takes the lock of a network.
func lock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openLedger opens the localnet. Only a network that is being made may have
// none yet; one that was made has at least a log, in the home or in a node folder.
func (n *Network) openLedger(ctx context.Context) (err error) {
	config := localnet.Config{Dir: filepath.Join(n.cfg.Dir, "ledger"), TakeOver: n.plan.TakeOver, Now: n.cfg.Now, Log: n.cfg.Log}
	if n.plan.Made {
		for i := range n.plan.Nodes {
			config.Copies = append(config.Copies, n.plan.Nodes[i].folder(n.cfg.Dir))
		}
	} else {
		if config.Genesis, err = n.plan.genesis(n.cfg.Dir); err != nil {
			return err
		}
	}
	if n.ledger, err = localnet.Open(ctx, config); err != nil {
		return err
	}
	if n.plan.Made && !n.plan.TakeOver {
		return nil
	}
	n.plan.Made, n.plan.TakeOver = true, false
	return n.plan.save(n.cfg.Dir)
}

// Ledger returns the ledger as owner sees it.
func (n *Network) Ledger(owner chain.Address) chain.Ledger { return n.ledger.Ledger(owner) }

// Codec returns the codec that the nodes use.
func (n *Network) Codec() *redstuff.Codec { return n.codec }

// What the faucet pays: play money for more than any disk holds.
const (
	faucetFrost = 1_000_000 * chain.FrostPerWAL
	faucetMist  = 1_000_000_000_000
)

// Faucet pays owner play money, once per transaction ID.
func (n *Network) Faucet(ctx context.Context, tx chain.TxID, owner chain.Address) error {
	return n.ledger.Faucet(ctx, tx, owner, faucetFrost, faucetMist)
}

// AdvanceEpoch ends the epoch now.
func (n *Network) AdvanceEpoch(ctx context.Context) error { return n.ledger.AdvanceEpoch(ctx) }

// followEvery is how often nodes look at the ledger of their own accord.
const followEvery = 10 * time.Second

// Run changes the epochs when they are due, lets the nodes follow the ledger and
// looks after the copies of its log, until ctx ends.
func (n *Network) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	var ledger sync.WaitGroup
	defer ledger.Wait()
	ledger.Go(func() { failed <- n.ledger.Run(ctx) })
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.Sync(ctx)
			n.ledger.Mend()
		case err := <-failed:
			return err
		}
	}
}

// Sync lets every node that is up follow the ledger to its end now.
func (n *Network) Sync(ctx context.Context) {
	for _, m := range n.nodes {
		node, _, err := m.use()
		if err != nil {
			continue
		}
		if err := node.Sync(ctx); err != nil && ctx.Err() == nil {
			n.cfg.Log.Warn("node cannot follow the ledger", "node", m.name, "err", err)
		}
	}
}

// Close closes nodes and ledger.
func (n *Network) Close() error {
	var errs []error
	for _, m := range n.nodes {
		errs = append(errs, m.close("closed"))
	}
	if n.ledger != nil {
		errs = append(errs, n.ledger.Close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	return errors.Join(errs...)
}

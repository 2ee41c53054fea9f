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
// it, for example because a disk is not mounted, no node is started. A node whose
// folder goes away while it is up goes down, and comes up when it is there again.
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

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/chain/localnet/rpc"
)

// The errors of a network.
var (
	ErrLocked   = errors.New("another process has the network open")
	ErrUnknown  = errors.New("no such node")
	ErrSettings = errors.New("network was made with other settings")
)

// Config says where a network lives. Dir is required. Nodes, Shards, NodeDirs,
// Addresses and Epoch only matter when the network is made; later they may be left out.
type Config struct {
	Dir      string   // made when missing
	Nodes    int      // 0 means DefaultNodes
	Shards   int      // 0 means DefaultShards
	NodeDirs []string // folders to deal the nodes to; empty means Dir/nodes
	// Addresses are where the nodes' HTTP is to be found, host:port, one for each; empty: nobody serves it.
	Addresses []string
	Epoch     time.Duration // how long an epoch lasts; 0 means localnet.DefaultEpochDuration
	Keys      *seal.Keyring // seals the copies of the nodes' keys in each node folder; nil: none are kept
	// Files returns small files of the drive, by name, of which each node folder keeps copies; nil: none.
	Files func() (map[string][]byte, error)
	// Mine says whether Files take the place of what a folder keeps, by the mark that was left
	// last for it; nil: none was. Folders that have no such files get them in any case. Nil: always.
	Mine func(mark []byte) bool
	// Recover rebuilds what a node lacks of a blob, from other nodes. With it shards follow the stake, as on the
	// real network, and an epoch begins once they have come to their nodes; nil: each node keeps its shards.
	Recover func(ctx context.Context, n *node.Node, blob walrus.BlobID) error
	Now     func() time.Time  // the ledger's clock; nil means time.Now
	Stage   func(step string) // tests end the process here, as in sui.Config; nil goes on
	Log     *slog.Logger      // nil means silent
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

	mu     sync.Mutex // guards the fields below
	plan   plan
	server *rpc.Server    // nil until there is an owner
	owners []func() error // end those
	names  map[walrus.NodeID]string
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
	seed, err := n.plan.seed()
	if err != nil {
		return err
	}
	config := localnet.Config{Dir: filepath.Join(n.cfg.Dir, "ledger"), Seed: seed, TakeOver: n.plan.TakeOver, Now: n.cfg.Now, Log: n.cfg.Log}
	if n.cfg.Recover != nil {
		config.MoveShards = n.moveShards
	}
	if n.plan.Made {
		for i := range n.plan.Nodes {
			config.Copies = append(config.Copies, n.plan.Nodes[i].folder(n.cfg.Dir))
		}
	} else {
		if config.Genesis, err = n.plan.genesis(n.cfg.Dir, localnet.House(seed)); err != nil {
			return err
		}
	}
	if n.ledger, err = localnet.Open(ctx, config); err != nil {
		return err
	}
	n.learnNames()
	if n.plan.Made && !n.plan.TakeOver {
		return nil
	}
	n.plan.Made, n.plan.TakeOver = true, false
	return n.plan.save(n.cfg.Dir)
}

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

const (
	// followEvery is how often nodes look at the ledger of their own accord, while there is news.
	followEvery = 10 * time.Second
	// restEvery is how often they, their folders and the copies of its log are looked after when there is none.
	restEvery = time.Minute
)

// Run changes the epochs when they are due, lets the nodes follow the ledger and
// looks after their folders and the copies of its log, until ctx ends.
func (n *Network) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	var ledger sync.WaitGroup
	defer ledger.Wait()
	ledger.Go(func() {
		failed <- n.ledger.Run(ctx)
		cancel()
	})
	n.Follow(ctx)
	return <-failed
}

// Follow is Run without the epochs: they end with AdvanceEpoch only.
func (n *Network) Follow(ctx context.Context) {
	known := ^uint64(0)
	for {
		news, turn := n.ledger.News()
		wait := restEvery
		if turn != known {
			news, wait = nil, followEvery // what comes meanwhile is followed with it
		}
		due := time.NewTimer(wait)
		select {
		case <-news:
			due.Stop()
			continue
		case <-ctx.Done():
			due.Stop()
			return
		case <-due.C:
		}
		n.tend(ctx)
		_, turn = n.ledger.News()
		if n.followTo(ctx, turn) {
			known = turn
		}
		n.ledger.Mend()
	}
}

// followTo lets the nodes that are up follow the ledger, which has come to a turn, and
// reports whether all could.
func (n *Network) followTo(ctx context.Context, turn uint64) bool {
	all := true
	for _, m := range n.nodes {
		err := m.follow(ctx, turn)
		n.warnOf(ctx, m, err)
		all = all && err == nil
	}
	return all
}

// FollowClosely lets the nodes follow each transaction of the ledger at once, until
// ctx ends: others than this process have no means to say that there is news.
func (n *Network) FollowClosely(ctx context.Context) error {
	news, err := n.ledger.Subscribe(ctx)
	if err != nil {
		return fmt.Errorf("follow the ledger: %w", err)
	}
	for range news {
		for more := true; more; { // what came meanwhile is followed with it
			select {
			case _, more = <-news:
			default:
				more = false
			}
		}
		n.Sync(ctx)
	}
	return nil
}

// Sync lets every node that is up follow the ledger to its end now. Where shards follow the stake,
// nodes delete what they have given away.
func (n *Network) Sync(ctx context.Context) {
	for _, m := range n.nodes {
		node, _, err := m.use()
		if err != nil {
			continue
		}
		if n.cfg.Recover != nil {
			_, err = node.Trim(ctx)
		} else {
			err = node.Sync(ctx)
		}
		n.warnOf(ctx, m, err)
	}
}

func (n *Network) warnOf(ctx context.Context, m *member, err error) {
	if err != nil && ctx.Err() == nil {
		n.cfg.Log.Warn("node cannot follow the ledger", "node", m.name, "err", err)
	}
}

// Close ends the owners and closes nodes and ledger. It may be called again.
func (n *Network) Close() error {
	errs := []error{n.closeOwners()}
	for _, m := range n.nodes {
		errs = append(errs, m.close("closed"))
	}
	if n.ledger != nil {
		errs = append(errs, n.ledger.Close())
	}
	n.mu.Lock()
	held := n.lock
	n.lock = nil
	n.mu.Unlock()
	if held != nil {
		errs = append(errs, held.Close())
	}
	return errors.Join(errs...)
}

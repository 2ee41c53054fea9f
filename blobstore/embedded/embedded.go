// Package embedded is a whole Walrus in one process: storage nodes on folders
// of one or several disks, and a localnet.
package embedded

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/walfs/walfs/blobstore/node"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// The errors of a network.
var (
	ErrLocked   = errors.New("another process has the network open")
	ErrUnknown  = errors.New("no such node")
	ErrSettings = errors.New("network was made with other settings")
)

// Config says where a network lives. Dir is required.
type Config struct {
	Dir      string           // made when missing
	Nodes    int              // 0 means DefaultNodes
	Shards   int              // 0 means DefaultShards
	NodeDirs []string         // folders to deal the nodes to; empty means Dir/nodes
	Now      func() time.Time // the ledger's clock; nil means time.Now
	Log      *slog.Logger     // nil means silent
}

// The size of a network when Config leaves it open.
const (
	DefaultNodes  = 10
	DefaultShards = 100
)

// Network is an open network. All methods may be called concurrently.
type Network struct{}

// NodeStatus is what a network knows of one of its nodes.
type NodeStatus struct {
	Name          string
	State         string // "up" or "down"
	Reason        string // why it is down: "stopped" or what was wrong
	Dir           string
	Shards        int
	Blobs         int
	Bytes         int64
	SliverReads   uint64
	MetadataReads uint64
	BadSlots      []node.BadSlot
}

// Fault is what goes wrong at a node; faults may be or-ed. The zero Fault is none.
type Fault uint16

// The faults.
const (
	Down         Fault = 1 << iota // every call fails at once
	Hang                           // no call is answered
	Slow                           // every call is answered after SlowDelay
	Corrupt                        // flips a bit in each sliver answered
	WrongSliver                    // answers with another sliver
	WrongBlob                      // answers with the metadata of nothing
	RefuseStore                    // refuses to store
	NoRoom                         // has no room
	BadSignature                   // signs something else
	OldEpoch                       // signs for the epoch before
)

// SlowDelay is how long a Slow node takes.
const SlowDelay = 2 * time.Second

// Open opens the network in cfg.Dir and makes it when there is none.
func Open(ctx context.Context, cfg Config) (*Network, error) { return nil, ErrLocked }

// Ledger returns the ledger as owner sees it.
func (n *Network) Ledger(owner chain.Address) chain.Ledger { return nil }

// Faucet pays owner play money, once per transaction ID.
func (n *Network) Faucet(ctx context.Context, tx chain.TxID, owner chain.Address) error { return nil }

// Dial returns a client of a member.
func (n *Network) Dial(m walrus.Member) (*node.Client, error) { return nil, ErrUnknown }

// Nodes returns the state of all nodes.
func (n *Network) Nodes() []NodeStatus { return nil }

// Stop takes a node down. It stays down, also after Close and Open, until Start.
func (n *Network) Stop(name string) error { return ErrUnknown }

// Start takes a stopped node up again.
func (n *Network) Start(ctx context.Context, name string) error { return ErrUnknown }

// Inject sets what goes wrong at a node from now on.
func (n *Network) Inject(name string, f Fault) error { return ErrUnknown }

// Run drives the epochs and lets the nodes follow the ledger, until ctx ends.
func (n *Network) Run(ctx context.Context) error { return nil }

// Close closes nodes and ledger.
func (n *Network) Close() error { return nil }

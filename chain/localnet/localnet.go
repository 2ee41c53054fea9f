// Package localnet is a ledger in this process: the rules of the Walrus
// contracts over objects in their BCS layouts, kept in SQLite. It is a model
// of Sui with the Walrus contracts and not Sui: it has no Move virtual
// machine, no consensus and no validators, and its WAL is play money.
package localnet

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// ErrNoGenesis reports that Dir holds no ledger yet and Config.Genesis is nil.
var ErrNoGenesis = errors.New("no ledger here and no genesis given")

// Config says where a ledger lives. Dir is required.
type Config struct {
	Dir     string           // folder of ledger.db; made when missing
	Genesis *Genesis         // used only when the ledger is new
	Now     func() time.Time // nil means time.Now
	Log     *slog.Logger     // nil means silent
}

// Genesis is the committee and the parameters that a new ledger starts with.
type Genesis struct {
	Shards        int // n, dealt evenly to Nodes in the order of their node IDs
	Nodes         []GenesisNode
	EpochDuration time.Duration // 0 means DefaultEpochDuration
	StoragePrice  uint64        // FROST per MiB and epoch; 0 means DefaultStoragePrice
	WritePrice    uint64        // FROST per MiB written; 0 means DefaultWritePrice
	Seed          [32]byte      // all IDs derive from it; zero draws a random one
}

// GenesisNode is a storage node of the first committee.
type GenesisNode struct {
	Name       string
	Address    string        // host:port
	PublicKey  [48]byte      // BLS12-381, G1 compressed
	NetworkKey [33]byte      // P-256, compressed
	Operator   chain.Address // owns the node's capability; zero means an address derived from PublicKey
	// ProofOfPossession is the node's signature over ProofMessage.
	ProofOfPossession [96]byte
}

// ProofMessage returns the bytes that the node signs with its BLS key to prove
// that it holds it. PublicKey and Operator must be set.
func (g *GenesisNode) ProofMessage() []byte { return nil }

// Defaults of a Genesis. Sources: the epoch of mainnet; the example prices of the Walrus documentation.
const (
	DefaultEpochDuration = 14 * 24 * time.Hour
	DefaultStoragePrice  = 100_000
	DefaultWritePrice    = 20_000
	// MaxEpochsAhead is how far storage can be bought. Source: mainnet, since contract version 1.
	MaxEpochsAhead = 53
)

// Net is an open ledger. All methods may be called concurrently.
type Net struct{}

// Open opens the ledger in cfg.Dir and makes it from cfg.Genesis when there is
// none. Only one process may have it open.
func Open(ctx context.Context, cfg Config) (*Net, error) { return nil, ErrNoGenesis }

// Ledger returns the ledger as owner sees it.
func (n *Net) Ledger(owner chain.Address) chain.Ledger { return nil }

// Faucet pays walFrost and suiMist to an address, once per transaction ID.
func (n *Net) Faucet(ctx context.Context, tx chain.TxID, to chain.Address, walFrost, suiMist uint64) error {
	return ErrNoGenesis
}

// AdvanceEpoch moves the ledger's clock to the end of the epoch and changes to the next one.
func (n *Net) AdvanceEpoch(ctx context.Context) error { return ErrNoGenesis }

// Run changes epochs when they are due by the ledger's own clock, until ctx ends.
func (n *Net) Run(ctx context.Context) error { return ErrNoGenesis }

// Committee returns the committee of the current epoch.
func (n *Net) Committee() walrus.Committee { return walrus.Committee{} }

// ChainID names this ledger: a hash of its genesis seed.
func (n *Net) ChainID() [32]byte { return [32]byte{} }

// Close waits for running transactions and closes the database.
func (n *Net) Close() error { return nil }

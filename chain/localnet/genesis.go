package localnet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/ptb"
	"github.com/walfs/walfs/chain/move"
)

// ErrGenesis reports a Genesis that no ledger can be made of.
var ErrGenesis = errors.New("unusable genesis")

// Genesis is the committee and the parameters that a new ledger starts with.
type Genesis struct {
	Shards        int // n, dealt evenly to Nodes in the order of their node IDs
	Nodes         []GenesisNode
	EpochDuration time.Duration // 0 means DefaultEpochDuration
	StoragePrice  uint64        // FROST per MiB and epoch; 0 means DefaultStoragePrice
	WritePrice    uint64        // FROST per MiB written; 0 means DefaultWritePrice
}

// GenesisNode is a storage node of the first committee.
type GenesisNode struct {
	Name       string
	Address    string   // host:port
	PublicKey  [48]byte // BLS12-381, G1 compressed
	NetworkKey [33]byte // P-256, compressed
	// ProofOfPossession is the node's signature over ProofMessage.
	ProofOfPossession [96]byte
}

// ProofMessage returns the bytes that the node signs with its BLS key to prove
// that it holds it, to the house of the ledger that registers it.
func (g *GenesisNode) ProofMessage(house chain.Address) []byte {
	return walrus.ProofOfPossessionMessage(0, house, g.PublicKey)
}

// Defaults of a Genesis. Sources: the epoch of mainnet; the example prices of
// the Walrus documentation, per MiB.
const (
	DefaultEpochDuration = 14 * 24 * time.Hour
	DefaultStoragePrice  = 100_000
	DefaultWritePrice    = 20_000
)

// MaxEpochsAhead is how far ahead storage can be bought. Source: mainnet.
const MaxEpochsAhead = 53

const (
	// capacityBytes is what the whole committee offers: practically unlimited.
	capacityBytes = 1 << 60
	// stakeFrost is what the faucet stakes with each node.
	stakeFrost = 1000 * chain.FrostPerWAL
	// suiSupply is the play money for gas in MIST: ten billion SUI, as on mainnet.
	suiSupply = 10_000_000_000 * 1_000_000_000
	// clockVersion is the initial version of the Clock. Source: Sui genesis.
	clockVersion = 1
)

// derive returns an ID that follows from a seed.
func derive(seed []byte, name string) [32]byte {
	return blake2b.Sum256(append([]byte("walfs localnet "+name+"\x00"), seed...))
}

// complete checks a genesis and fills in what it leaves open.
func (g Genesis) complete() (Genesis, error) {
	if _, err := walrus.NewGeometry(g.Shards); err != nil {
		return g, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	if len(g.Nodes) == 0 || len(g.Nodes) > g.Shards {
		return g, fmt.Errorf("%d nodes for %d shards: %w", len(g.Nodes), g.Shards, ErrGenesis)
	}
	if g.EpochDuration == 0 {
		g.EpochDuration = DefaultEpochDuration
	}
	if g.EpochDuration < time.Millisecond {
		return g, fmt.Errorf("epoch of %s: %w", g.EpochDuration, ErrGenesis)
	}
	if g.StoragePrice == 0 {
		g.StoragePrice = DefaultStoragePrice
	}
	if g.WritePrice == 0 {
		g.WritePrice = DefaultWritePrice
	}
	return g, nil
}

// genesis makes the ledger, in one SQL transaction: the objects that all
// share, the nodes with their stake, and the change from epoch 0 to epoch 1,
// all through the functions of the contracts.
func (n *Net) genesis(ctx context.Context, seed [32]byte, g Genesis) error {
	g, err := g.complete()
	if err != nil {
		return err
	}
	if seed == ([32]byte{}) {
		return ErrSeed
	}
	n.facts = facts{
		chainID:  derive(seed[:], "chain"),
		packages: move.Packages{Walrus: derive(seed[:], "walrus"), WAL: derive(seed[:], "wal")},
		faucet:   chain.Address(n.house.address),
	}
	n.facts.complete()
	if n.table, err = ptb.NewTable(&n.facts.packages); err != nil {
		return err
	}
	n.firstMS = n.clock.timeMS()
	return n.update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, schema); err != nil {
			return err
		}
		run := func(kind string, body func(*env) error) error {
			if _, err := n.executeIn(ctx, tx, n.systemCall(kind, body)); err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			return nil
		}
		if err := run("initialize_walrus", func(e *env) error { return e.initialize(seed, &g) }); err != nil {
			return err
		}
		for _, f := range n.furniture() {
			if err := run(f.kind, f.body); err != nil {
				return err
			}
		}
		for _, o := range n.firstEpoch(&g) {
			if err := n.runOwn(ctx, tx, o); err != nil {
				return err
			}
		}
		if err := n.facts.save(ctx, tx); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
		return err
	})
}

// initialize makes the Clock, the money, System and Staking.
func (e *env) initialize(seed [32]byte, g *Genesis) error {
	clock := &move.Clock{ID: move.ClockID, TimestampMS: e.TimeMS}
	if err := e.Hold(clock, clockType); err != nil {
		return err
	}
	if err := e.Transfer(clock.ID, move.Owner{Kind: move.OwnerShared, InitialVersion: clockVersion}); err != nil {
		return err
	}
	treasury, wal, err := contract.CreateCurrency(e.Tx)
	if err != nil {
		return err
	}
	sui, err := contract.NewCoin(e.Tx, move.CoinType(move.SUI), suiSupply)
	if err != nil {
		return err
	}
	for _, coin := range []*move.Coin{wal, sui} {
		if err := e.Transfer(coin.ID, move.AddressOwner(e.Sender)); err != nil {
			return err
		}
	}
	// Calls go to the current package, types are named after the original one:
	// here as on the real networks these are two.
	current := move.ID(derive(seed[:], "walrus current"))
	sys, err := contract.CreateSystem(e.Tx, MaxEpochsAhead, current)
	if err != nil {
		return err
	}
	staking, err := contract.CreateStaking(e.Tx, 0, uint64(g.EpochDuration.Milliseconds()), uint16(g.Shards), current, clock)
	if err != nil {
		return err
	}
	f := &e.net.facts
	f.treasury, f.system, f.staking = treasury.ID, sys.ID, staking.ID
	return nil
}

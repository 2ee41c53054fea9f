package localnet

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/contract"
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

// operator returns the address that registers the node.
func (g *GenesisNode) operator() chain.Address {
	if g.Operator != (chain.Address{}) {
		return g.Operator
	}
	return derive(g.PublicKey[:], "operator")
}

// ProofMessage returns the bytes that the node signs with its BLS key to prove
// that it holds it. PublicKey and Operator must be set.
func (g *GenesisNode) ProofMessage() []byte {
	return walrus.ProofOfPossessionMessage(0, g.operator(), g.PublicKey)
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
	if g.Seed == ([32]byte{}) {
		if _, err := rand.Read(g.Seed[:]); err != nil {
			return g, err
		}
	}
	return g, nil
}

// genesis makes the ledger, in one SQL transaction: the objects that all
// share, the nodes with their stake, and the change from epoch 0 to epoch 1,
// all through the functions of the contracts.
func (n *Net) genesis(ctx context.Context, g Genesis) error {
	g, err := g.complete()
	if err != nil {
		return err
	}
	n.facts = facts{
		chainID:  derive(g.Seed[:], "chain"),
		packages: move.Packages{Walrus: derive(g.Seed[:], "walrus"), WAL: derive(g.Seed[:], "wal")},
		faucet:   derive(g.Seed[:], "faucet"),
	}
	return n.update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, schema); err != nil {
			return err
		}
		run := func(kind string, number int, sender chain.Address, body func(*env) error) error {
			c := n.systemCall(kind, uint64(number), sender, body)
			hash, err := c.request.hash(c.sender)
			if err != nil {
				return err
			}
			if _, _, err := n.executeIn(ctx, tx, c, hash); err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			return nil
		}
		if err := run("initialize_walrus", 0, n.facts.faucet, func(e *env) error { return e.initialize(&g) }); err != nil {
			return err
		}
		for i := range g.Nodes {
			node := &g.Nodes[i]
			if err := run("register_candidate", i, node.operator(), func(e *env) error { return e.registerNode(&g, node) }); err != nil {
				return err
			}
		}
		if err := run("stake_with_pool", 0, n.facts.faucet, stakeWithAll); err != nil {
			return err
		}
		if err := run("voting_end", 0, n.facts.faucet, votingEnd); err != nil {
			return err
		}
		if err := run("initiate_epoch_change_v2", 0, n.facts.faucet, initiateEpochChange); err != nil {
			return err
		}
		if err := run("epoch_sync_done", 0, n.facts.faucet, epochSyncDone); err != nil {
			return err
		}
		if err := n.facts.save(ctx, tx); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
		return err
	})
}

// initialize makes the Clock, the money, System and Staking.
func (e *env) initialize(g *Genesis) error {
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
	current := move.ID(derive(g.Seed[:], "walrus current"))
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

// registerNode registers one node and gives its operator the capability.
func (e *env) registerNode(g *Genesis, node *GenesisNode) error {
	s, err := e.staking()
	if err != nil {
		return err
	}
	perNode := uint64(g.Shards+len(g.Nodes)-1) / uint64(len(g.Nodes))
	nodeCap, err := contract.RegisterCandidate(e.Tx, s, contract.Candidate{
		Name: node.Name, NetworkAddress: node.Address, PublicKey: node.PublicKey[:], NetworkKey: node.NetworkKey[:],
		Proof: node.ProofOfPossession[:],
		Votes: move.VotingParams{StoragePrice: g.StoragePrice, WritePrice: g.WritePrice,
			NodeCapacity: capacityBytes / uint64(g.Shards) * perNode},
	})
	if err != nil {
		return fmt.Errorf("node %s: %w", node.Name, err)
	}
	return e.Transfer(nodeCap.ID, move.AddressOwner(e.Sender))
}

// stakeWithAll stakes the same with every node.
func stakeWithAll(e *env) error {
	s, err := e.staking()
	if err != nil {
		return err
	}
	purse, err := e.purse(e.Types.WALCoin())
	if err != nil {
		return err
	}
	inner, err := contract.StakingInner(e.Tx, s)
	if err != nil {
		return err
	}
	nodes, err := e.pools(inner)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		coin, err := contract.SplitCoin(e.Tx, e.Types.WALCoin(), purse, stakeFrost)
		if err != nil {
			return err
		}
		staked, err := contract.StakeWithPool(e.Tx, s, coin, node)
		if err != nil {
			return err
		}
		if err := e.Transfer(staked.ID, move.AddressOwner(e.Sender)); err != nil {
			return err
		}
	}
	return nil
}

// pools lists the nodes that are registered, oldest first.
func (e *env) pools(inner *move.StakingInner) ([]move.ID, error) {
	rows, err := e.sql.QueryContext(e.ctx, `SELECT objects.id FROM objects JOIN types ON types.id = objects.type
		WHERE types.name = ? ORDER BY objects.rowid`, e.Types.StakingPool().String())
	if err != nil {
		return nil, err
	}
	var ids []move.ID
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		ids = append(ids, move.ID(id))
	}
	if uint64(len(ids)) != inner.Pools.Size {
		err = fmt.Errorf("%d pools, want %d: %w", len(ids), inner.Pools.Size, ErrDamaged)
	}
	return ids, errors.Join(err, rows.Err(), rows.Close())
}

package contract

import (
	"math"

	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// maxActiveSet is how many nodes the active set holds. Source: module
// staking_inner, TEMP_ACTIVE_SET_SIZE_LIMIT of version 3.
const maxActiveSet = 111

// CreateStaking makes and shares the Staking object: staking::create.
func CreateStaking(tx *overlay.Tx, epochZeroMS, epochMS uint64, shards uint16, packageID move.ID, clock *move.Clock) (*move.Staking, error) {
	s := &move.Staking{System: move.System{ID: tx.NewID(), Version: Version, PackageID: packageID}}
	if err := tx.Hold(s, tx.Types.Staking()); err != nil {
		return nil, err
	}
	start, err := add("staking_inner", "new", epochZeroMS, clock.TimestampMS)
	if err != nil {
		return nil, err
	}
	inner := &move.StakingInner{Shards: shards, EpochDuration: epochMS, FirstEpochStart: start,
		Pools: move.Table{ID: tx.NewID()}, State: move.EpochState{Kind: move.StateDone, TimeMS: clock.TimestampMS}}
	set, err := newActiveSet(maxActiveSet)
	if err != nil {
		return nil, err
	}
	if inner.ActiveSet, err = newExtended(tx, tx.Types.ActiveSet(), set); err != nil {
		return nil, err
	}
	if inner.NextPublicKeys, err = newExtended(tx, tx.Types.PublicKeys(), &move.PublicKeys{}); err != nil {
		return nil, err
	}
	if err := tx.AddField(s.ID, move.U64Key(Version), tx.Types.StakingInner().Tag(), inner); err != nil {
		return nil, err
	}
	return s, tx.Share(s.ID)
}

// StakingInner returns the state of Staking, for reading and writing: staking::inner and inner_mut.
func StakingInner(tx *overlay.Tx, s *move.Staking) (*move.StakingInner, error) {
	if s.Version != version(tx) {
		return nil, stakingWrongVersion.in("inner")
	}
	return overlay.Field[move.StakingInner](tx, s.ID, move.U64Key(s.Version), tx.Types.StakingInner().Tag())
}

// Pool returns a storage node's pool, for reading and writing.
func Pool(tx *overlay.Tx, inner *move.StakingInner, node move.ID) (*move.StakingPool, error) {
	return overlay.ObjectField[move.StakingPool](tx, inner.Pools.ID, move.IDKey(node), tx.Types.StakingPool())
}

// Candidate is what register_candidate is told of a node.
type Candidate struct {
	Name           string
	NetworkAddress string
	Metadata       move.NodeMetadata
	PublicKey      []byte // BLS12-381, 48 bytes
	NetworkKey     []byte // P-256, 33 bytes
	Proof          []byte // of possession, by the sender, 96 bytes
	CommissionRate uint16 // basis points
	Votes          move.VotingParams
}

// RegisterCandidate makes a storage node and returns the capability to act for
// it: staking::register_candidate.
func RegisterCandidate(tx *overlay.Tx, s *move.Staking, c Candidate) (*move.NodeCap, error) {
	inner, err := StakingInner(tx, s)
	if err != nil {
		return nil, err
	}
	pool, err := newPool(tx, inner, c)
	if err != nil {
		return nil, err
	}
	if err := tx.AddObjectField(inner.Pools.ID, move.IDKey(pool.ID), pool.ID); err != nil {
		return nil, err
	}
	inner.Pools.Size++
	nodeCap := &move.NodeCap{ID: tx.NewID(), Node: pool.ID}
	pool.CommissionReceiver = move.Authorized{Object: true, Address: nodeCap.ID}
	return nodeCap, tx.Hold(nodeCap, tx.Types.NodeCap())
}

// StakeWithPool stakes a coin with a node and returns the receipt: staking::stake_with_pool.
func StakeWithPool(tx *overlay.Tx, s *move.Staking, coin *move.Coin, node move.ID) (*move.StakedWAL, error) {
	inner, err := StakingInner(tx, s)
	if err != nil {
		return nil, err
	}
	pool, err := Pool(tx, inner, node)
	if err != nil {
		return nil, err
	}
	amount, err := intoBalance(tx, coin)
	if err != nil {
		return nil, err
	}
	staked, err := stake(tx, pool, amount, inner)
	if err != nil {
		return nil, err
	}
	return staked, updateActiveSet(tx, inner, pool)
}

// updateActiveSet brings the stake that counts at the next selection up to date.
func updateActiveSet(tx *overlay.Tx, inner *move.StakingInner, pool *move.StakingPool) error {
	set, err := overlay.Field[move.ActiveSet](tx, inner.ActiveSet, tx.Types.ExtendedKey(), tx.Types.ActiveSet())
	if err != nil {
		return err
	}
	ahead := uint32(1)
	if inner.State.Kind == move.StateSelected {
		ahead = 2
	}
	balance, err := balanceAt(tx, pool, inner.Epoch+ahead)
	if err != nil {
		return err
	}
	insertOrUpdate(set, pool.ID, balance)
	return nil
}

// SetStoragePriceVote is a node's vote: staking::set_storage_price_vote.
func SetStoragePriceVote(tx *overlay.Tx, s *move.Staking, c *move.NodeCap, price uint64) error {
	return vote(tx, s, c, func(v *move.VotingParams) { v.StoragePrice = price })
}

// SetWritePriceVote is a node's vote: staking::set_write_price_vote.
func SetWritePriceVote(tx *overlay.Tx, s *move.Staking, c *move.NodeCap, price uint64) error {
	return vote(tx, s, c, func(v *move.VotingParams) { v.WritePrice = price })
}

// SetNodeCapacityVote is a node's vote: staking::set_node_capacity_vote.
func SetNodeCapacityVote(tx *overlay.Tx, s *move.Staking, c *move.NodeCap, capacity uint64) error {
	return vote(tx, s, c, func(v *move.VotingParams) { v.NodeCapacity = capacity })
}

func vote(tx *overlay.Tx, s *move.Staking, c *move.NodeCap, set func(*move.VotingParams)) error {
	inner, err := StakingInner(tx, s)
	if err != nil {
		return err
	}
	pool, err := Pool(tx, inner, c.Node)
	if err != nil {
		return err
	}
	set(&pool.Votes)
	return nil
}

// UpdatePrices applies the votes of the current committee at once: staking::update_prices.
func UpdatePrices(tx *overlay.Tx, s *move.Staking, sys *move.System) error {
	inner, err := StakingInner(tx, s)
	if err != nil {
		return err
	}
	system, err := SystemInner(tx, sys)
	if err != nil {
		return err
	}
	system.StoragePrice, system.WritePrice, err = votedPrices(tx, inner)
	if err != nil {
		return err
	}
	return tx.Emit(&move.PricesUpdated{Epoch: inner.Epoch, StoragePrice: system.StoragePrice, WritePrice: system.WritePrice})
}

// votedPrices is staking_inner::recalculate_prices.
func votedPrices(tx *overlay.Tx, inner *move.StakingInner) (storage, write uint64, err error) {
	if len(inner.Committee) == 0 {
		return math.MaxUint64, math.MaxUint64, nil
	}
	var storageVotes, writeVotes []weightedVote
	for _, member := range inner.Committee {
		pool, err := Pool(tx, inner, member.Key)
		if err != nil {
			return 0, 0, err
		}
		weight := uint64(len(member.Value))
		storageVotes = append(storageVotes, weightedVote{pool.Votes.StoragePrice, weight})
		writeVotes = append(writeVotes, weightedVote{pool.Votes.WritePrice, weight})
	}
	return quorumBelow(storageVotes, inner.Shards), quorumBelow(writeVotes, inner.Shards), nil
}

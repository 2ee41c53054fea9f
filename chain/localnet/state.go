package localnet

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// inners reads the states of System and Staking. The transaction that it
// returns with them reads more of the same state.
func (n *Net) inners(ctx context.Context, q queryer) (*overlay.Tx, *move.SystemInner, *move.StakingInner, error) {
	tx := overlay.New(move.Digest{}, move.Address{}, n.clock.timeMS(), &n.facts.packages,
		func(id move.ID) (*move.Object, error) { return n.store.object(ctx, q, id) })
	sys, err := overlay.Borrow[move.System](tx, n.facts.system, tx.Types.System())
	if err != nil {
		return nil, nil, nil, err
	}
	tx.PackageVersion = sys.Version
	system, err := contract.SystemInner(tx, sys)
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := overlay.Borrow[move.Staking](tx, n.facts.staking, tx.Types.Staking())
	if err != nil {
		return nil, nil, nil, err
	}
	staking, err := contract.StakingInner(tx, s)
	return tx, system, staking, err
}

// readCommittee reads the committee of the current epoch.
func readCommittee(tx *overlay.Tx, system *move.SystemInner, staking *move.StakingInner) (walrus.Committee, error) {
	c := walrus.Committee{Epoch: walrus.Epoch(system.Committee.Epoch), Shards: int(system.Committee.Shards)}
	for _, m := range system.Committee.Members {
		pool, err := contract.Pool(tx, staking, m.Node)
		if err != nil {
			return c, err
		}
		shards, ok := staking.Committee.Get(m.Node)
		if !ok || len(shards) != int(m.Weight) || len(m.PublicKey) != 96 {
			return c, fmt.Errorf("committee of epoch %d: node %s: %w", c.Epoch, m.Node, ErrDamaged)
		}
		key, err := bls.Compress([96]byte(m.PublicKey))
		if err != nil {
			return c, fmt.Errorf("node %s: %w", m.Node, err)
		}
		c.Members = append(c.Members, walrus.Member{Name: pool.Info.Name, ID: walrus.NodeID(m.Node),
			Address: pool.Info.NetworkAddress, PublicKey: key, Shards: shards})
	}
	return c, nil
}

// State implements chain.Chronicle.
func (n *Net) State(ctx context.Context) (*chain.State, error) {
	at := n.changes.Load()
	if known := n.known.Load(); known != nil && known.at == at {
		s := known.state
		s.Now, s.Committee = time.UnixMilli(int64(n.clock.timeMS())), n.Committee()
		return &s, nil
	}
	var s *chain.State
	settled := false
	err := n.view(ctx, func(sqlTx *sql.Tx) error {
		tx, system, staking, err := n.inners(ctx, sqlTx)
		if err != nil {
			return err
		}
		s = &chain.State{
			Epoch:          walrus.Epoch(system.Committee.Epoch),
			EpochDuration:  time.Duration(staking.EpochDuration) * time.Millisecond,
			Now:            time.UnixMilli(int64(tx.TimeMS)),
			Committee:      n.Committee(),
			StoragePrice:   system.StoragePrice,
			WritePrice:     system.WritePrice,
			MaxEpochsAhead: system.Accounting.Length,
			Capacity:       system.TotalCapacity,
			Used:           system.UsedCapacity,
			ChainID:        n.facts.chainID,
		}
		s.EpochStart = s.Now // while nodes are in sync, the epoch is about to start
		if staking.State.Kind != move.StateSync {
			s.EpochStart = time.UnixMilli(int64(staking.State.TimeMS))
		}
		settled = staking.State.Kind != move.StateSync && s.Committee.Epoch == s.Epoch
		if s.Committee.Epoch != s.Epoch {
			s.Committee, err = readCommittee(tx, system, staking)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if settled {
		n.known.Store(&knownState{*s, at})
	}
	return s, nil
}

// knownState is a state after a number of commits: each node asks for it with each blob.
type knownState struct {
	state chain.State
	at    uint64
}

// loadCommittee remembers the committee of the current epoch.
func (n *Net) loadCommittee(ctx context.Context) error {
	return n.view(ctx, func(sqlTx *sql.Tx) error {
		tx, system, staking, err := n.inners(ctx, sqlTx)
		if err != nil {
			return err
		}
		c, err := readCommittee(tx, system, staking)
		if err != nil {
			return err
		}
		n.committee.Store(&c)
		return nil
	})
}

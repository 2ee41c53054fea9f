package sui

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// shared names a shared object in a transaction.
type shared struct {
	id      move.ID
	initial uint64 // version at which it was shared
}

// world is what the two configured objects say of a deployment. It changes
// when the contracts are upgraded, and never otherwise.
type world struct {
	types   move.Packages // original packages, which types are named after
	current move.ID       // package that calls go to
	system  shared
	staking shared
	inners  [2]move.ID // states of System and Staking
	chain   move.Digest
}

// readWorld derives a world from the configured objects. It returns
// ErrOtherChain when they are not on the chain that the client is bound to.
func (c *Client) readWorld(ctx context.Context) (*world, error) {
	w := new(world)
	info, err := c.serviceInfo(ctx)
	if err != nil {
		return nil, err
	}
	w.chain = info.chain
	found, err := c.conn.objects(ctx, []move.ID{c.profile.System, c.profile.Staking})
	if err != nil {
		return nil, err
	}
	var system move.System
	var staking move.Staking
	if w.system, err = w.readShared(found[c.profile.System], c.profile.System, "system", "System", &system); err != nil {
		return nil, err
	}
	w.types.Walrus, w.current = found[c.profile.System].tag.Address, system.PackageID
	if w.staking, err = w.readShared(found[c.profile.Staking], c.profile.Staking, "staking", "Staking", &staking); err != nil {
		return nil, err
	}
	for i, field := range []struct {
		parent  move.ID
		version uint64
	}{{system.ID, system.Version}, {staking.ID, staking.Version}} {
		if w.inners[i], err = move.FieldID(field.parent, move.U64Key(field.version)); err != nil {
			return nil, err
		}
	}
	w.types.WAL, err = c.walPackage(ctx, w.types.Walrus)
	return w, err
}

// readShared reads one of the configured objects.
func (w *world) readShared(o *object, id move.ID, module, name string, v move.Layout) (shared, error) {
	if o == nil {
		return shared{}, fmt.Errorf("%s object %s: %w", name, id, chain.ErrNotExist)
	}
	if o.tag.Module != module || o.tag.Name != name || o.owner.Kind != move.OwnerShared {
		return shared{}, fmt.Errorf("object %s is a %s, not a shared %s: %w", id, o.tag, name, ErrProfile)
	}
	if err := move.Unmarshal(o.contents, v); err != nil {
		return shared{}, fmt.Errorf("%s object %s: %w", name, id, err)
	}
	return shared{id, o.owner.InitialVersion}, nil
}

// walPackage asks what staking::stake_with_pool takes: a coin of WAL.
func (c *Client) walPackage(ctx context.Context, walrusPackage move.ID) (move.ID, error) {
	pkg, module, function := walrusPackage.String(), "staking", "stake_with_pool"
	answer, err := ask(ctx, c.conn, c.conn.packages.GetFunction,
		&pb.GetFunctionRequest{PackageId: &pkg, ModuleName: &module, Name: &function})
	if err != nil {
		return move.ID{}, fmt.Errorf("function stake_with_pool: %w", err)
	}
	parameters := answer.GetFunction().GetParameters()
	if len(parameters) < 2 || len(parameters[1].GetBody().GetTypeParameterInstantiation()) != 1 {
		return move.ID{}, fmt.Errorf("function stake_with_pool takes %d parameters: %w", len(parameters), ErrAnswer)
	}
	tag, err := move.ParseStructTag(parameters[1].GetBody().GetTypeParameterInstantiation()[0].GetTypeName())
	if err != nil || tag.Module != "wal" || tag.Name != "WAL" {
		return move.ID{}, fmt.Errorf("stake_with_pool takes coins of %s, not of WAL: %w", tag, ErrAnswer)
	}
	return tag.Address, nil
}

// serviceInfo is what the full node says of itself.
type serviceInfo struct {
	chain  move.Digest
	now    time.Time // of the newest checkpoint
	height uint64    // its number
	lowest uint64    // oldest checkpoint that the node has
}

// serviceInfo asks the full node who it is, and refuses one of another chain.
func (c *Client) serviceInfo(ctx context.Context) (info serviceInfo, err error) {
	answer, err := ask(ctx, c.conn, c.conn.ledger.GetServiceInfo, &pb.GetServiceInfoRequest{})
	if err != nil {
		return info, fmt.Errorf("ask the full node who it is: %w", err)
	}
	if info.chain, err = move.ParseDigest(answer.GetChainId()); err != nil {
		return info, fmt.Errorf("chain id %q: %w", answer.GetChainId(), ErrAnswer)
	}
	info.now, info.height, info.lowest = answer.GetTimestamp().AsTime(), answer.GetCheckpointHeight(), answer.GetLowestAvailableCheckpoint()
	return info, c.checkChain(info.chain)
}

// checkChain compares a chain with the one that the client is bound to.
func (c *Client) checkChain(id move.Digest) error {
	if want := c.profile.Chain; want != "" && hex.EncodeToString(id[:len(want)/2]) != want {
		return fmt.Errorf("full node %s is of chain %x, %s is %s: %w", c.profile.Target, id[:4], c.profile.Name, want, ErrOtherChain)
	}
	if w := c.known.world.Load(); w != nil && id != w.chain {
		return fmt.Errorf("full node %s went from chain %s to %s: %w", c.profile.Target, w.chain, id, ErrOtherChain)
	}
	if c.pinned != (move.Digest{}) && id != c.pinned {
		return fmt.Errorf("full node %s is of chain %s, the drive is on %s: %w", c.profile.Target, id, c.pinned, ErrOtherChain)
	}
	return nil
}

// inners reads the states of System and Staking, of one moment or close to it.
func (c *Client) inners(ctx context.Context) (*world, *move.SystemInner, *move.StakingInner, error) {
	for fresh := false; ; fresh = true {
		w, err := c.world(ctx, fresh)
		if err != nil {
			return nil, nil, nil, err
		}
		found, err := c.conn.objects(ctx, w.inners[:])
		if err != nil {
			return nil, nil, nil, err
		}
		system, staking := new(move.SystemInner), new(move.StakingInner)
		if found[w.inners[0]] == nil || found[w.inners[1]] == nil {
			if !fresh { // the contracts were upgraded, and their states moved
				continue
			}
			return nil, nil, nil, fmt.Errorf("states of System and Staking: %w", chain.ErrNotExist)
		}
		if err := readField(found[w.inners[0]], len(move.U64Key(0).BCS), system); err != nil {
			return nil, nil, nil, fmt.Errorf("state of System: %w", err)
		}
		if err := readField(found[w.inners[1]], len(move.U64Key(0).BCS), staking); err != nil {
			return nil, nil, nil, fmt.Errorf("state of Staking: %w", err)
		}
		c.known.system.Store(&knownSystem{system, time.Now()})
		return w, system, staking, nil
	}
}

// systemAge is how old prices may be that a transaction is built with.
const systemAge = 30 * time.Second

// knownSystem is a state of System, which nobody changes, and when it was read.
type knownSystem struct {
	system *move.SystemInner
	at     time.Time
}

// readField reads the value of a dynamic field whose key takes so many bytes.
func readField(o *object, key int, v move.Layout) error {
	return move.Unmarshal(o.contents, &move.Field{Name: make([]byte, key), Value: v})
}

// State implements chain.Ledger.
func (c *Client) State(ctx context.Context) (*chain.State, error) {
	s, err := c.readState(ctx)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return s, nil
}

func (c *Client) readState(ctx context.Context) (*chain.State, error) {
	info, err := c.serviceInfo(ctx)
	if err != nil {
		return nil, err
	}
	w, system, staking, err := c.inners(ctx)
	if err != nil {
		return nil, err
	}
	s := &chain.State{
		Epoch:          walrus.Epoch(system.Committee.Epoch),
		EpochStart:     info.now, // while nodes are in sync, the epoch is about to start
		EpochDuration:  time.Duration(staking.EpochDuration) * time.Millisecond,
		Now:            info.now,
		StoragePrice:   system.StoragePrice,
		WritePrice:     system.WritePrice,
		MaxEpochsAhead: system.Accounting.Length,
		Capacity:       system.TotalCapacity,
		Used:           system.UsedCapacity,
		ChainID:        w.chain,
	}
	if staking.State.Kind != move.StateSync {
		s.EpochStart = time.UnixMilli(int64(staking.State.TimeMS))
	}
	s.Committee, err = c.committee(ctx, system, staking)
	return s, err
}

// committee returns the committee of the current epoch, which is read once an epoch.
func (c *Client) committee(ctx context.Context, system *move.SystemInner, staking *move.StakingInner) (walrus.Committee, error) {
	epoch := walrus.Epoch(system.Committee.Epoch)
	if known := c.known.committee.Load(); known != nil && known.Epoch == epoch {
		return cloneCommittee(known), nil
	}
	fresh := walrus.Committee{Epoch: epoch, Shards: int(system.Committee.Shards)}
	ids := make([]move.ID, len(system.Committee.Members))
	for i, m := range system.Committee.Members {
		ids[i] = m.Node
	}
	pools, err := c.conn.objects(ctx, ids)
	if err != nil {
		return fresh, err
	}
	for _, m := range system.Committee.Members {
		var pool move.StakingPool
		if pools[m.Node] == nil {
			return fresh, fmt.Errorf("storage node %s: %w", m.Node, chain.ErrNotExist)
		}
		if err := move.Unmarshal(pools[m.Node].contents, &pool); err != nil {
			return fresh, fmt.Errorf("storage node %s: %w", m.Node, err)
		}
		shards, ok := staking.Committee.Get(m.Node)
		if !ok || len(shards) != int(m.Weight) || len(m.PublicKey) != 96 {
			return fresh, fmt.Errorf("committee of epoch %d: node %s: %w", epoch, m.Node, ErrAnswer)
		}
		key, err := bls.Compress([96]byte(m.PublicKey))
		if err != nil {
			return fresh, fmt.Errorf("storage node %s: %w", m.Node, err)
		}
		fresh.Members = append(fresh.Members, walrus.Member{Name: pool.Info.Name, ID: walrus.NodeID(m.Node),
			Address: pool.Info.NetworkAddress, PublicKey: key, Shards: shards})
	}
	known := cloneCommittee(&fresh)
	c.known.committee.Store(&known)
	return fresh, nil
}

package sui

import (
	"errors"
	"fmt"
	"math/big"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// executedMask is what is asked for of an executed transaction.
var executedMask = []string{"digest", "effects", "events", "checkpoint", "timestamp", "balance_changes"}

// Result is what an executed transaction did.
type Result struct {
	Digest     move.Digest
	Checkpoint uint64 // 0 while it is in none
	GasMist    int64  // what was paid for gas; less than nothing when deleted objects gave more back
	Changes    []Change
	Events     []Emitted
	gas        gasUse
	frost      *int64 // by how much the sender's WAL fell; nil when the node does not tell
}

// Change is an object that a transaction changed.
type Change struct {
	ID       move.ID
	Version  uint64 // after the transaction; 0 when the object is gone
	Type     string // as the full node names it
	Created  bool
	Appeared bool // created, or taken out of another object
	Owner    move.Owner
	digest   move.Digest // after the transaction; zero when the node does not tell
}

// Created returns the objects of a type that the transaction made or took out of others.
func (r *Result) Created(tag move.StructTag) (ids []move.ID) {
	for _, c := range r.Changes {
		if t, err := move.ParseStructTag(c.Type); err == nil && c.Appeared && t.Equal(tag) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// Gained returns by how many FROST the sender's WAL rose, 0 when it fell. It
// returns ErrAnswer when the full node does not tell.
func (r *Result) Gained() (uint64, error) {
	if r.frost == nil {
		return 0, fmt.Errorf("transaction %s without balance changes: %w", r.Digest, ErrAnswer)
	}
	return uint64(max(0, -*r.frost)), nil
}

// version returns the version that an object has after the transaction, 0 when it was not changed.
func (r *Result) version(id move.ID) uint64 {
	for _, c := range r.Changes {
		if c.ID == id {
			return c.Version
		}
	}
	return 0
}

// readResult reads an executed transaction of sender. One that failed gives
// the error that the caller is to see.
func readResult(tx *pb.ExecutedTransaction, sender move.Address, wal move.StructTag) (*Result, error) {
	r := &Result{Checkpoint: tx.GetCheckpoint()}
	var err error
	if r.Digest, err = move.ParseDigest(tx.GetDigest()); err != nil {
		return nil, errors.Join(ErrAnswer, err)
	}
	effects := tx.GetEffects()
	if effects.GetStatus() == nil || effects.GetStatus().Success == nil {
		return nil, fmt.Errorf("transaction %s without a status: %w", r.Digest, ErrAnswer)
	}
	if !effects.GetStatus().GetSuccess() {
		return nil, failure(effects.GetStatus().GetError())
	}
	r.GasMist = netGas(effects.GetGasUsed())
	r.gas = gasUse{effects.GetGasUsed().GetComputationCost(), r.GasMist}
	for _, o := range effects.GetChangedObjects() {
		change, err := readChange(o)
		if err != nil {
			return nil, err
		}
		r.Changes = append(r.Changes, change)
	}
	for _, e := range tx.GetEvents().GetEvents() {
		event, err := readEvent(e)
		if err != nil {
			return nil, err
		}
		r.Events = append(r.Events, event)
	}
	return r, r.readBalances(tx.GetBalanceChanges(), sender, wal)
}

// netGas is what a transaction cost for gas, in MIST.
func netGas(g *pb.GasCostSummary) int64 {
	return int64(g.GetComputationCost()) + int64(g.GetStorageCost()) - int64(g.GetStorageRebate())
}

func readChange(o *pb.ChangedObject) (c Change, err error) {
	if c.ID, err = move.ParseAddress(o.GetObjectId()); err != nil {
		return c, errors.Join(ErrAnswer, err)
	}
	c.Type = o.GetObjectType()
	if o.GetOutputState() == pb.ChangedObject_OUTPUT_OBJECT_STATE_OBJECT_WRITE {
		c.Version = o.GetOutputVersion()
		if c.Owner, err = readOwner(o.GetOutputOwner()); err != nil {
			return c, err
		}
		if c.digest, err = move.ParseDigest(o.GetOutputDigest()); err != nil {
			c.digest = move.Digest{}
		}
	}
	c.Created = o.GetIdOperation() == pb.ChangedObject_CREATED
	c.Appeared = c.Version != 0 && o.GetInputState() == pb.ChangedObject_INPUT_OBJECT_STATE_DOES_NOT_EXIST
	return c, nil
}

func readEvent(e *pb.Event) (Emitted, error) {
	tag, err := move.ParseStructTag(e.GetEventType())
	if err != nil {
		return Emitted{}, errors.Join(ErrAnswer, err)
	}
	return Emitted{Type: tag, BCS: e.GetContents().GetValue()}, nil
}

// readBalances finds by how much the sender's WAL fell.
func (r *Result) readBalances(changes []*pb.BalanceChange, sender move.Address, wal move.StructTag) error {
	if len(changes) == 0 {
		return nil // not told: gas alone would be a change
	}
	sum := new(big.Int)
	for _, b := range changes {
		tag, err := move.ParseStructTag(b.GetCoinType())
		if err != nil {
			return errors.Join(ErrAnswer, err)
		}
		owner, err := move.ParseAddress(b.GetAddress())
		if err != nil {
			return errors.Join(ErrAnswer, err)
		}
		amount, ok := new(big.Int).SetString(b.GetAmount(), 10)
		if !ok {
			return fmt.Errorf("balance change %q: %w", b.GetAmount(), ErrAnswer)
		}
		if owner == sender && tag.Equal(wal) {
			sum.Sub(sum, amount)
		}
	}
	if !sum.IsInt64() {
		return fmt.Errorf("balance change %s: %w", sum, ErrAnswer)
	}
	fell := sum.Int64()
	r.frost = &fell
	return nil
}

// outcome puts together what a ledger call answers.
func (r *Result) outcome(s *shape) (*chain.Outcome, error) {
	out := &chain.Outcome{Certified: s.Certified, Freed: s.Freed, CostFrost: s.CostFrost}
	if r.frost != nil {
		out.CostFrost = uint64(max(0, *r.frost))
	}
	if !s.Anchor.IsZero() {
		if out.AnchorVersion = r.version(s.Anchor); out.AnchorVersion == 0 {
			return nil, fmt.Errorf("transaction %s did not move the anchor: %w", r.Digest, ErrAnswer)
		}
	}
	for _, e := range r.Events {
		if e.Type.Module != "events" {
			continue
		}
		switch e.Type.Name {
		case "BlobRegistered":
			var v move.BlobRegistered
			if err := move.Unmarshal(e.BCS, &v); err != nil {
				return nil, fmt.Errorf("event BlobRegistered: %w", err)
			}
			out.Registered = append(out.Registered, chain.Registered{Object: walrus.ObjectID(v.Object), EndEpoch: walrus.Epoch(v.EndEpoch)})
		case "BlobCertified":
			var v move.BlobCertified
			if err := move.Unmarshal(e.BCS, &v); err != nil {
				return nil, fmt.Errorf("event BlobCertified: %w", err)
			}
			if v.IsExtension {
				out.Extended = extended(out.Extended, chain.Registered{Object: walrus.ObjectID(v.Object), EndEpoch: walrus.Epoch(v.EndEpoch)})
			}
		}
	}
	return out, nil
}

// extended adds an extension to a list. A blob that is extended with free storage and then with
// bought one is in it once.
func extended(list []chain.Registered, r chain.Registered) []chain.Registered {
	if n := len(list); n > 0 && list[n-1].Object == r.Object {
		list[n-1] = r
		return list
	}
	return append(list, r)
}

// Emitted is an event that a transaction emitted.
type Emitted struct {
	Type move.StructTag
	BCS  []byte
}

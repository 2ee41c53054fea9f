package localnet

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// handOverKind is the call that gives the house what it should have. Ledgers
// that sent transactions without signatures have it at addresses without keys.
const handOverKind = "hand_over"

// handOver makes the house the owner of what the faucet and the operators of
// the nodes of genesis had before the house signed for them.
func (n *Net) handOver(e *env) error {
	owners, err := n.keylessOperators(e)
	if err != nil {
		return err
	}
	for _, owner := range append(owners, move.Address(n.facts.faucet)) {
		ids, err := ownedBy(e.ctx, e.sql, owner)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := e.give(id, n.house.address); err != nil {
				return fmt.Errorf("object %s: %w", id, err)
			}
		}
	}
	return nil
}

// keylessOperators finds the operators whose address is a hash of their node's
// public key, and lets the house vote in their place.
func (n *Net) keylessOperators(e *env) (owners []move.Address, err error) {
	caps, err := n.nodeCaps(e.ctx, e.sql, nil)
	if err != nil {
		return nil, err
	}
	for node, held := range caps {
		o, err := e.Peek(held.ID)
		if err != nil {
			return nil, err
		}
		pool, err := overlay.Borrow[move.StakingPool](e.Tx, node, e.Types.StakingPool())
		if err != nil {
			return nil, err
		}
		keyless, err := isKeyless(o.Owner.Address, pool)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", node, err)
		}
		if !keyless {
			continue
		}
		if pool, err = overlay.BorrowMut[move.StakingPool](e.Tx, node, e.Types.StakingPool()); err != nil {
			return nil, err
		}
		if pool.GovernanceAuthorized == (move.Authorized{Address: o.Owner.Address}) {
			pool.GovernanceAuthorized.Address = n.house.address
		}
		owners = append(owners, o.Owner.Address)
	}
	return owners, nil
}

// isKeyless reports whether an address was made of a node's public key: by an
// embedded network, or by a genesis that named no operator.
func isKeyless(owner move.Address, pool *move.StakingPool) (bool, error) {
	if len(pool.Info.PublicKey) != 96 {
		return false, fmt.Errorf("public key of %d bytes: %w", len(pool.Info.PublicKey), ErrDamaged)
	}
	public, err := bls.Compress([96]byte(pool.Info.PublicKey))
	return owner == sha256.Sum256(public[:]) || owner == derive(public[:], "operator"), err
}

// ownedBy lists the objects of an address, oldest first.
func ownedBy(ctx context.Context, q queryer, owner move.Address) ([]move.ID, error) {
	return queryIDs(ctx, q, `SELECT id FROM objects WHERE owner = ? AND owner_kind = ? ORDER BY rowid`, owner[:], move.OwnerAddress)
}

// give makes an address the owner of an object, whatever is in it.
func (e *env) give(id move.ID, to move.Address) error {
	o, err := e.Peek(id)
	if err != nil {
		return err
	}
	if err := e.Input(o, make(opaque, len(o.Contents)), true); err != nil {
		return err
	}
	if err := e.TakeInput(id); err != nil {
		return err
	}
	return e.Transfer(id, move.AddressOwner(to))
}

// opaque is an object of which only the ID is looked at.
type opaque []byte

// BCS is the layout: the bytes as they are.
func (o opaque) BCS(c *move.Codec) { c.Fixed(o) }

// ObjectID implements overlay.Object.
func (o opaque) ObjectID() move.ID { return move.ID(o[:32]) }

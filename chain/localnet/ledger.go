package localnet

import (
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// ledger is the ledger as one owner sees it. Its methods take the place of the
// programmable transactions that a client sends to Sui. They pay no gas: that
// comes with the wire.
type ledger struct {
	net   *Net
	owner chain.Address
}

var _ chain.Ledger = (*ledger)(nil)

func checkBatch(n int) error {
	if n == 0 || n > chain.MaxBatch {
		return fmt.Errorf("%d members, at most %d: %w", n, chain.MaxBatch, chain.ErrBatch)
	}
	return nil
}

// Register implements chain.Ledger.
func (l *ledger) Register(ctx context.Context, tx chain.TxID, batch []chain.Registration) (*chain.Outcome, error) {
	if err := checkBatch(len(batch)); err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	return l.net.execute(ctx, call{tx, l.owner, registerRequest(batch), func(e *env) (*chain.Outcome, error) {
		sys, err := e.system()
		if err != nil {
			return nil, err
		}
		coin, err := e.purse(e.Types.WALCoin())
		if err != nil {
			return nil, err
		}
		had := coin.Balance
		out := new(chain.Outcome)
		for i := range batch {
			r, err := e.register(sys, coin, &batch[i])
			if err != nil {
				return nil, fmt.Errorf("blob %s: %w", batch[i].Blob, payment(err, had))
			}
			out.Registered = append(out.Registered, r)
		}
		out.CostFrost = had - coin.Balance
		return out, nil
	}})
}

// register makes one blob object and gives it to the sender.
func (e *env) register(sys *move.System, coin *move.Coin, r *chain.Registration) (chain.Registered, error) {
	storage, err := e.storage(sys, coin, r)
	if err != nil {
		return chain.Registered{}, err
	}
	blob, err := contract.RegisterBlob(e.Tx, sys, storage, move.U256(r.Blob), move.U256(r.Root), uint64(r.Size),
		walrus.EncodingRS2, r.Deletable, coin)
	if err != nil {
		return chain.Registered{}, err
	}
	if err := e.setAttributes(blob, r.Attributes); err != nil {
		return chain.Registered{}, err
	}
	answer := chain.Registered{Object: walrus.ObjectID(blob.ID), EndEpoch: walrus.Epoch(blob.Storage.EndEpoch)}
	return answer, e.Transfer(blob.ID, move.AddressOwner(e.Sender))
}

// storage takes the reservation that a registration names, or buys one.
func (e *env) storage(sys *move.System, coin *move.Coin, r *chain.Registration) (*move.Storage, error) {
	inner, err := contract.SystemInner(e.Tx, sys)
	if err != nil {
		return nil, err
	}
	if r.Storage.IsZero() {
		size, err := walrus.Geometry{Shards: int(inner.Committee.Shards)}.EncodedSize(r.Size)
		if err != nil {
			return nil, err
		}
		return contract.ReserveSpace(e.Tx, sys, size, r.EpochsAhead, coin)
	}
	if err := e.own(r.Storage); err != nil {
		return nil, err
	}
	s, err := overlay.Take[move.Storage](e.Tx, move.ID(r.Storage), e.Types.Storage())
	if err != nil {
		return nil, err
	}
	return s, contract.CheckCovers(s, inner.Committee.Epoch, r.EpochsAhead)
}

func (e *env) setAttributes(blob *move.Blob, attributes []chain.Attribute) error {
	for _, a := range attributes {
		if err := contract.InsertOrUpdateMetadataPair(e.Tx, blob, a.Key, a.Value); err != nil {
			return err
		}
	}
	return nil
}

// Certify implements chain.Ledger.
func (l *ledger) Certify(ctx context.Context, tx chain.TxID, batch []chain.Certification, anchor *chain.AnchorUpdate) (*chain.Outcome, error) {
	if err := checkBatch(len(batch)); err != nil && (len(batch) > 0 || anchor == nil) {
		return nil, fmt.Errorf("certify: %w", err)
	}
	return l.net.execute(ctx, call{tx, l.owner, certifyRequest(batch, anchor), func(e *env) (*chain.Outcome, error) {
		out := new(chain.Outcome)
		if anchor != nil {
			if err := e.moveAnchor(anchor); err != nil {
				return nil, err
			}
		}
		sys, err := e.readSystem()
		if err != nil {
			return nil, err
		}
		for i := range batch {
			c := &batch[i]
			blob, err := e.blob(c.Object)
			if err != nil {
				return nil, err
			}
			if err := contract.CertifyBlob(e.Tx, sys, blob, c.Cert.Signature[:], c.Cert.Bitmap, c.Cert.Message); err != nil {
				return nil, fmt.Errorf("object %s: %w", c.Object, err)
			}
			out.Certified = append(out.Certified, c.Object)
		}
		return out, nil
	}})
}

// moveAnchor changes the anchor if it is where the caller last saw it.
func (e *env) moveAnchor(a *chain.AnchorUpdate) error {
	o, err := e.Peek(move.ID(a.Object))
	if err != nil && !errors.Is(err, chain.ErrNotExist) {
		return err
	}
	if err != nil || o.Version != a.Version || o.Owner != move.AddressOwner(e.Sender) {
		return fmt.Errorf("anchor %s at version %d: %w", a.Object, a.Version, chain.ErrStaleVersion)
	}
	blob, err := overlay.BorrowMut[move.Blob](e.Tx, move.ID(a.Object), e.Types.Blob())
	if err != nil {
		return err
	}
	e.anchor = true
	return e.setAttributes(blob, a.Attributes)
}

// Extend implements chain.Ledger.
func (l *ledger) Extend(ctx context.Context, tx chain.TxID, batch []chain.Extension) (*chain.Outcome, error) {
	if err := checkBatch(len(batch)); err != nil {
		return nil, fmt.Errorf("extend: %w", err)
	}
	return l.net.execute(ctx, call{tx, l.owner, extendRequest(batch), func(e *env) (*chain.Outcome, error) {
		sys, err := e.system()
		if err != nil {
			return nil, err
		}
		coin, err := e.purse(e.Types.WALCoin())
		if err != nil {
			return nil, err
		}
		had := coin.Balance
		out := new(chain.Outcome)
		for _, x := range batch {
			blob, err := e.blob(x.Object)
			if err != nil {
				return nil, err
			}
			if err := contract.ExtendBlob(e.Tx, sys, blob, x.Epochs, coin); err != nil {
				return nil, fmt.Errorf("object %s: %w", x.Object, payment(err, had))
			}
			out.Extended = append(out.Extended, chain.Registered{Object: x.Object, EndEpoch: walrus.Epoch(blob.Storage.EndEpoch)})
		}
		out.CostFrost = had - coin.Balance
		return out, nil
	}})
}

// Delete implements chain.Ledger.
func (l *ledger) Delete(ctx context.Context, tx chain.TxID, objects []walrus.ObjectID) (*chain.Outcome, error) {
	if err := checkBatch(len(objects)); err != nil {
		return nil, fmt.Errorf("delete: %w", err)
	}
	return l.net.execute(ctx, call{tx, l.owner, deleteRequest(objects), func(e *env) (*chain.Outcome, error) {
		sys, err := e.readSystem()
		if err != nil {
			return nil, err
		}
		out := new(chain.Outcome)
		for _, id := range objects {
			if err := e.own(id); err != nil {
				return nil, err
			}
			blob, err := overlay.Take[move.Blob](e.Tx, move.ID(id), e.Types.Blob())
			if err != nil {
				return nil, err
			}
			storage, err := contract.DeleteBlob(e.Tx, sys, blob)
			if err != nil {
				return nil, fmt.Errorf("object %s: %w", id, err)
			}
			if err := e.Transfer(storage.ID, move.AddressOwner(e.Sender)); err != nil {
				return nil, err
			}
			out.Freed = append(out.Freed, walrus.ObjectID(storage.ID))
		}
		return out, nil
	}})
}

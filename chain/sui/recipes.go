package sui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

func checkBatch(n int) error {
	if n == 0 || n > chain.MaxBatch {
		return fmt.Errorf("%d members, at most %d: %w", n, chain.MaxBatch, chain.ErrBatch)
	}
	return nil
}

// Register implements chain.Ledger.
func (c *Client) Register(ctx context.Context, tx chain.TxID, batch []chain.Registration) (*chain.Outcome, error) {
	if err := checkBatch(len(batch)); err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	out, err := c.execute(ctx, call{tx, registerRequest(batch), func(ctx context.Context, s *session) error {
		s.routine = true
		system, err := c.systemFor(ctx, s, batch)
		if err != nil {
			return err
		}
		free, err := c.reservations(ctx, s.world, system, batch)
		if err != nil {
			return err
		}
		if s.shape.CostFrost, err = registerCost(system, batch, free); err != nil {
			return err
		}
		coins, err := c.coins(ctx, s.world.types.WALCoin())
		if err != nil {
			return err
		}
		return s.register(system, batch, free, coins)
	}})
	if err == nil && len(out.Registered) != len(batch) {
		return nil, fmt.Errorf("register: %d blobs registered, want %d: %w", len(out.Registered), len(batch), ErrAnswer)
	}
	return out, err
}

// systemFor returns the state of System to register with. Where only prices matter one that was read a while ago
// will do: a price that has changed meanwhile makes a transaction fail at worst, and that is then built from a fresh one.
func (c *Client) systemFor(ctx context.Context, s *session, batch []chain.Registration) (*move.SystemInner, error) {
	reuses := slices.ContainsFunc(batch, func(r chain.Registration) bool { return !r.Storage.IsZero() || len(r.Reuse) > 0 })
	if known := c.known.system.Load(); known != nil && !s.fresh && !reuses && time.Since(known.at) < systemAge {
		return known.system, nil
	}
	_, system, _, err := c.inners(ctx)
	return system, err
}

// registerCost is what a batch costs by the prices that the system has.
func registerCost(system *move.SystemInner, batch []chain.Registration, free map[walrus.ObjectID]reserve) (sum uint64, err error) {
	prices := chain.State{StoragePrice: system.StoragePrice, WritePrice: system.WritePrice}
	for i := range batch {
		r := &batch[i]
		want, err := registrationWants(system, r)
		if err != nil {
			return 0, err
		}
		epochs := uint32(0)
		if r.Storage.IsZero() {
			if epochs, err = buys(free, r.Reuse, want); err != nil {
				return 0, fmt.Errorf("blob %s: %w", r.Blob, err)
			}
		}
		sum += prices.RegisterPrice(want.size, epochs)
	}
	return sum, nil
}

// registrationWants is the storage that a registration needs.
func registrationWants(system *move.SystemInner, r *chain.Registration) (wanted, error) {
	size, err := encodedSize(system, r.Size)
	if err != nil {
		return wanted{}, fmt.Errorf("blob %s: %w", r.Blob, err)
	}
	return wanted{size, system.Committee.Epoch, system.Committee.Epoch + r.EpochsAhead}, nil
}

func encodedSize(system *move.SystemInner, size int64) (uint64, error) {
	return walrus.Geometry{Shards: int(system.Committee.Shards)}.EncodedSize(size)
}

// reservations reads those that a batch wants to use. The contract looks only
// whether they cover the present epoch; the caller wants more of them.
func (c *Client) reservations(ctx context.Context, w *world, system *move.SystemInner, batch []chain.Registration) (map[walrus.ObjectID]reserve, error) {
	var ids []walrus.ObjectID
	for i := range batch {
		if ids = append(ids, batch[i].Reuse...); !batch[i].Storage.IsZero() {
			ids = append(ids, batch[i].Storage)
		}
	}
	free, err := c.reserves(ctx, w, ids)
	if err != nil {
		return nil, err
	}
	for i := range batch {
		s, ok := free[batch[i].Storage]
		if now := system.Committee.Epoch; ok && (s.StartEpoch > now || uint64(s.EndEpoch) < uint64(now)+uint64(batch[i].EpochsAhead)) {
			return nil, fmt.Errorf("reservation %s lasts to epoch %d: %w", s.ID, s.EndEpoch, errBounds)
		}
	}
	return free, nil
}

// register is the recipe register_direct, for many blobs.
func (s *session) register(system *move.SystemInner, batch []chain.Registration, free map[walrus.ObjectID]reserve, coins []coin) error {
	purse, err := newPurse(s.builder, coins, s.shape.CostFrost)
	if err != nil {
		return err
	}
	sys, pay := s.shared(s.world.system, true), purse.use()
	blobs := make([]move.Argument, len(batch))
	for i := range batch {
		r := &batch[i]
		want, err := registrationWants(system, r)
		if err != nil {
			return err
		}
		var storage move.Argument
		switch {
		case !r.Storage.IsZero():
			storage = s.owned(free[r.Storage].ref)
		case len(r.Reuse) == 0:
			storage = s.walrus("system", "reserve_space", sys, s.u64(want.size), s.u32(r.EpochsAhead), pay)
		default:
			var end uint32
			if storage, end, err = s.assemble(pick(free, r.Reuse), want, false); err != nil {
				return fmt.Errorf("blob %s: %w", r.Blob, err)
			}
			if end < want.until {
				more := s.walrus("system", "reserve_space_for_epochs", sys, s.u64(want.size), s.u32(end), s.u32(want.until), pay)
				s.walrus("storage_resource", "fuse_periods", storage, more)
			}
		}
		blobs[i] = s.walrus("system", "register_blob", sys, storage, s.u256(r.Blob), s.u256(r.Root), s.u64(uint64(r.Size)),
			s.u8(walrus.EncodingRS2), s.flag(r.Deletable), pay)
		s.attributes(blobs[i], r.Attributes)
	}
	s.transfer(s.address(s.me), blobs...)
	return nil
}

// attributes sets attributes of a blob object.
func (s *session) attributes(blob move.Argument, list []chain.Attribute) {
	for _, a := range list {
		s.walrus("blob", "insert_or_update_metadata_pair", blob, s.text(a.Key), s.text(a.Value))
	}
}

// Certify implements chain.Ledger.
func (c *Client) Certify(ctx context.Context, tx chain.TxID, batch []chain.Certification, anchor *chain.AnchorUpdate) (*chain.Outcome, error) {
	if err := checkBatch(len(batch)); err != nil && (len(batch) > 0 || anchor == nil) {
		return nil, fmt.Errorf("certify: %w", err)
	}
	return c.execute(ctx, call{tx, certifyRequest(batch, anchor), func(ctx context.Context, s *session) error {
		s.routine = true
		var ids []move.ID
		for i := range batch {
			ids = append(ids, move.ID(batch[i].Object))
		}
		if anchor != nil {
			if err := c.moveAnchor(ctx, s, anchor); err != nil {
				return err
			}
		}
		found, err := c.handed(ctx, s.fresh, s.world.types.Blob(), ids)
		if err != nil {
			return err
		}
		s.certify(batch, found)
		return nil
	}})
}

// moveAnchor changes the anchor if it is where the caller last saw it. The
// ledger looks at the version once more when it executes.
func (c *Client) moveAnchor(ctx context.Context, s *session, a *chain.AnchorUpdate) error {
	found, err := c.handed(ctx, s.fresh, s.world.types.Blob(), []move.ID{move.ID(a.Object)})
	if err != nil && !errors.Is(err, chain.ErrNotExist) && !errors.Is(err, chain.ErrNotOwner) && !errors.Is(err, errKind) {
		return err
	}
	o := found[move.ID(a.Object)]
	if err != nil || o.ref.Version != a.Version {
		return fmt.Errorf("anchor %s at version %d: %w", a.Object, a.Version, chain.ErrStaleVersion)
	}
	s.shape.Anchor = o.ref.ID
	s.attributes(s.owned(o.ref), a.Attributes)
	return nil
}

// certify is the recipe of that name, for many blobs.
func (s *session) certify(batch []chain.Certification, found map[move.ID]*object) {
	for i := range batch {
		v := &batch[i]
		sys := s.shared(s.world.system, false)
		s.walrus("system", "certify_blob", sys, s.owned(found[move.ID(v.Object)].ref),
			s.bytes(v.Cert.Signature[:]), s.bytes(v.Cert.Bitmap), s.bytes(v.Cert.Message))
		s.shape.Certified = append(s.shape.Certified, v.Object)
	}
}

// Extend implements chain.Ledger.
func (c *Client) Extend(ctx context.Context, tx chain.TxID, batch []chain.Extension) (*chain.Outcome, error) {
	if err := checkBatch(len(batch)); err != nil {
		return nil, fmt.Errorf("extend: %w", err)
	}
	return c.execute(ctx, call{tx, extendRequest(batch), func(ctx context.Context, s *session) error {
		_, system, _, err := c.inners(ctx)
		if err != nil {
			return err
		}
		var ids []move.ID
		for _, x := range batch {
			ids = append(ids, move.ID(x.Object))
		}
		found, err := c.refs(ctx, s.world.types.Blob(), ids)
		if err != nil {
			return err
		}
		var reuse []walrus.ObjectID
		for _, x := range batch {
			reuse = append(reuse, x.Reuse...)
		}
		free, err := c.reserves(ctx, s.world, reuse)
		if err != nil {
			return err
		}
		prices := chain.State{StoragePrice: system.StoragePrice}
		for _, x := range batch {
			want, err := extensionWants(found, x)
			if err != nil {
				return err
			}
			epochs, err := buys(free, x.Reuse, want)
			if err != nil {
				return fmt.Errorf("object %s: %w", x.Object, err)
			}
			s.shape.CostFrost += prices.ExtendPrice(want.size, epochs)
		}
		coins, err := c.coins(ctx, s.world.types.WALCoin())
		if err != nil {
			return err
		}
		return s.extend(batch, found, free, coins)
	}})
}

// extensionWants is the storage that an extension needs.
func extensionWants(found map[move.ID]*object, x chain.Extension) (wanted, error) {
	var blob move.Blob
	if err := move.Unmarshal(found[move.ID(x.Object)].contents, &blob); err != nil {
		return wanted{}, fmt.Errorf("object %s: %w", x.Object, err)
	}
	end := blob.Storage.EndEpoch
	return wanted{blob.Storage.Size, end, end + x.Epochs}, nil
}

// extend is the recipes extend_with_resource and extend, for many blobs.
func (s *session) extend(batch []chain.Extension, found map[move.ID]*object, free map[walrus.ObjectID]reserve, coins []coin) error {
	var money *purse
	for _, x := range batch {
		want, err := extensionWants(found, x)
		if err != nil {
			return err
		}
		blob, end := found[move.ID(x.Object)].ref, want.from
		if len(x.Reuse) > 0 {
			var storage move.Argument
			if storage, end, err = s.assemble(pick(free, x.Reuse), want, true); err != nil {
				return fmt.Errorf("object %s: %w", x.Object, err)
			}
			s.walrus("system", "extend_blob_with_resource", s.shared(s.world.system, false), s.owned(blob), storage)
			if end == want.until {
				continue
			}
		}
		if money == nil {
			if money, err = newPurse(s.builder, coins, s.shape.CostFrost); err != nil {
				return err
			}
		}
		s.walrus("system", "extend_blob", s.shared(s.world.system, true), s.owned(blob), s.u32(want.until-end), money.use())
	}
	return nil
}

// Delete implements chain.Ledger.
func (c *Client) Delete(ctx context.Context, tx chain.TxID, objects []walrus.ObjectID) (*chain.Outcome, error) {
	if err := checkBatch(len(objects)); err != nil {
		return nil, fmt.Errorf("delete: %w", err)
	}
	return c.execute(ctx, call{tx, deleteRequest(objects), func(ctx context.Context, s *session) error {
		var ids []move.ID
		for _, id := range objects {
			ids = append(ids, move.ID(id))
		}
		found, err := c.refs(ctx, s.world.types.Blob(), ids)
		if err != nil {
			return err
		}
		return s.delete(objects, found)
	}})
}

// delete is the recipe of that name, for many blobs.
func (s *session) delete(objects []walrus.ObjectID, found map[move.ID]*object) error {
	storage := make([]move.Argument, len(objects))
	for i, id := range objects {
		o := found[move.ID(id)]
		var blob move.Blob
		if err := move.Unmarshal(o.contents, &blob); err != nil {
			return fmt.Errorf("object %s: %w", id, err)
		}
		storage[i] = s.walrus("system", "delete_blob", s.shared(s.world.system, false), s.owned(o.ref))
		s.shape.Freed = append(s.shape.Freed, walrus.ObjectID(blob.Storage.ID))
	}
	s.transfer(s.address(s.me), storage...)
	return nil
}

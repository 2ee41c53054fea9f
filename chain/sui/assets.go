package sui

import (
	"context"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// SendWAL pays WAL to an address.
func (c *Client) SendWAL(ctx context.Context, tx chain.TxID, to chain.Address, frost uint64) (*Result, error) {
	return c.perform(ctx, call{tx, one("send_wal", []move.ID{move.ID(to)}, frost), func(ctx context.Context, s *session) error {
		coins, err := c.coins(ctx, s.world.types.WALCoin())
		if err != nil {
			return err
		}
		return s.sendWAL(move.Address(to), frost, coins)
	}})
}

func (s *session) sendWAL(to move.Address, frost uint64, coins []coin) error {
	purse, err := newPurse(s.builder, coins, frost)
	if err != nil {
		return err
	}
	part := s.split(purse.use(), s.u64(frost))
	s.transfer(s.address(to), nested(part, 0))
	return nil
}

// SendSUI pays SUI to an address.
func (c *Client) SendSUI(ctx context.Context, tx chain.TxID, to chain.Address, mist uint64) (*Result, error) {
	return c.perform(ctx, call{tx, one("send_sui", []move.ID{move.ID(to)}, mist), func(_ context.Context, s *session) error {
		s.spend = mist
		part := s.split(gasCoin, s.u64(mist))
		s.transfer(s.address(move.Address(to)), nested(part, 0))
		return nil
	}})
}

// Exchange changes SUI into WAL, on networks that have an exchange. The first
// one of the profile that has enough is used.
func (c *Client) Exchange(ctx context.Context, tx chain.TxID, mist uint64) (*Result, error) {
	return c.perform(ctx, call{tx, one("exchange", nil, mist), func(ctx context.Context, s *session) error {
		at, pkg, err := c.exchange(ctx, mist)
		if err != nil {
			return err
		}
		s.spend = mist
		s.exchange(at, pkg, mist)
		return nil
	}})
}

// exchange picks an exchange that can give WAL for so much SUI.
func (c *Client) exchange(ctx context.Context, mist uint64) (shared, move.ID, error) {
	found, err := c.conn.objects(ctx, c.profile.Exchange)
	if err != nil {
		return shared{}, move.ID{}, err
	}
	for _, id := range c.profile.Exchange {
		o := found[id]
		if o == nil || o.owner.Kind != move.OwnerShared {
			continue
		}
		var v move.Exchange
		if err := move.Unmarshal(o.contents, &v); err != nil {
			return shared{}, move.ID{}, fmt.Errorf("exchange %s: %w", id, err)
		}
		if v.RateSUI == 0 || mulDiv(mist, v.RateWAL, v.RateSUI) > v.WAL {
			continue
		}
		pkg := c.profile.Trade
		if pkg.IsZero() {
			pkg = o.tag.Address
		}
		return shared{id, o.owner.InitialVersion}, pkg, nil
	}
	return shared{}, move.ID{}, fmt.Errorf("no exchange of %s gives WAL for %d MIST: %w", c.profile.Name, mist, chain.ErrNotExist)
}

func (s *session) exchange(at shared, pkg move.ID, mist uint64) {
	part := s.split(gasCoin, s.u64(mist))
	wal := s.call(pkg, "wal_exchange", "exchange_all_for_wal", nil, s.shared(at, true), nested(part, 0))
	s.transfer(s.address(s.me), wal)
}

// Send gives an object that may be transferred to an address: a blob object, a
// reservation, the receipt of a stake.
func (c *Client) Send(ctx context.Context, tx chain.TxID, to chain.Address, id move.ID) (*Result, error) {
	return c.perform(ctx, call{tx, one("send", []move.ID{move.ID(to), id}), func(ctx context.Context, s *session) error {
		found, err := c.conn.objects(ctx, []move.ID{id})
		if err != nil {
			return err
		}
		o := found[id]
		if o == nil {
			return fmt.Errorf("object %s: %w", id, chain.ErrNotExist)
		}
		if err := c.mine(o, id, o.tag); err != nil {
			return err
		}
		s.transfer(s.address(move.Address(to)), s.owned(o.ref))
		return nil
	}})
}

// Burn destroys blob objects and the storage in them. WAL never comes back; the
// SUI that keeps an object on the ledger does.
func (c *Client) Burn(ctx context.Context, tx chain.TxID, objects []walrus.ObjectID) (*Result, error) {
	ids := make([]move.ID, len(objects))
	for i := range objects {
		ids[i] = move.ID(objects[i])
	}
	return c.perform(ctx, call{tx, one("burn", ids), func(ctx context.Context, s *session) error {
		found, err := c.refs(ctx, s.world.types.Blob(), ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			s.walrus("blob", "burn", s.owned(found[id].ref))
		}
		return nil
	}})
}

// SetAttributes sets attributes of a blob object, and removes those of which the keys are given.
func (c *Client) SetAttributes(ctx context.Context, tx chain.TxID, object walrus.ObjectID, set []chain.Attribute, remove []string) (*Result, error) {
	asked := &request{"set_attributes", func(v *move.Codec) {
		v.Fixed(object[:])
		move.Vector(v, &set, attributeBCS)
		move.Vector(v, &remove, (*move.Codec).String)
	}}
	return c.perform(ctx, call{tx, asked, func(ctx context.Context, s *session) error {
		o, err := c.single(ctx, s.world.types.Blob(), move.ID(object))
		if err != nil {
			return err
		}
		blob := s.owned(o.ref)
		for _, key := range remove {
			s.walrus("blob", "remove_metadata_pair", blob, s.text(key))
		}
		s.attributes(blob, set)
		return nil
	}})
}

// ExtendWith lengthens the life of a blob with a free reservation of the same
// size that begins where it ends.
func (c *Client) ExtendWith(ctx context.Context, tx chain.TxID, object, storage walrus.ObjectID) (*Result, error) {
	return c.perform(ctx, call{tx, one("extend_with", []move.ID{move.ID(object), move.ID(storage)}), func(ctx context.Context, s *session) error {
		blob, err := c.single(ctx, s.world.types.Blob(), move.ID(object))
		if err != nil {
			return err
		}
		free, err := c.single(ctx, s.world.types.Storage(), move.ID(storage))
		if err != nil {
			return err
		}
		s.extendWith(blob.ref, free.ref)
		return nil
	}})
}

func (s *session) extendWith(blob, storage move.ObjectRef) {
	s.walrus("system", "extend_blob_with_resource", s.shared(s.world.system, false), s.owned(blob), s.owned(storage))
}

// SplitStorage cuts a free reservation in two: by size when size is not 0, else
// at an epoch. The first part stays what it was.
func (c *Client) SplitStorage(ctx context.Context, tx chain.TxID, storage walrus.ObjectID, size uint64, epoch walrus.Epoch) (*Result, error) {
	return c.perform(ctx, call{tx, one("split_storage", []move.ID{move.ID(storage)}, size, uint64(epoch)), func(ctx context.Context, s *session) error {
		o, err := c.single(ctx, s.world.types.Storage(), move.ID(storage))
		if err != nil {
			return err
		}
		var part move.Argument
		if size != 0 {
			part = s.walrus("storage_resource", "split_by_size", s.owned(o.ref), s.u64(size))
		} else {
			part = s.walrus("storage_resource", "split_by_epoch", s.owned(o.ref), s.u32(uint32(epoch)))
		}
		s.transfer(s.address(s.me), part)
		return nil
	}})
}

// FuseStorage puts the second of two free reservations into the first one.
func (c *Client) FuseStorage(ctx context.Context, tx chain.TxID, first, second walrus.ObjectID) (*Result, error) {
	return c.perform(ctx, call{tx, one("fuse_storage", []move.ID{move.ID(first), move.ID(second)}), func(ctx context.Context, s *session) error {
		ids := []move.ID{move.ID(first), move.ID(second)}
		found, err := c.refs(ctx, s.world.types.Storage(), ids)
		if err != nil {
			return err
		}
		s.walrus("storage_resource", "fuse", s.owned(found[ids[0]].ref), s.owned(found[ids[1]].ref))
		return nil
	}})
}

package sui

import (
	"context"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// reserve is a free reservation of the owner as it was read.
type reserve struct {
	ref move.ObjectRef
	move.Storage
}

// reserves reads free reservations.
func (c *Client) reserves(ctx context.Context, w *world, objects []walrus.ObjectID) (map[walrus.ObjectID]reserve, error) {
	if len(objects) == 0 {
		return nil, nil
	}
	ids := make([]move.ID, len(objects))
	for i := range objects {
		ids[i] = move.ID(objects[i])
	}
	found, err := c.refs(ctx, w.types.Storage(), ids)
	if err != nil {
		return nil, err
	}
	free := make(map[walrus.ObjectID]reserve, len(found))
	for id, o := range found {
		r := reserve{ref: o.ref}
		if err := move.Unmarshal(o.contents, &r.Storage); err != nil {
			return nil, fmt.Errorf("reservation %s: %w", id, err)
		}
		free[walrus.ObjectID(id)] = r
	}
	return free, nil
}

// wanted is storage that is to be put together: size bytes from one epoch to before another.
type wanted struct {
	size        uint64
	from, until uint32
}

// covered returns up to which epoch reservations cover together what is wanted: at least one
// epoch. It is the error of the contract if they do not.
func covered(parts []reserve, want wanted) (end uint32, err error) {
	end, size := want.until, uint64(0)
	for i := range parts {
		if parts[i].StartEpoch > want.from || parts[i].EndEpoch <= want.from {
			return 0, fmt.Errorf("reservation %s covers epochs %d to before %d: %w", parts[i].ID, parts[i].StartEpoch, parts[i].EndEpoch, errBounds)
		}
		end = min(end, parts[i].EndEpoch)
		size += parts[i].Size
	}
	if size < want.size {
		return 0, fmt.Errorf("reservations of %d bytes, want %d: %w", size, want.size,
			&chain.AbortError{Module: "blob", Function: "new", Code: 3, Name: "EResourceSize"})
	}
	return end, nil
}

// errBounds is what the contract says of a reservation that lasts for other epochs than are wanted.
var errBounds = &chain.AbortError{Module: "blob", Function: "new", Code: 2, Name: "EResourceBounds"}

// assemble cuts and fuses reservations into one of the size that is wanted, and returns it with
// the epoch in which it ends. It begins in the epoch that is wanted if exact, else perhaps before:
// that epoch is then the present one, and what is cut off before it is worth nothing. What is cut off
// else stays the owner's.
func (s *session) assemble(parts []reserve, want wanted, exact bool) (whole move.Argument, end uint32, err error) {
	if end, err = covered(parts, want); err != nil {
		return whole, 0, err
	}
	size, start, past := uint64(0), parts[0].StartEpoch, !exact
	for i := range parts {
		exact = exact || parts[i].StartEpoch != start // only what covers the same epochs can be fused
		size += parts[i].Size
	}
	for i := range parts {
		one := s.owned(parts[i].ref)
		if exact && parts[i].StartEpoch < want.from {
			before := one
			one = s.walrus("storage_resource", "split_by_epoch", before, s.u32(want.from))
			if past {
				s.walrus("storage_resource", "destroy", before)
			}
		}
		if end < parts[i].EndEpoch {
			s.transfer(s.address(s.me), s.walrus("storage_resource", "split_by_epoch", one, s.u32(end)))
		}
		if i == 0 {
			whole = one
		} else {
			s.walrus("storage_resource", "fuse_amount", whole, one)
		}
	}
	if size > want.size {
		s.transfer(s.address(s.me), s.walrus("storage_resource", "split_by_size", whole, s.u64(want.size)))
	}
	return whole, end, nil
}

// pick returns the reservations with the given IDs.
func pick(free map[walrus.ObjectID]reserve, ids []walrus.ObjectID) []reserve {
	list := make([]reserve, len(ids))
	for i, id := range ids {
		list[i] = free[id]
	}
	return list
}

// buys returns how many epochs of what is wanted are to be bought.
func buys(free map[walrus.ObjectID]reserve, ids []walrus.ObjectID, want wanted) (uint32, error) {
	if len(ids) == 0 {
		return want.until - want.from, nil
	}
	end, err := covered(pick(free, ids), want)
	return want.until - end, err
}

package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// EventBlob is what a node attests to: a blob of events that ends with a checkpoint.
type EventBlob struct {
	Blob, Root   move.U256
	Size         uint64 // unencoded
	EncodingType uint8
	Checkpoint   uint64
	Epoch        uint32
}

// CertifyEventBlob is a node's word for an event blob. With a quorum of shards
// it is registered and certified, and held for as long as can be, for nothing:
// system::certify_event_blob.
func CertifyEventBlob(tx *overlay.Tx, sys *move.System, c *move.NodeCap, e EventBlob) error {
	const function = "certify_event_blob"
	inner, err := ofMember(tx, sys, c, function)
	if err != nil {
		return err
	}
	if e.Epoch != inner.Committee.Epoch {
		return innerIDEpoch.in(function)
	}
	if err := checkAttestation(inner, c, e.Checkpoint); err != nil {
		return err
	}
	c.LastAttestation = &move.Attestation{Checkpoint: e.Checkpoint, Epoch: e.Epoch}
	if inner.LatestEventBlob != nil && inner.LatestEventBlob.Checkpoint >= e.Checkpoint {
		return nil
	}
	key := move.EventBlob{Blob: e.Blob, Checkpoint: e.Checkpoint}
	weight, _ := inner.EventBlobWeight.Get(key)
	weight += weightOf(&inner.Committee, c.Node)
	inner.EventBlobWeight.Set(key, weight)
	if !isQuorum(uint64(weight), inner.Committee.Shards) {
		return nil
	}
	return keepEventBlob(tx, inner, e)
}

// checkAttestation aborts when a node speaks twice for a checkpoint, or for a
// new one while its word for another is open.
func checkAttestation(inner *move.SystemInner, c *move.NodeCap, checkpoint uint64) error {
	const function = "certify_event_blob"
	last := c.LastAttestation
	if last == nil || last.Epoch < inner.Committee.Epoch {
		return nil
	}
	if checkpoint <= last.Checkpoint {
		return innerRepeated.in(function)
	}
	if inner.LatestEventBlob == nil || last.Checkpoint > inner.LatestEventBlob.Checkpoint {
		return innerAttestation.in(function)
	}
	return nil
}

// keepEventBlob registers and certifies an event blob and burns its object:
// only the events tell of it, and the capacity that it takes.
func keepEventBlob(tx *overlay.Tx, inner *move.SystemInner, e EventBlob) error {
	encoded, err := encodedSize(e.Size, e.EncodingType, inner.Committee.Shards)
	if err != nil {
		return err
	}
	storage, err := giveStorage(tx, inner, encoded)
	if err != nil {
		return err
	}
	r := registration{blob: e.Blob, root: e.Root, size: e.Size, encodingType: e.EncodingType}
	b, err := newBlob(tx, storage, r, inner.Committee.Epoch, inner.Committee.Shards)
	if err != nil {
		return err
	}
	if err := certify(tx, b, inner.Committee.Epoch, certificate{blob: e.Blob}); err != nil {
		return err
	}
	inner.LatestEventBlob = &move.EventBlob{Blob: e.Blob, Checkpoint: e.Checkpoint}
	inner.EventBlobWeight = nil
	return BurnBlob(tx, b)
}

// giveStorage reserves storage for as long as can be, without payment and
// beyond the capacity if need be: system_state_inner::reserve_space_without_payment.
func giveStorage(tx *overlay.Tx, inner *move.SystemInner, size uint64) (*move.Storage, error) {
	const function = "reserve_space_without_payment"
	if size == 0 {
		return nil, innerResourceSize.in(function)
	}
	for i := range inner.Accounting.Length {
		entry, err := ringAt(&inner.Accounting, i)
		if err != nil {
			return nil, err
		}
		used, err := use(entry, size)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			inner.UsedCapacity = used
		}
	}
	epoch := inner.Committee.Epoch
	return newStorage(tx, epoch, epoch+inner.Accounting.Length, size)
}

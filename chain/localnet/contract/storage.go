package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// newStorage is storage_resource::create_storage.
func newStorage(tx *overlay.Tx, start, end uint32, size uint64) (*move.Storage, error) {
	if start >= end {
		return nil, resourceEpochRange.in("create_storage")
	}
	s := &move.Storage{ID: tx.NewID(), StartEpoch: start, EndEpoch: end, Size: size}
	return s, tx.Hold(s, tx.Types.Storage())
}

// SplitByEpoch keeps the part before an epoch in s and returns the rest:
// storage_resource::split_by_epoch.
func SplitByEpoch(tx *overlay.Tx, s *move.Storage, epoch uint32) (*move.Storage, error) {
	if epoch <= s.StartEpoch || epoch >= s.EndEpoch {
		return nil, resourceEpoch.in("split_by_epoch")
	}
	rest := &move.Storage{ID: tx.NewID(), StartEpoch: epoch, EndEpoch: s.EndEpoch, Size: s.Size}
	s.EndEpoch = epoch
	return rest, tx.Hold(rest, tx.Types.Storage())
}

// SplitBySize keeps size bytes in s and returns the rest: storage_resource::split_by_size.
func SplitBySize(tx *overlay.Tx, s *move.Storage, size uint64) (*move.Storage, error) {
	if s.Size < size {
		return nil, resourceAmount.in("split_by_size")
	}
	rest := &move.Storage{ID: tx.NewID(), StartEpoch: s.StartEpoch, EndEpoch: s.EndEpoch, Size: s.Size - size}
	s.Size = size
	return rest, tx.Hold(rest, tx.Types.Storage())
}

// FusePeriods adds a reservation of the same size for the time before or
// after: storage_resource::fuse_periods.
func FusePeriods(tx *overlay.Tx, s, other *move.Storage) error {
	if err := tx.Delete(other.ID); err != nil {
		return err
	}
	switch {
	case s.Size != other.Size:
		return resourceAmount.in("fuse_periods")
	case s.EndEpoch == other.StartEpoch:
		s.EndEpoch = other.EndEpoch
	case s.StartEpoch == other.EndEpoch:
		s.StartEpoch = other.StartEpoch
	default:
		return resourceEpochs.in("fuse_periods")
	}
	return nil
}

// FuseAmount adds a reservation for the same time: storage_resource::fuse_amount.
func FuseAmount(tx *overlay.Tx, s, other *move.Storage) error {
	if err := tx.Delete(other.ID); err != nil {
		return err
	}
	if s.StartEpoch != other.StartEpoch || s.EndEpoch != other.EndEpoch {
		return resourceEpochs.in("fuse_amount")
	}
	size, err := add("storage_resource", "fuse_amount", s.Size, other.Size)
	if err != nil {
		return err
	}
	s.Size = size
	return nil
}

// Fuse adds a reservation for the same time or the same size: storage_resource::fuse.
func Fuse(tx *overlay.Tx, s, other *move.Storage) error {
	if s.StartEpoch == other.StartEpoch {
		return FuseAmount(tx, s, other)
	}
	return FusePeriods(tx, s, other)
}

// DestroyStorage gives a reservation up, for nothing: storage_resource::destroy.
func DestroyStorage(tx *overlay.Tx, s *move.Storage) error { return tx.Delete(s.ID) }

// CheckCovers aborts as blob::new does when a reservation does not last from
// now for the epochs that its user wants.
func CheckCovers(s *move.Storage, epoch, epochsAhead uint32) error {
	if s.StartEpoch > epoch || uint64(s.EndEpoch) < uint64(epoch)+uint64(epochsAhead) {
		return blobResourceBounds.in("new")
	}
	return nil
}

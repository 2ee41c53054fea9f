package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// poolVersion is that of storage pools, and the key of their inner states. Source: module storage_pool, VERSION.
const poolVersion = 1

// storageInner is storage_pool::inner and inner_mut.
func storageInner(tx *overlay.Tx, p *move.StoragePool) (*move.StoragePoolInner, error) {
	if p.Version != poolVersion {
		return nil, storagePoolVersion.in("inner")
	}
	return overlay.Field[move.StoragePoolInner](tx, p.ID, move.U64Key(p.Version), tx.Types.StoragePoolInner().Tag())
}

// livingPool returns the states of System and of a storage pool that has not ended.
func livingPool(tx *overlay.Tx, sys *move.System, p *move.StoragePool, function string) (*move.SystemInner, *move.StoragePoolInner, error) {
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return nil, nil, err
	}
	pool, err := storageInner(tx, p)
	if err != nil {
		return nil, nil, err
	}
	if pool.Storage.EndEpoch <= inner.Committee.Epoch {
		return nil, nil, innerEpochsAhead.in(function)
	}
	return inner, pool, nil
}

// CreateStoragePool buys storage that many blobs share: system::create_storage_pool.
func CreateStoragePool(tx *overlay.Tx, sys *move.System, capacity uint64, epochsAhead uint32, payment *move.Coin) (*move.StoragePool, error) {
	storage, err := ReserveSpace(tx, sys, capacity, epochsAhead, payment)
	if err != nil {
		return nil, err
	}
	return CreateStoragePoolWithStorage(tx, sys, storage)
}

// CreateStoragePoolWithStorage makes a storage pool of a reservation that has
// begun and not ended: system::create_storage_pool_with_storage.
func CreateStoragePoolWithStorage(tx *overlay.Tx, sys *move.System, storage *move.Storage) (*move.StoragePool, error) {
	const function = "create_storage_pool_with_storage"
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return nil, err
	}
	epoch := inner.Committee.Epoch
	if storage.Size == 0 {
		return nil, innerResourceSize.in(function)
	}
	if storage.StartEpoch > epoch || storage.EndEpoch <= epoch {
		return nil, innerEpochsAhead.in(function)
	}
	p := &move.StoragePool{ID: tx.NewID(), Version: poolVersion}
	if err := tx.Wrap(storage.ID); err != nil {
		return nil, err
	}
	pool := &move.StoragePoolInner{Storage: *storage, Blobs: move.Table{ID: tx.NewID()}}
	if err := tx.AddField(p.ID, move.U64Key(poolVersion), tx.Types.StoragePoolInner().Tag(), pool); err != nil {
		return nil, err
	}
	if err := tx.Hold(p, tx.Types.StoragePool()); err != nil {
		return nil, err
	}
	return p, tx.Emit(&move.StoragePoolCreated{Epoch: epoch, Pool: p.ID, Reserved: storage.Size,
		StartEpoch: storage.StartEpoch, EndEpoch: storage.EndEpoch})
}

// ExtendStoragePool buys more epochs for a storage pool: system::extend_storage_pool.
func ExtendStoragePool(tx *overlay.Tx, sys *move.System, p *move.StoragePool, epochs uint32, payment *move.Coin) error {
	const function = "extend_storage_pool"
	if epochs == 0 {
		if _, err := SystemInner(tx, sys); err != nil {
			return err
		}
		return innerEpochsAhead.in(function)
	}
	inner, pool, err := livingPool(tx, sys, p, function)
	if err != nil {
		return err
	}
	start := pool.Storage.EndEpoch - inner.Committee.Epoch
	end := start + epochs
	if end < start {
		return overflow("system_state_inner", function)
	}
	if end > inner.Accounting.Length {
		return innerEpochsAhead.in(function)
	}
	if err := payStorage(inner, pool.Storage.Size, start, end, payment); err != nil {
		return err
	}
	if err := useCapacity(inner, pool.Storage.Size, start, end, "account_capacity"); err != nil {
		return err
	}
	pool.Storage.EndEpoch += epochs
	return tx.Emit(&move.StoragePoolExtended{Epoch: inner.Committee.Epoch, Pool: p.ID, NewEndEpoch: pool.Storage.EndEpoch})
}

// IncreaseStoragePoolCapacity buys more bytes for the rest of a storage pool's
// life: system::increase_storage_pool_capacity.
func IncreaseStoragePoolCapacity(tx *overlay.Tx, sys *move.System, p *move.StoragePool, more uint64, payment *move.Coin) error {
	const function = "increase_storage_pool_capacity"
	if more == 0 {
		if _, err := SystemInner(tx, sys); err != nil {
			return err
		}
		return innerResourceSize.in(function)
	}
	inner, pool, err := livingPool(tx, sys, p, function)
	if err != nil {
		return err
	}
	left := pool.Storage.EndEpoch - inner.Committee.Epoch
	if err := payStorage(inner, more, 0, left, payment); err != nil {
		return err
	}
	if err := useCapacity(inner, more, 0, left, "account_capacity"); err != nil {
		return err
	}
	return growStorage(&pool.Storage, more)
}

// IncreaseStoragePoolCapacityWithStorage adds a reservation that has begun and
// ends with the storage pool: system::increase_storage_pool_capacity_with_storage.
func IncreaseStoragePoolCapacityWithStorage(tx *overlay.Tx, sys *move.System, p *move.StoragePool, storage *move.Storage) error {
	const function = "increase_capacity_with_storage"
	inner, pool, err := livingPool(tx, sys, p, "increase_storage_pool_capacity_with_storage")
	if err != nil {
		return err
	}
	if storage.StartEpoch > inner.Committee.Epoch {
		return storagePoolBounds.in(function)
	}
	if storage.EndEpoch != pool.Storage.EndEpoch {
		return storagePoolEnd.in(function)
	}
	if err := growStorage(&pool.Storage, storage.Size); err != nil {
		return err
	}
	return DestroyStorage(tx, storage)
}

// growStorage is storage_resource::increase_size.
func growStorage(s *move.Storage, more uint64) error {
	size, err := add("storage_resource", "increase_size", s.Size, more)
	if err != nil {
		return err
	}
	s.Size = size
	return nil
}

// DecreaseStoragePoolCapacityBySize takes bytes that no blob uses out of a
// storage pool: system::decrease_storage_pool_capacity_by_size.
func DecreaseStoragePoolCapacityBySize(tx *overlay.Tx, sys *move.System, p *move.StoragePool, size uint64) (*move.Storage, error) {
	const function = "decrease_storage_pool_capacity_by_size"
	_, pool, err := livingPool(tx, sys, p, function)
	if err != nil {
		return nil, err
	}
	return shrinkPool(tx, pool, size, function)
}

// DecreaseStoragePoolUnusedCapacityByPercent takes a part of the bytes that no
// blob uses: system::decrease_storage_pool_unused_capacity_by_percent.
func DecreaseStoragePoolUnusedCapacityByPercent(tx *overlay.Tx, sys *move.System, p *move.StoragePool, percent uint8) (*move.Storage, error) {
	const function = "decrease_storage_pool_unused_capacity_by_percent"
	_, pool, err := livingPool(tx, sys, p, function)
	if err != nil {
		return nil, err
	}
	if percent > 100 {
		return nil, storagePoolPercent.in("decrease_unused_capacity_by_percent")
	}
	unused := pool.Storage.Size - pool.UsedBytes
	size, err := scale("storage_pool", function, unused, uint64(percent), 100)
	if err != nil {
		return nil, err
	}
	return shrinkPool(tx, pool, size, function)
}

// shrinkPool is storage_pool::decrease_capacity_by_size.
func shrinkPool(tx *overlay.Tx, pool *move.StoragePoolInner, size uint64, function string) (*move.Storage, error) {
	if size == 0 {
		return nil, systemZeroExtract.in(function)
	}
	if pool.Storage.Size-pool.UsedBytes < size {
		return nil, storagePoolCapacity.in("decrease_capacity_by_size")
	}
	return SplitBySize(tx, &pool.Storage, pool.Storage.Size-size)
}

// DestroyStoragePool destroys an empty storage pool and returns its
// reservation, at any time: storage_pool::destroy.
func DestroyStoragePool(tx *overlay.Tx, p *move.StoragePool) (*move.Storage, error) {
	pool, err := overlay.RemoveField[move.StoragePoolInner](tx, p.ID, move.U64Key(p.Version), tx.Types.StoragePoolInner().Tag())
	if err != nil {
		return nil, err
	}
	if pool.BlobCount != 0 {
		return nil, storagePoolNotEmpty.in("destroy")
	}
	if err := tx.Delete(p.ID); err != nil {
		return nil, err
	}
	storage := pool.Storage
	return &storage, tx.Hold(&storage, tx.Types.Storage())
}

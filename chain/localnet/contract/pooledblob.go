package contract

import (
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// RegisterPooledBlob registers a blob in a storage pool and takes the write
// fee: system::register_pooled_blob.
func RegisterPooledBlob(tx *overlay.Tx, sys *move.System, p *move.StoragePool, blob, root move.U256, size uint64,
	encodingType uint8, deletable bool, payment *move.Coin) error {
	const function = "register_pooled_blob"
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return err
	}
	pool, err := storageInner(tx, p)
	if err != nil {
		return err
	}
	epoch := inner.Committee.Epoch
	if epoch < pool.Storage.StartEpoch || epoch >= pool.Storage.EndEpoch {
		return innerEpochsAhead.in(function)
	}
	r := registration{blob: blob, root: root, size: size, encodingType: encodingType, deletable: deletable}
	b, err := newPooledBlob(tx, p.ID, r, epoch)
	if err != nil {
		return err
	}
	encoded, err := encodedSize(size, encodingType, inner.Committee.Shards)
	if err != nil {
		return err
	}
	if err := addPooledBlob(tx, pool, b, encoded); err != nil {
		return err
	}
	return payWrite(inner, encoded, payment)
}

// newPooledBlob is storage_pool::new_pooled_blob.
func newPooledBlob(tx *overlay.Tx, pool move.ID, r registration, epoch uint32) (*move.PooledBlob, error) {
	if move.BlobID(r.root, r.encodingType, r.size) != r.blob {
		return nil, storagePoolBlobID.in("new_pooled_blob")
	}
	b := &move.PooledBlob{ID: tx.NewID(), RegisteredEpoch: epoch, BlobID: r.blob, Size: r.size, EncodingType: r.encodingType,
		Pool: pool, Deletable: r.deletable}
	if err := tx.Hold(b, tx.Types.PooledBlob()); err != nil {
		return nil, err
	}
	return b, tx.Emit(&move.PooledBlobRegistered{Epoch: epoch, Blob: r.blob, Size: r.size, EncodingType: r.encodingType,
		Deletable: r.deletable, Object: b.ID, Pool: pool})
}

// addPooledBlob is storage_pool::add_blob.
func addPooledBlob(tx *overlay.Tx, pool *move.StoragePoolInner, b *move.PooledBlob, encoded uint64) error {
	used, err := add("storage_pool", "add_blob", pool.UsedBytes, encoded)
	if err != nil {
		return err
	}
	pool.BlobCount++
	pool.UsedBytes = used
	if used > pool.Storage.Size {
		return storagePoolCapacity.in("add_blob")
	}
	pool.Blobs.Size++
	return tx.AddObjectField(pool.Blobs.ID, move.U256Key(b.BlobID), b.ID)
}

// payWrite takes the fee for writing an encoded blob into the current epoch.
func payWrite(inner *move.SystemInner, encoded uint64, payment *move.Coin) error {
	fee, err := mul("system_state_inner", "write_price", inner.WritePrice, chain.Units(encoded))
	if err != nil {
		return err
	}
	if fee, err = split(&payment.Balance, fee); err != nil {
		return err
	}
	entry, err := ringAt(&inner.Accounting, 0)
	if err != nil {
		return err
	}
	return join(&entry.Rewards, fee)
}

// CertifyPooledBlob records that a quorum confirmed a blob of a storage pool: system::certify_pooled_blob.
func CertifyPooledBlob(tx *overlay.Tx, sys *move.System, p *move.StoragePool, blob move.U256, signature, bitmap, msg []byte) error {
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return err
	}
	kind, body, err := verifySigned(&inner.Committee, signature, bitmap, msg, isQuorum)
	if err != nil {
		return err
	}
	c, err := parseCertificate(kind, body)
	if err != nil {
		return err
	}
	pool, err := storageInner(tx, p)
	if err != nil {
		return err
	}
	b, err := overlay.ObjectField[move.PooledBlob](tx, pool.Blobs.ID, move.U256Key(blob), tx.Types.PooledBlob())
	if err != nil {
		return err
	}
	return certifyPooled(tx, b, inner.Committee.Epoch, pool.Storage.EndEpoch, c)
}

// certifyPooled is storage_pool::certify.
func certifyPooled(tx *overlay.Tx, b *move.PooledBlob, epoch, end uint32, c certificate) error {
	const function = "certify"
	switch {
	case b.BlobID != c.blob:
		return storagePoolBlobID.in(function)
	case epoch >= end:
		return storagePoolBounds.in(function)
	case b.CertifiedEpoch != nil:
		return storagePoolCertified.in(function)
	case b.Deletable != c.persistence.deletable:
		return storagePoolPersistence.in(function)
	case b.Deletable && b.ID != c.persistence.object:
		return storagePoolObject.in(function)
	}
	b.CertifiedEpoch = &epoch
	return tx.Emit(&move.PooledBlobCertified{Epoch: epoch, Blob: b.BlobID, Deletable: b.Deletable, Object: b.ID, Pool: b.Pool})
}

// DeletePooledBlob destroys a deletable blob of a storage pool, whose bytes are
// free again: system::delete_pooled_blob.
func DeletePooledBlob(tx *overlay.Tx, sys *move.System, p *move.StoragePool, blob move.U256) error {
	inner, pool, err := livingPool(tx, sys, p, "delete_pooled_blob")
	if err != nil {
		return err
	}
	b, err := removePooledBlob(tx, pool, blob, inner.Committee.Shards)
	if err != nil {
		return err
	}
	if !b.Deletable {
		return storagePoolNotDeletable.in("delete_blob_object")
	}
	if err := tx.Delete(b.ID); err != nil {
		return err
	}
	return tx.Emit(&move.PooledBlobDeleted{Epoch: inner.Committee.Epoch, Blob: b.BlobID, Object: b.ID,
		WasCertified: b.CertifiedEpoch != nil, Pool: b.Pool})
}

// BurnExpiredPooledBlob destroys a blob of a storage pool that has ended,
// without an event: system::burn_expired_pooled_blob.
func BurnExpiredPooledBlob(tx *overlay.Tx, sys *move.System, p *move.StoragePool, blob move.U256) error {
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return err
	}
	pool, err := storageInner(tx, p)
	if err != nil {
		return err
	}
	if pool.Storage.EndEpoch > inner.Committee.Epoch {
		return innerEpochsAhead.in("burn_expired_pooled_blob")
	}
	b, err := removePooledBlob(tx, pool, blob, inner.Committee.Shards)
	if err != nil {
		return err
	}
	return tx.Delete(b.ID)
}

// removePooledBlob is storage_pool::remove_blob.
func removePooledBlob(tx *overlay.Tx, pool *move.StoragePoolInner, blob move.U256, shards uint16) (*move.PooledBlob, error) {
	const function = "remove_blob"
	key := move.U256Key(blob)
	b, err := overlay.ObjectField[move.PooledBlob](tx, pool.Blobs.ID, key, tx.Types.PooledBlob())
	if err != nil {
		return nil, err
	}
	encoded, err := encodedSize(b.Size, b.EncodingType, shards)
	if err != nil {
		return nil, err
	}
	if pool.UsedBytes < encoded {
		return nil, storagePoolBlobSize.in(function)
	}
	pool.UsedBytes -= encoded
	if pool.BlobCount == 0 {
		return nil, storagePoolBlobCount.in(function)
	}
	pool.BlobCount--
	pool.Blobs.Size--
	return overlay.TakeObjectField[move.PooledBlob](tx, pool.Blobs.ID, key, tx.Types.PooledBlob())
}

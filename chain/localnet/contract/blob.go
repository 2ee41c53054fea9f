package contract

import (
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// encodedSize is encoding::encoded_blob_length.
func encodedSize(size uint64, encodingType uint8, shards uint16) (uint64, error) {
	if encodingType != walrus.EncodingRS2 {
		return 0, encodingInvalidType.in("encoded_blob_length")
	}
	if size > 1<<62 {
		return 0, overflow("redstuff", "encoded_blob_length")
	}
	n, err := walrus.Geometry{Shards: int(shards)}.EncodedSize(int64(size))
	if err != nil {
		return 0, overflow("redstuff", "symbol_size")
	}
	return n, nil
}

// registration is what blob::new asks for besides the reservation.
type registration struct {
	blob, root   move.U256
	size         uint64
	encodingType uint8
	deletable    bool
}

// newBlob is blob::new. The reservation is wrapped into the new object.
func newBlob(tx *overlay.Tx, storage *move.Storage, r registration, epoch uint32, shards uint16) (*move.Blob, error) {
	id := tx.NewID()
	if epoch < storage.StartEpoch || epoch >= storage.EndEpoch {
		return nil, blobResourceBounds.in("new")
	}
	encoded, err := encodedSize(r.size, r.encodingType, shards)
	if err != nil {
		return nil, err
	}
	if encoded > storage.Size {
		return nil, blobResourceSize.in("new")
	}
	if move.BlobID(r.root, r.encodingType, r.size) != r.blob {
		return nil, blobInvalidID.in("new")
	}
	err = tx.Emit(&move.BlobRegistered{Epoch: epoch, Blob: r.blob, Size: r.size, EncodingType: r.encodingType,
		EndEpoch: storage.EndEpoch, Deletable: r.deletable, Object: id})
	if err != nil {
		return nil, err
	}
	if err := tx.Wrap(storage.ID); err != nil {
		return nil, err
	}
	b := &move.Blob{ID: id, RegisteredEpoch: epoch, BlobID: r.blob, Size: r.size, EncodingType: r.encodingType,
		Storage: *storage, Deletable: r.deletable}
	return b, tx.Hold(b, tx.Types.Blob())
}

// certify is blob::certify_with_certified_msg.
func certify(tx *overlay.Tx, b *move.Blob, epoch uint32, c certificate) error {
	const function = "certify_with_certified_msg"
	switch {
	case b.BlobID != c.blob:
		return blobInvalidID.in(function)
	case b.CertifiedEpoch != nil:
		return blobAlreadyCertified.in(function)
	case epoch >= b.Storage.EndEpoch:
		return blobResourceBounds.in(function)
	case b.Deletable != c.persistence.deletable:
		return blobPersistence.in(function)
	case b.Deletable && b.ID != c.persistence.object:
		return blobInvalidObject.in(function)
	}
	b.CertifiedEpoch = &epoch
	return emitCertified(tx, b, false)
}

// emitCertified is blob::emit_certified.
func emitCertified(tx *overlay.Tx, b *move.Blob, isExtension bool) error {
	return tx.Emit(&move.BlobCertified{Epoch: *b.CertifiedEpoch, Blob: b.BlobID, EndEpoch: b.Storage.EndEpoch,
		Deletable: b.Deletable, Object: b.ID, IsExtension: isExtension})
}

// checkCertified is blob::assert_certified_not_expired.
func checkCertified(b *move.Blob, epoch uint32) error {
	const function = "assert_certified_not_expired"
	if b.CertifiedEpoch == nil {
		return blobNotCertified.in(function)
	}
	if epoch >= b.Storage.EndEpoch {
		return blobResourceBounds.in(function)
	}
	return nil
}

// deleteBlob is blob::delete. The reservation is held afterwards.
func deleteBlob(tx *overlay.Tx, b *move.Blob, epoch uint32) (*move.Storage, error) {
	if err := removeMetadata(tx, b); err != nil {
		return nil, err
	}
	if !b.Deletable {
		return nil, blobNotDeletable.in("delete")
	}
	if b.Storage.EndEpoch <= epoch {
		return nil, blobResourceBounds.in("delete")
	}
	if err := tx.Delete(b.ID); err != nil {
		return nil, err
	}
	err := tx.Emit(&move.BlobDeleted{Epoch: epoch, Blob: b.BlobID, EndEpoch: b.Storage.EndEpoch, Object: b.ID,
		WasCertified: b.CertifiedEpoch != nil})
	if err != nil {
		return nil, err
	}
	storage := b.Storage
	return &storage, tx.Hold(&storage, tx.Types.Storage())
}

// BurnBlob destroys a blob object and its reservation, at any time and without
// an event: blob::burn.
func BurnBlob(tx *overlay.Tx, b *move.Blob) error {
	if err := removeMetadata(tx, b); err != nil {
		return err
	}
	if err := tx.Delete(b.ID); err != nil {
		return err
	}
	if err := tx.Hold(&b.Storage, tx.Types.Storage()); err != nil {
		return err
	}
	return DestroyStorage(tx, &b.Storage)
}

// extendWithResource is blob::extend_with_resource.
func extendWithResource(tx *overlay.Tx, b *move.Blob, extension *move.Storage, epoch uint32) error {
	if err := checkCertified(b, epoch); err != nil {
		return err
	}
	if extension.EndEpoch <= b.Storage.EndEpoch {
		return blobResourceBounds.in("extend_with_resource")
	}
	if err := FusePeriods(tx, &b.Storage, extension); err != nil {
		return err
	}
	return emitCertified(tx, b, true)
}

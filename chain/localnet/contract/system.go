package contract

import (
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// Version is that of the contracts, and the key of the inner states. Source: module system, VERSION.
const Version = 3

// maxMaxEpochsAhead bounds the ring. Source: module system_state_inner, MAX_MAX_EPOCHS_AHEAD.
const maxMaxEpochsAhead = 1000

// CreateSystem makes and shares the System object, with an empty committee and
// no capacity: system::create_empty.
func CreateSystem(tx *overlay.Tx, maxEpochsAhead uint32, packageID move.ID) (*move.System, error) {
	sys := &move.System{ID: tx.NewID(), Version: Version, PackageID: packageID}
	if err := tx.Hold(sys, tx.Types.System()); err != nil {
		return nil, err
	}
	if maxEpochsAhead > maxMaxEpochsAhead {
		return nil, innerMaxEpochsAhead.in("create_empty")
	}
	sizes, err := newExtended(tx, tx.Types.DenyListSizes(), &move.DenyListSizes{})
	if err != nil {
		return nil, err
	}
	committee, err := newBLSCommittee(0, nil)
	if err != nil {
		return nil, err
	}
	inner := &move.SystemInner{Committee: committee, Accounting: newRing(maxEpochsAhead), DenyListSizes: sizes}
	if err := tx.AddField(sys.ID, move.U64Key(Version), tx.Types.SystemInner().Tag(), inner); err != nil {
		return nil, err
	}
	return sys, tx.Share(sys.ID)
}

// SystemInner returns the state of System, for reading and writing: system::inner and inner_mut.
func SystemInner(tx *overlay.Tx, sys *move.System) (*move.SystemInner, error) {
	if sys.Version != version(tx) {
		return nil, systemWrongVersion.in("inner")
	}
	return overlay.Field[move.SystemInner](tx, sys.ID, move.U64Key(sys.Version), tx.Types.SystemInner().Tag())
}

// newExtended makes an extended field and returns its ID: extended_field::new.
func newExtended(tx *overlay.Tx, valueType move.TypeTag, value move.Layout) (move.ID, error) {
	id := tx.NewID()
	return id, tx.AddField(id, tx.Types.ExtendedKey(), valueType, value)
}

// ReserveSpace buys a reservation from now on: system::reserve_space.
func ReserveSpace(tx *overlay.Tx, sys *move.System, amount uint64, epochsAhead uint32, payment *move.Coin) (*move.Storage, error) {
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return nil, err
	}
	if epochsAhead == 0 || epochsAhead > inner.Accounting.Length {
		return nil, innerEpochsAhead.in("reserve_space")
	}
	epoch := inner.Committee.Epoch
	return reserveForEpochs(tx, inner, amount, epoch, epoch+epochsAhead, payment)
}

// ReserveSpaceForEpochs buys a reservation from start, or now if that has
// passed, to before end: system::reserve_space_for_epochs.
func ReserveSpaceForEpochs(tx *overlay.Tx, sys *move.System, amount uint64, start, end uint32, payment *move.Coin) (*move.Storage, error) {
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return nil, err
	}
	return reserveForEpochs(tx, inner, amount, start, end, payment)
}

func reserveForEpochs(tx *overlay.Tx, inner *move.SystemInner, amount uint64, start, end uint32, payment *move.Coin) (*move.Storage, error) {
	const function = "reserve_space_for_epochs"
	epoch := inner.Committee.Epoch
	start = max(start, epoch)
	if end <= start || end-epoch > inner.Accounting.Length {
		return nil, innerEpochsAhead.in(function)
	}
	if err := payStorage(inner, amount, start-epoch, end-epoch, payment); err != nil {
		return nil, err
	}
	if amount == 0 {
		return nil, innerResourceSize.in("reserve_space_without_payment")
	}
	if err := useCapacity(inner, amount, start-epoch, end-epoch, "reserve_space_without_payment"); err != nil {
		return nil, err
	}
	return newStorage(tx, start, end, amount)
}

// useCapacity counts an amount into each of the epochs ahead, from start to before end.
func useCapacity(inner *move.SystemInner, amount uint64, start, end uint32, function string) error {
	for i := start; i < end; i++ {
		entry, err := ringAt(&inner.Accounting, i)
		if err != nil {
			return err
		}
		used, err := use(entry, amount)
		if err != nil {
			return err
		}
		if i == 0 {
			inner.UsedCapacity = used
		}
		if used > inner.TotalCapacity {
			return innerStorageExceeded.in(function)
		}
	}
	return nil
}

// payStorage pays for a size into each of the epochs ahead:
// system_state_inner::process_storage_payments.
func payStorage(inner *move.SystemInner, size uint64, start, end uint32, payment *move.Coin) error {
	due, err := mul("system_state_inner", "process_storage_payments", inner.StoragePrice, chain.Units(size))
	if err != nil {
		return err
	}
	for i := start; i < end; i++ {
		amount, err := split(&payment.Balance, due)
		if err != nil {
			return err
		}
		entry, err := ringAt(&inner.Accounting, i)
		if err != nil {
			return err
		}
		if err := join(&entry.Rewards, amount); err != nil {
			return err
		}
	}
	return nil
}

// RegisterBlob makes a blob object of a reservation and takes the write fee:
// system::register_blob.
func RegisterBlob(tx *overlay.Tx, sys *move.System, storage *move.Storage, blob, root move.U256, size uint64,
	encodingType uint8, deletable bool, payment *move.Coin) (*move.Blob, error) {
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return nil, err
	}
	r := registration{blob: blob, root: root, size: size, encodingType: encodingType, deletable: deletable}
	b, err := newBlob(tx, storage, r, inner.Committee.Epoch, inner.Committee.Shards)
	if err != nil {
		return nil, err
	}
	encoded, err := encodedSize(size, encodingType, inner.Committee.Shards)
	if err != nil {
		return nil, err
	}
	return b, payWrite(inner, encoded, payment)
}

// CertifyBlob records that a quorum confirmed the blob: system::certify_blob.
func CertifyBlob(tx *overlay.Tx, sys *move.System, b *move.Blob, signature, bitmap, msg []byte) error {
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
	return certify(tx, b, inner.Committee.Epoch, c)
}

// InvalidateBlobID tells that a blob ID names no valid encoding, on the word
// of at least one honest node: system::invalidate_blob_id.
func InvalidateBlobID(tx *overlay.Tx, sys *move.System, signature, bitmap, msg []byte) (move.U256, error) {
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return move.U256{}, err
	}
	kind, body, err := verifySigned(&inner.Committee, signature, bitmap, msg, includesHonest)
	if err != nil {
		return move.U256{}, err
	}
	blob, err := parseBlobID(kind, body, invalidBlobID, "invalid_blob_id_message")
	if err != nil {
		return blob, err
	}
	return blob, tx.Emit(&move.InvalidBlobID{Epoch: inner.Committee.Epoch, Blob: blob})
}

// DeleteBlob destroys a blob object and returns its reservation: system::delete_blob.
func DeleteBlob(tx *overlay.Tx, sys *move.System, b *move.Blob) (*move.Storage, error) {
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return nil, err
	}
	return deleteBlob(tx, b, inner.Committee.Epoch)
}

// ExtendBlobWithResource lengthens a blob's life with a reservation: system::extend_blob_with_resource.
func ExtendBlobWithResource(tx *overlay.Tx, sys *move.System, b *move.Blob, extension *move.Storage) error {
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return err
	}
	return extendWithResource(tx, b, extension, inner.Committee.Epoch)
}

// ExtendBlob buys more epochs for a blob: system::extend_blob.
func ExtendBlob(tx *overlay.Tx, sys *move.System, b *move.Blob, epochs uint32, payment *move.Coin) error {
	const function = "extend_blob"
	inner, err := SystemInner(tx, sys)
	if err != nil {
		return err
	}
	if err := checkCertified(b, inner.Committee.Epoch); err != nil {
		return err
	}
	start := b.Storage.EndEpoch - inner.Committee.Epoch
	end := start + epochs
	if end < start {
		return overflow("system_state_inner", function)
	}
	if epochs == 0 || end > inner.Accounting.Length {
		return innerEpochsAhead.in(function)
	}
	if err := payStorage(inner, b.Storage.Size, start, end, payment); err != nil {
		return err
	}
	if err := useCapacity(inner, b.Storage.Size, start, end, function); err != nil {
		return err
	}
	b.Storage.EndEpoch += epochs
	return emitCertified(tx, b, true)
}

package contract

import (
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

func (p *player) reserve(tx *overlay.Tx, o *shared) error {
	s, err := ReserveSpace(tx, o.system, p.amount(3<<20), p.epochs(), o.coin)
	return own(tx, s, err)
}

func (p *player) reserveLater(tx *overlay.Tx, o *shared) error {
	inner, err := SystemInner(tx, o.system)
	p.must(err)
	start := inner.Committee.Epoch + p.rnd.Uint32N(4)
	s, err := ReserveSpaceForEpochs(tx, o.system, p.amount(3<<20), start, start+p.epochs(), o.coin)
	return own(tx, s, err)
}

func (p *player) splitStorage(tx *overlay.Tx, _ *shared) error {
	s, err := some[move.Storage](p, tx, p.types.Storage())
	if err != nil {
		return err
	}
	if p.rnd.IntN(2) == 0 {
		rest, err := SplitByEpoch(tx, s, s.StartEpoch+p.rnd.Uint32N(4))
		return own(tx, rest, err)
	}
	rest, err := SplitBySize(tx, s, p.amount(s.Size+1))
	return own(tx, rest, err)
}

func (p *player) fuseStorage(tx *overlay.Tx, _ *shared) error {
	s, err := taken[move.Storage](p, tx, p.types.Storage())
	if err != nil {
		return err
	}
	other, err := some[move.Storage](p, tx, p.types.Storage())
	if err != nil || other.ID == s.ID {
		return errNothing
	}
	if p.rnd.IntN(10) == 0 {
		return DestroyStorage(tx, s)
	}
	return Fuse(tx, other, s)
}

func (p *player) register(tx *overlay.Tx, o *shared) error {
	s, err := taken[move.Storage](p, tx, p.types.Storage())
	if err != nil {
		return err
	}
	root, size := move.U256{0: byte(p.rnd.Uint32())}, p.amount(5000)
	b, err := RegisterBlob(tx, o.system, s, move.BlobID(root, 1, size), root, size, 1, p.rnd.IntN(2) == 0, o.coin)
	return own(tx, b, err)
}

func (p *player) certify(tx *overlay.Tx, o *shared) error {
	b, err := some[move.Blob](p, tx, p.types.Blob())
	if err != nil {
		return err
	}
	signature, bitmap, msg := p.confirmation(o, tx, b.BlobID, b.Deletable, b.ID)
	return CertifyBlob(tx, o.system, b, signature, bitmap, msg)
}

func (p *player) extend(tx *overlay.Tx, o *shared) error {
	b, err := some[move.Blob](p, tx, p.types.Blob())
	if err != nil {
		return err
	}
	return ExtendBlob(tx, o.system, b, p.rnd.Uint32N(4), o.coin)
}

// extendWith buys the storage that fits, and extends with it.
func (p *player) extendWith(tx *overlay.Tx, o *shared) error {
	b, err := some[move.Blob](p, tx, p.types.Blob())
	if err != nil {
		return err
	}
	s, err := ReserveSpaceForEpochs(tx, o.system, b.Storage.Size, b.Storage.EndEpoch, b.Storage.EndEpoch+1, o.coin)
	if err != nil {
		return err
	}
	return ExtendBlobWithResource(tx, o.system, b, s)
}

func (p *player) remove(tx *overlay.Tx, o *shared) error {
	b, err := taken[move.Blob](p, tx, p.types.Blob())
	if err != nil {
		return err
	}
	if p.rnd.IntN(3) == 0 {
		return BurnBlob(tx, b)
	}
	s, err := DeleteBlob(tx, o.system, b)
	return own(tx, s, err)
}

func (p *player) share(tx *overlay.Tx, o *shared) error {
	b, err := taken[move.Blob](p, tx, p.types.Blob())
	if err != nil {
		return err
	}
	if b.CertifiedEpoch == nil && p.rnd.IntN(4) > 0 {
		return errNothing // nobody could extend it
	}
	if p.rnd.IntN(2) == 0 {
		_, err := NewSharedBlob(tx, b)
		return err
	}
	c, err := SplitCoin(tx, p.types.WALCoin(), o.coin, p.amount(1e6))
	if err != nil {
		return err
	}
	_, err = NewFundedSharedBlob(tx, b, c)
	return err
}

func (p *player) fundShared(tx *overlay.Tx, o *shared) error {
	s, err := some[move.SharedBlob](p, tx, p.types.SharedBlob())
	if err != nil {
		return err
	}
	c, err := SplitCoin(tx, p.types.WALCoin(), o.coin, p.amount(1e6))
	if err != nil {
		return err
	}
	return FundSharedBlob(tx, s, c)
}

func (p *player) extendShared(tx *overlay.Tx, o *shared) error {
	s, err := some[move.SharedBlob](p, tx, p.types.SharedBlob())
	if err != nil {
		return err
	}
	return ExtendSharedBlob(tx, s, o.system, p.rnd.Uint32N(4))
}

func (p *player) createPool(tx *overlay.Tx, o *shared) error {
	if p.rnd.IntN(2) == 0 {
		s, err := taken[move.Storage](p, tx, p.types.Storage())
		if err != nil {
			return err
		}
		pool, err := CreateStoragePoolWithStorage(tx, o.system, s)
		return own(tx, pool, err)
	}
	pool, err := CreateStoragePool(tx, o.system, p.amount(1<<20), p.epochs(), o.coin)
	return own(tx, pool, err)
}

func (p *player) somePool(tx *overlay.Tx) (*move.StoragePool, error) {
	return some[move.StoragePool](p, tx, p.types.StoragePool())
}

func (p *player) poolRegister(tx *overlay.Tx, o *shared) error {
	pool, err := p.somePool(tx)
	if err != nil {
		return err
	}
	root, size := move.U256{0: byte(p.rnd.Uint32N(5))}, uint64(blobSize)
	return RegisterPooledBlob(tx, o.system, pool, move.BlobID(root, 1, size), root, size, 1, p.rnd.IntN(2) == 0, o.coin)
}

// someBlobID is one of the few that poolRegister uses.
func (p *player) someBlobID() move.U256 {
	return move.BlobID(move.U256{0: byte(p.rnd.Uint32N(5))}, 1, blobSize)
}

func (p *player) poolCertify(tx *overlay.Tx, o *shared) error {
	pool, err := p.somePool(tx)
	if err != nil {
		return err
	}
	inner, err := storageInner(tx, pool)
	p.must(err)
	id := p.someBlobID()
	b, err := overlay.ObjectField[move.PooledBlob](tx, inner.Blobs.ID, move.U256Key(id), p.types.PooledBlob())
	if err != nil {
		return err
	}
	signature, bitmap, msg := p.confirmation(o, tx, id, b.Deletable, b.ID)
	return CertifyPooledBlob(tx, o.system, pool, id, signature, bitmap, msg)
}

func (p *player) poolDelete(tx *overlay.Tx, o *shared) error {
	pool, err := p.somePool(tx)
	if err != nil {
		return err
	}
	if p.rnd.IntN(2) == 0 {
		return BurnExpiredPooledBlob(tx, o.system, pool, p.someBlobID())
	}
	return DeletePooledBlob(tx, o.system, pool, p.someBlobID())
}

func (p *player) poolExtend(tx *overlay.Tx, o *shared) error {
	pool, err := p.somePool(tx)
	if err != nil {
		return err
	}
	return ExtendStoragePool(tx, o.system, pool, p.rnd.Uint32N(4), o.coin)
}

func (p *player) poolGrow(tx *overlay.Tx, o *shared) error {
	pool, err := p.somePool(tx)
	if err != nil {
		return err
	}
	if p.rnd.IntN(2) == 0 {
		return IncreaseStoragePoolCapacity(tx, o.system, pool, p.amount(1<<20), o.coin)
	}
	inner, err := storageInner(tx, pool)
	p.must(err)
	system, err := SystemInner(tx, o.system)
	p.must(err)
	s, err := ReserveSpaceForEpochs(tx, o.system, p.amount(1<<20), system.Committee.Epoch, inner.Storage.EndEpoch, o.coin)
	if err != nil {
		return err
	}
	return IncreaseStoragePoolCapacityWithStorage(tx, o.system, pool, s)
}

func (p *player) poolShrink(tx *overlay.Tx, o *shared) error {
	pool, err := p.somePool(tx)
	if err != nil {
		return err
	}
	if p.rnd.IntN(2) == 0 {
		s, err := DecreaseStoragePoolCapacityBySize(tx, o.system, pool, p.amount(1<<18))
		return own(tx, s, err)
	}
	s, err := DecreaseStoragePoolUnusedCapacityByPercent(tx, o.system, pool, uint8(p.rnd.UintN(120)))
	return own(tx, s, err)
}

func (p *player) poolDestroy(tx *overlay.Tx, _ *shared) error {
	pool, err := taken[move.StoragePool](p, tx, p.types.StoragePool())
	if err != nil {
		return err
	}
	s, err := DestroyStoragePool(tx, pool)
	return own(tx, s, err)
}

package contract

import (
	"testing"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// signed returns signature and bitmap of all members of the committee over a message.
func (e *economy) signed(msg []byte) (signature, bitmap []byte) {
	e.t.Helper()
	system, _ := e.state()
	bitmap = make([]byte, (len(system.Committee.Members)+7)/8)
	var sigs [][96]byte
	for i := range e.caps {
		for at, m := range system.Committee.Members {
			if m.Node != e.node(i) {
				continue
			}
			key, err := bls.SecretKeyFromBytes([32]byte{31: byte(i + 1)})
			e.must(err)
			sigs = append(sigs, key.Sign(msg))
			bitmap[at/8] |= 1 << (at % 8)
		}
	}
	sum, err := bls.AggregateSignatures(sigs)
	e.must(err)
	return sum[:], bitmap
}

// pooling is an economy with a storage pool that holds a deletable blob.
type pooling struct {
	*economy
	id     move.ID
	blob   move.U256
	object move.ID
}

const (
	poolBytes = 10 << 20
	blobSize  = 1000
)

func newPooling(t *testing.T) *pooling {
	t.Helper()
	p := &pooling{economy: newEconomy(t, 4, 10)}
	p.advance()
	p.do(func(tx *overlay.Tx, o *shared) error {
		s, err := CreateStoragePool(tx, o.system, poolBytes, 3, o.coin)
		if err != nil {
			return err
		}
		p.id = s.ID
		return tx.Transfer(s.ID, move.AddressOwner(tx.Sender))
	})
	p.blob = move.BlobID(move.U256{1}, 1, blobSize)
	p.do(p.registering(move.U256{1}, true))
	tx := p.begin()
	b, err := overlay.ObjectField[move.PooledBlob](tx, p.inner(tx).Blobs.ID, move.U256Key(p.blob), p.types.PooledBlob())
	p.must(err)
	p.object = b.ID
	return p
}

func (p *pooling) pool(tx *overlay.Tx) *move.StoragePool {
	p.t.Helper()
	s, err := overlay.BorrowMut[move.StoragePool](tx, p.id, p.types.StoragePool())
	p.must(err)
	return s
}

func (p *pooling) inner(tx *overlay.Tx) *move.StoragePoolInner {
	p.t.Helper()
	inner, err := storageInner(tx, p.pool(tx))
	p.must(err)
	return inner
}

func (p *pooling) registering(root move.U256, deletable bool) func(*overlay.Tx, *shared) error {
	return func(tx *overlay.Tx, o *shared) error {
		return RegisterPooledBlob(tx, o.system, p.pool(tx), move.BlobID(root, 1, blobSize), root, blobSize, 1, deletable, o.coin)
	}
}

// certifying certifies a blob of the pool with what all nodes signed.
func (p *pooling) certifying(blob move.U256, persistence walrus.Persistence) func(*overlay.Tx, *shared) error {
	return func(tx *overlay.Tx, o *shared) error {
		inner, err := SystemInner(tx, o.system)
		p.must(err)
		msg := walrus.ConfirmationMessage(walrus.Epoch(inner.Committee.Epoch), walrus.BlobID(blob), persistence)
		signature, bitmap := p.signed(msg)
		return CertifyPooledBlob(tx, o.system, p.pool(tx), p.blob, signature, bitmap, msg)
	}
}

func (p *pooling) deletable() walrus.Persistence {
	return walrus.Persistence{Deletable: true, Object: walrus.ObjectID(p.object)}
}

// TestStoragePool lets blobs share storage through their whole life.
func TestStoragePool(t *testing.T) {
	p := newPooling(t)
	encoded, err := encodedSize(blobSize, 1, 10)
	p.must(err)
	if inner := p.inner(p.begin()); inner.UsedBytes != encoded || inner.BlobCount != 1 || inner.Blobs.Size != 1 || inner.Storage.Size != poolBytes {
		t.Errorf("pool %+v", inner)
	}
	if got := p.do(p.certifying(p.blob, p.deletable())).Events; len(got) != 1 || got[0].Type.Name != "PooledBlobCertified" {
		t.Errorf("events %v", got)
	}
	before, _ := p.state()
	used := before.UsedCapacity
	result := p.do(func(tx *overlay.Tx, o *shared) error { return DeletePooledBlob(tx, o.system, p.pool(tx), p.blob) })
	if got := result.Events; len(got) != 1 || got[0].Type.Name != "PooledBlobDeleted" {
		t.Errorf("events %v", got)
	}
	if _, there := p.objects[p.object]; there {
		t.Error("the blob object is still there")
	}
	p.do(p.registering(move.U256{2}, false)) // in the bytes that are free again
	if after, _ := p.state(); after.UsedCapacity != used {
		t.Errorf("capacity used %d, was %d", after.UsedCapacity, used)
	}
	p.do(func(tx *overlay.Tx, o *shared) error { return ExtendStoragePool(tx, o.system, p.pool(tx), 2, o.coin) })
	p.do(func(tx *overlay.Tx, o *shared) error {
		return IncreaseStoragePoolCapacity(tx, o.system, p.pool(tx), 1<<20, o.coin)
	})
	p.do(func(tx *overlay.Tx, o *shared) error {
		s, err := ReserveSpace(tx, o.system, 2<<20, 5, o.coin)
		if err != nil {
			return err
		}
		return IncreaseStoragePoolCapacityWithStorage(tx, o.system, p.pool(tx), s)
	})
	p.do(func(tx *overlay.Tx, o *shared) error {
		s, err := DecreaseStoragePoolCapacityBySize(tx, o.system, p.pool(tx), 3<<20)
		if err != nil {
			return err
		}
		if s.Size != 3<<20 || s.EndEpoch != 6 {
			t.Errorf("taken out: %+v", s)
		}
		return tx.Transfer(s.ID, move.AddressOwner(tx.Sender))
	})
	p.do(func(tx *overlay.Tx, o *shared) error {
		s, err := DecreaseStoragePoolUnusedCapacityByPercent(tx, o.system, p.pool(tx), 50)
		if err != nil {
			return err
		}
		if s.Size != (poolBytes-encoded)/2 {
			t.Errorf("half of what is free: %d", s.Size)
		}
		return tx.Transfer(s.ID, move.AddressOwner(tx.Sender))
	})
	for range 5 {
		p.advance()
	}
	second := move.BlobID(move.U256{2}, 1, blobSize)
	p.do(func(tx *overlay.Tx, o *shared) error { return BurnExpiredPooledBlob(tx, o.system, p.pool(tx), second) })
	p.do(func(tx *overlay.Tx, _ *shared) error {
		s, err := overlay.Take[move.StoragePool](tx, p.id, p.types.StoragePool())
		if err != nil {
			return err
		}
		storage, err := DestroyStoragePool(tx, s)
		if err != nil {
			return err
		}
		return tx.Transfer(storage.ID, move.AddressOwner(tx.Sender))
	})
	p.balanced()
}

// inPool runs something on a storage pool.
func inPool(do func(p *pooling, tx *overlay.Tx, o *shared) error) func(r *reference, tx *overlay.Tx) error {
	return func(r *reference, _ *overlay.Tx) error {
		p := newPooling(r.t)
		return p.try(func(tx *overlay.Tx, o *shared) error { return do(p, tx, o) })
	}
}

// expired runs something on a storage pool that has ended.
func expired(do func(p *pooling, tx *overlay.Tx, o *shared) error) func(r *reference, tx *overlay.Tx) error {
	return inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		p.inner(tx).Storage.EndEpoch = 1
		return do(p, tx, o)
	})
}

var poolAborts = []abortCase{
	{"delete what is permanent", storagePoolNotDeletable, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		p.must(p.registering(move.U256{2}, false)(tx, o))
		return DeletePooledBlob(tx, o.system, p.pool(tx), move.BlobID(move.U256{2}, 1, blobSize))
	})},
	{"certify when it is over", storagePoolBounds, expired(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return p.certifying(p.blob, p.deletable())(tx, o)
	})},
	{"add what is still to begin", storagePoolBounds, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return IncreaseStoragePoolCapacityWithStorage(tx, o.system, p.pool(tx), &move.Storage{StartEpoch: 2, EndEpoch: 4})
	})},
	{"certify twice", storagePoolCertified, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		p.must(p.certifying(p.blob, p.deletable())(tx, o))
		return p.certifying(p.blob, p.deletable())(tx, o)
	})},
	{"certify another", storagePoolBlobID, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return p.certifying(move.U256{9}, p.deletable())(tx, o)
	})},
	{"register another", storagePoolBlobID, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return RegisterPooledBlob(tx, o.system, p.pool(tx), move.U256{9}, move.U256{1}, blobSize, 1, true, o.coin)
	})},
	{"certify as permanent", storagePoolPersistence, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return p.certifying(p.blob, walrus.Persistence{})(tx, o)
	})},
	{"certify another object", storagePoolObject, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return p.certifying(p.blob, walrus.Persistence{Deletable: true})(tx, o)
	})},
	{"register too much", storagePoolCapacity, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		p.inner(tx).Storage.Size = 10_000
		return p.registering(move.U256{2}, true)(tx, o)
	})},
	{"take out too much", storagePoolCapacity, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		_, err := DecreaseStoragePoolCapacityBySize(tx, o.system, p.pool(tx), poolBytes)
		return err
	})},
	{"take out nothing", systemZeroExtract, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		_, err := DecreaseStoragePoolCapacityBySize(tx, o.system, p.pool(tx), 0)
		return err
	})},
	{"take out 101 percent", storagePoolPercent, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		_, err := DecreaseStoragePoolUnusedCapacityByPercent(tx, o.system, p.pool(tx), 101)
		return err
	})},
	{"destroy what is in use", storagePoolNotEmpty, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		_, err := DestroyStoragePool(tx, p.pool(tx))
		return err
	})},
	{"fewer bytes than the blob has", storagePoolBlobSize, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		p.inner(tx).UsedBytes = 1
		return DeletePooledBlob(tx, o.system, p.pool(tx), p.blob)
	})},
	{"fewer blobs than there are", storagePoolBlobCount, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		p.inner(tx).BlobCount = 0
		return DeletePooledBlob(tx, o.system, p.pool(tx), p.blob)
	})},
	{"another version of pools", storagePoolVersion, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		p.pool(tx).Version = 2
		return DeletePooledBlob(tx, o.system, p.pool(tx), p.blob)
	})},
	{"add what ends later", storagePoolEnd, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return IncreaseStoragePoolCapacityWithStorage(tx, o.system, p.pool(tx), &move.Storage{StartEpoch: 1, EndEpoch: 9})
	})},
	{"pool of nothing", innerResourceSize, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		_, err := CreateStoragePoolWithStorage(tx, o.system, &move.Storage{StartEpoch: 1, EndEpoch: 9})
		return err
	})},
	{"pool of later", innerEpochsAhead, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		_, err := CreateStoragePoolWithStorage(tx, o.system, &move.Storage{StartEpoch: 2, EndEpoch: 9, Size: 1})
		return err
	})},
	{"register when it is over", innerEpochsAhead, expired(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return p.registering(move.U256{2}, true)(tx, o)
	})},
	{"delete when it is over", innerEpochsAhead, expired(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return DeletePooledBlob(tx, o.system, p.pool(tx), p.blob)
	})},
	{"burn before it is over", innerEpochsAhead, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return BurnExpiredPooledBlob(tx, o.system, p.pool(tx), p.blob)
	})},
	{"extend by nothing", innerEpochsAhead, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return ExtendStoragePool(tx, o.system, p.pool(tx), 0, o.coin)
	})},
	{"extend beyond all", innerEpochsAhead, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return ExtendStoragePool(tx, o.system, p.pool(tx), 8, o.coin)
	})},
	{"grow by nothing", innerResourceSize, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return IncreaseStoragePoolCapacity(tx, o.system, p.pool(tx), 0, o.coin)
	})},
	{"grow beyond the capacity", innerStorageExceeded, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return IncreaseStoragePoolCapacity(tx, o.system, p.pool(tx), 1<<50, o.coin)
	})},
	{"register twice in a pool", code{"dynamic_field", 0, "EFieldAlreadyExists"}, inPool(func(p *pooling, tx *overlay.Tx, o *shared) error {
		return p.registering(move.U256{1}, true)(tx, o)
	})},
}

package contract

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// abortCase makes a contract abort, on the objects of the vectors unless it
// brings its own.
type abortCase struct {
	name string
	want code
	run  func(r *reference, tx *overlay.Tx) error
}

// certifying returns the abort of certify_blob with a message that all nodes signed.
func certifying(msg func(r *reference) []byte) func(r *reference, tx *overlay.Tx) error {
	return func(r *reference, tx *overlay.Tx) error {
		sys, b := r.borrow(tx)
		m := msg(r)
		signature, bitmap := r.sign(m, 0, 1, 2, 3)
		return CertifyBlob(tx, sys, b, signature, bitmap, m)
	}
}

// changed returns a good confirmation with one byte changed.
func changed(at int, to byte) func(r *reference) []byte {
	return func(r *reference) []byte {
		m := r.confirmation(7, walrus.Persistence{Deletable: true, Object: walrus.ObjectID(r.blob)})
		m[at] = to
		return m
	}
}

// reserving returns the abort of a reservation.
func reserving(amount uint64, epochs uint32, change func(*move.System, *move.SystemInner)) func(r *reference, tx *overlay.Tx) error {
	return func(r *reference, tx *overlay.Tx) error {
		sys, _ := r.borrow(tx)
		change(sys, r.inner(tx))
		_, err := ReserveSpace(tx, sys, amount, epochs, r.coin(tx, 1e18))
		return err
	}
}

func nothing(*move.System, *move.SystemInner) {}

// registering returns the abort of a registration with a reservation.
func registering(change func(s *move.Storage, reg *registration)) func(r *reference, tx *overlay.Tx) error {
	return func(r *reference, tx *overlay.Tx) error {
		sys, _ := r.borrow(tx)
		s := &move.Storage{StartEpoch: 7, EndEpoch: 10, Size: 70_038_000}
		reg := &registration{blob: move.U256(unhex(r.t, r.v.BlobID.BlobIDHex)), root: move.U256(unhex(r.t, r.v.BlobID.RootHashHex)),
			size: 1_000_000, encodingType: 1, deletable: true}
		change(s, reg)
		s, err := newStorage(tx, s.StartEpoch, s.EndEpoch, s.Size)
		r.must(err)
		_, err = RegisterBlob(tx, sys, s, reg.blob, reg.root, reg.size, reg.encodingType, reg.deletable, r.coin(tx, 1e9))
		return err
	}
}

// onBlob returns the abort of something done to the blob object.
func onBlob(do func(r *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error) func(r *reference, tx *overlay.Tx) error {
	return func(r *reference, tx *overlay.Tx) error {
		sys, b := r.borrow(tx)
		return do(r, tx, sys, b)
	}
}

// onStorage returns the abort of something done to two reservations for epochs 7 to 10.
func onStorage(do func(tx *overlay.Tx, a, b *move.Storage) error) func(r *reference, tx *overlay.Tx) error {
	return func(r *reference, tx *overlay.Tx) error {
		a, err := newStorage(tx, 7, 10, 100)
		r.must(err)
		b, err := newStorage(tx, 7, 10, 100)
		r.must(err)
		return do(tx, a, b)
	}
}

var certifiedIn = uint32(7)

var blobAborts = []abortCase{
	{"superseded system", systemWrongVersion, reserving(1, 1, func(s *move.System, _ *move.SystemInner) { s.Version = 2 })},
	{"ring too long", innerMaxEpochsAhead, func(r *reference, tx *overlay.Tx) error {
		_, err := CreateSystem(tx, maxMaxEpochsAhead+1, move.ID{})
		return err
	}},
	{"capacity exceeded", innerStorageExceeded, reserving(1e12, 1, nothing)},
	{"no epoch", innerEpochsAhead, reserving(1, 0, nothing)},
	{"too many epochs", innerEpochsAhead, reserving(1, 4, nothing)},
	{"no bytes", innerResourceSize, reserving(0, 1, nothing)},
	{"end before start", innerEpochsAhead, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, _ *move.Blob) error {
		_, err := ReserveSpaceForEpochs(tx, sys, 1, 9, 9, r.coin(tx, 1e9))
		return err
	})},
	{"end beyond the ring", innerEpochsAhead, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, _ *move.Blob) error {
		_, err := ReserveSpaceForEpochs(tx, sys, 1, 9, 11, r.coin(tx, 1e9))
		return err
	})},
	{"coin too small", balanceNotEnough, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, _ *move.Blob) error {
		_, err := ReserveSpace(tx, sys, 1, 1, r.coin(tx, 99))
		return err
	})},
	{"price too high", code{"system_state_inner", arithmeticError, "ARITHMETIC_ERROR"},
		reserving(1e12, 1, func(_ *move.System, i *move.SystemInner) { i.StoragePrice = math.MaxUint64 })},
	{"used capacity overflows", code{"storage_accounting", arithmeticError, "ARITHMETIC_ERROR"},
		reserving(math.MaxUint64, 1, func(_ *move.System, i *move.SystemInner) { i.TotalCapacity, i.StoragePrice = math.MaxUint64, 0 })},
	{"beyond the ring", accountingTooFar, func(*reference, *overlay.Tx) error {
		_, err := ringAt(&move.Ring{Length: 3, Entries: make([]move.Accounting, 3)}, 3)
		return err
	}},
	{"reservation is over", blobResourceBounds, registering(func(s *move.Storage, _ *registration) { s.StartEpoch, s.EndEpoch = 5, 7 })},
	{"reservation begins later", blobResourceBounds, registering(func(s *move.Storage, _ *registration) { s.StartEpoch = 8 })},
	{"reservation too short", blobResourceBounds, func(*reference, *overlay.Tx) error {
		return CheckCovers(&move.Storage{StartEpoch: 7, EndEpoch: 9}, 7, 3)
	}},
	{"reservation too small", blobResourceSize, registering(func(s *move.Storage, _ *registration) { s.Size = 1000 })},
	{"root of another blob", blobInvalidID, registering(func(_ *move.Storage, r *registration) { r.root[0] ^= 1 })},
	{"size of another blob", blobInvalidID, registering(func(_ *move.Storage, r *registration) { r.size++ })},
	{"unknown encoding", encodingInvalidType, registering(func(_ *move.Storage, r *registration) { r.encodingType = 0 })},
	{"size beyond the encoding", code{"redstuff", arithmeticError, "ARITHMETIC_ERROR"},
		registering(func(_ *move.Storage, r *registration) { r.size = math.MaxUint64 })},
	{"extend uncertified", blobNotCertified, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
		return ExtendBlob(tx, sys, b, 1, r.coin(tx, 1e9))
	})},
	{"extend expired", blobResourceBounds, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
		b.CertifiedEpoch, b.Storage.EndEpoch = &certifiedIn, 7
		return ExtendBlob(tx, sys, b, 1, r.coin(tx, 1e9))
	})},
	{"extend by nothing", innerEpochsAhead, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
		b.CertifiedEpoch = &certifiedIn
		return ExtendBlob(tx, sys, b, 0, r.coin(tx, 1e9))
	})},
	{"extend beyond the ring", innerEpochsAhead, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
		b.CertifiedEpoch = &certifiedIn
		return ExtendBlob(tx, sys, b, 1, r.coin(tx, 1e9))
	})},
	{"extend beyond all time", code{"system_state_inner", arithmeticError, "ARITHMETIC_ERROR"},
		onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
			b.CertifiedEpoch = &certifiedIn
			return ExtendBlob(tx, sys, b, math.MaxUint32, r.coin(tx, 1e9))
		})},
	{"extend with a shorter reservation", blobResourceBounds, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
		b.CertifiedEpoch = &certifiedIn
		s, err := newStorage(tx, 7, 10, b.Storage.Size)
		r.must(err)
		return ExtendBlobWithResource(tx, sys, b, s)
	})},
	{"delete permanent", blobNotDeletable, onBlob(func(_ *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
		b.Deletable = false
		_, err := DeleteBlob(tx, sys, b)
		return err
	})},
	{"delete expired", blobResourceBounds, onBlob(func(_ *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
		b.Storage.EndEpoch = 7
		_, err := DeleteBlob(tx, sys, b)
		return err
	})},
	{"metadata twice", blobDuplicateMetadata, onBlob(func(_ *reference, tx *overlay.Tx, _ *move.System, b *move.Blob) error {
		return AddMetadata(tx, b, move.Metadata{})
	})},
	{"no metadata to take", blobMissingMetadata, onBlob(func(r *reference, tx *overlay.Tx, _ *move.System, b *move.Blob) error {
		_, err := TakeMetadata(tx, b)
		r.must(err)
		_, err = TakeMetadata(tx, b)
		return err
	})},
	{"no metadata to remove from", blobMissingMetadata, onBlob(func(r *reference, tx *overlay.Tx, _ *move.System, b *move.Blob) error {
		_, err := TakeMetadata(tx, b)
		r.must(err)
		_, err = RemoveMetadataPair(tx, b, "path")
		return err
	})},
	{"no such attribute", mapNoSuchKey, onBlob(func(_ *reference, tx *overlay.Tx, _ *move.System, b *move.Blob) error {
		_, err := RemoveMetadataPair(tx, b, "x")
		return err
	})},
	{"empty range of epochs", resourceEpochRange, func(_ *reference, tx *overlay.Tx) error {
		_, err := newStorage(tx, 7, 7, 1)
		return err
	}},
	{"split outside", resourceEpoch, onStorage(func(tx *overlay.Tx, a, _ *move.Storage) error {
		_, err := SplitByEpoch(tx, a, 10)
		return err
	})},
	{"split too much", resourceAmount, onStorage(func(tx *overlay.Tx, a, _ *move.Storage) error {
		_, err := SplitBySize(tx, a, 101)
		return err
	})},
	{"fuse periods of other sizes", resourceAmount, onStorage(func(tx *overlay.Tx, a, b *move.Storage) error {
		b.StartEpoch, b.Size = 10, 99
		return FusePeriods(tx, a, b)
	})},
	{"fuse periods with a gap", resourceEpochs, onStorage(func(tx *overlay.Tx, a, b *move.Storage) error {
		b.StartEpoch, b.EndEpoch = 11, 12
		return Fuse(tx, a, b)
	})},
	{"fuse amounts of other periods", resourceEpochs, onStorage(func(tx *overlay.Tx, a, b *move.Storage) error {
		b.EndEpoch = 12
		return Fuse(tx, a, b)
	})},
	{"fuse to more than there is", code{"storage_resource", arithmeticError, "ARITHMETIC_ERROR"},
		onStorage(func(tx *overlay.Tx, a, b *move.Storage) error {
			b.Size = math.MaxUint64
			return Fuse(tx, a, b)
		})},
	{"destroy a coin with money", balanceNonZero, func(_ *reference, tx *overlay.Tx) error { return DestroyZero(tx, &move.Coin{Balance: 1}) }},
	{"mint too much", balanceOverflow, func(_ *reference, tx *overlay.Tx) error {
		_, err := mint(tx, &move.TreasuryCap{TotalSupply: 1}, math.MaxUint64-1)
		return err
	}},
}

var certificateAborts = []abortCase{
	{"bit beyond the committee", blsInvalidBitmap, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
		m := changed(0, 1)(r)
		signature, _ := r.sign(m, 0, 1, 2, 3)
		return CertifyBlob(tx, sys, b, signature, []byte{0x1f}, m)
	})},
	{"bitmap too long", blsInvalidBitmap, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
		m := changed(0, 1)(r)
		signature, _ := r.sign(m, 0, 1, 2, 3)
		return CertifyBlob(tx, sys, b, signature, []byte{0x0f, 0}, m)
	})},
	{"one key missing", blsSignature, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
		m := changed(0, 1)(r)
		signature, _ := r.sign(m, 0, 1, 2)
		return CertifyBlob(tx, sys, b, signature, []byte{0x0f}, m)
	})},
	{"short signature", blsSignature, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
		return CertifyBlob(tx, sys, b, make([]byte, 95), []byte{0x0f}, nil)
	})},
	{"6 of 10 shards", blsNotEnoughStake, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
		m := changed(0, 1)(r)
		signature, bitmap := r.sign(m, 0, 1)
		return CertifyBlob(tx, sys, b, signature, bitmap, m)
	})},
	{"3 of 10 shards", blsNotEnoughStake, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, _ *move.Blob) error {
		m := walrus.InvalidBlobMessage(7, walrus.BlobID{})
		signature, bitmap := r.sign(m, 0)
		_, err := InvalidateBlobID(tx, sys, signature, bitmap, m)
		return err
	})},
	{"node without shards", blsIncorrectCommittee, func(*reference, *overlay.Tx) error {
		_, err := newBLSCommittee(1, []move.BLSMember{{}})
		return err
	}},
	{"another application", messageAppID, certifying(changed(2, 4))},
	{"another intent", messageIntentVersion, certifying(changed(1, 1))},
	{"another epoch", messageEpoch, certifying(changed(3, 6))},
	{"another message", messageType, certifying(changed(0, 2))},
	{"certificate for an invalid blob", messageType, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, _ *move.Blob) error {
		m := changed(0, 1)(r)
		signature, bitmap := r.sign(m, 0, 1)
		_, err := InvalidateBlobID(tx, sys, signature, bitmap, m)
		return err
	})},
	{"unknown persistence", messagePersistence, certifying(changed(39, 2))},
	{"permanent", blobPersistence, certifying(changed(39, 0))},
	{"another blob", blobInvalidID, certifying(changed(7, 0))},
	{"another object", blobInvalidObject, certifying(changed(71, 0))},
	{"no header", bcsOutOfRange, certifying(func(*reference) []byte { return []byte{1, 0, 3} })},
	{"no blob id", bcsOutOfRange, certifying(func(r *reference) []byte { return changed(0, 1)(r)[:38] })},
	{"no persistence", bcsOutOfRange, certifying(func(r *reference) []byte { return changed(0, 1)(r)[:39] })},
	{"no object", bcsOutOfRange, certifying(func(r *reference) []byte { return changed(0, 1)(r)[:71] })},
	{"certified twice", blobAlreadyCertified, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
		b.CertifiedEpoch = &certifiedIn
		return certifying(changed(0, 1))(r, tx)
	})},
	{"certify expired", blobResourceBounds, onBlob(func(r *reference, tx *overlay.Tx, sys *move.System, b *move.Blob) error {
		b.Storage.EndEpoch = 7
		return certifying(changed(0, 1))(r, tx)
	})},
}

func TestAborts(t *testing.T) {
	hit := make(map[string]bool)
	for _, c := range slices.Concat(blobAborts, certificateAborts, stakingAborts, stakeAborts, voteAborts,
		poolAborts, dutyAborts, exchangeAborts, subsidyAborts) {
		hit[fmt.Sprint(c.want.module, c.want.number)] = true
		t.Run(c.name, func(t *testing.T) {
			r := newReference(t)
			wantAbort(t, c.name, c.run(r, r.begin()), c.want)
		})
	}
	for _, c := range declaredCodes(t) {
		if !hit[c] {
			t.Errorf("no test aborts with %s", c)
		}
	}
}

// declaredCodes lists module and number of every code of the package.
func declaredCodes(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("abort*.go")
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok || fmt.Sprint(lit.Type) != "code" || len(lit.Elts) != 3 {
				return true
			}
			module, ok := lit.Elts[0].(*ast.BasicLit)
			number, ok2 := lit.Elts[1].(*ast.BasicLit)
			if ok && ok2 {
				codes = append(codes, strings.Trim(module.Value, `"`)+number.Value)
			}
			return true
		})
	}
	if len(codes) < 90 {
		t.Fatalf("%d codes", len(codes))
	}
	return codes
}

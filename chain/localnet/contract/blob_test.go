package contract

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

func TestSplitAndFuse(t *testing.T) {
	w := newWorld(t)
	tx := w.begin()
	all, err := newStorage(tx, 5, 15, 100)
	w.must(err)
	late, err := SplitByEpoch(tx, all, 9)
	w.must(err)
	small, err := SplitBySize(tx, all, 30)
	w.must(err)
	span := func(s *move.Storage) [3]uint64 { return [3]uint64{uint64(s.StartEpoch), uint64(s.EndEpoch), s.Size} }
	if span(all) != [3]uint64{5, 9, 30} || span(small) != [3]uint64{5, 9, 70} || span(late) != [3]uint64{9, 15, 100} {
		t.Fatalf("parts: %v, %v, %v", span(all), span(small), span(late))
	}
	w.must(Fuse(tx, all, small)) // same period: by size
	w.must(Fuse(tx, late, all))  // same size: the earlier one goes in front
	if span(late) != [3]uint64{5, 15, 100} {
		t.Errorf("fused: %v", span(late))
	}
	tail, err := SplitByEpoch(tx, late, 10)
	w.must(err)
	w.must(FusePeriods(tx, late, tail)) // and the later one behind
	if span(late) != [3]uint64{5, 15, 100} {
		t.Errorf("fused again: %v", span(late))
	}
	w.must(DestroyStorage(tx, late))
	if r := w.finish(tx); len(r.Changes) != 0 || len(r.Events) != 0 {
		t.Errorf("what was made and destroyed is listed: %v, %v", r.Changes, r.Events)
	}
}

func TestAttributes(t *testing.T) {
	r := newReference(t)
	tx := r.begin()
	_, b := r.borrow(tx)
	old, err := AddOrReplaceMetadata(tx, b, move.Metadata{Pairs: move.VecMap[string, string]{{Key: "a", Value: "1"}}})
	r.must(err)
	if v, _ := old.Pairs.Get("path"); v != "/a.txt" {
		t.Errorf("replaced: %v", old)
	}
	r.must(InsertOrUpdateMetadataPair(tx, b, "b", "2"))
	r.must(InsertOrUpdateMetadataPair(tx, b, "a", "3"))
	if value, err := RemoveMetadataPair(tx, b, "b"); err != nil || value != "2" {
		t.Errorf("remove b: got %q, %v", value, err)
	}
	if _, was, err := RemoveMetadataPairIfExists(tx, b, "b"); err != nil || was {
		t.Errorf("remove b again: got %v, %v", was, err)
	}
	if value, was, err := RemoveMetadataPairIfExists(tx, b, "a"); err != nil || !was || value != "3" {
		t.Errorf("remove a: got %q, %v, %v", value, was, err)
	}
	if _, err = TakeMetadata(tx, b); err != nil {
		t.Error(err)
	}
	if _, was, err := RemoveMetadataPairIfExists(tx, b, "a"); err != nil || was {
		t.Errorf("remove from nothing: got %v, %v", was, err)
	}
	if old, err = AddOrReplaceMetadata(tx, b, move.Metadata{}); err != nil || old != nil {
		t.Errorf("replace nothing: got %v, %v", old, err)
	}
	// Attributes need neither certification nor time left.
	b.Storage.EndEpoch = 7
	r.must(InsertOrUpdateMetadataPair(tx, b, "late", "x"))
	result := r.finish(tx)
	field, err := move.FieldID(r.blob, move.MetadataKey())
	r.must(err)
	var m move.Metadata
	r.must(move.Unmarshal(r.objects[field].Contents, &move.Field{Name: make([]byte, 9), Value: &m}))
	if want := (move.VecMap[string, string]{{Key: "late", Value: "x"}}); !reflect.DeepEqual(m.Pairs, want) {
		t.Errorf("stored: %v, want %v", m.Pairs, want)
	}
	for _, c := range result.Changes {
		if c.ID == field && c.Operation != overlay.Mutated {
			t.Errorf("field removed and added again: operation %v, want Mutated", c.Operation)
		}
	}
}

func TestBurn(t *testing.T) {
	r := newReference(t)
	tx := r.begin()
	b, err := overlay.Take[move.Blob](tx, r.blob, r.types.Blob())
	r.must(err)
	b.Storage.EndEpoch, b.Deletable = 1, false // expired and permanent: it does not matter
	r.must(BurnBlob(tx, b))
	result := r.finish(tx)
	field, err := move.FieldID(r.blob, move.MetadataKey())
	r.must(err)
	if r.objects[r.blob] != nil || r.objects[field] != nil || len(result.Events) != 0 {
		t.Errorf("left behind: %v, %v, events %v", r.objects[r.blob], r.objects[field], result.Events)
	}
}

func TestExtendWithResource(t *testing.T) {
	r := newReference(t)
	tx := r.begin()
	sys, b := r.borrow(tx)
	b.CertifiedEpoch = &certifiedIn
	s, err := newStorage(tx, b.Storage.EndEpoch, 30, b.Storage.Size)
	r.must(err)
	r.must(ExtendBlobWithResource(tx, sys, b, s))
	if b.Storage.EndEpoch != 30 {
		t.Errorf("end epoch %d, want 30", b.Storage.EndEpoch)
	}
	want, err := move.Marshal(&move.BlobCertified{Epoch: 7, Blob: b.BlobID, EndEpoch: 30, Deletable: true, Object: b.ID, IsExtension: true})
	r.must(err)
	if events := r.finish(tx).Events; len(events) != 1 || !bytes.Equal(events[0].BCS, want) {
		t.Errorf("events: got %v, want %x", events, want)
	}
}

func TestInvalidBlobID(t *testing.T) {
	r := newReference(t)
	tx := r.begin()
	sys, _ := r.borrow(tx)
	blob := walrus.BlobID(unhex(t, r.v.BlobID.BlobIDHex))
	msg := walrus.InvalidBlobMessage(7, blob)
	signature, bitmap := r.sign(msg, 2, 3) // 4 of 10 shards hold one honest node
	got, err := InvalidateBlobID(tx, sys, signature, bitmap, msg)
	if err != nil || got != move.U256(blob) {
		t.Errorf("got %s, %v", got, err)
	}
	if events := r.finish(tx).Events; len(events) != 1 || !bytes.Equal(events[0].BCS, r.event("InvalidBlobID")) {
		t.Errorf("events: got %v, want %x", events, r.event("InvalidBlobID"))
	}
}

func TestReserveLater(t *testing.T) {
	r := newReference(t)
	tx := r.begin()
	sys, _ := r.borrow(tx)
	coin := r.coin(tx, 1000)
	inner := r.inner(tx)
	used := inner.UsedCapacity
	s, err := ReserveSpaceForEpochs(tx, sys, chain.BytesPerUnit+1, 8, 10, coin)
	r.must(err)
	r.keep(tx, s.ID)
	if s.StartEpoch != 8 || s.EndEpoch != 10 || coin.Balance != 1000-2*2*100 || inner.UsedCapacity != used {
		t.Errorf("got %+v, coin of %d, used %d", s, coin.Balance, inner.UsedCapacity)
	}
	// A start that has passed is now.
	s, err = ReserveSpaceForEpochs(tx, sys, 1, 2, 8, coin)
	r.must(err)
	r.keep(tx, s.ID)
	if s.StartEpoch != 7 || coin.Balance != 1000-2*2*100-100 || inner.UsedCapacity != used+1 {
		t.Errorf("got %+v, coin of %d, used %d", s, coin.Balance, inner.UsedCapacity)
	}
}

func TestSubsidy(t *testing.T) {
	r := newReference(t)
	tx := r.begin()
	sys, _ := r.borrow(tx)
	coin, err := NewCoin(tx, r.types.WALCoin(), 101)
	r.must(err)
	r.must(AddSubsidy(tx, sys, coin, 3))
	inner := r.inner(tx)
	for i, want := range []uint64{7 + 33 + 2, 6 + 33, 5 + 33} {
		a, err := ringAt(&inner.Accounting, uint32(i))
		if err != nil || a.Rewards != want {
			t.Errorf("%d ahead: got %+v, %v, want %d", i, a, err, want)
		}
	}
	r.finish(tx)
}

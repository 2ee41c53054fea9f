package contract

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strconv"
	"testing"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// event returns the bytes of an event in the vectors.
func (r *reference) event(name string) []byte {
	r.t.Helper()
	for _, e := range r.v.Events {
		if e.Type == r.types.Event(name).String() {
			return unhex(r.t, e.BCSHex)
		}
	}
	r.t.Fatalf("no event %s", name)
	return nil
}

// TestReferenceCertificates certifies the blob of the vectors with their certificates.
func TestReferenceCertificates(t *testing.T) {
	for i, c := range newReference(t).v.BLS.Certificates {
		r := newReference(t)
		tx := r.begin()
		sys, b := r.borrow(tx)
		b.Deletable = c.Deletable
		err := CertifyBlob(tx, sys, b, unhex(t, c.Signature), unhex(t, c.SignersBitmap), unhex(t, c.Message))
		if !c.Quorum {
			wantAbort(t, "certificate "+strconv.Itoa(i), err, blsNotEnoughStake)
			continue
		}
		if err != nil {
			t.Errorf("certificate %d: %v", i, err)
			continue
		}
		if b.CertifiedEpoch == nil || *b.CertifiedEpoch != 7 {
			t.Errorf("certificate %d: certified in %v, want epoch 7", i, b.CertifiedEpoch)
		}
		events := r.finish(tx).Events
		if c.Deletable && (len(events) != 1 || !bytes.Equal(events[0].BCS, r.event("BlobCertified"))) {
			t.Errorf("events: got %x, want %x", events, r.event("BlobCertified"))
		}
	}
}

// TestReferenceRegister executes register_direct and compares IDs and event.
func TestReferenceRegister(t *testing.T) {
	r := newReference(t)
	i := slices.IndexFunc(r.v.Transactions, func(x struct {
		Name, Digest string
		CreatedIDs   []string `json:"created_ids"`
	}) bool {
		return x.Name == "register_direct"
	})
	want := r.v.Transactions[i]
	digest, err := move.ParseDigest(want.Digest)
	r.must(err)
	tx := r.beginAs(digest)
	sys, _ := r.borrow(tx)
	coin, err := overlay.BorrowMut[move.Coin](tx, move.Address{30: 0x0c, 31: 0x02}, r.types.WALCoin())
	r.must(err)
	before := coin.Balance
	storage, err := ReserveSpace(tx, sys, 70_038_000, 3, coin)
	r.must(err)
	b, err := RegisterBlob(tx, sys, storage, move.U256(unhex(t, r.v.BlobID.BlobIDHex)), move.U256(unhex(t, r.v.BlobID.RootHashHex)),
		1_000_000, 1, true, coin)
	r.must(err)
	r.keep(tx, b.ID)
	if storage.ID.String() != want.CreatedIDs[0] || b.ID.String() != want.CreatedIDs[1] {
		t.Errorf("ids: got %s and %s, want %s", storage.ID, b.ID, want.CreatedIDs[:2])
	}
	// The committee of the vectors has 10 shards, so the write fee is that of 10.
	const storageCost, writeCost = 20_100, 4 * 20
	if paid := before - coin.Balance; paid != storageCost+writeCost {
		t.Errorf("paid %d, want %d", paid, storageCost+writeCost)
	}
	result := r.finish(tx)
	event := r.event("BlobRegistered")
	copy(event[len(event)-32:], b.ID[:]) // the vector names another object
	if len(result.Events) != 1 || !bytes.Equal(result.Events[0].BCS, event) {
		t.Errorf("events: got %x, want %x", result.Events, event)
	}
	for _, c := range result.Changes {
		if c.ID == storage.ID {
			t.Errorf("the reservation, made and wrapped in one transaction, is listed: %v", c.Operation)
		}
		if c.ID == b.ID && c.Operation != overlay.Created {
			t.Errorf("blob object: operation %v, want Created", c.Operation)
		}
		if c.Object.Version != result.Version || result.Version != 101 {
			t.Errorf("object %s at version %d, want 101, one above all inputs", c.ID, c.Object.Version)
		}
	}
}

// TestReferenceDelete deletes the certified blob of the vectors: the
// reservation comes out of it.
func TestReferenceDelete(t *testing.T) {
	r := newReference(t)
	tx := r.begin()
	sys, b := r.borrow(tx)
	epoch := uint32(7)
	b.CertifiedEpoch = &epoch
	b, err := overlay.Take[move.Blob](tx, r.blob, r.types.Blob())
	r.must(err)
	storage, err := DeleteBlob(tx, sys, b)
	r.must(err)
	delete(r.objects, storage.ID) // the vectors have a free reservation of the same id
	r.keep(tx, storage.ID)
	result := r.finish(tx)
	if len(result.Events) != 1 || !bytes.Equal(result.Events[0].BCS, r.event("BlobDeleted")) {
		t.Errorf("events: got %x, want %x", result.Events, r.event("BlobDeleted"))
	}
	got := make(map[move.ID]overlay.Operation)
	for _, c := range result.Changes {
		got[c.ID] = c.Operation
	}
	metadata, err := move.FieldID(r.blob, move.MetadataKey())
	r.must(err)
	for id, want := range map[move.ID]overlay.Operation{r.blob: overlay.Deleted, storage.ID: overlay.Unwrapped, metadata: overlay.Deleted} {
		if got[id] != want {
			t.Errorf("object %s: operation %v, want %v", id, got[id], want)
		}
	}
}

func TestReferenceKeys(t *testing.T) {
	r := newReference(t)
	inner := r.inner(r.begin())
	c, err := newBLSCommittee(7, inner.Committee.Members)
	r.must(err)
	if got := hex.EncodeToString(c.TotalKey); got != r.v.BLS.TotalAggregatedKey || c.Shards != 10 {
		t.Errorf("total key of %d shards: got %s, want %s", c.Shards, got, r.v.BLS.TotalAggregatedKey)
	}
	for i, n := range r.v.BLS.Nodes {
		sender, err := move.ParseAddress(n.ProofOfPossession.SuiAddress)
		r.must(err)
		key, proof := unhex(t, n.PublicKeyCompressed), unhex(t, n.ProofOfPossession.Signature)
		if err := checkProof(0, sender, key, proof, "new"); err != nil {
			t.Errorf("proof of node %d: %v", i, err)
		}
		wantAbort(t, "proof for another sender", checkProof(0, move.Address{}, key, proof, "new"), poolProof)
		wantAbort(t, "proof of another epoch", checkProof(1, sender, key, proof, "new"), poolProof)
	}
}

func TestEconomics(t *testing.T) {
	var v struct {
		EncodedSizes []struct {
			NShards            uint16 `json:"n_shards"`
			Unencoded, Encoded uint64 `json:",string"`
			StorageUnits       uint64 `json:"storage_units,string"`
		} `json:"encoded_sizes"`
		Prices struct {
			StoragePrice uint64 `json:"storage_price_per_unit,string"`
			WritePrice   uint64 `json:"write_price_per_unit,string"`
			Encoded      uint64 `json:",string"`
			Epochs       uint32
			StorageCost  uint64 `json:"storage_cost,string"`
			WriteCost    uint64 `json:"write_cost,string"`
		}
		EpochRewards []struct {
			Used    uint64 `json:",string"`
			Deny    []string
			Weights []uint16
			Rewards uint64   `json:",string"`
			Burned  uint64   `json:",string"`
			Node    []string `json:"node_rewards"`
			Carried uint64   `json:"carried_to_next_epoch,string"`
		} `json:"epoch_rewards"`
	}
	loadJSON(t, "testdata/economics.json", &v)
	for _, c := range v.EncodedSizes {
		got, err := encodedSize(c.Unencoded, 1, c.NShards)
		if err != nil || got != c.Encoded || chain.Units(got) != c.StorageUnits {
			t.Errorf("%d bytes on %d shards: got %d, %v in %d units, want %d in %d", c.Unencoded, c.NShards, got, err, chain.Units(got), c.Encoded, c.StorageUnits)
		}
	}
	inner := &move.SystemInner{StoragePrice: v.Prices.StoragePrice, WritePrice: v.Prices.WritePrice, Accounting: newRing(53)}
	coin := &move.Coin{Balance: 1e9}
	if err := payStorage(inner, v.Prices.Encoded, 0, v.Prices.Epochs, coin); err != nil || 1e9-coin.Balance != v.Prices.StorageCost {
		t.Errorf("storage: paid %d, %v, want %d", uint64(1e9)-coin.Balance, err, v.Prices.StorageCost)
	}
	if got := chain.Units(v.Prices.Encoded) * inner.WritePrice; got != v.Prices.WriteCost {
		t.Errorf("write fee: got %d, want %d", got, v.Prices.WriteCost)
	}
	for i, c := range v.EpochRewards {
		ring := move.Ring{Length: 1, Entries: []move.Accounting{{Rewards: c.Rewards}}}
		burnt, err := ringBurn(&ring)
		if err != nil || burnt != c.Burned {
			t.Errorf("rewards %d: burnt %d, %v, want %d", i, burnt, err, c.Burned)
		}
		var members []move.BLSMember
		var denied move.VecMap[move.ID, uint64]
		for n, w := range c.Weights {
			id := move.SmallAddress(byte(n))
			members = append(members, move.BLSMember{Weight: w, Node: id})
			bytes, err := strconv.ParseUint(c.Deny[n], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			denied.Set(id, bytes)
		}
		shares, left := divideRewards(members, denied, c.Used, c.Rewards-burnt)
		for n, s := range shares {
			if strconv.FormatUint(s.Value, 10) != c.Node[n] {
				t.Errorf("rewards %d: node %d gets %d, want %s", i, n, s.Value, c.Node[n])
			}
		}
		if left != c.Carried {
			t.Errorf("rewards %d: %d left, want %d", i, left, c.Carried)
		}
	}
}

package move_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"strconv"
	"testing"

	"golang.org/x/crypto/blake2b"

	"github.com/walfs/walfs/chain/move"
)

// vectors is testdata/sui.json, made by the reference implementation
// @mysten/sui and checked against the layouts of @mysten/walrus.
type vectors struct {
	Keys   []struct{ Address string }
	BlobID struct {
		RootHashHex  string `json:"root_hash_hex"`
		RootHashU256 string `json:"root_hash_u256"`
		PreimageHex  string `json:"preimage_hex"`
		BlobIDHex    string `json:"blob_id_hex"`
		BlobIDU256   string `json:"blob_id_u256"`
	} `json:"blob_id"`
	BLS struct {
		Nodes []struct {
			NodeID                string `json:"node_id"`
			Weight                uint16
			PublicKeyUncompressed string `json:"public_key_uncompressed"`
		}
		TotalAggregatedKey string `json:"total_aggregated_key"`
	}
	Transactions []struct {
		Name       string
		BCSBase64  string `json:"bcs_base64"`
		Digest     string
		SignedHash string   `json:"signed_hash"`
		CreatedIDs []string `json:"created_ids"`
		Inputs     []inputVector
		Commands   []commandVector
		Expiration struct{ Epoch json.RawMessage }
	}
	Objects []struct {
		Name, Type  string
		ContentsHex string `json:"contents_hex"`
		Envelope    struct {
			Version             uint64
			Owner               map[string]json.RawMessage
			PreviousTransaction string `json:"previous_transaction"`
			StorageRebate       uint64 `json:"storage_rebate"`
			HasPublicTransfer   bool   `json:"has_public_transfer"`
			BCSHex              string `json:"bcs_hex"`
			Digest              string
		}
	}
	Events []struct {
		Type   string
		BCSHex string `json:"bcs_hex"`
	}
	DynamicFields []struct {
		Label, Parent, ID string
		KeyType           string `json:"key_type"`
		KeyBCS            string `json:"key_bcs"`
	} `json:"dynamic_fields"`
}

func loadVectors(t testing.TB) *vectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/sui.json")
	if err != nil {
		t.Fatal(err)
	}
	v := new(vectors)
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
	if len(v.Objects) != 17 || len(v.Events) != 9 || len(v.DynamicFields) != 9 || len(v.Transactions) != 29 {
		t.Fatalf("vectors are incomplete: %d objects, %d events, %d fields, %d transactions",
			len(v.Objects), len(v.Events), len(v.DynamicFields), len(v.Transactions))
	}
	return v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func address(t testing.TB, s string) move.Address {
	t.Helper()
	a, err := move.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// small is the address with a number at its end, as the vectors use them.
func small(n uint16) move.Address { return move.Address{30: byte(n >> 8), 31: byte(n)} }

// The values that most objects of the vectors share.
const (
	encodedSize = 70_038_000
	blobObject  = 0xb10b
)

// sample makes the objects of the vectors from their values.
type sample struct {
	*vectors
	t testing.TB
}

func (s sample) blobID() move.U256 { return move.U256(unhex(s.t, s.BlobID.BlobIDHex)) }
func (s sample) storage() move.Storage {
	return move.Storage{ID: small(0x5700), StartEpoch: 7, EndEpoch: 10, Size: encodedSize}
}

func (s sample) blob(certified *uint32, deletable bool) *move.Blob {
	return &move.Blob{ID: small(blobObject), RegisteredEpoch: 7, BlobID: s.blobID(), Size: 1_000_000,
		EncodingType: 1, CertifiedEpoch: certified, Storage: s.storage(), Deletable: deletable}
}

func (s sample) node(i int) (id move.ID, key []byte) {
	n := s.BLS.Nodes[i]
	return address(s.t, n.NodeID), unhex(s.t, n.PublicKeyUncompressed)
}

func (s sample) systemInner() *move.SystemInner {
	inner := &move.SystemInner{
		Committee:     move.BLSCommittee{Shards: 10, Epoch: 7, TotalKey: unhex(s.t, s.BLS.TotalAggregatedKey)},
		TotalCapacity: 1e12, UsedCapacity: encodedSize, StoragePrice: 100, WritePrice: 20,
		Accounting: move.Ring{Current: 1, Length: 3, Entries: []move.Accounting{
			{9, encodedSize, 5}, {7, encodedSize, 7}, {8, encodedSize, 6}}},
		DenyListSizes: small(0x901),
	}
	for i, n := range s.BLS.Nodes {
		id, key := s.node(i)
		inner.Committee.Members = append(inner.Committee.Members, move.BLSMember{PublicKey: key, Weight: n.Weight, Node: id})
	}
	return inner
}

func (s sample) stakingInner() *move.StakingInner {
	var committee move.Committee
	shard := uint16(0)
	for i, n := range s.BLS.Nodes {
		id, _ := s.node(i)
		var shards []uint16
		for range n.Weight {
			shards = append(shards, shard)
			shard++
		}
		committee.Set(id, shards)
	}
	return &move.StakingInner{Shards: 10, EpochDuration: 86_400_000, FirstEpochStart: 1_700_000_000_000,
		Pools: move.Table{ID: small(0x902), Size: 4}, Epoch: 7, ActiveSet: small(0x903),
		Committee: committee, PreviousCommittee: committee,
		State:          move.EpochState{Kind: move.StateDone, TimeMS: 1_700_000_600_000},
		NextPublicKeys: small(0x904)}
}

func (s sample) pool() *move.StakingPool {
	id, key := s.node(0)
	return &move.StakingPool{ID: id,
		Votes: move.VotingParams{StoragePrice: 100, WritePrice: 20, NodeCapacity: 1e11},
		Info: move.NodeInfo{Name: "node-0", Node: id, NetworkAddress: "127.0.0.1:9185", PublicKey: key,
			NetworkPublicKey: append([]byte{2}, bytes.Repeat([]byte{9}, 32)...), Metadata: small(0x910)},
		ActivationEpoch: 1, LatestEpoch: 7, WALBalance: 5e9, Shares: 4.9e9,
		PendingCommissionRate: move.PendingValues{{Key: 9, Value: 700}}, CommissionRate: 500,
		ExchangeRates: move.Table{ID: small(0x920), Size: 3},
		PendingStake:  move.PendingValues{{Key: 8, Value: 1e9}},
		RewardsPool:   1e8, Commission: 5e6,
		CommissionReceiver:   move.Authorized{Object: true, Address: small(0xca9)},
		GovernanceAuthorized: move.Authorized{Address: address(s.t, s.Keys[0].Address)},
		ExtraFields:          move.Table{ID: small(0x930)}}
}

func (s sample) field(label string, name []byte, value move.Layout) *move.Field {
	for _, d := range s.DynamicFields {
		if d.Label == label {
			return &move.Field{ID: address(s.t, d.ID), Name: name, Value: value}
		}
	}
	s.t.Fatalf("no field %s", label)
	return nil
}

// object returns the value of a named object, and an empty one to read it into.
func (s sample) object(name string) (want, fresh move.Layout) {
	epoch := uint32(7)
	node0, _ := s.node(0)
	inner := []byte{3, 0, 0, 0, 0, 0, 0, 0}
	shared := func(network string) move.System {
		return move.System{ID: address(s.t, network), Version: 3, PackageID: testnetPackage(s.t)}
	}
	switch name {
	case "coin_wal":
		return &move.Coin{ID: small(0xc02), Balance: 1e12}, &move.Coin{}
	case "coin_sui":
		return &move.Coin{ID: small(0xc01), Balance: 50e9}, &move.Coin{}
	case "storage":
		st := s.storage()
		return &st, &move.Storage{}
	case "blob_registered":
		return s.blob(nil, true), &move.Blob{}
	case "blob_certified_permanent":
		return s.blob(&epoch, false), &move.Blob{}
	case "shared_blob":
		return &move.SharedBlob{ID: small(0x5b), Blob: *s.blob(&epoch, true), Funds: 9}, &move.SharedBlob{}
	case "system":
		sys := shared(testnetSystem)
		return &sys, &move.System{}
	case "staking":
		return &move.Staking{System: shared(testnetStaking)}, &move.Staking{}
	case "system_inner_field":
		return s.field("testnet System inner", inner, s.systemInner()),
			&move.Field{Name: make([]byte, 8), Value: &move.SystemInner{}}
	case "staking_inner_field":
		return s.field("testnet Staking inner", inner, s.stakingInner()),
			&move.Field{Name: make([]byte, 8), Value: &move.StakingInner{}}
	case "staking_pool":
		return s.pool(), &move.StakingPool{}
	case "staked_wal":
		return &move.StakedWAL{ID: small(0x57a1), Node: node0, Principal: 5e9, ActivationEpoch: 8}, &move.StakedWAL{}
	case "staked_wal_withdrawing":
		return &move.StakedWAL{ID: small(0x57a1), Withdrawing: true, WithdrawEpoch: 9, Node: node0,
			Principal: 5e9, ActivationEpoch: 5}, &move.StakedWAL{}
	case "storage_node_cap":
		return &move.NodeCap{ID: small(0xca9), Node: node0, LastEpochSyncDone: 7}, &move.NodeCap{}
	case "blob_metadata_field":
		key := move.MetadataKey().BCS
		return s.field("blob metadata", key, &move.Metadata{Pairs: move.VecMap[string, string]{{Key: "path", Value: "/a.txt"}}}),
			&move.Field{Name: make([]byte, len(key)), Value: &move.Metadata{}}
	case "storage_pool":
		return &move.StoragePool{ID: small(0x9001), Version: 1}, &move.StoragePool{}
	case "exchange":
		return &move.Exchange{ID: small(0xe8), WAL: 1e15, RateWAL: 1, RateSUI: 1, Admin: small(0xad)}, &move.Exchange{}
	}
	s.t.Fatalf("no value for object %s", name)
	return nil, nil
}

const (
	testnetSystem  = "0x6c2547cbbc38025cf3adac45f63cb0a8d12ecf777cdc75a4971612bf97fdf6af"
	testnetStaking = "0xbe46180321c30aab2f8b3501e24048377287fa708018a5b7c2792b35fe339ee3"
)

func testnetPackage(t testing.TB) move.Address {
	return address(t, "0x849e95d2718938d66c37fb91df76d72f78526c1864c339bac415ce8ecda2d8cc")
}

func testnet(t testing.TB) *move.Packages {
	return &move.Packages{
		Walrus: address(t, "0xd84704c17fc870b8764832c535aa6b11f21a95cd6f5bb38a9b07d2cf42220c66"),
		WAL:    address(t, "0x8270feb7375eee355e64fdb69c50abb6b5f9393a722883c1cf45f8e26048810a"),
	}
}

func TestObjectLayouts(t *testing.T) {
	s := sample{loadVectors(t), t}
	for _, o := range s.Objects {
		t.Run(o.Name, func(t *testing.T) {
			want, fresh := s.object(o.Name)
			contents := unhex(t, o.ContentsHex)
			got, err := move.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, contents) {
				t.Errorf("marshal:\n got %x\nwant %x", got, contents)
			}
			if err := move.Unmarshal(contents, fresh); err != nil {
				t.Fatal(err)
			}
			if got, err = move.Marshal(fresh); err != nil || !bytes.Equal(got, contents) {
				t.Errorf("read and written again: %v\n got %x\nwant %x", err, got, contents)
			}
		})
	}
}

func TestObjectEnvelopes(t *testing.T) {
	for _, o := range loadVectors(t).Objects {
		t.Run(o.Name, func(t *testing.T) {
			tag, err := move.ParseStructTag(o.Type)
			if err != nil {
				t.Fatal(err)
			}
			previous, err := move.ParseDigest(o.Envelope.PreviousTransaction)
			if err != nil {
				t.Fatal(err)
			}
			object := &move.Object{Type: tag, HasPublicTransfer: o.Envelope.HasPublicTransfer, Version: o.Envelope.Version,
				Contents: unhex(t, o.ContentsHex), Owner: owner(t, o.Envelope.Owner),
				PreviousTransaction: previous, StorageRebate: o.Envelope.StorageRebate}
			got, err := move.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			if want := unhex(t, o.Envelope.BCSHex); !bytes.Equal(got, want) {
				t.Fatalf("marshal:\n got %x\nwant %x", got, want)
			}
			digest, err := object.Digest()
			if err != nil || digest.String() != o.Envelope.Digest {
				t.Errorf("digest: got %s, %v, want %s", digest, err, o.Envelope.Digest)
			}
			var back move.Object
			if err := move.Unmarshal(got, &back); err != nil {
				t.Fatal(err)
			}
			if !back.Type.Equal(tag) || back.Type.String() != o.Type || back.Owner != object.Owner {
				t.Errorf("read: got type %s, owner %v", back.Type, back.Owner)
			}
			if back.ID() != move.ID(object.Contents[:32]) {
				t.Errorf("id: got %s", back.ID())
			}
		})
	}
}

func owner(t *testing.T, raw map[string]json.RawMessage) move.Owner {
	t.Helper()
	for kind, value := range raw {
		var text string
		switch kind {
		case "AddressOwner":
			if err := json.Unmarshal(value, &text); err != nil {
				t.Fatal(err)
			}
			return move.AddressOwner(address(t, text))
		case "ObjectOwner":
			if err := json.Unmarshal(value, &text); err != nil {
				t.Fatal(err)
			}
			return move.ObjectOwner(address(t, text))
		case "Shared":
			var shared struct{ InitialSharedVersion string }
			if err := json.Unmarshal(value, &shared); err != nil {
				t.Fatal(err)
			}
			version, err := strconv.ParseUint(shared.InitialSharedVersion, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return move.Owner{Kind: move.OwnerShared, InitialVersion: version}
		}
	}
	t.Fatalf("owner %v", raw)
	return move.Owner{}
}

func TestEvents(t *testing.T) {
	s := sample{loadVectors(t), t}
	id, blob := small(blobObject), s.blobID()
	want := []move.Event{
		&move.BlobRegistered{Epoch: 7, Blob: blob, Size: 1_000_000, EncodingType: 1, EndEpoch: 10, Deletable: true, Object: id},
		&move.BlobCertified{Epoch: 7, Blob: blob, EndEpoch: 10, Deletable: true, Object: id},
		&move.BlobDeleted{Epoch: 7, Blob: blob, EndEpoch: 10, Object: id, WasCertified: true},
		&move.InvalidBlobID{Epoch: 7, Blob: blob},
		&move.EpochChangeStart{Epoch: 8},
		&move.EpochChangeDone{Epoch: 8},
		&move.ShardsReceived{Epoch: 8, Shards: []uint16{0, 1, 2}},
		&move.EpochParametersSelected{NextEpoch: 8},
		&move.PricesUpdated{Epoch: 7, StoragePrice: 100, WritePrice: 20},
	}
	for i, e := range s.Events {
		if got := testnet(t).Event(want[i].EventName()).String(); got != e.Type {
			t.Errorf("type: got %s, want %s", got, e.Type)
		}
		got, err := move.Marshal(want[i])
		if err != nil {
			t.Fatal(err)
		}
		if bcs := unhex(t, e.BCSHex); !bytes.Equal(got, bcs) {
			t.Errorf("%s:\n got %x\nwant %x", want[i].EventName(), got, bcs)
		}
	}
}

func TestDerivedIDs(t *testing.T) {
	v := loadVectors(t)
	for _, d := range v.DynamicFields {
		key, err := move.ParseTypeTag(d.KeyType)
		if err != nil {
			t.Fatal(err)
		}
		got, err := move.FieldID(address(t, d.Parent), move.FieldKey{Type: key, BCS: unhex(t, d.KeyBCS)})
		if err != nil || got.String() != d.ID {
			t.Errorf("%s: got %s, %v, want %s", d.Label, got, err, d.ID)
		}
	}
	for _, tx := range v.Transactions {
		digest, err := move.ParseDigest(tx.Digest)
		if err != nil {
			t.Fatal(err)
		}
		for n, want := range tx.CreatedIDs {
			if got := move.CreatedID(digest, uint64(n)).String(); got != want {
				t.Errorf("%s: object %d: got %s, want %s", tx.Name, n, got, want)
			}
		}
	}
}

// TestFieldKeys compares the keys that we make with those of the vectors.
func TestFieldKeys(t *testing.T) {
	v := loadVectors(t)
	p := testnet(t)
	want := map[string]move.FieldKey{
		"testnet System inner":                     move.U64Key(3),
		"blob metadata":                            move.MetadataKey(),
		"extended field value":                     p.ExtendedKey(),
		"storage pool inner":                       move.U64Key(1),
		"exchange rate of epoch 5 in a pool table": move.U32Key(5),
		"pool in the ObjectTable (field object that owns the StakingPool)": move.ObjectFieldKey(move.IDKey(small(0x7000))),
	}
	seen := 0
	for _, d := range v.DynamicFields {
		key, ok := want[d.Label]
		if !ok {
			continue
		}
		seen++
		if got, err := move.FieldID(address(t, d.Parent), key); err != nil || got.String() != d.ID {
			t.Errorf("%s: got %s, %v, want %s", d.Label, got, err, d.ID)
		}
	}
	if seen != len(want) {
		t.Errorf("%d of %d keys are in the vectors", seen, len(want))
	}
}

func TestBlobID(t *testing.T) {
	v := loadVectors(t).BlobID
	got := move.BlobID(move.U256(unhex(t, v.RootHashHex)), 1, 1_000_000)
	if hex.EncodeToString(got[:]) != v.BlobIDHex {
		t.Errorf("got %x, want %s", got, v.BlobIDHex)
	}
	if hashed := blake2b.Sum256(unhex(t, v.PreimageHex)); hex.EncodeToString(hashed[:]) != v.BlobIDHex {
		t.Errorf("hash of %s: got %x, want %s", v.PreimageHex, hashed, v.BlobIDHex)
	}
	if root := move.U256(unhex(t, v.RootHashHex)); root.String() != v.RootHashU256 {
		t.Errorf("root as a number: got %s, want %s", root, v.RootHashU256)
	}
	if got.String() != v.BlobIDU256 {
		t.Errorf("as a number: got %s, want %s", got, v.BlobIDU256)
	}
	if _, ok := new(big.Int).SetString(got.String(), 10); !ok {
		t.Errorf("%s is not decimal", got)
	}
}

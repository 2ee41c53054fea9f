package contract

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/walfs/walfs/blobstore/bls"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet/overlay"
	"github.com/walfs/walfs/chain/move"
)

// world is a ledger in memory for tests.
type world struct {
	t       *testing.T
	objects map[move.ID]*move.Object
	types   *move.Packages
	txs     uint32
	timeMS  uint64
}

func newWorld(t *testing.T) *world {
	return &world{t: t, objects: make(map[move.ID]*move.Object), timeMS: 1000,
		types: &move.Packages{Walrus: move.Address{0: 0xaa}, WAL: move.Address{0: 0xbb}, Exchange: move.Address{0: 0xcc},
			Subsidies: move.Address{0: 0xdd}, BuyersPackage: move.Address{0: 0xee}}}
}

// begin starts a transaction with a digest of its own.
func (w *world) begin() *overlay.Tx {
	w.txs++
	var digest move.Digest
	binary.BigEndian.PutUint32(digest[:], w.txs)
	return w.beginAs(digest)
}

func (w *world) beginAs(digest move.Digest) *overlay.Tx {
	return overlay.New(digest, move.Address{1}, w.timeMS, w.types, func(id move.ID) (*move.Object, error) { return w.objects[id], nil })
}

// finish ends a transaction and applies what it did.
func (w *world) finish(tx *overlay.Tx) *overlay.Result {
	w.t.Helper()
	r, err := tx.Finish()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range r.Changes {
		if delete(w.objects, c.ID); c.Object != nil {
			w.objects[c.ID] = c.Object
		}
	}
	return r
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// keep places a value that is held with the sender.
func (w *world) keep(tx *overlay.Tx, id move.ID) {
	w.t.Helper()
	w.must(tx.Transfer(id, move.AddressOwner(tx.Sender)))
}

// coin makes a coin out of nothing.
func (w *world) coin(tx *overlay.Tx, amount uint64) *move.Coin {
	w.t.Helper()
	c, err := NewCoin(tx, w.types.WALCoin(), amount)
	w.must(err)
	w.keep(tx, c.ID)
	return c
}

// vectors is the part of the reference vectors that the contracts are compared with.
type vectors struct {
	BlobID struct {
		RootHashHex string `json:"root_hash_hex"`
		BlobIDHex   string `json:"blob_id_hex"`
	} `json:"blob_id"`
	BLS struct {
		Nodes []struct {
			SecretKey           string `json:"secret_key"`
			PublicKeyCompressed string `json:"public_key_compressed"`
			ProofOfPossession   struct {
				SuiAddress string `json:"sui_address"`
				Signature  string
			} `json:"proof_of_possession"`
		}
		TotalAggregatedKey string `json:"total_aggregated_key"`
		Certificates       []struct {
			Deletable          bool
			SignersBitmap      string `json:"signers_bitmap"`
			Message, Signature string
			Quorum             bool
			OneCorrect         bool `json:"one_correct"`
		}
	}
	Objects []struct {
		Name     string
		Envelope struct {
			BCSHex string `json:"bcs_hex"`
		}
	}
	Events []struct {
		Type   string
		BCSHex string `json:"bcs_hex"`
	}
	Transactions []struct {
		Name, Digest string
		CreatedIDs   []string `json:"created_ids"`
	}
}

func loadJSON(t *testing.T, path string, v any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// reference is a world with the objects of the reference vectors: System in
// epoch 7 with four nodes of 3, 3, 2 and 2 shards, and a registered blob.
type reference struct {
	*world
	v      vectors
	system move.ID
	blob   move.ID
	keys   []*bls.SecretKey
}

func newReference(t *testing.T) *reference {
	t.Helper()
	r := &reference{world: newWorld(t)}
	loadJSON(t, "../../move/testdata/sui.json", &r.v)
	r.types = &move.Packages{}
	for _, o := range r.v.Objects {
		object := new(move.Object)
		r.must(move.Unmarshal(unhex(t, o.Envelope.BCSHex), object))
		switch o.Name {
		case "system":
			r.system, r.types.Walrus = object.ID(), object.Type.Address
		case "coin_wal":
			r.types.WAL = object.Type.Params[0].Struct.Address
		case "blob_registered":
			r.blob = object.ID()
		case "blob_certified_permanent", "coin_sui":
			continue // another state of the same object, and no use
		}
		r.objects[object.ID()] = object
	}
	tx := r.begin() // what the vectors have no object for
	denied := &move.DenyListSizes{}
	r.must(tx.AddField(move.SmallAddress(0x01), r.types.ExtendedKey(), r.types.DenyListSizes(), denied))
	for _, n := range r.v.BLS.Nodes {
		key, err := bls.SecretKeyFromBytes([32]byte(unhex(t, n.SecretKey)))
		r.must(err)
		r.keys = append(r.keys, key)
	}
	return r
}

// borrow returns System and the blob object to change them.
func (r *reference) borrow(tx *overlay.Tx) (*move.System, *move.Blob) {
	r.t.Helper()
	sys, err := overlay.BorrowMut[move.System](tx, r.system, r.types.System())
	r.must(err)
	b, err := overlay.BorrowMut[move.Blob](tx, r.blob, r.types.Blob())
	r.must(err)
	return sys, b
}

func (r *reference) inner(tx *overlay.Tx) *move.SystemInner {
	r.t.Helper()
	sys, err := overlay.Borrow[move.System](tx, r.system, r.types.System())
	r.must(err)
	inner, err := SystemInner(tx, sys)
	r.must(err)
	return inner
}

// sign returns signature and bitmap of some nodes over a message.
func (r *reference) sign(msg []byte, nodes ...int) (signature, bitmap []byte) {
	r.t.Helper()
	var sigs [][96]byte
	bitmap = []byte{0}
	for _, i := range nodes {
		bitmap[0] |= 1 << i
		sigs = append(sigs, r.keys[i].Sign(msg))
	}
	sum, err := bls.AggregateSignatures(sigs)
	r.must(err)
	return sum[:], bitmap
}

// confirmation is what nodes sign for the blob of the vectors.
func (r *reference) confirmation(epoch walrus.Epoch, p walrus.Persistence) []byte {
	return walrus.ConfirmationMessage(epoch, walrus.BlobID(unhex(r.t, r.v.BlobID.BlobIDHex)), p)
}

// wantAbort fails the test unless err is the abort.
func wantAbort(t *testing.T, what string, err error, want code) {
	t.Helper()
	var abort *chain.AbortError
	if !errors.As(err, &abort) || abort.Module != want.module || abort.Code != want.number || abort.Name != want.name {
		t.Errorf("%s: got %v, want %s::%s (%d)", what, err, want.module, want.name, want.number)
	}
}

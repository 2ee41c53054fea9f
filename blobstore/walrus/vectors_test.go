package walrus_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
)

// messages is the part of testdata/messages.json that concerns this package.
type messages struct {
	Messages []struct {
		Name                          string
		Epoch                         walrus.Epoch
		BlobIDHex, BlobID, ObjectID   string
		SuiAddress, PublicKeyHex, Hex string
		ShardIndex                    uint16
		StartingBlobIDHex             string
		SliverCount                   uint64
	}
	BLS struct {
		Keys       []struct{ SecretHex, PublicHex string }
		Signatures []struct {
			MessageHex    string
			SignaturesHex []string
		}
	}
	Certificates []struct {
		MessageHex                     string
		Members                        int
		Signers                        []int
		SignersBitmapHex, AggregateHex string
	}
	ShardMapping []struct {
		BlobIDHex string
		NShards   int
		Rotation  int
		Examples  []struct{ Pair, Shard, PrimarySliver, SecondarySliver int }
	}
	Bitmaps []struct {
		Members int
		Signers []int
		Hex     string
	}
}

// ledger is testdata/ledger.json.
type ledger struct {
	BLS struct {
		Epoch walrus.Epoch
		Nodes []struct {
			Weight    int
			PublicKey string `json:"public_key_compressed"`
		}
		Certificates []struct {
			Deletable  bool
			Signers    []int
			Bitmap     string `json:"signers_bitmap"`
			Message    string
			Signature  string
			Weight     int
			Shards     int `json:"n_shards"`
			Quorum     bool
			OneCorrect bool     `json:"one_correct"`
			Signatures []string `json:"node_signatures"`
		}
	}
	EncodedSizes []struct {
		Shards    int    `json:"n_shards"`
		Unencoded int64  `json:"unencoded,string"`
		Encoded   uint64 `json:"encoded,string"`
	} `json:"encoded_sizes"`
	BlobID struct {
		Root string `json:"root_hash_hex"`
		Size int64  `json:",string"`
		ID   string `json:"blob_id_hex"`
		Text string `json:"blob_id_base64url"`
	} `json:"blob_id"`
}

func read[T any](t testing.TB, name string) *T {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
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

func same[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

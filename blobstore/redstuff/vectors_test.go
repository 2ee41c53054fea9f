package redstuff_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// vector is one blob of testdata/redstuff.json.
type vector struct {
	N    int
	Size int64
	Data struct {
		Kind    string
		A, B, C int
		Seed    uint32
	}
	KPrimary, KSecondary, SymbolSize                                    int
	InputSha256, BlobID, BlobIDText, Root                               string
	EncodedSize                                                         uint64
	ShardOfPair0                                                        int
	AllPrimarySha256, AllSecondarySha256                                string
	PairHashesSha256, MetadataBcsSha256                                 string
	PrimaryHex, SecondaryHex, PrimaryHash, SecondaryHash, PrimarySha256 []string
	SecondarySha256                                                     []string
	PrimaryBcs0Hex, MetadataBcsHex                                      string
	Sample                                                              []sample
}

// sample is one pair of slivers of a vector with many.
type sample struct {
	Index                          int
	PrimarySha256, SecondarySha256 string
	PrimaryHash, SecondaryHash     string
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/redstuff.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	return file.Vectors
}

func (v *vector) String() string { return fmt.Sprintf("n=%d/size=%d", v.N, v.Size) }

// input makes the blob of a vector.
func (v *vector) input(t testing.TB) []byte {
	t.Helper()
	b := make([]byte, v.Size)
	x := v.Data.Seed
	for i := range b {
		switch v.Data.Kind {
		case "affine":
			b[i] = byte(v.Data.A*i + v.Data.B*(i>>8) + v.Data.C)
		case "lcg32":
			x = 1664525*x + 1013904223
			b[i] = byte(x >> 24)
		case "xorshift":
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			b[i] = byte(x)
		default:
			t.Fatalf("unknown kind of input %q", v.Data.Kind)
		}
	}
	same(t, "input", sum(b), v.InputSha256)
	return b
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func same[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func codecFor(t testing.TB, shards int) *redstuff.Codec {
	t.Helper()
	g, err := walrus.NewGeometry(shards)
	if err != nil {
		t.Fatal(err)
	}
	c, err := redstuff.New(g)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// raceDetector is set when the race detector is on, which makes hashing slow.
var raceDetector bool

func TestVectors(t *testing.T) {
	codecs := map[int]*redstuff.Codec{}
	vectors := readVectors(t)
	if len(vectors) != 88 {
		t.Fatalf("%d vectors, want 88", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.String(), func(t *testing.T) {
			if raceDetector && v.N == 1000 && v.Size != 0 && v.Size != 1<<20 {
				t.Skip("two blobs of this geometry are enough for the race detector")
			}
			if codecs[v.N] == nil {
				codecs[v.N] = codecFor(t, v.N)
			}
			checkVector(t, codecs[v.N], &v)
		})
	}
}

func checkVector(t *testing.T, c *redstuff.Codec, v *vector) {
	blob := v.input(t)
	g := c.Geometry()
	same(t, "source primary", g.SourcePrimary(), v.KPrimary)
	same(t, "source secondary", g.SourceSecondary(), v.KSecondary)
	size, err := g.EncodedSize(v.Size)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "encoded size", size, v.EncodedSize)

	e, err := c.Encode(context.Background(), blob)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Release()
	same(t, "symbol size", e.SymbolSize(), v.SymbolSize)
	id := e.Blob()
	same(t, "blob id", hex.EncodeToString(id[:]), v.BlobID)
	same(t, "blob id text", id.String(), v.BlobIDText)
	same(t, "shard of pair 0", g.Shard(id, 0), v.ShardOfPair0)

	md := e.Metadata()
	root := md.Root()
	same(t, "root", hex.EncodeToString(root[:]), v.Root)
	checkHashes(t, md, v)
	checkSlivers(t, e, v)

	only, err := c.ComputeMetadata(context.Background(), blob)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "blob id of metadata alone", only.BlobID(), id)
}

func checkHashes(t *testing.T, md *redstuff.Metadata, v *vector) {
	t.Helper()
	var pairs []byte
	for _, p := range md.Hashes {
		pairs = append(append(pairs, p.Primary[:]...), p.Secondary[:]...)
	}
	same(t, "pair hashes", sum(pairs), v.PairHashesSha256)
	bcs, err := md.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "metadata", sum(bcs), v.MetadataBcsSha256)
	if v.MetadataBcsHex != "" {
		same(t, "metadata bytes", hex.EncodeToString(bcs), v.MetadataBcsHex)
	}
	for i, want := range v.PrimaryHash {
		h := md.PrimaryHash(i)
		same(t, fmt.Sprint("primary hash ", i), hex.EncodeToString(h[:]), want)
	}
	for j, want := range v.SecondaryHash {
		h := md.SecondaryHash(j)
		same(t, fmt.Sprint("secondary hash ", j), hex.EncodeToString(h[:]), want)
	}
}

func checkSlivers(t *testing.T, e *redstuff.Encoded, v *vector) {
	t.Helper()
	primary, secondary := sha256.New(), sha256.New()
	for i := range v.N {
		primary.Write(e.Primary(i))
		secondary.Write(e.Secondary(i))
	}
	same(t, "all primary", hex.EncodeToString(primary.Sum(nil)), v.AllPrimarySha256)
	same(t, "all secondary", hex.EncodeToString(secondary.Sum(nil)), v.AllSecondarySha256)
	for i := range v.PrimaryHex {
		same(t, fmt.Sprint("primary ", i), hex.EncodeToString(e.Primary(i)), v.PrimaryHex[i])
		same(t, fmt.Sprint("secondary ", i), hex.EncodeToString(e.Secondary(i)), v.SecondaryHex[i])
	}
	for i := range v.PrimarySha256 {
		same(t, fmt.Sprint("primary ", i), sum(e.Primary(i)), v.PrimarySha256[i])
		same(t, fmt.Sprint("secondary ", i), sum(e.Secondary(i)), v.SecondarySha256[i])
	}
	for _, s := range v.Sample {
		same(t, fmt.Sprint("primary ", s.Index), sum(e.Primary(s.Index)), s.PrimarySha256)
		same(t, fmt.Sprint("secondary ", s.Index), sum(e.Secondary(s.Index)), s.SecondarySha256)
		p, q := e.Metadata().PrimaryHash(s.Index), e.Metadata().SecondaryHash(s.Index)
		same(t, fmt.Sprint("primary hash ", s.Index), hex.EncodeToString(p[:]), s.PrimaryHash)
		same(t, fmt.Sprint("secondary hash ", s.Index), hex.EncodeToString(q[:]), s.SecondaryHash)
	}
	if v.PrimaryBcs0Hex != "" {
		want, err := hex.DecodeString(v.PrimaryBcs0Hex)
		if err != nil {
			t.Fatal(err)
		}
		if got := redstuff.MarshalSliver(v.SymbolSize, 0, e.Primary(0)); !bytes.Equal(got, want) {
			t.Errorf("sliver 0: got %x, want %x", got, want)
		}
	}
}

package bls_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore/bls"
)

// The vectors stand with package walrus, see the README there.
type vectors struct {
	BLS struct {
		Keys              []struct{ SecretHex, PublicHex string }
		ProofOfPossession string `json:"proofOfPossessionSignatureHex"`
		Signatures        []struct {
			MessageHex    string
			SignaturesHex []string
		}
	}
	Messages     []struct{ Name, Hex string }
	Certificates []struct {
		MessageHex, AggregateHex string
		Signers                  []int
	}
}

type ledgerVectors struct {
	BLS struct {
		Nodes []struct {
			Secret       string                              `json:"secret_key"`
			Public       string                              `json:"public_key_compressed"`
			Uncompressed string                              `json:"public_key_uncompressed"`
			Proof        struct{ Message, Signature string } `json:"proof_of_possession"`
		}
		Total        string `json:"total_aggregated_key"`
		Certificates []struct {
			Signers            []int
			Message, Signature string
			Key                string   `json:"aggregate_public_key"`
			Signatures         []string `json:"node_signatures"`
		}
	}
}

func read[T any](t testing.TB, name string) *T {
	t.Helper()
	b, err := os.ReadFile("../walrus/testdata/" + name)
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

func secret(t testing.TB, s string) *bls.SecretKey {
	t.Helper()
	k, err := bls.SecretKeyFromBytes([32]byte(unhex(t, s)))
	if err != nil {
		t.Fatal(err)
	}
	if b := k.Bytes(); hex.EncodeToString(b[:]) != s {
		t.Errorf("secret key comes back as %x, want %s", b, s)
	}
	return k
}

func sameHex(t testing.TB, what string, got []byte, want string) {
	t.Helper()
	if hex.EncodeToString(got) != want {
		t.Errorf("%s: got %x, want %s", what, got, want)
	}
}

func TestSign(t *testing.T) {
	v := read[vectors](t, "messages.json")
	for i, key := range v.BLS.Keys {
		k := secret(t, key.SecretHex)
		public := k.PublicKey()
		sameHex(t, "public key", public[:], key.PublicHex)
		for _, s := range v.BLS.Signatures {
			msg := unhex(t, s.MessageHex)
			signature := k.Sign(msg)
			sameHex(t, "signature", signature[:], s.SignaturesHex[i])
			if err := bls.Verify(public, msg, signature); err != nil {
				t.Error(err)
			}
		}
	}
	for _, m := range v.Messages {
		if m.Name == "proof of possession" {
			signature := secret(t, v.BLS.Keys[0].SecretHex).Sign(unhex(t, m.Hex))
			sameHex(t, m.Name, signature[:], v.BLS.ProofOfPossession)
		}
	}
}

func TestAggregate(t *testing.T) {
	v := read[vectors](t, "messages.json")
	for i, c := range v.Certificates {
		var signatures [][96]byte
		var keys [][48]byte
		for _, s := range c.Signers {
			signatures = append(signatures, [96]byte(unhex(t, v.BLS.Signatures[i].SignaturesHex[s])))
			keys = append(keys, [48]byte(unhex(t, v.BLS.Keys[s].PublicHex)))
		}
		sum, err := bls.AggregateSignatures(signatures)
		if err != nil {
			t.Fatal(err)
		}
		sameHex(t, "aggregate", sum[:], c.AggregateHex)
		msg := unhex(t, c.MessageHex)
		if err := bls.VerifyAggregate(keys, msg, sum); err != nil {
			t.Error(err)
		}
		wantErr(t, "one key less", bls.VerifyAggregate(keys[1:], msg, sum), bls.ErrSignature)
		wantErr(t, "one key twice", bls.VerifyAggregate(append(keys, keys[0]), msg, sum), bls.ErrSignature)
		wantErr(t, "message", bls.VerifyAggregate(keys, msg[1:], sum), bls.ErrSignature)
	}
}

func TestLedgerVectors(t *testing.T) {
	v := read[ledgerVectors](t, "ledger.json").BLS
	var all [][48]byte
	for _, n := range v.Nodes {
		public := secret(t, n.Secret).PublicKey()
		sameHex(t, "public key", public[:], n.Public)
		all = append(all, public)
		long, err := bls.Uncompress(public)
		if err != nil {
			t.Fatal(err)
		}
		sameHex(t, "uncompressed", long[:], n.Uncompressed)
		short, err := bls.Compress(long)
		if err != nil || short != public {
			t.Errorf("compress: got %x, %v, want %x", short, err, public)
		}
		msg := unhex(t, n.Proof.Message)
		signature := secret(t, n.Secret).Sign(msg)
		sameHex(t, "proof of possession", signature[:], n.Proof.Signature)
	}
	total, err := bls.AggregatePublicKeys(all)
	if err != nil {
		t.Fatal(err)
	}
	sameHex(t, "total key", total[:], v.Total)
	for _, c := range v.Certificates {
		msg := unhex(t, c.Message)
		var keys [][48]byte
		var signatures [][96]byte
		for i, s := range c.Signers {
			keys = append(keys, all[s])
			signatures = append(signatures, [96]byte(unhex(t, c.Signatures[i])))
			if err := bls.Verify(all[s], msg, signatures[i]); err != nil {
				t.Error(err)
			}
		}
		key, err := bls.AggregatePublicKeys(keys)
		if err != nil {
			t.Fatal(err)
		}
		sameHex(t, "aggregate key", key[:], c.Key)
		sum, err := bls.AggregateSignatures(signatures)
		if err != nil {
			t.Fatal(err)
		}
		sameHex(t, "aggregate signature", sum[:], c.Signature)
		if err := bls.Verify(key, msg, sum); err != nil {
			t.Error(err)
		}
	}
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// Points that are well formed but must not pass.
var (
	identityKey       = [48]byte{0: 0xc0}
	identitySignature = [96]byte{0: 0xc0}
)

// outside returns points on the curves but not in the subgroups: the first
// coordinates, counted upwards, that are on the curve. A random point is in
// the subgroup with negligible probability.
func outside(t *testing.T) (key [48]byte, signature [96]byte) {
	t.Helper()
	found := 0
	for x := byte(1); x < 40 && found < 2; x++ {
		k, s := [48]byte{0: 0x80, 47: x}, [96]byte{0: 0x80, 95: x}
		if key == ([48]byte{}) && onCurve(k[:]) {
			key = k
			found++
		}
		if signature == ([96]byte{}) && onCurve(s[:]) {
			signature = s
			found++
		}
	}
	if found < 2 {
		t.Fatal("no points found")
	}
	return key, signature
}

func TestVerifyRefuses(t *testing.T) {
	k, err := bls.NewSecretKey(rand.NewChaCha8([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	msg := []byte("message")
	good := k.Sign(msg)
	foreignKey, foreignSignature := outside(t)

	for name, key := range map[string][48]byte{"zero": {}, "identity": identityKey, "no point": {0: 0xbf, 47: 1}, "outside": foreignKey} {
		wantErr(t, name+" key", bls.Verify(key, msg, good), bls.ErrPublicKey)
		wantErr(t, name+" key for the identity", bls.Verify(key, msg, identitySignature), bls.ErrPublicKey)
		wantErr(t, name+" key among others", bls.VerifyAggregate([][48]byte{k.PublicKey(), key}, msg, good), bls.ErrPublicKey)
		_, err := bls.AggregatePublicKeys([][48]byte{key})
		wantErr(t, name+" key to aggregate", err, bls.ErrPublicKey)
		_, err = bls.Uncompress(key)
		wantErr(t, name+" key to uncompress", err, bls.ErrPublicKey)
	}
	for name, s := range map[string][96]byte{"zero": {}, "identity": identitySignature, "no point": {0: 0xbf, 95: 1}, "outside": foreignSignature} {
		wantErr(t, name+" signature", bls.Verify(k.PublicKey(), msg, s), bls.ErrSignature)
		if name != "identity" {
			_, err := bls.AggregateSignatures([][96]byte{good, s})
			wantErr(t, name+" signature to aggregate", err, bls.ErrSignature)
		}
	}
	wantErr(t, "message", bls.Verify(k.PublicKey(), msg[1:], good), bls.ErrSignature)
	_, err = bls.Compress([96]byte{})
	wantErr(t, "compress", err, bls.ErrPublicKey)
	_, err = bls.Compress([96]byte{0: 0x40})
	wantErr(t, "compress the identity", err, bls.ErrPublicKey)
	_, err = bls.AggregateSignatures(nil)
	wantErr(t, "no signatures", err, bls.ErrEmpty)
	wantErr(t, "no keys", bls.VerifyAggregate(nil, msg, good), bls.ErrEmpty)
}

// TestCancellingKeys adds a key and its negative, whose sum is the identity.
func TestCancellingKeys(t *testing.T) {
	k, err := bls.NewSecretKey(rand.NewChaCha8([32]byte{2}))
	if err != nil {
		t.Fatal(err)
	}
	key, negative := k.PublicKey(), k.PublicKey()
	negative[0] ^= 0x20 // the sign of y
	if err := bls.VerifyAggregate([][48]byte{key, negative}, []byte("message"), identitySignature); err == nil {
		t.Error("the identity signs for keys that cancel out")
	}
}

func TestSecretKeyRefuses(t *testing.T) {
	order := unhex(t, "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001") // of the group
	for name, b := range map[string][]byte{"zero": make([]byte, 32), "order": order, "large": bytes.Repeat([]byte{0xff}, 32)} {
		_, err := bls.SecretKeyFromBytes([32]byte(b))
		wantErr(t, name, err, bls.ErrSecretKey)
	}
	if _, err := bls.NewSecretKey(strings.NewReader("too short")); err == nil {
		t.Error("a short source of randomness passes")
	}
}

func BenchmarkVerifyAggregate(b *testing.B) {
	var keys [][48]byte
	var signatures [][96]byte
	rng := rand.NewChaCha8([32]byte{3})
	for range 100 {
		k, err := bls.NewSecretKey(rng)
		if err != nil {
			b.Fatal(err)
		}
		keys, signatures = append(keys, k.PublicKey()), append(signatures, k.Sign([]byte("message")))
	}
	sum, err := bls.AggregateSignatures(signatures)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := bls.VerifyAggregate(keys, []byte("message"), sum); err != nil {
			b.Fatal(err)
		}
	}
}

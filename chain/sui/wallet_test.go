package sui_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/btcsuite/btcutil/bech32"

	"github.com/walfs/walfs/chain/sui"
)

// keyVectors is the part of testdata/keys.json that concerns the wallet; the
// file was made by the reference implementation @mysten/sui.
type keyVectors struct {
	Ed25519 []struct {
		Seed, SuiPrivKey, Address string
	}
	Mnemonic     struct{ SuiPrivKey, Address string }
	Transactions []struct {
		Name, BCSBase64, SignatureBase64 string
	}
}

func loadVectors(t *testing.T) keyVectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	var v keyVectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Ed25519) != 3 || len(v.Transactions) < 20 {
		t.Fatalf("vectors hold %d keys and %d transactions", len(v.Ed25519), len(v.Transactions))
	}
	return v
}

func TestWalletMatchesReference(t *testing.T) {
	for _, k := range loadVectors(t).Ed25519 {
		raw, err := hex.DecodeString(k.Seed)
		if err != nil {
			t.Fatal(err)
		}
		w, err := sui.WalletFromSeed([32]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Address().String(); got != k.Address {
			t.Errorf("address: got %s, want %s", got, k.Address)
		}
		if got := w.Text(); got != k.SuiPrivKey {
			t.Errorf("text: got %s, want %s", got, k.SuiPrivKey)
		}
		back, err := sui.WalletFromText(k.SuiPrivKey)
		if err != nil {
			t.Fatal(err)
		}
		if back.Address() != w.Address() {
			t.Errorf("address from text: got %s, want %s", back.Address(), w.Address())
		}
	}
}

func TestWalletOfMnemonic(t *testing.T) {
	m := loadVectors(t).Mnemonic
	w, err := sui.WalletFromText(m.SuiPrivKey)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.Address().String(); got != m.Address {
		t.Errorf("got %s, want %s", got, m.Address)
	}
}

func TestSignTransaction(t *testing.T) {
	v := loadVectors(t)
	w, err := sui.WalletFromText(v.Ed25519[0].SuiPrivKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, tx := range v.Transactions {
		raw, err := base64.StdEncoding.DecodeString(tx.BCSBase64)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := w.SignTransaction(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := base64.StdEncoding.EncodeToString(sig); got != tx.SignatureBase64 {
			t.Errorf("%s: got %s, want %s", tx.Name, got, tx.SignatureBase64)
		}
	}
}

func TestWalletFromBadText(t *testing.T) {
	good := loadVectors(t).Ed25519[0].SuiPrivKey
	last := "q"
	if strings.HasSuffix(good, last) {
		last = "p"
	}
	cases := map[string]string{
		"empty":        "",
		"no separator": "suiprivkey",
		"bad checksum": good[:len(good)-1] + last,
		"cut":          good[:20],
		"other prefix": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
		"secp256k1":    keyText(t, append([]byte{1}, bytes.Repeat([]byte{1}, 32)...)),
		"short seed":   keyText(t, bytes.Repeat([]byte{0}, 32)),
	}
	for name, text := range cases {
		if _, err := sui.WalletFromText(text); !errors.Is(err, sui.ErrKey) {
			t.Errorf("%s: got %v, want ErrKey", name, err)
		}
	}
}

func TestNewWalletsDiffer(t *testing.T) {
	a, err := sui.NewWallet()
	if err != nil {
		t.Fatal(err)
	}
	b, err := sui.NewWallet()
	if err != nil {
		t.Fatal(err)
	}
	if a.Address() == b.Address() {
		t.Errorf("two new wallets share address %s", a.Address())
	}
	again, err := sui.WalletFromSeed(a.Seed())
	if err != nil || again.Text() != a.Text() {
		t.Errorf("the seed makes another wallet: %v", err)
	}
}

// keyText writes payload, scheme flag first, as a suiprivkey.
func keyText(t *testing.T, payload []byte) string {
	t.Helper()
	groups, err := bech32.ConvertBits(payload, 8, 5, true)
	if err != nil {
		t.Fatal(err)
	}
	text, err := bech32.Encode("suiprivkey", groups)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

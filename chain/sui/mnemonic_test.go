package sui_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/walfs/walfs/chain/sui"
)

// TestMnemonicMatchesReference makes the wallet that @mysten/sui makes of a phrase.
func TestMnemonicMatchesReference(t *testing.T) {
	raw, err := os.ReadFile("testdata/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Mnemonic struct{ Words, SuiPrivKey, Address string }
	}
	if err := json.Unmarshal(raw, &v); err != nil || v.Mnemonic.Words == "" {
		t.Fatalf("vectors: %+v, %v", v, err)
	}
	for _, words := range []string{v.Mnemonic.Words, "\n " + strings.ToUpper(strings.ReplaceAll(v.Mnemonic.Words, " ", "\t ")) + "\n"} {
		w, err := sui.WalletFromMnemonic(words)
		if err != nil {
			t.Fatal(err)
		}
		if w.Text() != v.Mnemonic.SuiPrivKey || w.Address().String() != v.Mnemonic.Address {
			t.Errorf("got %s, want %s", w.Address(), v.Mnemonic.Address)
		}
	}
}

func TestBadMnemonic(t *testing.T) {
	good := "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
	for name, words := range map[string]string{
		"empty":    "",
		"checksum": strings.Replace(good, "about", "abandon", 1),
		"order":    "about " + strings.TrimSuffix(good, " about"),
		"unknown":  strings.Replace(good, "about", "abbout", 1),
		"eleven":   strings.TrimPrefix(good, "abandon "),
		"thirteen": "abandon " + good,
	} {
		_, err := sui.WalletFromMnemonic(words)
		if !errors.Is(err, sui.ErrMnemonic) {
			t.Errorf("%s: got %v, want ErrMnemonic", name, err)
		} else if strings.Contains(err.Error(), "aba") || strings.Contains(err.Error(), "abb") {
			t.Errorf("%s: the error tells the words: %v", name, err)
		}
	}
}

// TestNewMnemonic makes phrases that can be read back, all different.
func TestNewMnemonic(t *testing.T) {
	seen := map[string]bool{}
	for _, words := range []int{12, 24, 12, 24} {
		phrase, err := sui.NewMnemonic(words)
		if err != nil || len(strings.Fields(phrase)) != words {
			t.Fatalf("%d words: %d, %v", words, len(strings.Fields(phrase)), err)
		}
		w, err := sui.WalletFromMnemonic(phrase)
		if err != nil || seen[w.Text()] {
			t.Errorf("%d words: %v, or twice the same", words, err)
		}
		seen[w.Text()] = true
	}
	if _, err := sui.NewMnemonic(13); !errors.Is(err, sui.ErrMnemonic) {
		t.Errorf("13 words: %v", err)
	}
}

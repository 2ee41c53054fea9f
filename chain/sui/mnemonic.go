package sui

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/block-vision/sui-go-sdk/signer"
	"github.com/cosmos/go-bip39"
)

// ErrMnemonic reports words that are no phrase of BIP-39.
var ErrMnemonic = errors.New("not a recovery phrase")

// phraseLengths are how many words a phrase may have. Source: BIP-39.
var phraseLengths = []int{12, 15, 18, 21, 24}

// WalletFromMnemonic makes the wallet of a recovery phrase in English, without
// a password, as Sui's own programs do: the first address of the phrase, by
// SLIP-10 at m/44'/784'/0'/0'/0'. Case and space between words do not matter.
// Errors name no words.
func WalletFromMnemonic(phrase string) (*Wallet, error) {
	words := strings.Fields(strings.ToLower(phrase))
	if !slices.Contains(phraseLengths, len(words)) {
		return nil, fmt.Errorf("%d words, want 12, 15, 18, 21 or 24: %w", len(words), ErrMnemonic)
	}
	for i, word := range words {
		if _, ok := bip39.ReverseWordMap[word]; !ok {
			return nil, fmt.Errorf("word %d is not in the list of BIP-39: %w", i+1, ErrMnemonic)
		}
	}
	s, err := signer.NewSignertWithMnemonic(strings.Join(words, " "))
	if err != nil { // its text may quote the phrase
		return nil, fmt.Errorf("the checksum of the words is wrong, so one of them is, or their order: %w", ErrMnemonic)
	}
	return WalletFromSeed([32]byte(s.PriKey.Seed()))
}

// NewMnemonic makes a recovery phrase of 12 or 24 random words.
func NewMnemonic(words int) (string, error) {
	if words != 12 && words != 24 {
		return "", fmt.Errorf("%d words, want 12 or 24: %w", words, ErrMnemonic)
	}
	const bitsPerWord = 11 // of which one in 33 is checksum
	entropy, err := bip39.NewEntropy(words * bitsPerWord / 33 * 32)
	if err != nil {
		return "", fmt.Errorf("new recovery phrase: %w", err)
	}
	defer clear(entropy)
	phrase, err := bip39.NewMnemonic(entropy)
	if err != nil {
		return "", fmt.Errorf("new recovery phrase: %w", err)
	}
	return phrase, nil
}

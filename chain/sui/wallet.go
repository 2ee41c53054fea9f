// Package sui is the client side of the ledger. For now it holds the wallet:
// the owner's key, its address and its signatures.
package sui

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/block-vision/sui-go-sdk/constant"
	"github.com/block-vision/sui-go-sdk/signer"
	"github.com/btcsuite/btcutil/bech32"

	"github.com/walfs/walfs/chain"
)

// keyPrefix is the human-readable part of a key's text form. Source: Sui, SIP-15.
const keyPrefix = "suiprivkey"

// flagEd25519 is the scheme byte of Ed25519 before keys and signatures. Source: Sui, SignatureScheme.
const flagEd25519 = 0x00

// SignatureSize is in bytes: scheme flag, 64 of Ed25519 signature, 32 of public key.
const SignatureSize = 1 + 64 + 32

// ErrKey reports a text that is not a key this wallet can use.
var ErrKey = errors.New("not an Ed25519 suiprivkey")

// Wallet holds the owner's Ed25519 key. It is safe for concurrent use.
type Wallet struct {
	signer  *signer.Signer
	text    string
	address chain.Address
}

// NewWallet makes a wallet with a fresh random key.
func NewWallet() (*Wallet, error) {
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("new wallet: %w", err)
	}
	return WalletFromSeed(seed)
}

// WalletFromSeed makes the wallet of a 32-byte Ed25519 seed.
func WalletFromSeed(seed [32]byte) (*Wallet, error) {
	groups, err := bech32.ConvertBits(append([]byte{flagEd25519}, seed[:]...), 8, 5, true)
	if err != nil {
		return nil, fmt.Errorf("wallet text: %w", err)
	}
	text, err := bech32.Encode(keyPrefix, groups)
	if err != nil {
		return nil, fmt.Errorf("wallet text: %w", err)
	}
	w := &Wallet{signer: signer.NewSigner(seed[:]), text: text}
	raw, err := hex.DecodeString(w.signer.Address[len("0x"):])
	if err != nil || len(raw) != len(w.address) {
		return nil, fmt.Errorf("wallet address %q: %w", w.signer.Address, errors.Join(ErrKey, err))
	}
	copy(w.address[:], raw)
	return w, nil
}

// WalletFromText reads the text form that Text writes and Sui tools export,
// "suiprivkey1…". Keys of other schemes give ErrKey.
func WalletFromText(text string) (*Wallet, error) {
	prefix, groups, err := bech32.Decode(text)
	if err != nil {
		return nil, errors.Join(ErrKey, err)
	}
	payload, err := bech32.ConvertBits(groups, 5, 8, false)
	if err != nil {
		return nil, errors.Join(ErrKey, err)
	}
	var seed [32]byte
	if prefix != keyPrefix || len(payload) != 1+len(seed) || payload[0] != flagEd25519 {
		return nil, ErrKey
	}
	copy(seed[:], payload[1:])
	return WalletFromSeed(seed)
}

// Address returns the owner address: BLAKE2b-256 over the scheme flag and the public key.
func (w *Wallet) Address() chain.Address { return w.address }

// Text returns the secret key in the form that WalletFromText reads. Keep it secret.
func (w *Wallet) Text() string { return w.text }

// Seed returns the secret from which WalletFromSeed makes this wallet again.
func (w *Wallet) Seed() [32]byte { return [32]byte(w.signer.PriKey.Seed()) }

// SignTransaction signs the BCS bytes of a TransactionData and returns the
// SignatureSize bytes that Sui expects beside them.
//
// The SDK's own SignTransaction signs with the intent of a personal message,
// which Sui refuses; SignMessage with the transaction intent is right.
func (w *Wallet) SignTransaction(bcs []byte) ([]byte, error) {
	signed, err := w.signer.SignMessage(base64.StdEncoding.EncodeToString(bcs), constant.TransactionDataIntentScope)
	if err != nil {
		return nil, fmt.Errorf("sign transaction: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(signed.Signature)
	if err != nil {
		return nil, fmt.Errorf("sign transaction: %w", err)
	}
	if len(raw) != SignatureSize || !bytes.Equal(raw[65:], w.signer.PubKey) {
		return nil, fmt.Errorf("sign transaction: signer answered %d bytes, want %d", len(raw), SignatureSize)
	}
	return raw, nil
}

package localnet

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"golang.org/x/crypto/blake2b"

	"github.com/walfs/walfs/chain/move"
)

// FuzzSignature sends bytes as the signature of a transaction. None but the one
// that the sender's key makes is taken.
func FuzzSignature(f *testing.F) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	public := key.Public().(ed25519.PublicKey)
	sender := move.Address(blake2b.Sum256(append([]byte{schemeEd25519}, public...)))
	tx := &move.Transaction{Sender: sender, Gas: move.GasData{Owner: sender, Price: 1000, Budget: 1_000_000}}
	raw, err := move.Marshal(tx)
	if err != nil {
		f.Fatal(err)
	}
	hash := move.SigningHash(raw)
	good := append([]byte{schemeEd25519}, ed25519.Sign(key, hash[:])...)
	good = append(good, public...)
	if err := checkSignatures(tx, raw, [][]byte{good}); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append(bytes.Clone(good), 0))
	f.Add(append([]byte{1}, good[1:]...))
	f.Add([]byte{3, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, signature []byte) {
		var refused *RefusedError
		err := checkSignatures(tx, raw, [][]byte{signature})
		if bytes.Equal(signature, good) != (err == nil) || err != nil && !errors.As(err, &refused) {
			t.Errorf("%x: %v", signature, err)
		}
	})
}

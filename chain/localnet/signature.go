package localnet

import (
	"crypto/ed25519"

	"golang.org/x/crypto/blake2b"

	"github.com/walfs/walfs/chain/localnet/ptb"
	"github.com/walfs/walfs/chain/move"
)

// The schemes of signatures. Source: Sui, enum SignatureScheme.
const schemeEd25519 = 0

var schemeNames = map[byte]string{1: "Secp256k1", 2: "Secp256r1", 3: "multisig", 4: "BLS12-381", 5: "zkLogin", 6: "passkey"}

// signatureSize is in bytes: scheme, signature, public key.
const signatureSize = 1 + ed25519.SignatureSize + ed25519.PublicKeySize

// checkSignatures checks that the sender has signed a transaction.
func checkSignatures(tx *move.Transaction, bcs []byte, signatures [][]byte) error {
	if len(signatures) != 1 {
		return refuse(ptb.RefusedSignature, "%d signatures, this ledger wants one: the sender pays for the gas", len(signatures))
	}
	s := signatures[0]
	if len(s) == 0 {
		return refuse(ptb.RefusedSignature, "the signature is empty")
	}
	if s[0] != schemeEd25519 {
		name := schemeNames[s[0]]
		if name == "" {
			name = "unknown"
		}
		return refuse(ptb.RefusedSignature, "signature of scheme %d (%s): this ledger checks Ed25519 alone, scheme 0", s[0], name)
	}
	if len(s) != signatureSize {
		return refuse(ptb.RefusedSignature, "Ed25519 signature of %d bytes, want %d", len(s), signatureSize)
	}
	key := s[1+ed25519.SignatureSize:]
	if by := signer(key); by != tx.Sender {
		return refuse(ptb.RefusedSignature, "signature is by %s, the sender is %s", by, tx.Sender)
	}
	hash := move.SigningHash(bcs)
	if !ed25519.Verify(key, hash[:], s[1:1+ed25519.SignatureSize]) {
		return refuse(ptb.RefusedSignature, "signature of %s is not valid for this transaction", tx.Sender)
	}
	return nil
}

// signer returns the address that a key signs for.
func signer(public ed25519.PublicKey) move.Address {
	return blake2b.Sum256(append([]byte{schemeEd25519}, public...))
}

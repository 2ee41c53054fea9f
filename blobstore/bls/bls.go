// Package bls signs and verifies with BLS12-381 the way Walrus committees do:
// public keys are points of G1 (48 bytes compressed), signatures are points of
// G2 (96 bytes compressed), and a message is hashed to G2 without a pre-hash.
//
// Signatures over the same message add up to one signature, which verifies
// against the sum of the public keys. That is only safe for keys whose owners
// have proved that they hold the secret: the ledger asks for such a proof when
// a node registers, and callers must take public keys from there.
//
// All functions are safe for concurrent use. The arithmetic is blst.
package bls

import (
	"errors"
	"fmt"
	"io"

	blst "github.com/supranational/blst/bindings/go"
)

// Lengths in bytes. Source: BLS12-381, serialisation of the ZCash project.
const (
	secretKeySize             = 32
	publicKeySize             = 48
	uncompressedPublicKeySize = 96
	signatureSize             = 96
)

// tag separates the messages of this scheme from those of others.
// Source: Walrus, the domain tag of fastcrypto's min-pk scheme.
var tag = []byte("BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_")

// The errors of this package.
var (
	ErrSecretKey = errors.New("invalid secret key")
	ErrPublicKey = errors.New("invalid public key")   // no point of the subgroup, or the identity
	ErrSignature = errors.New("signature is invalid") // no point of the subgroup, or of other content
	ErrEmpty     = errors.New("nothing to aggregate")
)

// SecretKey signs. Its zero value is not usable.
type SecretKey struct {
	scalar *blst.SecretKey
	public [publicKeySize]byte
}

// NewSecretKey makes a key from 32 bytes of rand.
func NewSecretKey(rand io.Reader) (*SecretKey, error) {
	var seed [secretKeySize]byte
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, fmt.Errorf("new secret key: %w", err)
	}
	return newSecretKey(blst.KeyGen(seed[:]))
}

// SecretKeyFromBytes reads a big-endian scalar, which must lie between 1 and the group order.
func SecretKeyFromBytes(b [32]byte) (*SecretKey, error) {
	return newSecretKey(new(blst.SecretKey).Deserialize(b[:]))
}

func newSecretKey(scalar *blst.SecretKey) (*SecretKey, error) {
	if scalar == nil {
		return nil, ErrSecretKey
	}
	k := &SecretKey{scalar: scalar}
	copy(k.public[:], new(blst.P1Affine).From(scalar).Compress())
	return k, nil
}

// Bytes returns the big-endian scalar.
func (k *SecretKey) Bytes() (b [32]byte) {
	copy(b[:], k.scalar.Serialize())
	return b
}

// PublicKey returns the compressed public key.
func (k *SecretKey) PublicKey() [48]byte { return k.public }

// Sign returns the signature over msg. Signing twice gives the same bytes.
func (k *SecretKey) Sign(msg []byte) (sig [96]byte) {
	copy(sig[:], new(blst.P2Affine).Sign(k.scalar, msg, tag).Compress())
	return sig
}

// Verify checks that sig is the signature over msg under pub. It returns
// ErrPublicKey for a key that is malformed, outside the subgroup or the
// identity, and ErrSignature for everything else that is wrong.
func Verify(pub [48]byte, msg []byte, sig [96]byte) error {
	key, err := parseKey(pub)
	if err != nil {
		return err
	}
	return verify(key, msg, sig)
}

// VerifyAggregate checks that sig is the sum of the signatures over msg under all of pubs.
// Its errors are those of Verify, and ErrEmpty.
func VerifyAggregate(pubs [][48]byte, msg []byte, sig [96]byte) error {
	sum, err := sumKeys(pubs)
	if err != nil {
		return err
	}
	return verify(sum, msg, sig)
}

func verify(key *blst.P1Affine, msg []byte, sig [96]byte) error {
	point := new(blst.P2Affine).Uncompress(sig[:])
	// The key has been validated, the signature's subgroup is checked here.
	if point == nil || !point.Verify(true, key, false, msg, tag) {
		return ErrSignature
	}
	return nil
}

// AggregateSignatures returns the sum of sigs. It checks that each is a point
// of the subgroup, not that it signs anything.
func AggregateSignatures(sigs [][96]byte) (sum [96]byte, err error) {
	if len(sigs) == 0 {
		return sum, ErrEmpty
	}
	var total blst.P2Aggregate
	for i := range sigs {
		point := new(blst.P2Affine).Uncompress(sigs[i][:])
		if point == nil || !total.Add(point, true) {
			return sum, fmt.Errorf("signature %d: %w", i, ErrSignature)
		}
	}
	copy(sum[:], total.ToAffine().Compress())
	return sum, nil
}

// AggregatePublicKeys returns the sum of pubs, each of which must be valid.
func AggregatePublicKeys(pubs [][48]byte) (sum [48]byte, err error) {
	total, err := sumKeys(pubs)
	if err != nil {
		return sum, err
	}
	copy(sum[:], total.Compress())
	return sum, nil
}

func sumKeys(pubs [][48]byte) (*blst.P1Affine, error) {
	if len(pubs) == 0 {
		return nil, ErrEmpty
	}
	var total blst.P1Aggregate
	for i := range pubs {
		key, err := parseKey(pubs[i])
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		total.Add(key, false)
	}
	return total.ToAffine(), nil
}

// Uncompress returns the two big-endian coordinates of a valid public key.
func Uncompress(pub [48]byte) (b [96]byte, err error) {
	key, err := parseKey(pub)
	if err != nil {
		return b, err
	}
	copy(b[:], key.Serialize())
	return b, nil
}

// Compress is the inverse of Uncompress and validates the key as well.
func Compress(b [96]byte) (pub [48]byte, err error) {
	key := new(blst.P1Affine).Deserialize(b[:])
	if key == nil || !key.KeyValidate() {
		return pub, ErrPublicKey
	}
	copy(pub[:], key.Compress())
	return pub, nil
}

// parseKey reads a public key and makes sure that it is a point of the subgroup other than the identity.
func parseKey(pub [48]byte) (*blst.P1Affine, error) {
	key := new(blst.P1Affine).Uncompress(pub[:])
	if key == nil || !key.KeyValidate() {
		return nil, ErrPublicKey
	}
	return key, nil
}

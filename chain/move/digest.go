package move

import (
	"errors"
	"math/big"
	"slices"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// Digest is a BLAKE2b-256 hash that names a transaction or an object version.
// Its text form is Base58, its BCS has a length before it.
type Digest [32]byte

// base58Alphabet is that of Bitcoin, which Sui uses.
const base58Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// maxDigestText is in characters: 32 bytes take at most 44.
const maxDigestText = 44

// ErrDigest reports a text that is not a digest.
var ErrDigest = errors.New("digest is not Base58 of 32 bytes")

// BCS is the layout: a vector<u8> of 32.
func (d *Digest) BCS(c *Codec) {
	if n := c.Length(len(d)); n != len(d) {
		c.fail("digest of %d bytes", n)
		return
	}
	c.Fixed(d[:])
}

// String returns the Base58 form.
func (d Digest) String() string {
	var text []byte
	n, radix, digit := new(big.Int).SetBytes(d[:]), big.NewInt(58), new(big.Int)
	for n.Sign() > 0 {
		n.DivMod(n, radix, digit)
		text = append(text, base58Alphabet[digit.Int64()])
	}
	for _, b := range d {
		if b != 0 {
			break
		}
		text = append(text, base58Alphabet[0]) // leading zero bytes are written one by one
	}
	slices.Reverse(text)
	return string(text)
}

// ParseDigest reads the Base58 form. It returns ErrDigest for anything else.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) > maxDigestText {
		return d, ErrDigest
	}
	n, radix := new(big.Int), big.NewInt(58)
	for i := range len(s) {
		digit := strings.IndexByte(base58Alphabet, s[i])
		if digit < 0 {
			return d, ErrDigest
		}
		n.Add(n.Mul(n, radix), big.NewInt(int64(digit)))
	}
	if n.BitLen() > 8*len(d) {
		return d, ErrDigest
	}
	n.FillBytes(d[:])
	if d.String() != s {
		return Digest{}, ErrDigest
	}
	return d, nil
}

// hash returns BLAKE2b-256 over the concatenation of parts.
func hash(parts ...[]byte) Digest { return blake2b.Sum256(slices.Concat(parts...)) }

package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// Options say how to seal. The zero value is right for all but tests and
// plain drives.
type Options struct {
	Rand  io.Reader // source of the salt; nil: crypto/rand
	Suite Suite
	// Gaps are ranges of the plaintext of which nothing is known. They become
	// part of what is sealed, and Seal writes into them. nil: there are none.
	Gaps []Gap
}

// Seal returns plain sealed under the current drive key, header included, in a
// new slice. The salt is read from o.Rand.
func (k *Keyring) Seal(plain []byte, o Options) ([]byte, error) {
	suite := o.Suite.choose()
	if suite > SuitePlain {
		return nil, fmt.Errorf("seal: no %v", suite)
	}
	if suite == SuitePlain {
		h := newHeader(suite, 0, [32]byte{})
		if err := putGaps(&h, plain, o.Gaps); err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		return append(append(make([]byte, 0, HeaderSize+len(plain)), h[:]...), plain...), nil
	}
	if chunksOf(int64(len(plain))) > maxChunks {
		return nil, fmt.Errorf("seal: %d bytes are too many for one segment", len(plain))
	}
	salt, err := newSalt(o.Rand)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if k == nil {
		return nil, fmt.Errorf("seal: %w", ErrUnknownKey)
	}
	h := newHeader(suite, k.Current(), salt)
	if err := putGaps(&h, plain, o.Gaps); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	key, err := k.SegmentKey(h)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return sealChunks(newAEAD(suite, key), h, plain), nil
}

func newSalt(r io.Reader) (salt [32]byte, err error) {
	if r == nil {
		r = rand.Reader
	}
	if _, err := io.ReadFull(r, salt[:]); err != nil {
		return salt, fmt.Errorf("salt: %w", err)
	}
	return salt, nil
}

func sealChunks(aead cipher.AEAD, h Header, plain []byte) []byte {
	out := make([]byte, 0, SealedSize(int64(len(plain))))
	out = append(out, h[:]...)
	var nonce [chacha20poly1305.NonceSizeX]byte
	for i, last := int64(0), false; !last; i++ {
		n := min(len(plain), ChunkSize)
		last = n == len(plain)
		out = aead.Seal(out, setNonce(nonce[:aead.NonceSize()], i, last), plain[:n], h[:])
		plain = plain[n:]
	}
	return out
}

// newAEAD returns the cipher of an encrypting suite.
func newAEAD(s Suite, key Key) cipher.AEAD {
	if s == SuiteChaCha {
		a, err := chacha20poly1305.NewX(key[:])
		if err != nil { // the key has the one right length
			panic("seal: " + err.Error())
		}
		return a
	}
	block, err := aes.NewCipher(key[:])
	if err != nil { // as above
		panic("seal: " + err.Error())
	}
	a, err := cipher.NewGCM(block)
	if err != nil { // the block size is that of AES
		panic("seal: " + err.Error())
	}
	return a
}

// setNonce writes the nonce of chunk i into b, whose other bytes are zero, and
// returns b.
func setNonce(b []byte, i int64, last bool) []byte {
	tail := b[len(b)-5:]
	binary.BigEndian.PutUint32(tail, uint32(i))
	tail[4] = 0
	if last {
		tail[4] = 1
	}
	return b
}

package seal

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"
)

// Key is a secret of 32 bytes. It prints as three stars in every format, in
// logs and in JSON.
type Key [32]byte

// Key hides itself from fmt, encoding and slog.
var (
	_ fmt.Formatter          = Key{}
	_ encoding.TextMarshaler = Key{}
	_ slog.LogValuer         = Key{}
)

const redacted = "***"

// NewKey returns a key of 32 bytes read from rand.
func NewKey(rand io.Reader) (Key, error) {
	var k Key
	if _, err := io.ReadFull(rand, k[:]); err != nil {
		return Key{}, fmt.Errorf("new key: %w", err)
	}
	return k, nil
}

// String returns "***".
func (Key) String() string { return redacted }

// Format writes "***" for every verb.
func (Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// MarshalText returns "***".
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "***".
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// derive returns HKDF-SHA256 of k with salt, which may be nil, and label.
func (k Key) derive(salt []byte, label string) Key {
	b, err := hkdf.Key(sha256.New, k[:], salt, label, len(k))
	if err != nil { // HKDF refuses only lengths above 255 hashes
		panic("seal: derive: " + err.Error())
	}
	return Key(b)
}

// Labels of derived keys.
const (
	labelContent = "content"
	labelSegment = "walfs segment v1"
)

// Keyring holds the drive keys by number. The highest number is the current
// one, under which new segments are sealed; the others open older segments.
// A nil Keyring seals and opens plain segments only. A Keyring is safe for
// concurrent use.
type Keyring struct {
	mu      sync.RWMutex
	keys    map[uint32]Key
	current uint32
}

// NewKeyring returns a keyring that holds key under number.
func NewKeyring(number uint32, key Key) *Keyring {
	return &Keyring{keys: map[uint32]Key{number: key}, current: number}
}

// Add adds key under number, and makes it the current one if the number is the
// highest. A number keeps its key for life: Add returns ErrKeyConflict for
// another one.
func (k *Keyring) Add(number uint32, key Key) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old, ok := k.keys[number]; ok && subtle.ConstantTimeCompare(old[:], key[:]) == 0 {
		return fmt.Errorf("drive key %d: %w", number, ErrKeyConflict)
	}
	k.keys[number] = key
	k.current = max(k.current, number)
	return nil
}

// Current returns the number of the current drive key.
func (k *Keyring) Current() uint32 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.current
}

// Keys returns a copy of all drive keys, for a KeyFile.
func (k *Keyring) Keys() map[uint32]Key {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return maps.Clone(k.keys)
}

// Derive returns the key for label under the current drive key:
// HKDF-SHA256(drive key, no salt, label). Labels in use: content, index,
// anchor, names.
func (k *Keyring) Derive(label string) Key {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys[k.current].derive(nil, label)
}

// DeriveFrom is Derive under the drive key of the given number. It returns
// ErrUnknownKey if the keyring does not hold it.
func (k *Keyring) DeriveFrom(number uint32, label string) (Key, error) {
	drive, err := k.drive(number)
	if err != nil {
		return Key{}, err
	}
	return drive.derive(nil, label), nil
}

// SegmentKey returns the key of the one segment that starts with h. It is what
// a share hands out; OpenSegment takes it.
func (k *Keyring) SegmentKey(h Header) (Key, error) {
	content, err := k.DeriveFrom(h.KeyNumber(), labelContent)
	if err != nil {
		return Key{}, err
	}
	salt := h.salt()
	return content.derive(salt[:], labelSegment), nil
}

func (k *Keyring) drive(number uint32) (Key, error) {
	if k == nil {
		return Key{}, fmt.Errorf("drive key %d: %w", number, ErrUnknownKey)
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	key, ok := k.keys[number]
	if !ok {
		return Key{}, fmt.Errorf("drive key %d: %w", number, ErrUnknownKey)
	}
	return key, nil
}

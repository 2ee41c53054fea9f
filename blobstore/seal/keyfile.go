package seal

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"filippo.io/age"
)

// KeyFile is what a drive needs to be opened: its ID and its drive keys.
type KeyFile struct {
	Drive [16]byte
	Keys  map[uint32]Key // by number; the highest is the current one
}

// The first line of the plaintext of a key file is keyFileMagic and its version
// in decimal. Lines follow: "drive" and 32 hex digits, then for each key, by
// rising number, "key", its number in decimal and 64 hex digits.
const (
	keyFileMagic   = "walfs drive keys "
	keyFileVersion = "1"
)

// Keyring returns a keyring of all keys in f. It returns ErrUnknownKey when
// there are none.
func (f KeyFile) Keyring() (*Keyring, error) {
	var ring *Keyring
	for number, key := range f.Keys {
		if ring == nil {
			ring = NewKeyring(number, key)
		} else if err := ring.Add(number, key); err != nil {
			return nil, err
		}
	}
	if ring == nil {
		return nil, fmt.Errorf("key file without keys: %w", ErrUnknownKey)
	}
	return ring, nil
}

// Encode returns the plaintext of f. It is secret: seal it or encrypt it.
func (f KeyFile) Encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\ndrive %s\n", keyFileMagic+keyFileVersion, hex.EncodeToString(f.Drive[:]))
	for _, number := range slices.Sorted(maps.Keys(f.Keys)) {
		key := f.Keys[number]
		fmt.Fprintf(&b, "key %d %s\n", number, hex.EncodeToString(key[:]))
	}
	return b.Bytes()
}

// DecodeKeyFile reads what Encode returned. It accepts nothing else and
// returns ErrCorrupt, or ErrVersion for a file of a version to come. Errors
// never quote the input.
func DecodeKeyFile(b []byte) (KeyFile, error) {
	f := KeyFile{Keys: map[uint32]Key{}}
	first, rest, _ := strings.Cut(string(b), "\n")
	if err := checkFirstLine(first); err != nil {
		return KeyFile{}, fmt.Errorf("key file: first line: %w", err)
	}
	for i, line := range strings.Split(strings.TrimSuffix(rest, "\n"), "\n") {
		if err := f.decodeLine(line, i == 0); err != nil {
			return KeyFile{}, fmt.Errorf("key file: line %d: %w", i+2, err)
		}
	}
	if len(f.Keys) == 0 || !bytes.Equal(f.Encode(), b) {
		return KeyFile{}, fmt.Errorf("key file: %w", ErrCorrupt)
	}
	return f, nil
}

func checkFirstLine(line string) error {
	v, ok := strings.CutPrefix(line, keyFileMagic)
	if !ok {
		return ErrCorrupt
	}
	if v == keyFileVersion {
		return nil
	}
	if _, err := strconv.ParseUint(v, 10, 32); err != nil {
		return ErrCorrupt
	}
	return ErrVersion
}

func (f *KeyFile) decodeLine(line string, first bool) error {
	words := strings.Split(line, " ")
	if first && len(words) == 2 && words[0] == "drive" {
		return decodeHex(f.Drive[:], words[1])
	}
	if first || len(words) != 3 || words[0] != "key" {
		return ErrCorrupt
	}
	number, err := strconv.ParseUint(words[1], 10, 32)
	if err != nil {
		return ErrCorrupt
	}
	var key Key
	if err := decodeHex(key[:], words[2]); err != nil {
		return err
	}
	f.Keys[uint32(number)] = key
	return nil
}

// decodeHex fills dst from exactly as many lower-case hex digits as it takes.
func decodeHex(dst []byte, s string) error {
	if hex.DecodedLen(len(s)) != len(dst) || len(s)%2 != 0 {
		return ErrCorrupt
	}
	if _, err := hex.Decode(dst, []byte(s)); err != nil {
		return ErrCorrupt // err would quote a digit of the key
	}
	return nil
}

// WriteKeyFile writes f, encrypted to recipients, to a new file at path. See
// WriteSecret for how.
func WriteKeyFile(path string, f KeyFile, recipients []age.Recipient) error {
	return WriteSecret(path, f.Encode(), recipients)
}

// ReplaceKeyFile is WriteKeyFile over a file that is there: after a crash the
// old or the new one is there.
func ReplaceKeyFile(path string, f KeyFile, recipients []age.Recipient) error {
	return ReplaceSecret(path, f.Encode(), recipients)
}

// ReadKeyFile reads the key file at path with the first identity that opens
// it. Its errors are those of ReadSecret.
func ReadKeyFile(path string, identities []age.Identity) (KeyFile, error) {
	b, err := ReadSecret(path, identities)
	if err != nil {
		return KeyFile{}, err
	}
	defer clear(b)
	f, err := DecodeKeyFile(b)
	if err != nil {
		return KeyFile{}, fmt.Errorf("read %s: %w", path, err)
	}
	return f, nil
}

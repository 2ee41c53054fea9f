package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// maxSecret is how long the plaintext of a secret file may be, in bytes: some
// ten thousand drive keys.
const maxSecret = 1 << 20

// maxSecretFile is how long a secret file may be: its plaintext, age's tags,
// and headers for many recipients.
const maxSecretFile = 2 * maxSecret

// WriteSecret writes plaintext, encrypted with age to recipients, to a new
// file at path: mode 0600, whole or not at all, durable on return. A file that
// is there is left alone and the error is fs.ErrExist. A passphrase must be the
// only recipient.
func WriteSecret(path string, plaintext []byte, recipients []age.Recipient) error {
	b, err := encrypt(plaintext, recipients)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return writeFile(path, b, keepOld)
}

// ReplaceSecret is WriteSecret over a file that is there: after a crash the old
// or the new one is there.
func ReplaceSecret(path string, plaintext []byte, recipients []age.Recipient) error {
	b, err := encrypt(plaintext, recipients)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return writeFile(path, b, replaceOld)
}

// ReadSecret returns the plaintext of the file at path. It returns ErrWrongKey
// when no identity opens it, ErrPermissions when others can read it, ErrCorrupt
// when it is not what WriteSecret wrote, and fs.ErrNotExist.
func ReadSecret(path string, identities []age.Identity) ([]byte, error) {
	b, err := readFile(path, maxSecretFile)
	if err != nil {
		return nil, err
	}
	plain, err := decrypt(b, identities)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return plain, nil
}

func encrypt(plaintext []byte, recipients []age.Recipient) ([]byte, error) {
	if len(plaintext) > maxSecret {
		return nil, fmt.Errorf("secret of %d bytes, at most %d", len(plaintext), maxSecret)
	}
	if len(recipients) == 0 {
		return nil, errors.New("no recipient to encrypt to")
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, recipients...)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	if _, err := w.Write(plaintext); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return b.Bytes(), nil
}

func decrypt(b []byte, identities []age.Identity) ([]byte, error) {
	if len(identities) == 0 {
		return nil, fmt.Errorf("no identity given: %w", ErrWrongKey)
	}
	r, err := age.Decrypt(bytes.NewReader(b), identities...)
	if noMatch := (*age.NoIdentityMatchError)(nil); errors.As(err, &noMatch) {
		return nil, ErrWrongKey
	}
	if errors.Is(err, ErrWrongKey) {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w: %w", ErrCorrupt, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w: %w", ErrCorrupt, err)
	}
	if len(plain) > maxSecret {
		return nil, fmt.Errorf("secret is longer than %d bytes: %w", maxSecret, ErrCorrupt)
	}
	return plain, nil
}

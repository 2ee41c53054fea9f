package seal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
)

// Recipient is who a file is encrypted to, so that only this package needs age.
type Recipient = age.Recipient

// Identity is what opens a file that was encrypted to its recipient.
type Identity = age.Identity

// maxIdentityFile is how long an identity file may be, in bytes.
const maxIdentityFile = 1 << 16

// NewIdentityFile makes an X25519 identity, writes it to a new file at path in
// the form of age-keygen (mode 0600, durable on return), and returns the
// recipient that belongs to it. A file that is there is left alone and the
// error is fs.ErrExist.
func NewIdentityFile(path string) (*age.X25519Recipient, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("new identity: %w", err)
	}
	text := fmt.Sprintf("# public key: %s\n%s\n", id.Recipient(), id)
	if err := writeFile(path, []byte(text), keepOld); err != nil {
		return nil, err
	}
	return id.Recipient(), nil
}

// ReadIdentityFile returns the identities in the file at path: one a line, as
// age-keygen writes them, or a private key of ssh (Ed25519 or RSA). Ask gives
// the passphrase of one that has one, and is called when it is needed. It
// returns ErrPermissions when others can read the file.
func ReadIdentityFile(path string, ask func() ([]byte, error)) ([]age.Identity, error) {
	b, err := readFile(path, maxIdentityFile)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	ids, err := parseIdentities(b, ask)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return ids, nil
}

func parseIdentities(b []byte, ask func() ([]byte, error)) ([]age.Identity, error) {
	if bytes.HasPrefix(b, []byte(pemPrefix)) {
		id, err := parseSSHIdentity(b, ask)
		if err != nil {
			return nil, fmt.Errorf("no ssh key that can be used: %w: %w", ErrCorrupt, err)
		}
		return []age.Identity{id}, nil
	}
	ids, err := age.ParseIdentities(bytes.NewReader(b))
	if err != nil { // its text may quote the line, which is secret
		return nil, fmt.Errorf("not a file of age identities: %w", ErrCorrupt)
	}
	return ids, nil
}

// ParseRecipient reads the text form of a public key: age1…, age1pq…, or that
// of ssh, of kind ssh-ed25519 or ssh-rsa.
func ParseRecipient(s string) (age.Recipient, error) {
	if strings.HasPrefix(s, sshPrefix) {
		r, err := agessh.ParseRecipient(s)
		if err != nil {
			return nil, fmt.Errorf("parse recipient: %w", err)
		}
		return r, nil
	}
	rs, err := age.ParseRecipients(bytes.NewReader([]byte(s)))
	if err != nil {
		return nil, fmt.Errorf("parse recipient: %w", err)
	}
	if len(rs) != 1 {
		return nil, fmt.Errorf("parse recipient: %d recipients, want one", len(rs))
	}
	return rs[0], nil
}

// RecipientOf returns the recipient to which a file must be encrypted for id to
// open it. It works for the identities of ReadIdentityFile.
func RecipientOf(id age.Identity) (age.Recipient, error) {
	switch id := id.(type) {
	case *age.X25519Identity:
		return id.Recipient(), nil
	case *age.HybridIdentity:
		return id.Recipient(), nil
	case *agessh.Ed25519Identity:
		return id.Recipient(), nil
	case *agessh.RSAIdentity:
		return id.Recipient(), nil
	case *lockedKey:
		return id.Recipient(), nil
	}
	return nil, fmt.Errorf("identity %T has no known recipient", id)
}

// PassphraseRecipient returns a recipient that stands for passphrase, by scrypt
// with the work factor that age thinks right. It must be alone in its file.
func PassphraseRecipient(passphrase string) (age.Recipient, error) {
	if passphrase == "" {
		return nil, errors.New("passphrase is empty")
	}
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	return r, nil
}

// PassphraseIdentity returns the identity that opens a file encrypted to
// PassphraseRecipient. Opening takes about a second of one CPU.
func PassphraseIdentity(passphrase string) (age.Identity, error) {
	if passphrase == "" {
		return nil, errors.New("passphrase is empty")
	}
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	return id, nil
}

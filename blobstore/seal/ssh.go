package seal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"
)

// sshPrefix begins the text of the ssh public keys that can be recipients.
// Source: authorized_keys in sshd(8).
const sshPrefix = "ssh-"

// pemPrefix begins a private key of ssh.
const pemPrefix = "-----BEGIN "

// parseSSHIdentity reads a private key of ssh. Ask is called for the passphrase
// of one that has one, once a file is met that it opens.
func parseSSHIdentity(b []byte, ask func() ([]byte, error)) (age.Identity, error) {
	id, err := agessh.ParseIdentity(b)
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		return id, err
	}
	if locked.PublicKey == nil { // a form of old, which does not tell whose it is
		return nil, fmt.Errorf("ssh-keygen -p -f FILE brings it into the form of OpenSSH: %w", err)
	}
	k := &lockedKey{}
	b = bytes.Clone(b)
	k.EncryptedSSHIdentity, err = agessh.NewEncryptedSSHIdentity(locked.PublicKey, b, func() ([]byte, error) {
		passphrase, err := ask()
		if err == nil {
			_, err = ssh.ParseRawPrivateKeyWithPassphrase(b, passphrase)
		}
		k.failed = err
		return passphrase, err
	})
	return k, err
}

// lockedKey is an ssh key with a passphrase. What opens the file is wrong when that is.
type lockedKey struct {
	*agessh.EncryptedSSHIdentity
	failed error // of the passphrase, which age puts into words
}

// Unwrap opens a file, and asks for the passphrase if it is for this key.
func (k *lockedKey) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	k.failed = nil
	key, err := k.EncryptedSSHIdentity.Unwrap(stanzas)
	if k.failed != nil {
		return nil, fmt.Errorf("ssh key: %w: %w", ErrWrongKey, k.failed)
	}
	return key, err
}

// IsSSH reports whether identities are a private key of ssh.
func IsSSH(ids []Identity) bool {
	for _, id := range ids {
		switch id.(type) {
		case *agessh.Ed25519Identity, *agessh.RSAIdentity, *lockedKey:
			return true
		}
	}
	return false
}

// IsKey reports whether text is a public key, as ParseRecipient takes it, and
// not the name of a file with some.
func IsKey(text string) bool {
	return strings.HasPrefix(text, "age1") || strings.HasPrefix(text, sshPrefix)
}

// ReadRecipientFile returns the public keys in the file at path, one a line:
// age1…, or as in a .pub file of ssh. Empty lines and those that begin with # do not count.
func ReadRecipientFile(path string) (all []age.Recipient, err error) {
	b, err := readPublic(path, maxIdentityFile)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		r, err := ParseRecipient(line)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("read %s: no public key", path)
	}
	return all, nil
}

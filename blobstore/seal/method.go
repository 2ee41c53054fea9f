package seal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
)

// Method is one way to open a secret file. For whom an X25519 stanza is, the
// file does not tell.
type Method struct {
	Kind string // type of age's stanza: X25519, scrypt, ssh-ed25519, ssh-rsa, …
	Ours bool   // one of the identities that were tried opens it
}

// Methods returns the ways to open the secret file at path, and tries the
// identities, of which there may be none. Its errors are those of ReadSecret,
// but for ErrWrongKey.
func Methods(path string, identities []age.Identity) ([]Method, error) {
	b, err := readFile(path, maxSecretFile)
	if err != nil {
		return nil, err
	}
	r := &reader{identities: identities}
	_, err = age.Decrypt(bytes.NewReader(b), r)
	if noMatch := (*age.NoIdentityMatchError)(nil); !errors.As(err, &noMatch) {
		return nil, fmt.Errorf("read %s: %w: %w", path, ErrCorrupt, err)
	}
	return r.methods, nil
}

// reader is an identity that opens nothing and looks at all stanzas.
type reader struct {
	identities []age.Identity
	methods    []Method
}

// greaseSuffix ends the types of stanzas that are for nobody. Source: age's specification.
const greaseSuffix = "-grease"

// Unwrap notes the stanzas.
func (r *reader) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if strings.HasSuffix(s.Type, greaseSuffix) {
			continue
		}
		m := Method{Kind: s.Type}
		for _, id := range r.identities {
			key, err := id.Unwrap([]*age.Stanza{s})
			clear(key)
			m.Ours = m.Ours || err == nil
		}
		r.methods = append(r.methods, m)
	}
	return nil, age.ErrIncorrectIdentity
}

package seal_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"filippo.io/age"

	"github.com/walfs/walfs/blobstore/seal"
)

func TestMethods(t *testing.T) {
	_, first, ids := newIdentity(t)
	_, second, _ := newIdentity(t)
	pass, err := seal.PassphraseRecipient("x")
	if err != nil {
		t.Fatal(err)
	}
	pass.(*age.ScryptRecipient).SetWorkFactor(10)
	tests := map[string]struct {
		recipients []seal.Recipient
		ids        []seal.Identity
		want       []seal.Method
	}{
		"ours and another": {append(first, second...), ids, []seal.Method{{Kind: "X25519", Ours: true}, {Kind: "X25519"}}},
		"nothing tried":    {first, nil, []seal.Method{{Kind: "X25519"}}},
		"passphrase":       {[]seal.Recipient{pass}, ids, []seal.Method{{Kind: "scrypt"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secret")
			if err := seal.WriteSecret(path, []byte("x"), tt.recipients); err != nil {
				t.Fatal(err)
			}
			got, err := seal.Methods(path, tt.ids)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
			if err := os.WriteFile(path, []byte("age-encryption.org/v1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := seal.Methods(path, tt.ids); !errors.Is(err, seal.ErrCorrupt) {
				t.Errorf("half a header: %v, %v, want ErrCorrupt", got, err)
			}
		})
	}
}

package seal_test

import (
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/walfs/walfs/blobstore/seal"
)

var errNoPassphrase = errors.New("no passphrase")

// sshKey is a private key of ssh, locked unless the passphrase is empty.
func sshKey(tb testing.TB, passphrase string) []byte {
	tb.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	block, err := ssh.MarshalPrivateKey(key, "ada")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "ada", []byte(passphrase))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

func FuzzParseIdentities(f *testing.F) {
	f.Add([]byte("# public key: age1\nAGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWJ8SS2\n"))
	f.Add(sshKey(f, ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		ids, err := seal.ParseIdentities(b, func() ([]byte, error) { return nil, errNoPassphrase })
		if err != nil {
			if !errors.Is(err, seal.ErrCorrupt) {
				t.Errorf("%v is not ErrCorrupt", err)
			}
			return
		}
		for _, id := range ids {
			if _, err := seal.RecipientOf(id); err != nil {
				t.Errorf("%T: %v", id, err)
			}
		}
	})
}

// FuzzMethods reads any file as one that age has locked.
func FuzzMethods(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "key.age")
	r, err := seal.NewIdentityFile(filepath.Join(dir, "identity.txt"))
	if err != nil {
		f.Fatal(err)
	}
	if err := seal.WriteSecret(path, []byte("secret"), []seal.Recipient{r}); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	ids, err := seal.ReadIdentityFile(filepath.Join(dir, "identity.txt"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		methods, err := seal.Methods(path, ids)
		if err != nil && (!errors.Is(err, seal.ErrCorrupt) || methods != nil) {
			t.Errorf("%v, %v", methods, err)
		}
		if _, err := seal.ReadSecret(path, ids); err != nil && !errors.Is(err, seal.ErrCorrupt) && !errors.Is(err, seal.ErrWrongKey) {
			t.Errorf("read: %v", err)
		}
	})
}

// TestLockedSSHKey opens a file with an ssh key that has a passphrase, which
// is asked for once, and only when the file is for that key.
func TestLockedSSHKey(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "id")
	if err := os.WriteFile(path, sshKey(t, "secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	asked, passphrase := 0, "secret"
	read := func() []seal.Identity {
		ids, err := seal.ReadIdentityFile(path, func() ([]byte, error) {
			asked++
			return []byte(passphrase), nil
		})
		if err != nil || !seal.IsSSH(ids) {
			t.Fatalf("%v, %v", ids, err)
		}
		return ids
	}
	ids := read()
	r, err := seal.RecipientOf(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	other, err := seal.NewIdentityFile(filepath.Join(dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(seal.WriteSecret(ours, []byte("x"), []seal.Recipient{r}), seal.WriteSecret(theirs, []byte("x"), []seal.Recipient{other})); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.ReadSecret(theirs, ids); !errors.Is(err, seal.ErrWrongKey) || asked != 0 {
		t.Errorf("a file for another: %v, asked %d times", err, asked)
	}
	for range 2 {
		if b, err := seal.ReadSecret(ours, ids); err != nil || string(b) != "x" || asked != 1 {
			t.Errorf("%q, %v, asked %d times", b, err, asked)
		}
	}
	passphrase = "guess"
	if _, err := seal.ReadSecret(ours, read()); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("with a wrong passphrase: %v", err)
	}
}

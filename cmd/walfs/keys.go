package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// unlock says what opens the keys of a drive: the identity file beside them unless a flag says otherwise.
type unlock struct {
	identity       string
	passphraseFile string
	passphraseFD   int
	passphrase     string // once it was read
}

func (u *unlock) flags(set *pflag.FlagSet) {
	set.StringVar(&u.identity, "identity", "", "age identity `FILE` that opens the drive's keys (default: identity.txt in the state folder)")
	set.StringVar(&u.passphraseFile, "passphrase-file", "", "`FILE` whose first line is the passphrase of the drive's keys")
	set.IntVar(&u.passphraseFD, "passphrase-fd", -1, "open file `N` whose first line is the passphrase")
}

// byPassphrase reports whether the flags ask for one.
func (u *unlock) byPassphrase() bool {
	return u.passphrase != "" || u.passphraseFile != "" || u.passphraseFD >= 0
}

// identities returns what opens the key files of h.
func (u *unlock) identities(ctx context.Context, say *ui.UI, h home, c config) ([]seal.Identity, error) {
	file := u.identity
	if file == "" && !u.byPassphrase() {
		file = c.identityFile(h)
	}
	if file != "" {
		ids, err := seal.ReadIdentityFile(file)
		if err != nil {
			return nil, ui.Errorf(ui.WrongKey, "identity: %w", err)
		}
		return ids, nil
	}
	if err := u.readPassphrase(ctx, say); err != nil {
		return nil, err
	}
	id, err := seal.PassphraseIdentity(u.passphrase)
	if err != nil {
		return nil, ui.Errorf(ui.WrongKey, "%w", err)
	}
	return []seal.Identity{id}, nil
}

// readPassphrase reads the passphrase once, from where the flags say, else from the terminal.
func (u *unlock) readPassphrase(ctx context.Context, say *ui.UI) (err error) {
	switch {
	case u.passphrase != "":
		return nil
	case u.passphraseFile != "":
		f, err := os.Open(u.passphraseFile)
		if err != nil {
			return ui.Errorf(ui.WrongKey, "passphrase: %w", err)
		}
		return u.firstLine(f)
	case u.passphraseFD >= 0:
		return u.firstLine(os.NewFile(uintptr(u.passphraseFD), "passphrase"))
	}
	u.passphrase, err = say.Passphrase(ctx, "passphrase of the drive")
	return err
}

// maxPassphrase is how much of a passphrase file is read, in bytes.
const maxPassphrase = 4096

func (u *unlock) firstLine(f *os.File) error {
	text, err := io.ReadAll(io.LimitReader(f, maxPassphrase))
	if err = errors.Join(err, f.Close()); err != nil {
		return ui.Errorf(ui.WrongKey, "passphrase: %w", err)
	}
	u.passphrase, _, _ = strings.Cut(string(text), "\n")
	u.passphrase = strings.TrimSuffix(u.passphrase, "\r")
	if u.passphrase == "" {
		return ui.Errorf(ui.WrongKey, "passphrase is empty")
	}
	return nil
}

// newPassphrase asks twice, unless the flags say where the passphrase stands.
func (u *unlock) newPassphrase(ctx context.Context, say *ui.UI) (err error) {
	if u.byPassphrase() {
		return u.readPassphrase(ctx, say)
	}
	u.passphrase, err = say.NewPassphrase(ctx, "new passphrase of the drive")
	return err
}

// keys is what a drive's owner has: the drive keys and the wallet.
type keys struct {
	drive  [16]byte
	ring   *seal.Keyring
	wallet *sui.Wallet
}

// openKeys reads key file and wallet.
func openKeys(keyFile, walletFile string, ids []seal.Identity) (keys, error) {
	file, err := seal.ReadKeyFile(keyFile, ids)
	if err != nil {
		return keys{}, keyError(keyFile, err)
	}
	ring, err := file.Keyring()
	if err != nil {
		return keys{}, fmt.Errorf("%s: %w", keyFile, err)
	}
	text, err := seal.ReadSecret(walletFile, ids)
	if err != nil {
		return keys{}, keyError(walletFile, err)
	}
	defer clear(text)
	wallet, err := sui.WalletFromText(strings.TrimSpace(string(text)))
	if err != nil {
		return keys{}, fmt.Errorf("%s: %w", walletFile, err)
	}
	return keys{drive: file.Drive, ring: ring, wallet: wallet}, nil
}

func keyError(file string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ui.Errorf(ui.WrongKey, "%s is missing: without it the drive cannot be opened", file).
			WithHint("put it back from where you keep a copy")
	}
	if errors.Is(err, seal.ErrWrongKey) {
		return ui.Errorf(ui.WrongKey, "%w", err).WithHint("--identity, --passphrase-file or --passphrase-fd say what opens it")
	}
	return explain(err)
}

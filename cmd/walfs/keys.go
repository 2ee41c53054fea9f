package main

import (
	"context"
	"errors"
	"fmt"
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
	identity string
	pass     passphrase
}

func (u *unlock) flags(set *pflag.FlagSet) {
	set.StringVar(&u.identity, "identity", "", "`FILE` with an age identity or a private ssh key that opens the drive's keys (default: identity.txt in the state folder)")
	u.pass.flags(set, "", "the drive's keys")
}

// file returns the identity file that opens the key files of h, or "" when a passphrase does.
func (u *unlock) file(h home, c config) string {
	if u.identity != "" || u.pass.given() {
		return u.identity
	}
	return c.identityFile(h)
}

// identities returns what opens the key files of h.
func (u *unlock) identities(ctx context.Context, say *ui.UI, h home, c config) ([]seal.Identity, error) {
	if file := u.file(h, c); file != "" {
		return u.readIdentities(ctx, say, file)
	}
	if err := u.pass.read(ctx, say.Passphrase, "passphrase of the drive"); err != nil {
		return nil, err
	}
	id, err := seal.PassphraseIdentity(u.pass.text)
	if err != nil {
		return nil, ui.Errorf(ui.WrongKey, "%w", err)
	}
	return []seal.Identity{id}, nil
}

// readIdentities reads an identity file. The passphrase of one that is locked itself comes
// from where that of the drive would.
func (u *unlock) readIdentities(ctx context.Context, say *ui.UI, file string) ([]seal.Identity, error) {
	ids, err := seal.ReadIdentityFile(file, func() ([]byte, error) {
		err := u.pass.read(ctx, say.Passphrase, "passphrase of "+file)
		return []byte(u.pass.text), err
	})
	if err != nil {
		wrong := ui.Errorf(ui.WrongKey, "identity: %w", err)
		if errors.Is(err, seal.ErrPermissions) {
			wrong = wrong.WithHint("others may have read this file; if not, close it with chmod 600")
		}
		return nil, wrong
	}
	return ids, nil
}

// readRecipients reads public keys, or the files that hold them.
func readRecipients(given []string) (all []seal.Recipient, err error) {
	for _, text := range given {
		var some []seal.Recipient
		if seal.IsKey(text) {
			some = make([]seal.Recipient, 1)
			some[0], err = seal.ParseRecipient(text)
		} else {
			some, err = seal.ReadRecipientFile(text)
		}
		if err != nil {
			return nil, ui.Errorf(ui.Usage, "--recipient: %w", err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// keys is what a drive's owner has: the drive keys and the wallet.
type keys struct {
	drive  [16]byte
	ring   *seal.Keyring
	wallet *sui.Wallet
}

// file returns what a key file of k holds.
func (k keys) file() seal.KeyFile { return seal.KeyFile{Drive: k.drive, Keys: k.ring.Keys()} }

// openKeys reads key file and wallet.
func openKeys(p keyPair, ids []seal.Identity) (keys, error) {
	file, err := seal.ReadKeyFile(p.key, ids)
	if err != nil {
		return keys{}, keyError(p.key, err)
	}
	ring, err := file.Keyring()
	if err != nil {
		return keys{}, fmt.Errorf("%s: %w", p.key, err)
	}
	text, err := seal.ReadSecret(p.wallet, ids)
	if err != nil {
		return keys{}, keyError(p.wallet, err)
	}
	defer clear(text)
	wallet, err := sui.WalletFromText(strings.TrimSpace(string(text)))
	if err != nil {
		return keys{}, fmt.Errorf("%s: %w", p.wallet, err)
	}
	return keys{drive: file.Drive, ring: ring, wallet: wallet}, nil
}

// there reports which file of p is missing, before anybody is asked for what opens it.
func (p keyPair) there() error {
	for _, file := range []string{p.key, p.wallet} {
		if _, err := os.Stat(file); err != nil {
			return keyError(file, err)
		}
	}
	return nil
}

func keyError(file string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ui.Errorf(ui.WrongKey, "%s is missing: without it the drive cannot be opened", file).
			WithHint("put it back from where you keep a copy; there is one in the folder drive of each node's folder, too")
	}
	if errors.Is(err, seal.ErrCorrupt) {
		return ui.Errorf(ui.Failed, "%w", err).WithHint("put it back from a copy: of walfs key export, or from the folder drive in the folder of any node")
	}
	if errors.Is(err, seal.ErrWrongKey) {
		return ui.Errorf(ui.WrongKey, "%w", err).WithHint("--identity, --passphrase-file, -fd or -command say what opens it; walfs key list shows what can")
	}
	return explain(err)
}

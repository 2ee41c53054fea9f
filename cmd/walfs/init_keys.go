package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// firstKey is the number of a new drive's key.
const firstKey = 1

// makeKeys makes the drive key and the wallet that are not there yet, and opens them.
func (a *app) makeKeys(ctx context.Context, h home, c config, recipients []seal.Recipient, b birth) (keys, error) {
	key, err := seal.NewKey(rand.Reader)
	if err != nil {
		return keys{}, err
	}
	file := seal.KeyFile{Drive: b.Drive, Keys: map[uint32]seal.Key{firstKey: key}}
	if err := seal.WriteKeyFile(h.key(), file, recipients); err != nil && !errors.Is(err, fs.ErrExist) {
		return keys{}, fmt.Errorf("drive key: %w", err)
	}
	wallet, err := sui.NewWallet()
	if err != nil {
		return keys{}, err
	}
	if err := seal.WriteSecret(h.wallet(), []byte(wallet.Text()+"\n"), recipients); err != nil && !errors.Is(err, fs.ErrExist) {
		return keys{}, fmt.Errorf("wallet: %w", err)
	}
	ids, err := a.unlock.identities(ctx, a.UI, h, c)
	if err != nil {
		return keys{}, err
	}
	return openKeys(h.pair(firstPair), ids)
}

// recipients returns who can open the keys of the new drive: a passphrase alone, or the
// identity file, which is made beside the keys unless there is one, and others.
func (a *app) recipients(ctx context.Context, h home, c config, o initOptions) ([]seal.Recipient, error) {
	if o.passphrase && a.unlock.identity != "" {
		return nil, usagef("--passphrase and --identity: the keys are locked to the one or the other")
	}
	if o.locked(a.unlock) {
		return a.passphraseRecipient(ctx, o)
	}
	others, err := readRecipients(o.recipients)
	if err != nil {
		return nil, err
	}
	file := c.Identity
	if file == "" {
		file = h.identity()
		if _, err := seal.NewIdentityFile(file); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	ids, err := a.unlock.readIdentities(ctx, a.UI, file)
	if err != nil {
		return nil, err
	}
	var all []seal.Recipient
	for _, id := range ids {
		r, err := seal.RecipientOf(id)
		if err != nil {
			return nil, ui.Errorf(ui.WrongKey, "%s: %w", file, err)
		}
		all = append(all, r)
	}
	return append(all, others...), nil
}

// locked reports whether a passphrase alone is to open the keys.
func (o initOptions) locked(u unlock) bool {
	return u.identity == "" && (o.passphrase || u.pass.given())
}

func (a *app) passphraseRecipient(ctx context.Context, o initOptions) ([]seal.Recipient, error) {
	if len(o.recipients) > 0 {
		return nil, usagef("age does not mix a passphrase with --recipient in one file")
	}
	if err := a.unlock.pass.read(ctx, a.NewPassphrase, "new passphrase of the drive"); err != nil {
		return nil, err
	}
	r, err := recipientOf(a.unlock.pass.text)
	return []seal.Recipient{r}, err
}

package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// walletEnd ends the names of wallet files in the folder of them.
const walletEnd = ".age"

// walletPath returns the file that --wallet names: a path, or the name of a wallet in the state folder.
func (h home) walletPath(name string) string {
	if strings.ContainsRune(name, filepath.Separator) || strings.HasSuffix(name, walletEnd) {
		return name
	}
	return filepath.Join(h.wallets(), name+walletEnd)
}

// openWallet opens the wallet that the flags name, else the drive's.
func (a *app) openWallet(ctx context.Context, f *ledgerFlags) (*sui.Wallet, error) {
	w, _, err := a.openWalletFile(ctx, f)
	return w, err
}

// openWalletFile is openWallet, and tells which file it was.
func (a *app) openWalletFile(ctx context.Context, f *ledgerFlags) (w *sui.Wallet, file string, err error) {
	h, err := a.home()
	if err != nil {
		return nil, "", err
	}
	c, err := loadConfig(h, a.getenv)
	if err != nil {
		return nil, "", err
	}
	if f.wallet != "" {
		file = h.walletPath(f.wallet)
		w, err = a.readWallet(ctx, h, c, file)
		return w, file, err
	}
	if err := a.checkHome(h); err != nil {
		var none *ui.Error
		if errors.As(err, &none) && none.Code == ui.NoDrive {
			none.Hint = "--wallet names a wallet to use without a drive; walfs wallet new makes one"
		}
		return nil, "", err
	}
	ids, err := a.unlock.identities(ctx, a.UI, h, c)
	if err != nil {
		return nil, "", err
	}
	k, p, err := h.openOurs(ids)
	return k.wallet, p.wallet, err
}

// readWallet opens a wallet file with what the flags of walfs name, else with the drive's
// identity, else with a passphrase.
func (a *app) readWallet(ctx context.Context, h home, c config, file string) (*sui.Wallet, error) {
	methods, err := seal.Methods(file, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ui.Errorf(ui.WrongKey, "no wallet at %s", file).WithHint("walfs wallet list shows those of the state folder; walfs wallet new or import makes one")
	}
	if err != nil {
		return nil, err
	}
	opens := a.unlock
	if len(methods) == 1 && methods[0].Kind == "scrypt" { // a passphrase opens it, and nothing else
		opens.identity, c.Identity, h = "", "", home{}
	}
	ids, err := opens.walletIdentities(ctx, a.UI, h, c, file)
	if err != nil {
		return nil, err
	}
	text, err := seal.ReadSecret(file, ids)
	if err != nil {
		return nil, keyError(file, err)
	}
	defer clear(text)
	w, err := sui.WalletFromText(strings.TrimSpace(string(text)))
	return w, wrapf(err, "%s", file)
}

// walletIdentities returns what opens a wallet file; without a home a passphrase does.
func (u *unlock) walletIdentities(ctx context.Context, say *ui.UI, h home, c config, file string) ([]seal.Identity, error) {
	if h.dir != "" {
		return u.identities(ctx, say, h, c)
	}
	if err := u.pass.read(ctx, say.Passphrase, "passphrase of "+file); err != nil {
		return nil, err
	}
	id, err := seal.PassphraseIdentity(u.pass.text)
	if err != nil {
		return nil, ui.Errorf(ui.WrongKey, "%w", err)
	}
	return []seal.Identity{id}, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// walletLock says what a new wallet file is locked to.
type walletLock struct {
	recipients []string
	ask        bool
	pass       passphrase
}

// lockFlags are the names of its flags.
var lockFlags = []string{"recipient", "new-passphrase", "new-passphrase-file", "new-passphrase-fd", "new-passphrase-command"}

func (l *walletLock) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&l.recipients, "recipient", nil, "age or ssh public `KEY`, or a file of them, that opens the new file (default: as the drive's keys)")
	flags.BoolVar(&l.ask, "new-passphrase", false, "ask for a new passphrase at the terminal, which opens the new file")
	l.pass.flags(flags, "new-", "the new file")
	exclusive(cmd, lockFlags...)
}

// madeWallet is what walfs wallet new and import print.
type madeWallet struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	File    string `json:"file"`
	Words   string `json:"words,omitempty"`
}

const newWalletHelp = "NAME is that of a file in the folder wallets of the state folder, or a path. It is locked with age: to the\n" +
	"identity of the drive, where there is one, else to a new passphrase; --recipient and --new-passphrase… choose."

func newWalletNewCommand(a *app) *cobra.Command {
	var l walletLock
	words := 0
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Make another wallet",
		Long: "New makes a random key. " + newWalletHelp + "\n" +
			"With --words it is made of a recovery phrase, which is printed once: who has the words has the money.",
		Args: arguments(1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, phrase, err := randomWallet(words)
			if err != nil {
				return err
			}
			return a.keepWallet(cmd.Context(), args[0], w, phrase, &l)
		},
	}
	cmd.Flags().IntVar(&words, "words", 0, "make it of a recovery phrase of 12 or 24 `N` words, and print that")
	l.flags(cmd)
	return cmd
}

// randomWallet makes a wallet, of a phrase of so many words unless that is 0.
func randomWallet(words int) (w *sui.Wallet, phrase string, err error) {
	if words == 0 {
		w, err = sui.NewWallet()
		return w, "", err
	}
	if phrase, err = sui.NewMnemonic(words); err != nil {
		return nil, "", usagef("--words: %w", err)
	}
	w, err = sui.WalletFromMnemonic(phrase)
	return w, phrase, err
}

// keepWallet writes a new wallet file, reads it back where that can be done, and tells of it.
func (a *app) keepWallet(ctx context.Context, name string, w *sui.Wallet, phrase string, l *walletLock) error {
	h, err := a.home()
	if err != nil {
		return err
	}
	file := absolute(h.walletPath(name))
	if _, err := os.Lstat(file); err == nil {
		return walletThere(file)
	}
	recipients, err := a.walletRecipients(ctx, h, l)
	if err != nil {
		return err
	}
	if filepath.Dir(file) == h.wallets() {
		if err := os.MkdirAll(h.wallets(), 0o700); err != nil {
			return fmt.Errorf("make the folder of wallets: %w", err)
		}
		// Who lists wallets does not open them. A note without a wallet does no harm.
		if err := writeWhole(addressNote(file), []byte(w.Address().String()+"\n")); err != nil {
			return err
		}
	}
	text := []byte(w.Text() + "\n")
	defer clear(text)
	if err := seal.WriteSecret(file, text, recipients); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return walletThere(file)
		}
		return err
	}
	made := madeWallet{Name: walletName(file), Address: w.Address().String(), File: file, Words: phrase}
	return a.result("wallet", made, func() error {
		err := a.Print("%s\n%s", made.Address, made.File)
		if phrase != "" {
			err = errors.Join(err, a.Print("%s", phrase))
			a.Note("write the words down and keep them: they are not shown again, and who has them has the money")
		}
		return err
	})
}

func walletThere(file string) error {
	return ui.Errorf(ui.Failed, "%s is there already", file).WithHint("choose another name")
}

// addressNote is the file beside a wallet that says its address.
func addressNote(file string) string { return strings.TrimSuffix(file, walletEnd) + ".address" }

func walletName(file string) string { return strings.TrimSuffix(filepath.Base(file), walletEnd) }

// walletRecipients returns who can open a new wallet file.
func (a *app) walletRecipients(ctx context.Context, h home, l *walletLock) ([]seal.Recipient, error) {
	if len(l.recipients) > 0 {
		return readRecipients(l.recipients)
	}
	c, err := loadConfig(h, a.getenv)
	if err != nil {
		return nil, err
	}
	file := a.unlock.identity
	if file == "" {
		file = c.identityFile(h)
	}
	if file == "" || l.ask || l.pass.given() {
		recipients, _, err := a.newPassphrase(ctx, &l.pass)
		return recipients, err
	}
	ids, err := a.unlock.readIdentities(ctx, a.UI, file)
	if err != nil {
		return nil, err
	}
	return recipientsOf(file, ids)
}

// recipientsOf returns what the identities of a file open.
func recipientsOf(file string, ids []seal.Identity) (all []seal.Recipient, err error) {
	for _, id := range ids {
		r, err := seal.RecipientOf(id)
		if err != nil {
			return nil, ui.Errorf(ui.WrongKey, "%s: %w", file, err)
		}
		all = append(all, r)
	}
	return all, nil
}

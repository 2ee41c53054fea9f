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
	"github.com/walfs/walfs/cmd/internal/ui"
)

// listedWallet is a line of walfs wallet list.
type listedWallet struct {
	Name    string   `json:"name"` // of --wallet; empty: the drive's
	Address string   `json:"address,omitempty"`
	Opens   []string `json:"opened_by"` // kinds of recipients
	File    string   `json:"file"`
}

func newWalletListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the wallets of the state folder",
		Long: "List shows the wallet of the drive and those that wallet new and import made in the state folder. It opens\n" +
			"none: the addresses are those that were noted when they were made, and wallet address tells the true one.",
		Args: arguments(0),
		RunE: func(*cobra.Command, []string) error {
			list, err := a.listWallets()
			if err != nil {
				return err
			}
			if a.JSON() {
				for _, w := range list {
					if err := a.Emit("wallet", w); err != nil {
						return err
					}
				}
				return nil
			}
			t := a.Table("NAME", "ADDRESS", "OPENED BY", "FILE")
			for _, w := range list {
				name := w.Name
				if name == "" {
					name = "(of the drive)"
				}
				t.Row(name, w.Address, strings.Join(w.Opens, " "), w.File)
			}
			return t.Flush()
		},
	}
}

func (a *app) listWallets() (list []listedWallet, err error) {
	h, err := a.home()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(h.wallets())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("folder of wallets: %w", err)
	}
	files := []string{h.wallet()}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), walletEnd) {
			files = append(files, filepath.Join(h.wallets(), e.Name()))
		}
	}
	for i, file := range files {
		methods, err := seal.Methods(file, nil)
		if i == 0 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		w := listedWallet{File: file}
		for _, m := range methods {
			w.Opens = append(w.Opens, keyMethod{Kind: m.Kind}.name())
		}
		if i > 0 {
			w.Name = walletName(file)
			if note, err := os.ReadFile(addressNote(file)); err == nil {
				w.Address = strings.TrimSpace(string(note))
			}
		}
		list = append(list, w)
	}
	return list, nil
}

// shownSecret is what walfs wallet export --show-secret prints.
type shownSecret struct {
	Address string `json:"address"`
	Secret  string `json:"secret"`
}

func newWalletExportCommand(a *app, f *ledgerFlags) *cobra.Command {
	out, show, yes := "", false, false
	cmd := &cobra.Command{
		Use: "export --out FILE | --show-secret", Short: "Copy a wallet, or print its key",
		Long: "Export with --out copies the locked file. With --show-secret it prints the key, which begins with suiprivkey1\n" +
			"and which wallets of Sui can import: who reads it has the money, and may delete the drive's blobs.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if show {
				return a.showSecret(cmd.Context(), f, yes)
			}
			return a.copyWallet(cmd.Context(), f, absolute(out))
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "copy the locked file to `FILE`")
	cmd.Flags().BoolVar(&show, "show-secret", false, "print the key itself")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask before the key is printed")
	needOne(cmd, "out", "show-secret")
	exclusive(cmd, "out", "show-secret")
	return cmd
}

func (a *app) showSecret(ctx context.Context, f *ledgerFlags, yes bool) error {
	w, err := a.openWallet(ctx, f)
	if err != nil {
		return err
	}
	if !yes {
		if yes, err = a.Confirm(ctx, "print the secret key of "+w.Address().String()+" here, for all who see this screen?"); err != nil {
			return err
		}
		if !yes {
			return ui.Errorf(ui.Failed, "nothing was printed")
		}
	}
	v := shownSecret{w.Address().String(), w.Text()}
	return a.result("secret", v, func() error { return a.Print("%s", v.Secret) })
}

// copyWallet copies a wallet file that can be opened.
func (a *app) copyWallet(ctx context.Context, f *ledgerFlags, out string) error {
	w, file, err := a.openWalletFile(ctx, f)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := writeNew(out, text); err != nil {
		return err
	}
	made := madeWallet{Name: walletName(out), Address: w.Address().String(), File: out}
	return a.result("wallet", made, func() error { return a.Print("%s\n%s", made.Address, made.File) })
}

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// importOptions say where the secret of a wallet comes from.
type importOptions struct {
	file    string
	fd      int
	address string
	lock    walletLock
}

func newWalletImportCommand(a *app) *cobra.Command {
	o := importOptions{fd: -1}
	cmd := &cobra.Command{
		Use: "import NAME", Short: "Take over a key of another program: words, suiprivkey, or a keystore",
		Long: "Import reads a recovery phrase of 12 to 24 words, a key that begins with suiprivkey1, or the text of Sui's\n" +
			"sui.keystore: from --file, from --fd, from standard input when that is no terminal, else it asks, without echo.\n" + newWalletHelp,
		Args: arguments(1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.secretText(cmd.Context(), &o)
			if err != nil {
				return err
			}
			defer clear(text)
			w, err := parseSecret(text, o.address)
			if err != nil {
				return err
			}
			return a.keepWallet(cmd.Context(), args[0], w, "", &o.lock)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.file, "file", "", "read it from `FILE`, which nobody else may read")
	flags.IntVar(&o.fd, "fd", -1, "read it from open file `N`")
	flags.Lookup("fd").DefValue = "0" // which help leaves out, as the default of a number
	flags.StringVar(&o.address, "address", "", "the key of `ADDRESS`, of a keystore with several")
	exclusive(cmd, "file", "fd")
	o.lock.flags(cmd)
	return cmd
}

// maxImport is how much of a secret is read, in bytes.
const maxImport = 1 << 16

// secretText reads the secret.
func (a *app) secretText(ctx context.Context, o *importOptions) ([]byte, error) {
	switch {
	case o.file != "":
		return readPrivate(o.file)
	case o.fd >= 0:
		return readAllOf(os.NewFile(uintptr(o.fd), "secret"))
	}
	if !ui.IsTerminal(os.Stdin) {
		return readAllOf(os.Stdin)
	}
	text, err := a.Passphrase(ctx, "words or suiprivkey1… of the wallet")
	return []byte(text), err
}

func readAllOf(f *os.File) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(f, maxImport))
	if err != nil {
		return nil, ui.Errorf(ui.WrongKey, "read the key: %w", err)
	}
	return text, nil
}

// parseSecret makes a wallet of what another program exports. Errors have nothing of it.
func parseSecret(text []byte, address string) (*sui.Wallet, error) {
	secret := strings.TrimSpace(string(text))
	switch {
	case secret == "":
		return nil, ui.Errorf(ui.WrongKey, "there is no key to import").
			WithHint("give it with --file, --fd or on standard input; on a terminal walfs asks for it")
	case strings.HasPrefix(secret, "["):
		return fromKeystore(secret, address)
	case len(strings.Fields(secret)) > 1:
		w, err := sui.WalletFromMnemonic(secret)
		if err != nil {
			return nil, ui.Errorf(ui.WrongKey, "%w", err).WithHint("compare the words with what you wrote down: they are English, and their order counts")
		}
		return w, nil
	}
	w, err := sui.WalletFromText(secret)
	if err != nil {
		return nil, ui.Errorf(ui.WrongKey, "%w", sui.ErrKey).
			WithHint("want all of a text that begins with suiprivkey1, of an Ed25519 key; one wrong character spoils it")
	}
	return w, nil
}

// fromKeystore picks a key of sui.keystore: a list of base64 of a scheme and a seed.
func fromKeystore(secret, address string) (*sui.Wallet, error) {
	var list []string
	if json.Unmarshal([]byte(secret), &list) != nil {
		return nil, ui.Errorf(ui.WrongKey, "this is no sui.keystore")
	}
	var all []*sui.Wallet
	for _, entry := range list {
		raw, err := base64.StdEncoding.DecodeString(entry)
		if err != nil || len(raw) != 33 || raw[0] != 0 { // 0: Ed25519
			continue
		}
		w, err := sui.WalletFromSeed([32]byte(raw[1:]))
		if err != nil {
			return nil, err
		}
		if address == "" || w.Address().String() == address {
			all = append(all, w)
		}
	}
	if len(all) == 1 {
		return all[0], nil
	}
	err := errors.New("the keystore has no Ed25519 key")
	hint := "walfs works with Ed25519 keys"
	if len(all) > 1 {
		var names []string
		for _, w := range all {
			names = append(names, w.Address().String())
		}
		err, hint = errors.New("the keystore has several keys"), "--address "+strings.Join(names, " or ")
	} else if address != "" {
		err, hint = errors.New("the keystore has no Ed25519 key of that address"), "without --address the command lists those that it has"
	}
	return nil, ui.Errorf(ui.WrongKey, "%w", err).WithHint("%s", hint)
}

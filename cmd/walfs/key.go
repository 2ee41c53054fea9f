package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// newKeyCommand groups what is done with the keys of a drive.
func newKeyCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Export, check and list the drive's keys, and say what opens them",
		Long: "The drive key and the wallet lie in the state folder, in age files: key.age and wallet.age,\n" +
			"and a pair of them for every other way to open the drive. A secret never stands in an\n" +
			"argument: passphrases come from a file, an open file, a command or the terminal.",
		Args: arguments(0), RunE: needSubcommand,
	}
	cmd.AddCommand(newKeyListCommand(a), newKeyVerifyCommand(a), newKeyExportCommand(a), newKeyAddCommand(a), newKeyRemoveCommand(a))
	return cmd
}

// keyWay is a line of key list.
type keyWay struct {
	Name       string      `json:"name"`
	Methods    []keyMethod `json:"methods"`
	KeyFile    string      `json:"key_file"`
	WalletFile string      `json:"wallet_file"`
	Identity   string      `json:"identity,omitempty"` // file that opens it
}

// keyMethod is a recipient of an age file: its kind, and whether what was given opens it.
type keyMethod struct {
	Kind  string `json:"kind"`
	Opens bool   `json:"opens"`
}

func newKeyListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List what opens the drive, and where the files lie",
		Long: "List shows each pair of key file and wallet with the kinds of recipients that open it: an age\n" +
			"key (X25519), a passphrase (scrypt), and so on. Whose age key it is the files do not tell;\n" +
			"a star marks those that the identity at hand opens.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ways, err := a.keyWays(cmd.Context())
			if err != nil {
				return err
			}
			return a.showWays(ways)
		},
	}
}

func (a *app) keyWays(ctx context.Context) ([]keyWay, error) {
	h, c, err := a.keyHome()
	if err != nil {
		return nil, err
	}
	var ids []seal.Identity
	file := a.unlock.file(h, c)
	if file != "" || a.unlock.pass.given() {
		if ids, err = a.unlock.identities(ctx, a.UI, h, c); err != nil {
			return nil, err
		}
	}
	pairs, err := h.pairs()
	if err != nil {
		return nil, err
	}
	var ways []keyWay
	for _, p := range pairs {
		methods, err := seal.Methods(p.key, ids)
		if err != nil {
			return nil, keyError(p.key, err)
		}
		way := keyWay{Name: p.name, KeyFile: p.key, WalletFile: p.wallet, Methods: []keyMethod{}}
		for _, m := range methods {
			way.Methods = append(way.Methods, keyMethod{Kind: m.Kind, Opens: m.Ours})
			if m.Ours {
				way.Identity = file
			}
		}
		ways = append(ways, way)
	}
	return ways, nil
}

// keyHome returns the state folder and its settings. Keys are looked at beside a mount too.
func (a *app) keyHome() (home, config, error) {
	h, err := a.home()
	if err == nil {
		err = a.checkHome(h)
	}
	if err != nil {
		return h, config{}, err
	}
	c, err := loadConfig(h, a.getenv)
	return h, c, err
}

func (a *app) showWays(ways []keyWay) error {
	table := a.Table("NAME", "OPENED BY", "KEY FILE", "WALLET")
	for _, way := range ways {
		if a.JSON() {
			if err := a.Emit("key", way); err != nil {
				return err
			}
			continue
		}
		table.Row(way.Name, way.methods(), way.KeyFile, way.WalletFile)
	}
	return table.Flush()
}

// name is what people call the kind.
func (m keyMethod) name() string {
	if m.Kind == "scrypt" {
		return "passphrase"
	}
	return m.Kind
}

func (w keyWay) methods() string {
	var words []string
	for _, m := range w.Methods {
		word := m.name()
		if m.Opens && w.Identity != "" {
			word += "* (" + w.Identity + ")"
		} else if m.Opens {
			word += "*"
		}
		words = append(words, ui.Clean(word))
	}
	return strings.Join(words, ", ")
}

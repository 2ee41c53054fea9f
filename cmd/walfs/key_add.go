package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// addOptions says who is to open the drive too.
type addOptions struct {
	recipients []string
	name       string
	ask        bool
	pass       passphrase
}

func newKeyAddCommand(a *app) *cobra.Command {
	var o addOptions
	cmd := &cobra.Command{
		Use:   "add --recipient KEY | --new-passphrase…",
		Short: "Let another age or ssh key or a passphrase open the drive too",
		Long: "Add locks drive key and wallet once more, in key-NAME.age and wallet-NAME.age: a pair of files\n" +
			"for each way in, since age does not mix a passphrase with others. The files that are there\n" +
			"stay as they are. The flags without \"new\" say what opens the keys now.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			way, err := a.addKey(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.result("key", way, func() error { return a.Print("%s\n%s", way.KeyFile, way.WalletFile) })
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&o.recipients, "recipient", nil, "age or ssh public `KEY`, or a file of them, that opens the drive; several share the files")
	flags.StringVar(&o.name, "name", "", "`NAME` of the files (default: passphrase, or one made of the key)")
	flags.BoolVar(&o.ask, "new-passphrase", false, "ask for a new passphrase at the terminal")
	o.pass.flags(flags, "new-", "the new files")
	all := []string{"recipient", "new-passphrase", "new-passphrase-file", "new-passphrase-fd", "new-passphrase-command"}
	needOne(cmd, all...)
	exclusive(cmd, all...)
	return cmd
}

func (a *app) addKey(ctx context.Context, o addOptions) (way keyWay, err error) {
	h, c, err := a.keyHome()
	if err != nil {
		return way, err
	}
	recipients, err := readRecipients(o.recipients)
	if err != nil {
		return way, err
	}
	p := h.pair(o.nameOr())
	if err := checkPairName(p.name); err != nil {
		return way, err
	}
	if _, err := os.Lstat(p.key); err == nil {
		return way, ui.Errorf(ui.Failed, "%s is there already", p.key).WithHint("--name gives the files another name")
	}
	k, err := a.openHomeKeys(ctx, h, c)
	if err != nil {
		return way, err
	}
	var ids []seal.Identity
	if recipients == nil {
		if recipients, ids, err = a.newPassphrase(ctx, &o.pass); err != nil {
			return way, err
		}
	}
	if err := p.write(k, recipients); err != nil {
		return way, err
	}
	if way, err = p.check(k, len(recipients), ids); err != nil {
		return way, errors.Join(err, p.remove())
	}
	a.keepKeys(h, c)
	return way, nil
}

// recipientEnd is how many characters of an age key its files are named after.
const recipientEnd = 8

func (o *addOptions) nameOr() string {
	switch {
	case o.name != "":
		return o.name
	case len(o.recipients) == 0:
		return "passphrase"
	}
	first := o.recipients[0]
	if !strings.HasPrefix(first, "age1") { // an ssh key, or a file, has letters that no name has
		sum := sha256.Sum256([]byte(first))
		return hex.EncodeToString(sum[:recipientEnd/2])
	}
	return first[max(0, len(first)-recipientEnd):]
}

// newPassphrase returns a new passphrase in both its roles.
func (a *app) newPassphrase(ctx context.Context, pass *passphrase) ([]seal.Recipient, []seal.Identity, error) {
	if err := pass.read(ctx, a.NewPassphrase, "new passphrase"); err != nil {
		return nil, nil, err
	}
	r, err := recipientOf(pass.text)
	if err != nil {
		return nil, nil, err
	}
	id, err := seal.PassphraseIdentity(pass.text)
	return []seal.Recipient{r}, []seal.Identity{id}, err
}

// write writes the wallet, then the key file, which makes the pair count. A wallet without
// a key file is what an earlier try left.
func (p keyPair) write(k keys, recipients []seal.Recipient) error {
	text := []byte(k.wallet.Text() + "\n")
	defer clear(text)
	if err := seal.ReplaceSecret(p.wallet, text, recipients); err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	if err := seal.WriteKeyFile(p.key, k.file(), recipients); err != nil {
		return fmt.Errorf("drive key: %w", err)
	}
	return nil
}

// check opens the new files where that can be done, else looks for whom they are locked.
func (p keyPair) check(k keys, recipients int, ids []seal.Identity) (way keyWay, err error) {
	way = keyWay{Name: p.name, KeyFile: p.key, WalletFile: p.wallet, Methods: []keyMethod{}}
	for _, file := range []string{p.wallet, p.key} {
		methods, err := seal.Methods(file, nil)
		if err == nil && len(methods) != recipients {
			err = fmt.Errorf("%s: locked to %d recipients, want %d", file, len(methods), recipients)
		}
		if err != nil {
			return way, err
		}
		way.Methods = way.Methods[:0]
		for _, m := range methods {
			way.Methods = append(way.Methods, keyMethod{Kind: m.Kind})
		}
	}
	if ids == nil {
		return way, nil
	}
	back, err := openKeys(p, ids)
	if err == nil {
		err = sameAs(back, k)
	}
	return way, wrapf(err, "read the new files back")
}

// remove deletes the key file first: what is left of a pair does not count.
func (p keyPair) remove() error {
	for _, file := range []string{p.key, p.wallet} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func newKeyRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a way to open the drive away",
		Long: "Remove deletes a pair of files that walfs key list shows, if the identity or passphrase at hand\n" +
			"opens another one. It does not take back what somebody knows: who has opened the drive may\n" +
			"have kept the drive key, and exported copies stay good.",
		Args: arguments(1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.removeKey(cmd.Context(), args[0]) },
	}
}

func (a *app) removeKey(ctx context.Context, name string) error {
	h, c, err := a.keyHome()
	if err != nil {
		return err
	}
	pairs, err := h.pairs()
	if err != nil {
		return err
	}
	at := slices.IndexFunc(pairs, func(p keyPair) bool { return p.name == name })
	if at < 0 {
		return ui.Errorf(ui.Failed, "no keys named %q", name).WithHint("%s key list shows them", a.self)
	}
	gone := pairs[at]
	rest := slices.Delete(slices.Clone(pairs), at, at+1)
	if len(rest) == 0 {
		return ui.Errorf(ui.Failed, "these are the only keys of the drive").WithHint("%s key add makes another way in", a.self)
	}
	ids, err := a.unlock.identities(ctx, a.UI, h, c)
	if err != nil {
		return err
	}
	if _, _, err := openAny(rest, ids); err != nil {
		return ui.Errorf(ui.WrongKey, "what is given opens none of the keys that would be left: %w", err).
			WithHint("--identity, --passphrase-file, -fd or -command with what you will open the drive with")
	}
	if err := gone.remove(); err != nil {
		return err
	}
	if err := syncFolder(h.dir); err != nil {
		return err
	}
	a.keepKeys(h, c)
	return nil
}

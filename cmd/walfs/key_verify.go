package main

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/cmd/internal/control"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/index"
)

// verifyOptions names a copy to look at; empty: the keys in the state folder.
type verifyOptions struct {
	key    string
	wallet string
	sheet  string
}

// verified is what key verify prints. What could not be compared is missing.
type verified struct {
	Drive      string   `json:"drive"` // that the keys are of
	Keys       []uint32 `json:"keys"`  // numbers
	Address    string   `json:"address"`
	SameDrive  *bool    `json:"same_drive,omitempty"`
	SameKeys   *bool    `json:"same_keys,omitempty"`
	SameWallet *bool    `json:"same_wallet,omitempty"`
}

func newKeyVerifyCommand(a *app) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify [--key-file FILE [--wallet-file FILE] | --sheet FILE]",
		Short: "Open the keys, or a copy of them, and say whether they are of this drive",
		Long: "Verify opens the keys in the state folder, or the copy that the flags name, with the identity or\n" +
			"passphrase at hand, and compares them with this drive. Without a drive it says whose they are.\n" +
			"It exits with 12 when they do not open or belong to another drive.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := a.verifyKeys(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := a.result("key", v, func() error { return a.showVerified(v) }); err != nil {
				return err
			}
			return v.err()
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.key, "key-file", "", "`FILE` with the drive key")
	flags.StringVar(&o.wallet, "wallet-file", "", "`FILE` with the wallet (default: wallet… beside the key file)")
	flags.StringVar(&o.sheet, "sheet", "", "recovery sheet `FILE`")
	exclusive(cmd, "sheet", "key-file")
	exclusive(cmd, "sheet", "wallet-file")
	return cmd
}

func (a *app) verifyKeys(ctx context.Context, o verifyOptions) (v verified, err error) {
	h, err := a.home()
	if err != nil {
		return v, err
	}
	here := h.exists()
	if here || o.key == "" && o.wallet == "" && o.sheet == "" {
		if err := a.checkHome(h); err != nil {
			return v, err
		}
	}
	c, err := loadConfig(h, a.getenv)
	if err != nil {
		return v, err
	}
	k, err := a.openCopy(ctx, h, c, o)
	if err != nil {
		return v, err
	}
	v = verified{
		Drive: hex.EncodeToString(k.drive[:]), Keys: slices.Sorted(maps.Keys(k.ring.Keys())),
		Address: k.wallet.Address().String(),
	}
	if !here {
		return v, nil
	}
	drive, err := a.driveID(ctx, h)
	if err != nil {
		return v, err
	}
	same := drive == v.Drive
	v.SameDrive = &same
	if o.key == "" && o.sheet == "" && o.wallet == "" {
		return v, nil
	}
	a.compare(ctx, h, c, k, &v)
	return v, nil
}

// openCopy opens what the flags name.
func (a *app) openCopy(ctx context.Context, h home, c config, o verifyOptions) (keys, error) {
	if o.sheet != "" {
		return openSheet(o.sheet)
	}
	p := keyPair{key: o.key, wallet: o.wallet}
	if p.key == "" {
		p.key = h.key()
	}
	if p.wallet == "" {
		p.wallet = walletBeside(p.key)
	}
	ours := o.key == "" && o.wallet == ""
	if !ours {
		if err := p.there(); err != nil {
			return keys{}, err
		}
	}
	ids, err := a.unlock.identities(ctx, a.UI, h, c)
	if err != nil {
		return keys{}, err
	}
	if ours {
		k, _, err := h.openOurs(ids)
		return k, err
	}
	return openKeys(p, ids)
}

// compare compares a copy with the keys in h, where these open without another question.
func (a *app) compare(ctx context.Context, h home, c config, k keys, v *verified) {
	if a.unlock.file(h, c) == "" && !a.unlock.pass.given() {
		return
	}
	ids, err := a.unlock.identities(ctx, a.UI, h, c)
	if err != nil {
		return
	}
	ours, _, err := h.openOurs(ids)
	if err != nil {
		a.Note("the keys in %s do not open with what opened the copy, and were not compared", h.dir)
		return
	}
	sameKeys := subtle.ConstantTimeCompare(ours.file().Encode(), k.file().Encode()) == 1
	sameWallet := ours.wallet.Address() == k.wallet.Address()
	v.SameKeys, v.SameWallet = &sameKeys, &sameWallet
}

// driveID asks the mount, else the index, which drive this is.
func (a *app) driveID(ctx context.Context, h home) (id string, err error) {
	client, err := control.Dial(ctx, h.dir)
	if err == nil {
		var s status
		err = client.Call(ctx, opStatus, nothing{}, nil, &s)
		return s.Drive, errors.Join(err, client.Close())
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return "", err
	}
	lock, err := takeLock(ctx, h)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	db, err := index.Open(ctx, index.Config{Path: h.index(), Log: a.logTo(h)})
	if err != nil {
		return "", fmt.Errorf("open index: %w", err)
	}
	about, err := db.Drive(ctx)
	return hex.EncodeToString(about.ID[:]), errors.Join(err, db.Close())
}

func (a *app) showVerified(v verified) error {
	numbers := make([]string, len(v.Keys))
	for i, n := range v.Keys {
		numbers[i] = fmt.Sprint(n)
	}
	err := a.Print("drive      %s\nkeys       number %s\nwallet     %s", v.Drive, strings.Join(numbers, ", "), v.Address)
	for _, part := range v.parts() {
		if err == nil && part.same != nil {
			err = a.Print("%-10s %s", part.name, map[bool]string{true: "of this drive", false: "NOT of this drive"}[*part.same])
		}
	}
	return err
}

// part is what was compared, under the name that people read.
type part struct {
	name string
	same *bool
}

func (v verified) parts() []part {
	return []part{{"drive ID", v.SameDrive}, {"drive key", v.SameKeys}, {"wallet key", v.SameWallet}}
}

func (v verified) err() error {
	for _, part := range v.parts() {
		if part.same != nil && !*part.same {
			return ui.Errorf(ui.WrongKey, "the %s is not that of this drive", part.name).
				WithHint("--home names the state folder to compare with")
		}
	}
	return nil
}

// openSheet reads a recovery sheet.
func openSheet(file string) (keys, error) {
	text, err := readPrivate(file)
	if err != nil {
		return keys{}, err
	}
	defer clear(text)
	return readSheet(text)
}

// maxSheet is how long the file of a recovery sheet may be, in bytes.
const maxSheet = 1 << 20

// readPrivate reads a file with a secret in the clear, which others may have no right on.
func readPrivate(file string) (text []byte, err error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO must not block
	if err != nil {
		return nil, ui.Errorf(ui.WrongKey, "%w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, ui.Errorf(ui.WrongKey, "%s is not a regular file", file)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s: mode is %04o, want 0600: %w", file, info.Mode().Perm(), seal.ErrPermissions)
	case info.Size() > maxSheet:
		return nil, ui.Errorf(ui.WrongKey, "%s is longer than %s", file, ui.Size(maxSheet))
	}
	return io.ReadAll(io.LimitReader(f, maxSheet))
}

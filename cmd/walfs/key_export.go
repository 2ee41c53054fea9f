package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/cmd/internal/control"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// exportOptions says in which form the keys go out.
type exportOptions struct {
	out   string
	sheet string
}

// exportedKeys is what key export prints.
type exportedKeys struct {
	Drive string   `json:"drive"`
	Form  string   `json:"form"` // "folder" or "sheet"
	Files []string `json:"files"`
}

func newKeyExportCommand(a *app) *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export --out DIR | --sheet FILE",
		Short: "Copy the keys to another place, or write a recovery sheet to print",
		Long: "Export with --out copies the locked key files into DIR, and beside them the identity that opens\n" +
			"them, if one does. With --sheet it writes a text to be printed that holds drive key and wallet\n" +
			"in a form that can be typed back; walfs restore --sheet reads it. Either way who has the copy\n" +
			"can open the drive. What is written is read back before the command says that it is done.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := a.exportKeys(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.result("export", e, func() error { return a.showExported(e) })
		},
	}
	cmd.Flags().StringVar(&o.out, "out", "", "`DIR` for copies of the key files")
	cmd.Flags().StringVar(&o.sheet, "sheet", "", "new `FILE` for a recovery sheet; it is not locked")
	needOne(cmd, "out", "sheet")
	exclusive(cmd, "out", "sheet")
	return cmd
}

func (a *app) showExported(e exportedKeys) error {
	for _, file := range e.Files {
		if err := a.Print("%s", file); err != nil {
			return err
		}
	}
	if e.Form == "sheet" {
		a.Note("print it, then delete the file: who reads it can open the drive")
	} else {
		a.Note("keep it where only you can get at it, and not on this machine alone")
	}
	return nil
}

func (a *app) exportKeys(ctx context.Context, o exportOptions) (e exportedKeys, err error) {
	h, c, err := a.keyHome()
	if err != nil {
		return e, err
	}
	if err := a.checkOutside(ctx, h, o.out+o.sheet); err != nil {
		return e, err
	}
	ids, err := a.unlock.identities(ctx, a.UI, h, c)
	if err != nil {
		return e, err
	}
	k, _, err := h.openOurs(ids)
	if err != nil {
		return e, err
	}
	e = exportedKeys{Drive: hex.EncodeToString(k.drive[:])}
	if o.sheet != "" {
		e.Form, e.Files = "sheet", []string{absolute(o.sheet)}
		err = writeSheet(o.sheet, k, c.networkFolder(h))
	} else {
		e.Form = "folder"
		identity := a.unlock.file(h, c)
		if seal.IsSSH(ids) { // it opens more than this drive, and has copies of its own
			identity = ""
		}
		e.Files, err = copyKeys(h, absolute(o.out), identity)
		if err == nil {
			err = a.checkCopies(ctx, e.Files, ids, k)
		}
	}
	if err != nil {
		return e, err
	}
	if err := noteExport(h, e.Form); err != nil {
		return e, err
	}
	a.keepKeys(h, c)
	return e, nil
}

// checkOutside refuses a place that would be lost together with the drive.
func (a *app) checkOutside(ctx context.Context, h home, place string) error {
	if inside(h.dir, absolute(place)) {
		return usagef("%s lies inside the state folder, with which it would be lost", place)
	}
	client, err := control.Dial(ctx, h.dir)
	if errors.Is(err, control.ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	var s status
	if err := errors.Join(client.Call(ctx, opStatus, nothing{}, nil, &s), client.Close()); err != nil {
		return err
	}
	if s.Mountpoint != "" && inside(s.Mountpoint, absolute(place)) {
		return usagef("%s lies inside the drive, which cannot be opened without the keys", place)
	}
	return nil
}

// writeSheet writes a recovery sheet and reads it back.
func writeSheet(file string, k keys, network string) error {
	page := sheetPage(k, network, "walfs", time.Now().Format(time.DateOnly))
	defer clear(page)
	if err := writeNew(file, page); err != nil {
		return err
	}
	back, err := openSheet(file)
	if err == nil {
		err = sameAs(back, k)
	}
	return wrapf(err, "read %s back", file)
}

// sameAs wants a copy to hold what k holds.
func sameAs(back, k keys) error {
	if string(back.file().Encode()) != string(k.file().Encode()) || back.wallet.Text() != k.wallet.Text() {
		return errors.New("the copy differs from the keys")
	}
	return nil
}

// copyKeys copies all pairs and the identity file, if there is one, and returns the copies.
func copyKeys(h home, dir, identity string) (copies []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for the copies: %w", err)
	}
	pairs, err := h.pairs()
	if err != nil {
		return nil, err
	}
	var files []string
	for _, p := range pairs {
		files = append(files, p.key, p.wallet)
	}
	if identity != "" {
		files = append(files, identity)
	}
	for _, file := range files {
		to := filepath.Join(dir, filepath.Base(file))
		text, err := os.ReadFile(file)
		if err == nil {
			err = writeNew(to, text)
			clear(text)
		}
		if err != nil {
			return nil, err
		}
		copies = append(copies, to)
	}
	return copies, syncFolder(dir)
}

// checkCopies opens the copies as they lie there.
func (a *app) checkCopies(ctx context.Context, copies []string, ids []seal.Identity, k keys) error {
	var pairs []keyPair
	for i := 0; i+1 < len(copies); i += 2 {
		pairs = append(pairs, keyPair{key: copies[i], wallet: copies[i+1]})
	}
	if len(copies)%2 != 0 { // the identity
		var err error
		if ids, err = a.unlock.readIdentities(ctx, a.UI, copies[len(copies)-1]); err != nil {
			return err
		}
	}
	back, _, err := openAny(pairs, ids)
	if err == nil {
		err = sameAs(back, k)
	}
	return wrapf(err, "read the copies back")
}

// writeNew writes a new file with mode 0600 that is durable on return. A file that is there
// must have the same content already.
func writeNew(path string, b []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if old, bad := readPrivate(path); bad == nil && string(old) == string(b) {
			return nil
		}
		return ui.Errorf(ui.Failed, "%s is there already, and is something else", path).WithHint("name a new place")
	}
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(path)))
	}
	return syncFolder(filepath.Dir(path))
}

// export is what the state folder remembers of the last key export.
type export struct {
	Time time.Time `json:"time"`
	Form string    `json:"form"`
}

func noteExport(h home, form string) error {
	text, err := json.Marshal(export{Time: time.Now().UTC().Truncate(time.Second), Form: form})
	if err != nil {
		return fmt.Errorf("note the export: %w", err)
	}
	return writeWhole(h.exported(), text)
}

// keysExported reports whether the keys were ever exported.
func (h home) keysExported() bool {
	_, err := os.Lstat(h.exported())
	return err == nil
}

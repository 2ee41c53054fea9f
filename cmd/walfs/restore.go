package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// restoreOptions says where the keys and the network of the drive are.
type restoreOptions struct {
	network string
	key     string
	wallet  string
	sheet   string
	text    string // of at
	at      keep.At
	read    bool // only

	nodeDirs    []string // node folders that survived; then there is no network folder yet
	newNodeDirs []string // for the nodes that have none
	kept        string   // folder with copies of the keys, in one of them

	takeoverOptions // loss: also of what stands behind the damage of the best log
}

func newRestoreCommand(a *app) *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use:   "restore (--network DIR | --node-dir DIR...) [--key-file FILE [--wallet FILE] | --sheet FILE]",
		Short: "Rebuild a drive from ledger, nodes and keys in a new state folder",
		Long: "Restore makes a state folder from the newest certified generation of a drive. The network\n" +
			"folder is used where it is, and --key-file or --sheet says where the keys are. Where that folder\n" +
			"is lost too, --node-dir names node folders that are left, or folders that hold some: they have\n" +
			"copies of the ledger and of the locked keys, which --identity, a passphrase or --sheet opens.\n" +
			"With ten nodes any four will do; those that are missing get new folders, which a mount fills\n" +
			"from the others. The old state folder cannot be used any more then.\n\n" +
			"Keys from a recovery sheet are locked anew: to an identity file in the state folder, or to the\n" +
			"passphrase that the flags give.\n\n" +
			"The drive stays with the machine that writes it, and what is restored can be mounted and read.\n" +
			"With --take-over, and always with --node-dir, this machine becomes the drive's writer: the one\n" +
			"before, if it still runs, turns read-only. walfs takeover does that later; on a terminal restore asks.\n\n" +
			"A generation that cannot be read is passed over. What was restored is then to be read only,\n" +
			"unless --accept-loss goes on from there. Of what stands above it files are brought back that\n" +
			"are told whole, under their names, or in lost+found by number where the name or the folder is\n" +
			"not known; so is what newer generations took a name from. The report says what is uncertain,\n" +
			"and what is missing.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := a.restore(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := a.result("restore", r, func() error { return a.showRestored(r) }); err != nil {
				return err
			}
			return r.err(a)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.network, "network", "", "network `DIR` with the ledger and the nodes of the drive")
	flags.StringVar(&o.key, "key-file", "", "`FILE` with the drive key (key.age)")
	flags.StringVar(&o.wallet, "wallet", "", "`FILE` with the wallet (default: wallet… beside the key file)")
	flags.StringVar(&o.sheet, "sheet", "", "recovery sheet `FILE`, as key export --sheet wrote it or typed from paper")
	flags.StringVar(&o.text, "at", "", "older `GENERATION`, or the last one before a TIME such as 2026-03-01 or \"2026-03-01 14:30\"; only to be read")
	flags.BoolVar(&o.read, "read-only", false, "leave the drive to its writer, and do not ask")
	flags.BoolVar(&o.take, "take-over", false, "make this machine the drive's writer; the one before turns read-only")
	o.takeoverOptions.flags(flags)
	flags.StringArrayVar(&o.nodeDirs, "node-dir", nil, "node folder `DIR` that is left, or a folder that holds some; may be repeated")
	flags.StringArrayVar(&o.newNodeDirs, "new-node-dir", nil, "`DIR` for nodes whose folders are lost (default: in the state folder); several share them")
	needOne(cmd, "network", "node-dir")
	needOne(cmd, "key-file", "sheet", "node-dir")
	exclusive(cmd, "network", "node-dir")
	exclusive(cmd, "network", "new-node-dir")
	exclusive(cmd, "take-over", "read-only")
	exclusive(cmd, "take-over", "at")
	for _, other := range []string{"at", "read-only"} {
		exclusive(cmd, "node-dir", other) // who has only node folders has no writer to leave the drive to
	}
	exclusive(cmd, "key-file", "sheet")
	exclusive(cmd, "wallet", "sheet")
	return cmd
}

func (a *app) restore(ctx context.Context, o restoreOptions) (r restored, err error) {
	if o.at, err = parseAt(o.text); err != nil {
		return r, err
	}
	o.take = o.take || len(o.nodeDirs) > 0 // there is no other place where it could be written
	if err := o.check(); err != nil {
		return r, err
	}
	h, err := a.home()
	if err != nil {
		return r, err
	}
	if _, err := os.Lstat(h.index()); err == nil {
		return r, ui.Errorf(ui.Failed, "there is a drive in %s already", h.dir).
			WithHint("name a new folder with --home; %s takeover brings a drive that was restored before up to date", a.self)
	}
	if !holdsNoFile(h.staging()) {
		return r, ui.Errorf(ui.Failed, "the drive in %s has lost its index, and has files in its staging folder that may be stored nowhere else", h.dir).
			WithHint("%s check --repair makes the index anew and keeps them; or name a new folder with --home", a.self)
	}
	left, err := a.source(o)
	if err != nil {
		return r, err
	}
	if o.wallet == "" {
		o.wallet = walletBeside(o.key)
	}
	var typed keys
	if o.sheet != "" {
		if typed, err = openSheet(o.sheet); err != nil {
			return r, err
		}
	} else if o.key != "" { // before there is anything in the state folder
		if err := a.openGiven(ctx, h, o); err != nil {
			return r, err
		}
	} else {
		if _, o.kept, err = a.survivingKeys(ctx, h, left); err != nil {
			return r, err
		}
	}
	if err := h.make(); err != nil {
		return r, err
	}
	lock, err := takeLock(ctx, h)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	begun, err := h.secrets()
	if err != nil {
		return r, err
	}
	kept := false // whether what was brought in has to stay
	defer func() {
		if err != nil && !kept {
			err = errors.Join(err, h.dropSecrets(begun))
		}
	}()
	c, err := a.adopt(ctx, h, o, typed)
	if err != nil {
		return r, err
	}
	k, err := a.openHomeKeys(ctx, h, c)
	if err != nil {
		return r, err
	}
	if o.sheet != "" {
		if err := sameAs(k, typed); err != nil {
			return r, ui.Errorf(ui.WrongKey, "%s holds other keys than the sheet", h.dir).WithHint("name a new folder with --home")
		}
	}
	if left != nil {
		kept = true
		if err := errors.Join(a.adoptNodes(h, c, k, left, o), noteSurvival(h, o)); err != nil {
			return r, err
		}
	}
	report, lost, err := a.replay(ctx, h, c, k, o)
	if err != nil {
		kept = kept || h.missing() == nil
		return r, err
	}
	if left == nil && (o.sheet != "" || isExport(o.key)) {
		if err := noteSurvival(h, o); err != nil {
			return r, err
		}
	}
	r = newRestored(h, report)
	r.Problems = append(r.Problems, lost...)
	if !r.ReadOnly {
		a.keepKeys(h, c)
	}
	if left != nil {
		r.survived(left)
	}
	return r, nil
}

// source looks at what the drive is to be restored from: a network folder, for
// which it returns nil, or node folders.
func (a *app) source(o restoreOptions) (*embedded.Survivors, error) {
	if len(o.nodeDirs) > 0 {
		return a.findSurvivors(o)
	}
	if _, err := os.Stat(filepath.Join(o.network, "network.json")); err != nil {
		return nil, ui.Errorf(ui.NoDrive, "no network in %s: %w", o.network, err).
			WithHint("--network names the folder with network.json in it, %q in a state folder; --node-dir restores from node folders alone", "network")
	}
	return nil, nil
}

// adopt brings the keys into the new state folder, and makes its settings.
func (a *app) adopt(ctx context.Context, h home, o restoreOptions, typed keys) (config, error) {
	if o.sheet != "" {
		if err := a.lockAnew(ctx, h, typed); err != nil {
			return config{}, err
		}
	} else if err := a.copyHome(h, o); err != nil {
		return config{}, err
	}
	c := config{}
	if o.network != "" {
		c.Network = absolute(o.network)
	}
	if err := saveConfig(h, c); err != nil {
		return c, err
	}
	return loadConfig(h, a.getenv)
}

// lockAnew locks keys from a sheet. Files that a restore before this one wrote stay.
func (a *app) lockAnew(ctx context.Context, h home, typed keys) error {
	if err := a.copyIdentity(h); err != nil {
		return err
	}
	pairs, err := h.pairs()
	if err != nil || len(pairs) > 0 {
		return err
	}
	recipients, err := a.recipients(ctx, h, config{}, initOptions{})
	if err != nil {
		return err
	}
	return h.pair(firstPair).write(typed, recipients)
}

// copyHome copies the key files.
func (a *app) copyHome(h home, o restoreOptions) error {
	if o.kept != "" {
		if err := copyKept(h, o.kept); err != nil {
			return err
		}
		return a.copyIdentity(h)
	}
	for to, from := range map[string]string{h.key(): o.key, h.wallet(): o.wallet} {
		if err := copyPrivate(to, from); err != nil {
			return err
		}
	}
	return a.copyIdentity(h)
}

// openGiven opens the keys that are named, where they are. Where nothing says what opens them,
// the identity file beside them does, as key export left it, if it can.
func (a *app) openGiven(ctx context.Context, h home, o restoreOptions) error {
	p := keyPair{key: o.key, wallet: o.wallet}
	if err := p.there(); err != nil {
		return err
	}
	if beside := filepath.Join(filepath.Dir(o.key), filepath.Base(h.identity())); a.unlock.file(h, config{}) == "" && !a.unlock.pass.given() {
		ids, err := seal.ReadIdentityFile(beside, nil)
		if err == nil {
			_, err = openKeys(p, ids)
		}
		if err == nil {
			a.unlock.identity = beside
			return nil
		}
	}
	ids, err := a.unlock.identities(ctx, a.UI, h, config{})
	if err != nil {
		return err
	}
	_, err = openKeys(p, ids)
	return err
}

// secrets returns which of the files that restore brings in are in h.
func (h home) secrets() (map[string]bool, error) {
	pairs, err := h.pairs()
	if err != nil {
		return nil, err
	}
	here := make(map[string]bool)
	names := []string{h.identity(), h.wallet()}
	for _, p := range pairs {
		names = append(names, p.key, p.wallet)
	}
	for _, name := range names {
		if _, err := os.Lstat(name); err == nil {
			here[name] = true
		}
	}
	return here, nil
}

// dropSecrets removes what a restore that failed has brought in: the copies, and not what was
// there before. The next try may be one with other keys.
func (h home) dropSecrets(before map[string]bool) error {
	now, err := h.secrets()
	for name := range now {
		if !before[name] {
			err = errors.Join(err, os.Remove(name))
		}
	}
	return err
}

// copyIdentity copies the identity file that was named, if one was, and uses the copy from then on.
func (a *app) copyIdentity(h home) error {
	from := a.unlock.identity
	a.unlock.identity = ""
	if from == "" {
		return nil
	}
	return copyPrivate(h.identity(), from)
}

// copyPrivate copies a small file with secrets. One that is there already must be the same.
func copyPrivate(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return ui.Errorf(ui.WrongKey, "%w", err)
	}
	old, err := os.ReadFile(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return writeWhole(to, text)
	case err != nil:
		return err
	case string(old) != string(text):
		return ui.Errorf(ui.Failed, "%s is there and differs from %s", to, from).
			WithHint("restore to a new folder with --home; what is in this one may be the only copy")
	}
	return nil
}

// replay rebuilds the index from the network. It returns with the report the
// files that the nodes do not have whole, where nodes are missing.
func (a *app) replay(ctx context.Context, h home, c config, k keys, o restoreOptions) (report keep.Report, lost []string, err error) {
	dir, err := staging.Open(staging.Config{Dir: h.staging(), Log: a.logTo(h)})
	if err != nil {
		return report, nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	var then func(*embedded.Network, *blobstore.Client) error
	if len(o.nodeDirs) > 0 {
		o.rollback = o.rollback || o.loss // what is behind the damage of the log was seen, and is given up
		then = func(net *embedded.Network, blobs *blobstore.Client) (err error) {
			db, err := index.Open(ctx, index.Config{Path: h.index(), Log: a.logTo(h)})
			if err != nil {
				return err
			}
			lost, err = findLost(ctx, net, blobs, db)
			return wrapf(errors.Join(err, db.Close()), "look for what is lost")
		}
	}
	report, err = a.rebuild(ctx, h, c, k, o.takeoverOptions, keep.RestoreConfig{
		Path: h.index(), Staging: dir, At: o.at, ReadOnly: o.read || o.text != "",
	}, then)
	var never *keep.NoGenerationError
	switch {
	case errors.As(err, &never) && never.TooNew():
		return report, nil, ui.Errorf(ui.Failed, "%w", err).WithHint("the newest is %d, of %s", never.Generation, timeOf(never.Time))
	case errors.As(err, &never):
		return report, nil, ui.Errorf(ui.Failed, "%w: %s", err, o.text).WithHint("the oldest that is there is %d, of %s", never.Generation, timeOf(never.Time))
	case errors.Is(err, blobstore.ErrUnavailable) && len(o.nodeDirs) > 0:
		return report, nil, ui.Errorf(ui.TooFewNodes, "the nodes that are left do not have enough of the drive's names: %w", err).
			WithHint("look for more node folders, and restore from all of them into another state folder")
	}
	return report, lost, err
}

// parseAt reads the number of a generation or a time, in local time unless it says otherwise.
func parseAt(text string) (at keep.At, err error) {
	if text == "" {
		return at, nil
	}
	if at.Generation, err = strconv.ParseUint(text, 10, 64); err == nil && at.Generation > 0 {
		return at, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if at.Time, err = time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	return keep.At{}, ui.Errorf(ui.Usage, "--at %s is neither a generation nor a time", text).WithHint("such as 12, 2026-03-01 or \"2026-03-01 14:30\"")
}

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
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
	acceptLoss  bool     // of what stands behind the damage of the best log
	kept        string   // folder with copies of the keys, in one of them
}

// restored is what restore prints.
type restored struct {
	Drive      string   `json:"drive"`
	Home       string   `json:"home"`
	Generation uint64   `json:"generation"`
	Time       string   `json:"time,omitempty"` // when it was packed, as RFC 3339
	ReadOnly   bool     `json:"read_only"`
	Inodes     int64    `json:"inodes"`
	Bytes      int64    `json:"bytes"`
	Problems   []string `json:"problems"`
	Nodes      []string `json:"nodes,omitempty"`   // whose folders were found
	Missing    []string `json:"missing,omitempty"` // nodes that got new folders, to be filled from the others
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
			"This machine becomes the drive's writer: the one before, if it\n" +
			"still runs, turns read-only. Keys from a recovery sheet are locked anew: to an identity file in\n" +
			"the state folder, or to the passphrase that the flags give.\n\n" +
			"With --at or --read-only the drive stays with its writer: what is restored can be mounted\n" +
			"and read.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := a.restore(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := a.result("restore", r, func() error {
				if len(r.Missing) > 0 {
					a.Note("%d of %d node folders are lost; the next mount fills new ones from the others", len(r.Missing), len(r.Missing)+len(r.Nodes))
				}
				return a.Print("restored generation %d%s: %d files and folders, %s; %s mount DIR mounts it", r.Generation, r.when(), r.Inodes, ui.Size(r.Bytes), a.self)
			}); err != nil {
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
	flags.BoolVar(&o.read, "read-only", false, "leave the drive to its writer")
	flags.StringArrayVar(&o.nodeDirs, "node-dir", nil, "node folder `DIR` that is left, or a folder that holds some; may be repeated")
	flags.StringArrayVar(&o.newNodeDirs, "new-node-dir", nil, "`DIR` for nodes whose folders are lost (default: in the state folder); several share them")
	flags.BoolVar(&o.acceptLoss, "accept-loss", false, "go on although no folder has the whole ledger: what was stored last is lost")
	cmd.MarkFlagsOneRequired("network", "node-dir")
	cmd.MarkFlagsOneRequired("key-file", "sheet", "node-dir")
	cmd.MarkFlagsMutuallyExclusive("network", "node-dir")
	for _, other := range []string{"new-node-dir", "accept-loss"} {
		cmd.MarkFlagsMutuallyExclusive("network", other)
	}
	for _, other := range []string{"at", "read-only"} {
		cmd.MarkFlagsMutuallyExclusive("node-dir", other) // who has only node folders has no writer to leave the drive to
	}
	cmd.MarkFlagsMutuallyExclusive("key-file", "sheet")
	cmd.MarkFlagsMutuallyExclusive("wallet", "sheet")
	return cmd
}

// when says of which time an older generation is.
func (r restored) when() string {
	if r.Time == "" || !r.ReadOnly {
		return ""
	}
	return " of " + r.Time + ", to be read only"
}

// timeOf writes a time down; "" for none.
func timeOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// err warns of what could not be restored as it was.
func (r restored) err(a *app) error {
	if len(r.Problems) == 0 {
		return nil
	}
	for _, problem := range r.Problems {
		a.Warn("%s", problem)
	}
	return ui.Errorf(ui.Partial, "%d entries are not as they were", len(r.Problems))
}

func (a *app) restore(ctx context.Context, o restoreOptions) (r restored, err error) {
	if o.at, err = parseAt(o.text); err != nil {
		return r, err
	}
	h, err := a.home()
	if err != nil {
		return r, err
	}
	if _, err := os.Lstat(h.index()); err == nil {
		return r, ui.Errorf(ui.Failed, "there is a drive in %s already", h.dir).WithHint("name a new folder with --home")
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
	} else if o.key == "" { // before there is anything in the state folder
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
		if err := errors.Join(a.adoptNodes(h, c, k, left, o), noteSurvival(h, o)); err != nil {
			return r, err
		}
		r.Missing = left.Missing
		for _, v := range left.Here {
			r.Nodes = append(r.Nodes, v.Name)
		}
	}
	report, lost, err := a.replay(ctx, h, c, k, o)
	if err != nil {
		return r, err
	}
	r.Drive, r.Home, r.Generation, r.Time = hex.EncodeToString(report.Drive[:]), h.dir, report.Generation, timeOf(report.Time)
	r.ReadOnly, r.Inodes, r.Bytes = o.read || o.text != "", report.Inodes, report.Bytes
	r.Problems = append(append([]string{}, report.Problems...), lost...)
	if left != nil {
		r.Problems = append(r.Problems, left.Older...)
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
		return nil, ui.Errorf(ui.Failed, "no network in %s: %w", o.network, err)
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
		return ui.Errorf(ui.Failed, "%s is there and differs from %s", to, from)
	}
	return nil
}

// replay rebuilds the index from the network. It returns with the report the
// files that the nodes do not have whole, where nodes are missing.
func (a *app) replay(ctx context.Context, h home, c config, k keys, o restoreOptions) (report keep.Report, lost []string, err error) {
	net, err := c.openNetwork(ctx, h, k, a.Logger())
	if err != nil {
		return report, nil, err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	ledger := net.Ledger(k.wallet.Address())
	blobs, err := blobstore.New(blobstore.Config{Ledger: ledger, Dial: net.Dial, Codec: net.Codec(), Log: a.Logger()})
	if err != nil {
		return report, nil, err
	}
	defer func() { err = errors.Join(err, blobs.Close()) }()
	dir, err := staging.Open(staging.Config{Dir: h.staging(), Log: a.Logger()})
	if err != nil {
		return report, nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	report, err = keep.Restore(ctx, keep.RestoreConfig{
		Ledger: ledger, Blobs: blobs, Keys: k.ring, Drive: k.drive, Path: h.index(), Staging: dir, Log: a.Logger(),
		ReadOnly: o.read || o.text != "", At: o.at,
	})
	if errors.Is(err, keep.ErrNoGeneration) {
		return report, nil, ui.Errorf(ui.Failed, "%w: %s", err, o.text)
	}
	if errors.Is(err, blobstore.ErrUnavailable) && len(o.nodeDirs) > 0 {
		return report, nil, ui.Errorf(ui.TooFewNodes, "the nodes that are left do not have enough of the drive's names: %w", err).
			WithHint("look for more node folders, and restore from all of them into another state folder")
	}
	if err != nil || len(o.nodeDirs) == 0 {
		return report, nil, wrapf(err, "rebuild the index")
	}
	db, err := index.Open(ctx, index.Config{Path: h.index(), Log: a.Logger()})
	if err != nil {
		return report, nil, err
	}
	lost, err = findLost(ctx, net, blobs, db)
	return report, lost, wrapf(errors.Join(err, db.Close()), "look for what is lost")
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

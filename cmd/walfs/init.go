package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/index"
)

// initOptions says how a new drive is made. The zero value makes the default one.
type initOptions struct {
	passphrase bool
	recipients []string
	plain      bool
	nodes      int
	shards     int
	nodeDirs   []string
	quota      byteSize
}

func (o *initOptions) flags(set *pflag.FlagSet) {
	set.BoolVar(&o.passphrase, "passphrase", false, "lock the keys of a new drive with a passphrase instead of an identity file")
	set.StringArrayVar(&o.recipients, "recipient", nil, "let an age or ssh public `KEY`, or those in a file, open the keys of a new drive too")
	set.BoolVar(&o.plain, "plain", false, "seal nothing in a new drive: anybody can read its blobs")
	set.BoolVar(&o.plain, "plaintext", false, "the same as --plain")
	_ = set.MarkHidden("plaintext") // fails for flags that do not exist only
	set.Var((*number)(&o.nodes), "nodes", "`N` storage nodes for a new drive (default 10)")
	set.Var((*number)(&o.shards), "shards", "`N` shards for a new drive (default 100)")
	set.Var(&o.quota, "quota", "how long all files of a new drive may be together (default no limit)")
	set.StringArrayVar(&o.nodeDirs, "node-dir", nil, "`DIR` for nodes of a new drive; several, on several disks, share them")
}

// fits refuses settings for a new drive that the one which is there does not have, and tells
// of those that change nothing of it.
func (o *initOptions) fits(a *app, h home, c config) error {
	nodes, shards, err := embedded.Size(c.networkFolder(h))
	if err != nil {
		return nil // opening it says what is wrong
	}
	var dirs []string
	for _, dir := range o.nodeDirs {
		dirs = append(dirs, absolute(dir))
	}
	for _, x := range []struct {
		flag    string
		differs bool
		hint    string
	}{
		{"nodes", o.nodes != 0 && o.nodes != nodes, ""},
		{"shards", o.shards != 0 && o.shards != shards, ""},
		{"quota", o.quota != 0 && o.quota != c.Quota, "quota in config.toml changes it"},
		{"node-dir", len(dirs) > 0 && !slices.Equal(dirs, c.NodeDirs), "walfs node replace NAME --dir DIR moves a node to another disk"},
	} {
		if x.differs {
			return usagef("--%s is for a new drive, and the one in %s is another", x.flag, h.dir).
				WithHint("%s", cmp.Or(x.hint, "leave it out, or name another folder with --home"))
		}
	}
	if o.passphrase || len(o.recipients) > 0 {
		a.Warn("--passphrase and --recipient are for a new drive, and change nothing of the one in %s: walfs key add does", h.dir)
	}
	return nil
}

func newInitCommand(a *app) *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make an embedded drive without mounting it",
		Long: "Init makes a drive with keys, wallet, nodes and ledger in the state folder, as mount does where there is\n" +
			"none, and says where they are. The keys are locked to an identity file beside them unless --passphrase\n" +
			"or --identity says otherwise; --recipient lets others open them too. --node-dir, once for each disk,\n" +
			"deals the nodes to several.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := a.home()
			if err != nil {
				return err
			}
			if h.exists() && !h.begun() {
				return ui.Errorf(ui.Failed, "there is a drive in %s already", h.dir).
					WithHint("%s status shows it; --home or WALFS_HOME names a folder for another one", a.self)
			}
			made, err := a.initDrive(cmd.Context(), h, o)
			if err != nil {
				return err
			}
			return a.result("init", made, func() error { return a.showMade(made) })
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

// madeDrive is what init prints.
type madeDrive struct {
	Drive    string `json:"drive"`
	Home     string `json:"home"`
	Key      string `json:"key"`
	Identity string `json:"identity,omitempty"`
	Wallet   string `json:"wallet"`
	Network  string `json:"network"`
	Nodes    int    `json:"nodes"`
	// NodeDirs are the disks that the nodes were dealt to; none when they lie in the network folder.
	NodeDirs []string `json:"node_dirs,omitempty"`
	Sealed   bool     `json:"sealed"`
}

func (a *app) showMade(m madeDrive) error {
	opened := "opened by your passphrase"
	if m.Identity != "" {
		opened = "opened by " + m.Identity
	}
	places := m.Network
	if len(m.NodeDirs) > 0 {
		places = strings.Join(m.NodeDirs, ", ")
	}
	sealed := ""
	if !m.Sealed {
		sealed = "\n  sealed   no: " + openToAll
	}
	return a.Print("made a drive on this machine\n  state    %s\n  nodes    %d, in %s\n  keys     %s and %s,\n           %s%s\n"+
		"Copy the key files to another place: without them nobody can read the drive.\n"+
		"Nodes and keys are on this machine only, so this is not a backup.",
		m.Home, m.Nodes, places, m.Key, m.Wallet, opened, sealed)
}

// birth is the journal of init: what must stay the same when it is begun again after a
// crash, so that the faucet pays once and the keys are of one drive.
type birth struct {
	Drive  [16]byte   `json:"drive"`
	Writer [16]byte   `json:"writer"`
	Faucet chain.TxID `json:"faucet"`
	Plain  bool       `json:"plain"`
}

// begun reports whether making a drive was begun here and not ended.
func (h home) begun() bool {
	_, err := os.Lstat(h.birth())
	return err == nil
}

// initDrive makes a drive, or ends what a crash interrupted: each step leaves alone what
// is there, and the journal goes last.
func (a *app) initDrive(ctx context.Context, h home, o initOptions) (made madeDrive, err error) {
	if o.locked(a.unlock) { // who does not give one leaves nothing behind
		if _, err := a.passphraseRecipient(ctx, o); err != nil {
			return made, err
		}
	}
	if err := h.make(); err != nil {
		return made, err
	}
	lock, err := takeLock(ctx, h)
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	c, err := a.initConfig(h, o)
	if err != nil {
		return made, err
	}
	recipients, err := a.recipients(ctx, h, c, o)
	if err != nil {
		return made, err
	}
	b, err := beginBirth(h, c, o)
	if err != nil {
		return made, err
	}
	k, err := a.makeKeys(ctx, h, c, recipients, b)
	if err != nil {
		return made, err
	}
	made = madeDrive{Drive: hex.EncodeToString(b.Drive[:]), Home: h.dir, Key: h.key(), Wallet: h.wallet(), Network: c.networkFolder(h), NodeDirs: c.NodeDirs, Sealed: !b.Plain}
	made.Identity = c.identityFile(h)
	if made.Nodes, err = a.fund(ctx, h, c, b, k); err != nil {
		return made, err
	}
	if err := os.Remove(h.birth()); err != nil {
		return made, fmt.Errorf("close the journal of init: %w", err)
	}
	return made, syncFolder(h.dir)
}

// initConfig lays the flags over the settings. It refuses what no network can be made of
// before anything is written: init goes on from what it has written.
func (a *app) initConfig(h home, o initOptions) (config, error) {
	c, err := loadConfig(h, a.getenv)
	if err != nil {
		return c, err
	}
	if o.nodes != 0 {
		c.Nodes = o.nodes
	}
	if o.quota != 0 {
		c.Quota = o.quota
	}
	if o.shards != 0 {
		c.Shards = o.shards
	}
	for i, dir := range o.nodeDirs {
		c.NodeDirs = append(c.NodeDirs[:i:i], absolute(dir))
	}
	if a.unlock.identity != "" {
		c.Identity = absolute(a.unlock.identity)
	}
	return c, errors.Join(c.check(h), c.checkNodes())
}

// checkNodes refuses numbers and folders of nodes that a new network cannot have, and makes
// the folders.
func (c *config) checkNodes() error {
	nodes, shards := cmp.Or(c.Nodes, embedded.DefaultNodes), cmp.Or(c.Shards, embedded.DefaultShards)
	if _, err := walrus.NewGeometry(shards); err != nil {
		return ui.Errorf(ui.Usage, "%w", err).WithHint("--shards takes at least 4; without it there are %d", embedded.DefaultShards)
	}
	if nodes > shards {
		return usagef("%d nodes cannot share %d shards", nodes, shards).
			WithHint("each node holds at least one shard: fewer --nodes, or more --shards")
	}
	for _, dir := range c.NodeDirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("folder for nodes: %w", err)
		}
		if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
			return fmt.Errorf("folder for nodes %s: %w", dir, err)
		}
	}
	return nil
}

// beginBirth reads the journal of init or starts one, and keeps the settings where there were none.
func beginBirth(h home, c config, o initOptions) (birth, error) {
	b := birth{Plain: o.plain}
	text, err := os.ReadFile(h.birth())
	if err == nil {
		if err := json.Unmarshal(text, &b); err != nil {
			return b, fmt.Errorf("read %s: %w", h.birth(), err)
		}
		return b, b.same(h, o)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return b, fmt.Errorf("journal of init: %w", err)
	}
	if _, err := os.Lstat(h.config()); errors.Is(err, fs.ErrNotExist) {
		if err := saveConfig(h, c); err != nil {
			return b, err
		}
	}
	for _, id := range [][]byte{b.Drive[:], b.Writer[:], b.Faucet[:]} {
		if _, err := rand.Read(id); err != nil {
			return b, fmt.Errorf("draw random bytes: %w", err)
		}
	}
	text, err = json.Marshal(b)
	if err != nil {
		return b, fmt.Errorf("journal of init: %w", err)
	}
	return b, writeWhole(h.birth(), text)
}

// same refuses to end an init with other sealing than it was begun with.
func (b birth) same(h home, o initOptions) error {
	if b.Plain == o.plain {
		return nil
	}
	way := "without"
	if b.Plain {
		way = "with"
	}
	return usagef("making a drive in %s was begun %s --plain and interrupted", h.dir, way).
		WithHint("give the same options to end it, or name another folder with --home")
}

// fund makes the network, pays play money into the wallet, makes the index, and registers
// the anchor on the ledger. It returns the number of nodes.
func (a *app) fund(ctx context.Context, h home, c config, b birth, k keys) (nodes int, err error) {
	net, err := c.makeNetwork(ctx, h, k, a.logTo(h))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	if err := net.Faucet(ctx, b.Faucet, k.wallet.Address()); err != nil {
		return 0, fmt.Errorf("fill the wallet: %w", err)
	}
	db, err := index.Open(ctx, index.Config{Path: h.index(), Log: a.logTo(h)})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.Init(ctx, index.Drive{ID: b.Drive, Writer: b.Writer, Plain: b.Plain})
	if err != nil && !errors.Is(err, index.ErrExist) {
		return 0, err
	}
	ledger, err := net.Owner(ctx, k.wallet, h.journal())
	if err != nil {
		return 0, err
	}
	return len(net.Nodes()), commit.CreateAnchor(ctx, ledger, db, k.ring)
}

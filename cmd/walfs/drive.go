package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cache"
	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/cmd/internal/ui"
	drivefs "github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// drive is an open drive: the parts that its state folder and its network give.
type drive struct {
	home   home
	config config
	keys   keys
	log    *slog.Logger

	net       *embedded.Network
	ledger    chain.Ledger    // as owner uses it
	owner     *embedded.Owner // of the drive's wallet
	index     *index.DB
	about     index.Drive
	staging   *staging.Dir
	cache     *cache.Cache
	blobs     *blobstore.Client
	healer    *blobstore.Healer
	committer *commit.Committer
	copies    atomic.Pointer[keep.Copies] // nil until the room is known
	pins      *keep.Pins
	syncs     chan struct{} // somebody asked for one and does not wait
	renewer   *keep.Renewer
	trash     *keep.Trash
	fsys      *drivefs.FS // once recovered
	backups   *keep.Backups
	scrubber  *keep.Scrubber
	watch     *keep.Watch
	collector *keep.Collector
	room      *room
	spool     spool
	recent    *recent           // of the log
	found     drivefs.Recovered // by recover
	budget    int64             // for cache and clean copies together
	floor     int64             // bytes of free disk space that both leave

	mounted func() mounting
	lost    atomic.Bool // this machine may not write the drive any more
	memory  memory

	accountsMu sync.Mutex // guards accounts
	accounts   map[chain.Address]*account

	opened []func() error // what undoes the steps of openDrive
}

// pace says when what there is is stored; zero: as commit has it. Tests that count generations take longer.
var pace commit.Policy

// mounting says where a drive is mounted.
type mounting struct {
	dir        string // "": nowhere
	connection int    // the kernel's number of the mount; 0: not known yet
	detached   bool   // dir is no mount of it any more; programs that have files open keep it
	closing    bool   // nobody has files open, and what is staged is being brought onto the disk
	readOnly   error  // why it may not be written, if so
}

// openDrive opens the drive in h from the bottom up. Only one process can have it open.
func (a *app) openDrive(ctx context.Context, h home, log *slog.Logger) (d *drive, err error) {
	if err := a.checkHome(h); err != nil {
		return nil, err
	}
	d = &drive{home: h, log: log, spool: spool{dir: h.spool()}, mounted: func() mounting { return mounting{} }}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if err := d.lock(ctx); err != nil {
		return d, err
	}
	if d.config, err = loadConfig(h, a.getenv); err != nil {
		return d, err
	}
	if d.keys, err = a.openHomeKeys(ctx, h, d.config); err != nil {
		return d, err
	}
	if err := d.openIndex(ctx); err != nil {
		return d, err
	}
	d.memory = memoryOf(d.about.ID, a.getenv)
	if err := d.openStaging(); err != nil {
		return d, err
	}
	if err := d.openCache(a.getenv); err != nil {
		return d, err
	}
	if err := d.openNetwork(ctx); err != nil {
		return d, err
	}
	return d, d.openCommitter(ctx)
}

// checkHome tells whether there is a whole drive in h.
func (a *app) checkHome(h home) error {
	if !h.exists() {
		return noDrive(h)
	}
	if err := h.check(); err != nil {
		return err
	}
	if h.begun() {
		return noDrive(h).WithHint("making it was interrupted: %s init or %s mount goes on", a.self, a.self)
	}
	return nil
}

// openHomeKeys opens the keys that lie in h.
func (a *app) openHomeKeys(ctx context.Context, h home, c config) (keys, error) {
	if err := a.needIdentity(h, c, []string{h.dir}, "put identity.txt back from where you keep a copy, or name it with --identity"); err != nil {
		return keys{}, err
	}
	ids, err := a.unlock.identities(ctx, a.UI, h, c)
	if err != nil {
		return keys{}, err
	}
	k, _, err := h.openOurs(ids)
	return k, err
}

func (d *drive) lock(ctx context.Context) error {
	lock, err := takeLock(ctx, d.home)
	if err != nil {
		return err
	}
	d.onClose(lock.Close)
	return nil
}

func (d *drive) openIndex(ctx context.Context) (err error) {
	if err := errors.Join(keep.FinishRebuild(d.home.index()), d.home.missing()); err != nil {
		return err
	}
	rebooted, err := d.home.rebooted()
	if err != nil {
		return err
	}
	if d.index, err = index.Open(ctx, index.Config{Path: d.home.index(), Log: d.log, Trash: d.config.trashes(), Strict: !rebooted, Ignore: d.config.ignored()}); err != nil {
		return fmt.Errorf("open index: %w", err)
	}
	d.onClose(d.index.Close)
	boot, err := bootID()
	if err != nil {
		return err
	}
	d.trash = keep.NewTrash(keep.TrashConfig{Index: d.index, Keep: d.config.retention(), Boot: boot, Log: d.log})
	if d.about, err = d.index.Drive(ctx); err != nil {
		return err
	}
	if d.about.ID != d.keys.drive {
		return ui.Errorf(ui.WrongKey, "%s is the key of another drive than index.db beside it is of", d.home.key()).
			WithHint("put the keys of this drive back; or, if the index is what does not belong here: walfs check --repair --rebuild-index")
	}
	return nil
}

func (d *drive) openStaging() (err error) {
	d.staging, err = staging.Open(staging.Config{
		Dir:       d.home.staging(),
		MarkDirty: d.index.MarkDirty,
		Unmark:    d.index.Unmark,
		Version: func(ctx context.Context, ino index.Ino) (uint64, error) {
			attr, err := d.index.Get(ctx, ino)
			return attr.Version, err
		},
		Cut: func(ctx context.Context, held index.Held) error {
			return d.index.Barrier(ctx, []index.Held{held})
		},
		Log: d.log,
	})
	if err != nil {
		return err
	}
	d.onClose(d.staging.Close)
	return nil
}

func (d *drive) openCache(getenv func(string) string) error {
	dir, err := d.config.cacheFolder(d.home, getenv)
	if err != nil {
		return err
	}
	if d.budget, err = d.config.budget(d.home.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("open cache: %w", err)
	}
	if d.floor, err = d.config.floor(dir); err != nil {
		return err
	}
	held := func() int64 { return d.index.CopiesSum().Bytes }
	if d.cache, err = cache.Open(cache.Config{
		Dir: dir, Budget: d.budget, MinFree: d.floor, Held: held, Short: d.short, Log: d.log,
		Memory: -1, // the client has slivers in memory
	}); err != nil {
		return fmt.Errorf("open cache: %w", err)
	}
	d.onClose(d.cache.Close)
	return nil
}

// short is called when a sliver is not kept because clean copies take too much, or the disk is too full.
func (d *drive) short() {
	if c := d.copies.Load(); c != nil {
		c.Wake()
		d.room.wake()
	}
}

func (d *drive) openNetwork(ctx context.Context) (err error) {
	if d.net, err = d.config.openNetwork(ctx, d.home, d.keys, d.log); err != nil {
		return err
	}
	d.onClose(d.net.Close)
	if d.owner, err = d.net.Owner(ctx, d.keys.wallet, d.home.journal()); err != nil {
		return err
	}
	d.ledger = d.owner
	d.blobs, err = blobstore.New(blobstore.Config{
		Ledger: d.ledger, Dial: d.net.Dial, Codec: d.net.Codec(), Cache: d.cache,
		Anchor: func(ctx context.Context, certifying []walrus.BlobID) (*chain.AnchorUpdate, error) {
			return d.committer.Anchor(ctx, certifying)
		},
		ReadTimeout: time.Duration(d.config.ReadTimeout),
		Log:         d.log,
	})
	if err != nil {
		return err
	}
	d.onClose(d.blobs.Close)
	d.healer = blobstore.NewHealer(blobstore.HealerConfig{Client: d.blobs, Nodes: d.net.Up, Ailing: d.net.Ailing(), Log: d.log})
	return nil
}

// openCommitter makes what works on the drive while it is open; run starts it.
func (d *drive) openCommitter(ctx context.Context) (err error) {
	copies := keep.NewCopies(keep.CopiesConfig{Index: d.index, Staging: d.staging, Cache: d.cache, Log: d.log})
	d.committer, err = commit.New(ctx, commit.Config{
		Index: d.index, Staging: d.staging, Blobs: d.blobs, Keys: d.keys.ring, Ledger: d.ledger,
		Claim: d.claimOnce(), Keep: copies.Keep, Stage: failpoint(), Policy: pace, Log: d.log,
	})
	if err != nil {
		return err
	}
	d.syncs = make(chan struct{}, 1)
	d.pins = keep.NewPins(keep.PinsConfig{Index: d.index, Log: d.log, Hold: func(ctx context.Context, ino index.Ino) error {
		return d.fsys.Hold(ctx, ino)
	}})
	d.renewer = keep.NewRenewer(keep.RenewConfig{
		Index: d.index, Ledger: d.ledger, Ahead: commit.DefaultEpochs, Log: d.log,
		May: func() bool { return !d.lost.Load() },
	})
	d.scrubber = keep.NewScrubber(keep.ScrubConfig{
		Healer: d.healer, Nodes: d.net.Up, Path: d.home.scrubs(), Every: time.Duration(d.config.ScrubEvery), Rate: int64(d.config.ScrubRate), Log: d.log,
	})
	bare, err := blobstore.New(blobstore.Config{Ledger: d.ledger, Dial: d.net.Dial, Codec: d.net.Codec(), ReadTimeout: checkPatience, Log: d.log})
	if err != nil {
		return err
	}
	d.onClose(bare.Close)
	d.watch = keep.NewWatch(keep.WatchConfig{
		Index: d.index, Ledger: d.ledger, Blobs: bare, Keys: d.keys.ring, Committer: d.committer, Nodes: d.net.Up,
		Restage: func(ctx context.Context, files []index.Ino) error { return d.restage(ctx, bare, files) },
		May:     func() bool { return !d.lost.Load() }, Log: d.log,
	})
	d.backups = keep.NewBackups(keep.BackupConfig{Index: d.index, Dir: d.home.backups(), Log: d.log})
	if d.room, err = newRoom(d); err != nil {
		return err
	}
	d.copies.Store(copies)
	d.collector = keep.NewCollector(keep.CollectConfig{
		Index: d.index, Ledger: d.ledger, Blobs: d.blobs, Keys: d.keys.ring, Committer: d.committer, Grace: d.config.grace(),
		May: func() bool { return !d.lost.Load() }, Room: d.room.left, Stage: failpoint(), Log: d.log,
	})
	return nil
}

// recover brings staging, index and outbox together after a stop of any kind, and returns
// the file system, which can then be mounted.
func (d *drive) recover(ctx context.Context) (*drivefs.FS, error) {
	rebooted, err := d.boot(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := d.trash.Expire(ctx); err != nil { // before anything is deleted
		return nil, err
	}
	fsys, err := drivefs.New(drivefs.Config{
		Index: d.index, Staging: d.staging, Blobs: d.blobs, Keys: d.keys.ring, Wake: d.committer.Wake,
		Room: d.room.hooks(), Log: d.log, ReadTimeout: time.Duration(d.config.ReadTimeout),
		Readahead: int64(d.config.Readahead), Background: readerModes[d.config.Readers],
	})
	if err != nil {
		return nil, err
	}
	if err := d.renewer.Look(ctx); err != nil { // what has ended is not to be given up here
		d.log.Warn("what is paid for is not known", "err", err)
	}
	found, err := fsys.Recover(ctx, rebooted)
	if err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	d.fsys = fsys
	d.found = found
	d.log.Info("recovered", "op", "recover", "queued", found.Queued, "reaped", found.Reaped, "shelved", found.Shelved, "lost", found.Lost, "damaged", found.Damaged)
	if err := d.committer.Recover(ctx); err != nil {
		return nil, err
	}
	return fsys, d.booted()
}

// boot reports whether the machine may have lost what was not synced to disk since the
// drive was recovered last. Only booted forgets it, so that a crash in between does not.
func (d *drive) boot(ctx context.Context) (rebooted bool, err error) {
	before, err := d.home.rebooted()
	if err != nil {
		return false, err
	}
	now, err := bootID()
	if err != nil {
		return false, err
	}
	rebooted, err = d.index.Boot(ctx, now)
	return rebooted || before, err
}

func (d *drive) booted() error {
	now, err := bootID()
	if err != nil {
		return err
	}
	return writeWhole(d.home.boot(), []byte(now))
}

// bootID names this boot of the machine. Source: random(4).
func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("look up the boot of this machine: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

// run does what an open drive does by itself, until ctx ends. When another machine has taken
// the drive over it says so once, and the rest goes on: what is here can still be read.
func (d *drive) run(ctx context.Context, takenOver func(error)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.net.Run(ctx) })
	group.Go(func() error { return d.healer.Run(ctx) })
	group.Go(func() error { return d.copies.Load().Run(ctx) })
	group.Go(func() error { return d.pins.Run(ctx) })
	group.Go(func() error { return d.runSyncs(ctx) })
	group.Go(func() error { return d.renewer.Run(ctx) })
	group.Go(func() error { return d.trash.Run(ctx) })
	group.Go(func() error { return d.backups.Run(ctx) })
	group.Go(func() error { return d.scrubber.Run(ctx) })
	group.Go(func() error { return d.watch.Run(ctx) })
	group.Go(func() error { return d.collector.Run(ctx) })
	group.Go(func() error { return d.room.run(ctx) })
	group.Go(func() error { return d.rememberAll(ctx) })
	group.Go(func() error {
		err := d.committer.Run(ctx)
		if commit.MustStop(err) {
			takenOver(err)
			return nil
		}
		return err
	})
	return group.Wait()
}

func (d *drive) onClose(undo func() error) { d.opened = append(d.opened, undo) }

// Close closes what is open, the last first.
func (d *drive) Close() error {
	var errs []error
	for _, undo := range slices.Backward(d.opened) {
		errs = append(errs, undo())
	}
	d.opened = nil
	return wrapf(errors.Join(errs...), "close drive")
}

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/embedded"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// config is the settings of a drive: those of config.toml, over which go WALFS_*
// variables and then flags. A zero field leaves the choice to the default.
type config struct {
	Network      string    `toml:"network,omitempty"`            // folder of the embedded network; default <home>/network
	Nodes        int       `toml:"nodes,omitempty"`              // when the network is made
	Shards       int       `toml:"shards,omitempty"`             // when the network is made
	NodeDirs     []string  `toml:"node_dirs,omitempty"`          // disks to deal the nodes to
	Identity     string    `toml:"identity,omitempty"`           // age identity that opens the keys; default identity.txt
	Cache        string    `toml:"cache,omitempty"`              // folder of the sliver cache
	CacheBudget  byteSize  `toml:"cache_budget,omitempty"`       // for slivers and clean copies together
	MinFree      *share    `toml:"cache_min_free,omitempty"`     // of the cache's disk, which slivers and clean copies leave free
	StagingLimit byteSize  `toml:"staging_limit,omitempty"`      // for what is not certified yet; 0: as the disks have room
	Quota        byteSize  `toml:"quota,omitempty"`              // for the lengths of all files; 0: none
	Readahead    byteSize  `toml:"readahead,omitempty"`          // memory for what all readers together are read ahead of
	Readers      readers   `toml:"background_readers,omitempty"` // what indexers and thumbnailers may fetch: slow, allow or deny
	Memory       byteSize  `toml:"memory_limit,omitempty"`       // soft limit of the mount process
	ReadTimeout  span      `toml:"read_timeout,omitempty"`       // after which a read is EIO
	FsyncTimeout span      `toml:"fsync_timeout,omitempty"`      // of -o fsync=certified, while nothing is certified
	Retention    *span     `toml:"trash_retention,omitempty"`    // of deleted files; 0: none is kept
	Grace        span      `toml:"gc_grace,omitempty"`           // between condemned and deleted; default 7 days
	Ignore       *patterns `toml:"ignore,omitempty"`             // names of files that stay on this machine; default defaultIgnore
	ScrubEvery   span      `toml:"scrub_every,omitempty"`        // from one scrub of a node to the next; negative: never
	ScrubRate    byteSize  `toml:"scrub_rate,omitempty"`         // bytes that a scrub reads in a second
}

// byteSize is a size in bytes, "512MiB" or "20GB" in text.
type byteSize int64

// UnmarshalText reads the text form.
func (b *byteSize) UnmarshalText(text []byte) error {
	n, err := ui.ParseSize(string(text))
	*b = byteSize(n)
	return err
}

// MarshalText writes the size in bytes.
func (b byteSize) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(b), 10), nil }

// Set reads the text form from a flag.
func (b *byteSize) Set(text string) error { return b.UnmarshalText([]byte(text)) }

func (b *byteSize) Type() string { return "SIZE" }

func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return ui.Size(int64(*b))
}

// loadConfig reads config.toml and the environment. An unknown key is refused by name.
func loadConfig(h home, getenv func(string) string) (config, error) {
	var c config
	text, err := os.ReadFile(h.config())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	if c, err = parseConfig(text); err != nil {
		return c, configError(h, err)
	}
	if err := c.environment(getenv); err != nil {
		return c, err
	}
	return c, c.check(h)
}

// parseConfig reads the text of config.toml.
func parseConfig(text []byte) (c config, err error) {
	err = toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&c)
	return c, err
}

func configError(h home, err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		first := unknown.Errors[0]
		row, _ := first.Position()
		return ui.Errorf(ui.Usage, "%s: line %d: unknown setting %q", h.config(), row, strings.Join(first.Key(), "."))
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		row, _ := bad.Position()
		return ui.Errorf(ui.Usage, "%s: line %d: %w", h.config(), row, err)
	}
	return ui.Errorf(ui.Usage, "%s: %w", h.config(), err)
}

// environment lays the WALFS_* variables over c.
func (c *config) environment(getenv func(string) string) error {
	var err error
	set := func(name string, read func(string) error) {
		if text := getenv(name); text != "" && err == nil {
			if bad := read(text); bad != nil {
				err = ui.Errorf(ui.Usage, "%s: %w", name, bad)
			}
		}
	}
	set("WALFS_NETWORK", func(s string) error { c.Network = s; return nil })
	set("WALFS_NODE_DIRS", func(s string) error { c.NodeDirs = filepath.SplitList(s); return nil })
	set("WALFS_IDENTITY", func(s string) error { c.Identity = s; return nil })
	set("WALFS_CACHE", func(s string) error { c.Cache = s; return nil })
	set("WALFS_CACHE_BUDGET", c.CacheBudget.Set)
	set("WALFS_CACHE_MIN_FREE", func(s string) error { c.MinFree = new(share); return c.MinFree.Set(s) })
	set("WALFS_STAGING_LIMIT", c.StagingLimit.Set)
	set("WALFS_QUOTA", c.Quota.Set)
	set("WALFS_READAHEAD", c.Readahead.Set)
	set("WALFS_BACKGROUND_READERS", c.Readers.Set)
	set("WALFS_MEMORY_LIMIT", c.Memory.Set)
	set("WALFS_NODES", func(s string) (bad error) { c.Nodes, bad = strconv.Atoi(s); return bad })
	set("WALFS_SHARDS", func(s string) (bad error) { c.Shards, bad = strconv.Atoi(s); return bad })
	set("WALFS_READ_TIMEOUT", c.ReadTimeout.Set)
	set("WALFS_FSYNC_TIMEOUT", c.FsyncTimeout.Set)
	set("WALFS_TRASH_RETENTION", func(s string) error { c.Retention = new(span); return c.Retention.Set(s) })
	set("WALFS_GC_GRACE", c.Grace.Set)
	set("WALFS_IGNORE", func(s string) error { c.Ignore = new(patterns(filepath.SplitList(s))); return nil })
	set("WALFS_SCRUB_EVERY", c.ScrubEvery.Set)
	set("WALFS_SCRUB_RATE", c.ScrubRate.Set)
	return err
}

// grace returns how long what was deleted can be had back from older states of the drive.
func (c *config) grace() time.Duration { return cmp.Or(time.Duration(c.Grace), keep.DefaultGrace) }

// check refuses settings that no drive can have, and makes folders absolute: relative ones count from the home.
func (c *config) check(h home) error {
	if c.Nodes < 0 || c.Shards < 0 || c.ReadTimeout < 0 || c.FsyncTimeout < 0 || c.Grace < 0 {
		return usagef("%s: nodes, shards, read_timeout, fsync_timeout and gc_grace cannot be negative", h.config())
	}
	if c.Retention != nil && *c.Retention < 0 {
		return usagef("%s: trash_retention cannot be negative", h.config())
	}
	if err := c.checkRoom(h); err != nil {
		return err
	}
	for _, pattern := range c.ignored() {
		if err := index.CheckPattern(pattern); err != nil {
			return ui.Errorf(ui.Usage, "%s: ignore: %w", h.config(), err).
				WithHint("patterns are for names, such as *.tmp; there are none for folders or paths")
		}
	}
	for _, dir := range []*string{&c.Network, &c.Cache, &c.Identity} {
		if *dir != "" && !filepath.IsAbs(*dir) {
			*dir = filepath.Join(h.dir, *dir)
		}
	}
	for i, dir := range c.NodeDirs {
		if !filepath.IsAbs(dir) {
			c.NodeDirs[i] = filepath.Join(h.dir, dir)
		}
	}
	return nil
}

// cacheFolder returns where verified slivers are kept.
func (c *config) cacheFolder(h home, getenv func(string) string) (string, error) {
	if c.Cache != "" {
		return c.Cache, nil
	}
	return h.cache(getenv)
}

// Bounds of the default budget for cached slivers and clean copies, in bytes.
const (
	minBudget = 256 << 20
	maxBudget = 20 << 30
)

// budget returns the setting, or a tenth of what is free where dir lies.
func (c *config) budget(dir string) (int64, error) {
	if c.CacheBudget > 0 {
		return int64(c.CacheBudget), nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("room for the cache: %w", err)
	}
	return min(max(int64(st.Bavail)*st.Bsize/10, minBudget), maxBudget), nil
}

// defaultRetention is how long deleted files are kept unless the configuration says otherwise.
const defaultRetention = 7 * 24 * time.Hour

// trashes reports whether deleted files are kept.
func (c *config) trashes() bool { return c.Retention == nil || *c.Retention > 0 }

// retention returns how long deleted files are kept. Those that were kept before that was
// turned off have the default.
func (c *config) retention() time.Duration {
	if c.Retention == nil || *c.Retention == 0 {
		return defaultRetention
	}
	return time.Duration(*c.Retention)
}

// identityFile returns the file that opens the keys, or "" when a passphrase does.
func (c *config) identityFile(h home) string {
	if c.Identity != "" {
		return c.Identity
	}
	if _, err := os.Lstat(h.identity()); err == nil {
		return h.identity()
	}
	return ""
}

// networkFolder returns where ledger and nodes lie.
func (c *config) networkFolder(h home) string {
	if c.Network != "" {
		return c.Network
	}
	return h.network()
}

// openNetwork opens the embedded network of a drive. One that is not there is never made anew: its
// disk may just not be mounted.
func (c *config) openNetwork(ctx context.Context, h home, k keys, log *slog.Logger) (*embedded.Network, error) {
	dir := c.networkFolder(h)
	if _, err := os.Stat(filepath.Join(dir, "network.json")); err != nil {
		return nil, ui.Errorf(ui.Failed, "the folder with ledger and nodes is not there: %w", err).
			WithHint("mount the disk that %s is on; if it is lost, walfs restore --node-dir makes the drive of node folders that are left", dir)
	}
	return c.makeNetwork(ctx, h, k, log)
}

// makeNetwork opens the embedded network, and makes it the first time.
func (c *config) makeNetwork(ctx context.Context, h home, k keys, log *slog.Logger) (*embedded.Network, error) {
	return embedded.Open(ctx, embedded.Config{
		Dir: c.networkFolder(h), Nodes: c.Nodes, Shards: c.Shards, NodeDirs: c.NodeDirs, Keys: k.ring, Files: h.kept, Mine: c.mine(h), Stage: failpoint(), Log: log,
	})
}

// saveConfig writes config.toml, whole or not at all.
func saveConfig(h home, c config) error {
	text, err := toml.Marshal(c)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return writeWhole(h.config(), append([]byte("# Settings of this drive. WALFS_* variables and flags go over them.\n"), text...))
}

// writeWhole puts b at path with mode 0600: after a crash the old or the new file is there.
func writeWhole(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

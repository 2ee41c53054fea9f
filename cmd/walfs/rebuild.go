package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/walfs/walfs/blobstore"
	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/check"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// checkPatience is how long a check waits for a piece of content before it calls it unreadable.
const checkPatience = 10 * time.Second

// rebuildIndex makes the index of a drive that is not open anew, and tells what came of it.
func (a *app) rebuildIndex(ctx context.Context, h home, s *showing) (err error) {
	lock, err := takeLock(ctx, h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	c, err := loadConfig(h, a.getenv)
	if err != nil {
		return err
	}
	k, err := a.openHomeKeys(ctx, h, c)
	if err != nil {
		return err
	}
	dir, err := staging.Open(staging.Config{Dir: h.staging(), Log: a.logTo(h)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	cfg := keep.RebuildConfig{
		Restore: keep.RestoreConfig{Keys: k.ring, Drive: k.drive, Path: h.index(), Staging: dir, Log: a.logTo(h)},
		Backups: h.backups(),
	}
	if cfg.Rebooted, err = h.rebooted(); err != nil {
		return err
	}
	close, err := a.network(ctx, h, c, k, &cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, close()) }()
	made, err := keep.Rebuild(ctx, cfg)
	if err != nil {
		return ui.Errorf(ui.CodeOf(explain(err)), "%w", err).WithHint("nothing was changed; the copies of the index are in %s", h.backups())
	}
	return s.rebuilt(made)
}

// network opens the network for a rebuild. That it cannot be opened is no error: there may be a copy.
func (a *app) network(ctx context.Context, h home, c config, k keys, cfg *keep.RebuildConfig) (close func() error, err error) {
	net, err := c.openNetwork(ctx, h, k, a.logTo(h))
	if err != nil {
		cfg.Network = fmt.Errorf("open the network: %w", err)
		return func() error { return nil }, nil
	}
	if cfg.Restore.Ledger, err = net.Owner(ctx, k.wallet, h.journal()); err != nil {
		cfg.Network = err
		return net.Close, nil
	}
	blobs, err := blobstore.New(blobstore.Config{Ledger: cfg.Restore.Ledger, Dial: net.Dial, Codec: net.Codec(), ReadTimeout: checkPatience, Log: a.logTo(h)})
	if err != nil {
		cfg.Network = err
		return net.Close, nil
	}
	cfg.Restore.Blobs = blobs
	close = func() error { return errors.Join(blobs.Close(), net.Close()) }
	if err := provenance(h, c, net, cfg); err != nil {
		return nil, errors.Join(err, close())
	}
	return close, nil
}

// rebuilt tells how an index was made anew.
func (s *showing) rebuilt(r keep.Rebuilt) error {
	of := "in which nothing was stored yet"
	if r.Generation > 0 {
		of = fmt.Sprintf("generation %d of %s", r.Generation, timeOf(r.Time))
	}
	done := fmt.Sprintf("made anew from the network, %s; what was renamed, deleted or changed in its attributes since is as it was then", of)
	if r.Backup != "" {
		done = fmt.Sprintf("made anew from the copy %s", r.Backup)
	}
	if r.Aside != "" {
		done += "; the one before is in " + r.Aside
	}
	list := []check.Finding{{Part: "index", Kind: check.Repaired, What: "the index was damaged, missing, or not wanted", Done: done}}
	if r.Backup != "" {
		list = append(list, check.Finding{Part: "index", Kind: check.Damage, What: fmt.Sprintf("the network cannot be read, so that what changed since the copy was made is missing, and the drive can only be read: %v", r.Reason),
			Hint: "when the network is back: walfs check --repair --rebuild-index"})
	}
	if r.Backup == "" && !r.Writer {
		list = append(list, check.Finding{Part: "index", Kind: check.Damage, What: "this machine is not known to be the drive's writer, so that the drive can only be read",
			Hint: "walfs takeover makes it the writer"})
	}
	for _, p := range r.Passed {
		list = append(list, check.Finding{Part: "index", Kind: check.Damage, What: fmt.Sprintf("generation %d cannot be read, and what it says is missing: %s", p.Generation, p.Why)})
	}
	for _, f := range r.Salvaged {
		list = append(list, check.Finding{Part: "index", Kind: check.Repaired, What: fmt.Sprintf("%s stands above what cannot be read", ui.Clean(f.Path)),
			Done: strings.Join(append([]string{"brought back"}, f.Uncertain...), "; ")})
	}
	for _, path := range r.Missed {
		list = append(list, check.Finding{Part: "index", Kind: check.Damage, What: fmt.Sprintf("what newer generations say of %s is not known whole", ui.Clean(path))})
	}
	for _, l := range r.Lost {
		list = append(list, check.Finding{Part: "extents", Kind: check.Damage, What: fmt.Sprintf("%s cannot be read: %s", ui.Clean(l.Path), l.Why)})
	}
	adopted := func(n int, one, many, what string) {
		if n > 0 {
			list = append(list, check.Finding{Part: "staging", Kind: check.Repaired, What: ui.Plural(n, one, many) + " " + what, Done: "walfs sync stores it"})
		}
	}
	adopted(r.Newer, "file has", "files have", "newer content here than what is certified; it stands")
	adopted(r.Placed, "file", "files", "never certified before, under the old name again")
	for _, what := range r.Shelved {
		list = append(list, check.Finding{Part: "staging", Kind: check.Damage, What: what, Hint: "it is in lost+found of staging, by the number of its inode"})
	}
	for _, what := range r.Problems {
		list = append(list, check.Finding{Part: "index", Kind: check.Damage, What: what})
	}
	for _, f := range list {
		if err := s.add(f); err != nil {
			return err
		}
	}
	return nil
}

// rebooted reports whether the machine was started since the drive was recovered last.
func (h home) rebooted() (bool, error) {
	now, err := bootID()
	if err != nil {
		return false, err
	}
	before, err := os.ReadFile(h.boot())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("look up the last boot: %w", err)
	}
	return string(before) != now, nil
}

// missing reports that there is no index where one has been.
func (h home) missing() error {
	if _, err := os.Lstat(h.index()); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open index %s: it is missing: %w", h.index(), index.ErrCorrupt)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
	drivefs "github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/index"
)

// pinArgs is the question of opPin.
type pinArgs struct {
	Path []byte `json:"path"` // in the drive
	Pin  bool   `json:"pin"`
}

// pinned is what cache pin and unpin print.
type pinned struct {
	Path   string `json:"path"`
	Pinned bool   `json:"pinned"`
	Absent int    `json:"absent"` // pinned files that still have to be fetched, at most maxAbsent
}

// maxAbsent bounds how many files are counted that have to be fetched.
const maxAbsent = 10000

// evictArgs is the question of opEvict.
type evictArgs struct {
	Path []byte `json:"path"` // in the drive
}

// evictedTree is what cache evict prints.
type evictedTree struct {
	Path  string `json:"path"`
	Files int    `json:"files"` // whose local copy went
	Bytes int64  `json:"bytes"`
	Kept  int    `json:"kept"` // files that are pinned, in use, or not certified
}

func newPinCommand(a *app, pin bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pin PATH",
		Short: "Keep a file, or all below a folder, on this machine",
		Long: "Pin keeps the local copy of a file, or of all files below a folder, those to come included, and\n" +
			"fetches in the background what is not here, while the drive is mounted. The attribute\n" +
			"user.walfs.pin of the file says 1 then. A pin belongs to this machine: a restore knows of none.",
	}
	if !pin {
		cmd.Use, cmd.Short = "unpin PATH", "Let go of what was pinned"
		cmd.Long = "Unpin undoes pin. Of a file or folder below one that is pinned it makes an exception.\n" +
			"The local copies stay until room is needed."
	}
	cmd.Args = arguments(1, "PATH")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var p pinned
		err := a.askPath(cmd.Context(), args[0], opPin, func(path []byte) any { return pinArgs{path, pin} }, &p)
		if err != nil {
			return err
		}
		return a.result("cache", p, func() error { return a.Print("%s", p.text()) })
	}
	return cmd
}

func (p pinned) text() string {
	switch {
	case !p.Pinned:
		return "no longer pinned: " + ui.Clean(p.Path)
	case p.Absent > 0:
		return fmt.Sprintf("pinned: %s; %s to fetch in all", ui.Clean(p.Path), files(int64(p.Absent)))
	}
	return "pinned: " + ui.Clean(p.Path)
}

func newEvictCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "evict PATH",
		Short: "Drop the local copy of a file, or of all below a folder",
		Long: "Evict drops local copies of certified files. What is pinned, in use, or not certified stays.\n" +
			"The next read of a file comes from the nodes.",
		Args: arguments(1, "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var e evictedTree
			err := a.askPath(cmd.Context(), args[0], opEvict, func(path []byte) any { return evictArgs{path} }, &e)
			if err != nil {
				return err
			}
			return a.result("cache", e, func() error {
				if e.Kept > 0 {
					a.Note("%s kept: pinned, in use, or not certified", files(int64(e.Kept)))
				}
				return a.Print("dropped %s of %s", ui.Size(e.Bytes), files(int64(e.Files)))
			})
		},
	}
}

// askPath reaches the drive for one call about a path.
func (a *app) askPath(ctx context.Context, path, op string, args func(inside []byte) any, result any) (err error) {
	l, err := a.reach(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	inside, err := l.existing(ctx, path)
	if err != nil {
		return err
	}
	return l.call(ctx, op, args(inside), nil, result)
}

func (d *drive) answerPin(ctx context.Context, args pinArgs, _ func(any) error) (p pinned, err error) {
	attr, err := d.resolve(ctx, args.Path)
	if err != nil {
		return p, err
	}
	p.Path = string(args.Path)
	if !args.Pin {
		if err := d.index.ClearPin(ctx, attr.Ino); err != nil && !errors.Is(err, index.ErrNoAttr) {
			return p, err
		}
		above, err := d.index.Pinned(ctx, attr.Ino)
		if err == nil && above {
			err = d.index.SetPin(ctx, attr.Ino, false)
		}
		return p, err
	}
	if err := d.index.SetPin(ctx, attr.Ino, true); err != nil {
		return p, err
	}
	d.pins.Wake()
	p.Pinned = true
	absent, err := d.index.PinnedAbsent(ctx, 0, maxAbsent)
	p.Absent = len(absent)
	return p, err
}

func (d *drive) answerEvict(ctx context.Context, args evictArgs, _ func(any) error) (e evictedTree, err error) {
	attr, err := d.resolve(ctx, args.Path)
	if err != nil {
		return e, err
	}
	e.Path = string(args.Path)
	if !attr.IsDir() {
		e.Bytes, err = d.copies.Load().EvictFile(ctx, attr.Ino)
		for _, why := range []error{keep.ErrPinned, keep.ErrInUse, keep.ErrOnlyCopy} {
			if errors.Is(err, why) {
				err = fmt.Errorf("%s: %w", ui.Clean(e.Path), why)
			}
		}
		if err == nil && e.Bytes > 0 {
			e.Files = 1
		}
		return e, err
	}
	return e, d.evictBelow(ctx, attr.Ino, &e)
}

// evictBelow drops the local copies of the files below a folder.
func (d *drive) evictBelow(ctx context.Context, dir index.Ino, e *evictedTree) error {
	const together = 512
	for cookie := uint64(0); ; {
		entries, err := d.index.ReadDir(ctx, dir, cookie, together)
		if err != nil || len(entries) == 0 {
			return err
		}
		for i := range entries {
			cookie = entries[i].Cookie
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := d.evictEntry(ctx, &entries[i].Attr, e); err != nil {
				return err
			}
		}
	}
}

func (d *drive) evictEntry(ctx context.Context, attr *index.Attr, e *evictedTree) error {
	if attr.IsDir() {
		return d.evictBelow(ctx, attr.Ino, e)
	}
	freed, err := d.copies.Load().EvictFile(ctx, attr.Ino)
	switch {
	case mustStay(err):
		e.Kept++
		return nil
	case errors.Is(err, index.ErrNotExist):
		return nil
	case err == nil && freed > 0:
		e.Files++
		e.Bytes += freed
	}
	return err
}

// mustStay reports whether a copy was not evicted because it may not be.
func mustStay(err error) bool {
	return errors.Is(err, keep.ErrPinned) || errors.Is(err, keep.ErrInUse) || errors.Is(err, keep.ErrOnlyCopy)
}

// hooks are what a mount asks of the drive.
func (d *drive) hooks() drivefs.Hooks {
	return drivefs.Hooks{
		Sync: d.syncSoon,
		Pins: d.pins.Wake,
		Evict: func(ctx context.Context, ino index.Ino) error {
			_, err := d.copies.Load().EvictFile(ctx, ino)
			if mustStay(err) {
				err = fmt.Errorf("%w: %w", drivefs.ErrOnlyCopy, err)
			}
			return err
		},
		EpochEnd: d.renewer.EpochEnd,
	}
}

// syncSoon asks runSyncs for a sync, and waits for nothing.
func (d *drive) syncSoon() {
	select {
	case d.syncs <- struct{}{}:
	default:
	}
}

// runSyncs brings all that is there to the nodes whenever somebody asked for it, until ctx ends.
func (d *drive) runSyncs(ctx context.Context) error {
	for {
		select {
		case <-d.syncs:
		case <-ctx.Done():
			return nil
		}
		err := d.committer.Drain(ctx, nil)
		var left *commit.PendingError
		if err != nil && ctx.Err() == nil && !errors.As(err, &left) { // what is left is in the status
			d.log.Warn("what was asked to be stored is not", "op", "sync", "err", err)
		}
	}
}

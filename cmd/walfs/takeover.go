package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/fs/keep"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

func newTakeoverCommand(a *app) *cobra.Command {
	o := takeoverOptions{take: true}
	moved := false
	cmd := &cobra.Command{
		Use:   "takeover",
		Short: "Make this machine the writer of a drive that it only reads",
		Long: "Takeover brings the drive in the state folder up to the newest certified generation and makes\n" +
			"this machine its writer; the one that was, if it still runs, turns read-only. It is for a drive\n" +
			"that was restored to be read, and for one that another machine has taken over. The drive must\n" +
			"not be mounted. What was written here and never stored goes to lost+found in the state\n" +
			"folder's staging, and is listed.\n\n" +
			"A state folder that was copied to another place does not write the drive, since the one that\n" +
			"it was copied from may. Where that is not used any more, --moved makes the copy the writer;\n" +
			"all that it holds stays as it is.",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if moved {
				return a.moved(cmd.Context())
			}
			r, err := a.takeover(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := a.result("takeover", r, func() error { return a.showRestored(r) }); err != nil {
				return err
			}
			var shelved []string
			for _, path := range r.Shelved {
				shelved = append(shelved, "never stored, now in lost+found: "+path)
			}
			a.warnOf(shelved, len(shelved))
			return r.err(a)
		},
	}
	o.flags(cmd.Flags())
	cmd.Flags().BoolVar(&moved, "moved", false, "go on from this state folder as it is: the one that it was copied from is not used any more")
	for _, other := range []string{"accept-loss", "verify", "allow-rollback"} {
		exclusive(cmd, "moved", other)
	}
	return cmd
}

// moved makes the state folder the one that writes the drive, if no other copy has since.
func (a *app) moved(ctx context.Context) (err error) {
	h, err := a.home()
	if err != nil {
		return err
	}
	d, err := a.openDrive(ctx, h, a.Logger())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	switch err := d.committer.Reconcile(ctx); {
	case err == nil:
		return ui.Errorf(ui.Failed, "this machine writes the drive already")
	case !errors.Is(err, commit.ErrCopied):
		return err
	}
	if err := d.claim(true); err != nil {
		return err
	}
	r := struct {
		Drive string `json:"drive"`
		Home  string `json:"home"`
	}{hex.EncodeToString(d.about.ID[:]), h.dir}
	return a.result("takeover", r, func() error { return a.Print("the drive is written from %s now", h.dir) })
}

// takeover rebuilds the index beside the one that is there, and then puts it in its place.
func (a *app) takeover(ctx context.Context, o takeoverOptions) (r restored, err error) {
	h, err := a.home()
	if err != nil {
		return r, err
	}
	if err := a.checkHome(h); err != nil {
		return r, err
	}
	if err := a.isWriter(ctx, h, o); err != nil {
		return r, err
	}
	lock, err := takeLock(ctx, h)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	c, err := loadConfig(h, a.getenv)
	if err != nil {
		return r, err
	}
	k, err := a.openHomeKeys(ctx, h, c)
	if err != nil {
		return r, err
	}
	next := keep.NewIndex(h.index())
	if err := removeIndex(next); err != nil { // of a takeover that was interrupted
		return r, err
	}
	stage := failpoint()
	if stage == nil {
		stage = func(string) {}
	}
	report, err := a.rebuild(ctx, h, c, k, o, keep.RestoreConfig{Path: next, Stage: stage}, nil)
	if err != nil {
		return r, err
	}
	stage("after-rebuild")
	r = newRestored(h, report)
	if r.ReadOnly { // nothing was taken over: what is here stays as it is
		return r, removeIndex(next)
	}
	if r.Shelved, err = a.shelve(ctx, h, next, stage); err != nil {
		return r, err
	}
	stage("after-shelve")
	_, err = keep.ReplaceIndex(h.index(), "taken-over")
	if err == nil {
		stage("after-replace")
		a.keepKeys(h, c)
	}
	return r, wrapf(err, "put the new index in its place")
}

// isWriter refuses to take over a drive whose writer this machine is. A drive
// that is mounted is in use.
func (a *app) isWriter(ctx context.Context, h home, o takeoverOptions) (err error) {
	d, err := a.openDrive(ctx, h, a.logTo(h))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.committer.Reconcile(ctx); err != nil {
		if o.rollback || commit.MustStop(err) || errors.Is(err, index.ErrStale) {
			return nil
		}
		return err
	}
	return ui.Errorf(ui.Failed, "this machine writes the drive already")
}

// shelve puts aside what staging holds that the new index does not know to be
// stored: it belongs to a version that never was. The rest comes from the nodes again.
func (a *app) shelve(ctx context.Context, h home, next string, stage func(string)) (paths []string, err error) {
	dir, err := staging.Open(staging.Config{Dir: h.staging(), Log: a.logTo(h)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	old, err := index.Open(ctx, index.Config{Path: h.index(), Log: a.logTo(h)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	fresh, err := index.Open(ctx, index.Config{Path: next, Log: a.logTo(h)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fresh.Close()) }()
	highest := index.Ino(0)
	for _, ino := range dir.Inos() {
		highest = max(highest, ino)
		stored, err := isStored(ctx, old, fresh, ino)
		if err != nil {
			return nil, err
		}
		if stored {
			if err := dir.Remove(ino); err != nil {
				return nil, err
			}
			continue
		}
		path, err := old.Path(ctx, ino)
		if err != nil {
			path = fmt.Sprintf("inode %d", ino)
		}
		// With its name, which nothing tells any more once a crash has cut this off.
		if err := dir.ShelveNamed(ino, path); err != nil {
			return nil, err
		}
		stage("during-shelve")
		paths = append(paths, path)
	}
	if highest == 0 {
		return nil, nil
	}
	return paths, fresh.Reserve(ctx, highest)
}

// isStored reports whether what staging holds of a file is a copy of content
// that was certified and lies in segments of the new index that can be read. A
// newer version may have taken its place since.
func isStored(ctx context.Context, old, fresh *index.DB, ino index.Ino) (bool, error) {
	state, err := old.State(ctx, ino)
	if errors.Is(err, index.ErrNotExist) || err == nil && state.State != index.StateCertified {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, e := range state.Extents {
		rows, err := fresh.Segments(ctx, index.SegmentFilter{Number: e.Segment})
		if err != nil {
			return false, err
		}
		if len(rows) != 1 || rows[0].Blob != e.Blob || rows[0].Error != "" {
			return false, nil
		}
	}
	return true, nil
}

// removeIndex removes an index that nobody has open.
func removeIndex(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm", ".sums", ".ahead", ".replay", ".replay-wal", ".replay-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove index: %w", err)
		}
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/index"
)

// syncArgs is the question of opSync.
type syncArgs struct {
	Path []byte `json:"path,omitempty"` // in the drive; empty: all of it
}

// synced is the answer: what is left is not certified.
type synced struct {
	Certified bool     `json:"certified"`
	Left      int      `json:"left"`
	Paths     []string `json:"paths,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	ignored
	TakenOver bool `json:"taken_over,omitempty"` // another machine writes the drive
	Copied    bool `json:"copied,omitempty"`     // another copy of the state folder may write it
}

func newSyncCommand(a *app) *cobra.Command {
	var limit span
	cmd := &cobra.Command{
		Use:   "sync [PATH]",
		Short: "Wait until all is certified",
		Long: "Sync returns when all that existed when it was called is certified, content and names:\n" +
			"a fresh machine with the keys gets it back. fsync, in contrast, returns when data is\n" +
			"staged, safe on this machine. It exits with 3 when something is left, and says what.\n" +
			"Files with names on the ignore list stay on this machine; sync tells how many there are.",
		Args: arguments(0, "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.sync(cmd.Context(), time.Duration(limit), args)
		},
	}
	cmd.Flags().Var(&limit, "timeout", "wait no longer than this `TIME`, such as 30s")
	return cmd
}

func (a *app) sync(ctx context.Context, limit time.Duration, paths []string) (err error) {
	l, err := a.reach(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	var args syncArgs
	if len(paths) > 0 {
		inside, err := l.existing(ctx, paths[0])
		if err != nil {
			return err
		}
		args.Path = inside
	}
	if limit < 0 {
		return ui.Errorf(ui.Usage, "--timeout %s is in the past", limit)
	}
	waiting := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	var done synced
	if err = l.flushPages(waiting); err == nil {
		err = l.callShown(waiting, a.UI, args, &done)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return ui.Errorf(ui.Partial, "not all is certified after %s", limit).WithHint("%s status shows what is left", a.self)
	}
	if err != nil {
		return err
	}
	if a.JSON() {
		if err := a.Emit("sync", done); err != nil {
			return err
		}
	}
	a.noteIgnored(done.ignored)
	return done.err(a)
}

// flushPages lets the kernel hand over what programs wrote through mmap. This
// process does it, since the one that serves a mount must not wait for it.
func (l *line) flushPages(ctx context.Context) error {
	if !l.mounted {
		return nil
	}
	var s status
	if err := l.call(ctx, opStatus, nothing{}, nil, &s); err != nil || !s.Mounted || s.ReadOnly {
		return err
	}
	done := make(chan error, 1)
	go func() {
		dir, err := os.Open(s.Mountpoint)
		if err == nil {
			err = errors.Join(unix.Syncfs(int(dir.Fd())), dir.Close())
		}
		done <- err
	}()
	select {
	case err := <-done:
		return wrapf(err, "write out what programs have mapped")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// callShown calls opSync and shows its progress, and once what it waits for, if something failed.
func (l *line) callShown(ctx context.Context, say *ui.UI, args syncArgs, done *synced) error {
	progress := say.Progress("commit", "files")
	defer progress.End()
	trouble := ""
	return l.call(ctx, opSync, args, func(event json.RawMessage) {
		var p commit.Progress
		if json.Unmarshal(event, &p) == nil {
			progress.Set(ui.Count{Items: int64(p.Files), Bytes: p.Bytes}, ui.Count{Items: int64(p.FilesTotal), Bytes: p.BytesTotal})
			if p.Trouble != "" && p.Trouble != trouble {
				trouble = p.Trouble
				say.Note("still trying: %s", trouble)
			}
		}
	}, done)
}

// err says what is left.
func (s synced) err(a *app) error {
	if s.Certified {
		return nil
	}
	if !a.JSON() {
		for _, path := range s.Paths {
			a.Note("not certified: %s", path)
		}
		if more := s.Left - len(s.Paths); more > 0 && len(s.Paths) > 0 {
			a.Note("and %d more", more)
		}
	}
	if s.Copied {
		return ui.Errorf(ui.Partial, "%s", s.Reason).
			WithHint("if no other copy is used any more: %s takeover --moved, when it is not mounted", a.self)
	}
	if s.TakenOver {
		return ui.Errorf(ui.Partial, "%s", s.Reason).
			WithHint("this machine only reads the drive; %s takeover, when it is not mounted, makes it the writer", a.self)
	}
	return ui.Errorf(ui.Partial, "%s", s.Reason).WithHint("%s status shows what is wrong; what is left is staged, and goes on by itself", a.self)
}

func (d *drive) answerSync(ctx context.Context, args syncArgs, emit func(any) error) (synced, error) {
	ino := index.Root
	if len(args.Path) > 0 {
		attr, err := d.resolve(ctx, args.Path)
		if err != nil {
			return synced{}, err
		}
		ino = attr.Ino
	}
	err := d.committer.Drain(ctx, func(p commit.Progress) { _ = emit(p) }) // nobody listens: the wait goes on
	d.remember(context.WithoutCancel(ctx))
	var left *commit.PendingError
	if err == nil || errors.As(err, &left) { // what the index calls certified the ledger may not know any more
		if lErr := d.committer.Reconcile(ctx); errors.Is(lErr, commit.ErrRolledBack) {
			return synced{}, lErr
		}
	}
	if !errors.As(err, &left) {
		local, iErr := d.ignored(ctx)
		return synced{Certified: err == nil, ignored: local}, errors.Join(err, iErr)
	}
	if ctx.Err() != nil {
		return synced{}, ctx.Err()
	}
	if ino != index.Root {
		if state, err := d.index.State(ctx, ino); err == nil && (state.State == index.StateLocal || state.State.Anchored() && state.State != index.StateLost) {
			return synced{Certified: true}, nil
		}
	}
	return synced{Left: left.Count, Paths: left.Paths, Reason: left.Error(), TakenOver: errors.Is(err, commit.ErrTakenOver), Copied: errors.Is(err, commit.ErrCopied)}, nil
}

// resolve finds an inode by its path in the drive.
func (d *drive) resolve(ctx context.Context, path []byte) (index.Attr, error) {
	attr, err := d.index.Resolve(ctx, string(path))
	if errors.Is(err, index.ErrNotExist) {
		return attr, ui.Errorf(ui.Failed, "%s is not in the drive", ui.Clean(string(path))).
			WithHint("walfs ls shows what is; walfs trash list what was deleted")
	}
	if err != nil {
		return attr, fmt.Errorf("%s: %w", ui.Clean(string(path)), err)
	}
	return attr, nil
}

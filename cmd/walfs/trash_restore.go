package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/fs/commit"
	"github.com/walfs/walfs/index"
)

// untrashArgs is the question of opUntrash.
type untrashArgs struct {
	Items []trashItem `json:"items"`
	To    []byte      `json:"to,omitempty"` // in the drive; empty: where it was
}

// untrashPage is an event of opUntrash.
type untrashPage struct {
	Entries []untrashEntry `json:"entries"`
}

// untrashEntry is a file that came back, as walfs trash restore prints it.
type untrashEntry struct {
	ID   int64  `json:"id"`
	Path string `json:"path"`
	Size int64  `json:"size"`
}

// untrashed is the answer. What is left stays in the trash.
type untrashed struct {
	Files   int64    `json:"files"`
	Bytes   int64    `json:"bytes"`
	Folders int      `json:"folders"` // that were missing
	Left    int      `json:"left"`
	Paths   []string `json:"paths,omitempty"` // of the first that are left, and why
}

func newTrashRestoreCommand(a *app) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "restore ID|PATH...",
		Short: "Get deleted files back",
		Long: "Restore takes IDs from walfs trash list, or paths: of a file, or of a folder, below which all that was\n" +
			"deleted comes back, of each file the version that was deleted last. No content is copied. Folders that\n" +
			"are missing are made, for the owner only. Nothing is overwritten: what has been replaced can be had\n" +
			"under another name with --to. A name of a file that has others is made a link of that file again, unless\n" +
			"it has other content by now. What is restored stays in the trash until its time is over.",
		Args: someNames,
		RunE: func(cmd *cobra.Command, args []string) error { return a.untrash(cmd.Context(), to, args) },
	}
	cmd.Flags().StringVar(&to, "to", "", "restore under this `PATH`, or into it where it is a folder")
	return cmd
}

func (a *app) untrash(ctx context.Context, to string, args []string) (err error) {
	if to != "" && len(args) > 1 {
		return usagef("--to takes one ID or PATH")
	}
	l, err := a.reach(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	var question untrashArgs
	if question.Items, err = l.items(ctx, args); err != nil {
		return err
	}
	if to != "" {
		if question.To, err = l.inside(ctx, to); err != nil {
			return err
		}
	}
	progress := a.Progress("restore", "files")
	var done untrashed
	var bad error
	err = l.call(ctx, opUntrash, question, func(event json.RawMessage) {
		var page untrashPage
		bad = errors.Join(bad, json.Unmarshal(event, &page))
		for _, e := range page.Entries {
			progress.Add(ui.Count{Items: 1, Bytes: e.Size})
			if a.JSON() {
				bad = errors.Join(bad, a.Emit("restored", e))
			}
		}
	}, &done)
	progress.End()
	if err = errors.Join(err, bad); err != nil {
		return err
	}
	if err := a.result("untrash", done, func() error { return a.Print("restored %s of %s", files(done.Files), ui.Size(done.Bytes)) }); err != nil {
		return err
	}
	return done.err(a)
}

// err says what is left.
func (u *untrashed) err(a *app) error {
	if u.Left == 0 {
		return nil
	}
	if !a.JSON() {
		for _, path := range u.Paths {
			a.Note("%s", path)
		}
		if more := u.Left - len(u.Paths); more > 0 {
			a.Note("and %d more", more)
		}
	}
	code := ui.Partial
	if u.Files == 0 {
		code = ui.Failed
	}
	return ui.Errorf(code, "%s not restored", files(int64(u.Left))).WithHint("nothing is overwritten: --to PATH restores elsewhere")
}

// untrashing is one run of a restore from the trash.
type untrashing struct {
	d    *drive
	emit func(any) error
	done untrashed
	plan []index.UntrashRequest
}

func (d *drive) answerUntrash(ctx context.Context, args untrashArgs, emit func(any) error) (untrashed, error) {
	if d.mounted().dir == "" { // else the mount is read-only then
		if err := d.committer.Reconcile(ctx); errors.Is(err, commit.ErrTakenOver) {
			return untrashed{}, err
		}
	}
	u := untrashing{d: d, emit: emit}
	for _, item := range args.Items {
		if err := u.add(ctx, item, inTrash(args.To)); err != nil {
			return u.done, err
		}
	}
	return u.done, u.run(ctx)
}

// add plans what an item names: one file, or all below a folder.
func (u *untrashing) add(ctx context.Context, item trashItem, to []byte) error {
	from := inTrash(item.Path)
	seen := map[string]bool{} // newer versions of the same path
	one := false
	return u.d.trashed(ctx, item, func(list []index.Trashed) error {
		for _, t := range list {
			path := string(t.Path)
			if len(seen) == 0 && (t.ID == item.ID || path == string(from)) {
				one = true
				seen[path] = true
				if err := u.file(ctx, t, to); err != nil {
					return err
				}
			}
			if one || seen[path] || path == string(from) {
				continue
			}
			seen[path] = true
			if err := u.below(ctx, t, t.Path[len(from):], to); err != nil {
				return err
			}
		}
		return nil
	})
}

// below plans to restore a file of a folder, unless it is there.
func (u *untrashing) below(ctx context.Context, t index.Trashed, rest, to []byte) error {
	live, err := u.exists(ctx, t.Path)
	switch {
	case err != nil:
		return err
	case live && t.Replaced: // not deleted
	case live && len(to) == 0:
		u.leave(t.Path, index.ErrExist)
	case len(to) == 0:
		u.plan = append(u.plan, index.UntrashRequest{ID: t.ID, Path: t.Path})
	default:
		u.plan = append(u.plan, index.UntrashRequest{ID: t.ID, Path: inTrash([]byte(path.Join(string(to), string(rest))))})
	}
	return nil
}

// file plans to restore one file.
func (u *untrashing) file(ctx context.Context, t index.Trashed, to []byte) error {
	at := t.Path
	if len(to) > 0 {
		at = to
		attr, err := u.d.index.Resolve(ctx, string(to))
		if err == nil && attr.IsDir() {
			at = []byte(path.Join(string(to), path.Base(string(t.Path))))
		}
	}
	live, err := u.exists(ctx, at)
	if err != nil {
		return err
	}
	if live {
		return ui.Errorf(ui.Failed, "%s exists", ui.Clean(string(at))).WithHint("--to PATH restores it under another name")
	}
	u.plan = append(u.plan, index.UntrashRequest{ID: t.ID, Path: at})
	return nil
}

func (u *untrashing) exists(ctx context.Context, path []byte) (bool, error) {
	_, err := u.d.index.Resolve(ctx, string(path))
	if errors.Is(err, index.ErrNotExist) || errors.Is(err, index.ErrNotDir) {
		return false, nil
	}
	return err == nil, err
}

// maxLeft is how many paths that are left are named.
const maxLeft = 10

func (u *untrashing) leave(path []byte, why error) {
	if u.done.Left++; u.done.Left <= maxLeft {
		u.done.Paths = append(u.done.Paths, fmt.Sprintf("%s: %v", ui.Clean(string(path)), why))
	}
}

// run restores what is planned. What is still being stored is waited for once.
func (u *untrashing) run(ctx context.Context) error {
	waited := false
	for plan := u.plan; len(plan) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(plan), maxListPage)
		done, err := u.d.fsys.Untrash(ctx, plan[:n])
		if err != nil {
			return err
		}
		plan = plan[n:]
		var page untrashPage
		var again []index.UntrashRequest
		for _, f := range done {
			switch {
			case f.Err == nil:
				page.Entries = append(page.Entries, untrashEntry{ID: f.ID, Path: string(f.Path), Size: f.Size})
				u.done.Files++
				u.done.Bytes += f.Size
				u.done.Folders += f.Made
			case errors.Is(f.Err, index.ErrStoring) && !waited:
				again = append(again, f.UntrashRequest)
			default:
				u.leave(f.Path, f.Err)
			}
		}
		_ = u.emit(page) // nobody listens: what was begun goes on
		if len(again) > 0 {
			waited = true
			if err := u.d.settled(ctx); err != nil {
				return err
			}
			plan = append(again, plan...)
		}
	}
	return nil
}

// settled waits until the content of files that were deleted is certified.
func (d *drive) settled(ctx context.Context) error {
	var left *commit.PendingError
	err := d.committer.Drain(ctx, nil)
	if errors.As(err, &left) && ctx.Err() == nil {
		return nil // perhaps it was not about them
	}
	return err
}

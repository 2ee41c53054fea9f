package main

import (
	"context"
	"encoding/json"
	"errors"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/index"
)

// trashItem names files in the trash: an ID, or a path that they had or that they lay below.
type trashItem struct {
	ID   int64  `json:"id,omitempty"` // counts if the trash has it
	Path []byte `json:"path"`
}

// trashListArgs is the question of opTrashList.
type trashListArgs struct {
	Path []byte `json:"path"` // in the drive
}

// trashPage is an event of opTrashList; the answer is a trashSum.
type trashPage struct {
	Entries []trashEntry `json:"entries"`
}

// trashSum is how much was listed, or given up.
type trashSum struct {
	Files  int64 `json:"files"`
	Bytes  int64 `json:"bytes"`
	Newest int64 `json:"newest,omitempty"` // highest ID among them
}

// trashEntry is a file in the trash, as walfs trash list prints it.
type trashEntry struct {
	ID        int64     `json:"id"`
	Path      string    `json:"path"`
	PathBytes []byte    `json:"path_bytes,omitempty"` // when Path is no UTF-8
	Kind      string    `json:"kind"`                 // file or symlink
	Size      int64     `json:"size"`
	Mtime     time.Time `json:"mtime"`
	Deleted   time.Time `json:"deleted"`
	Replaced  bool      `json:"replaced"` // by another file of that name
	Until     time.Time `json:"until"`    // it stays at least
}

func newTrashCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "trash", Short: "List deleted files, get them back, or give them up",
		Long: "Files that are deleted or replaced can be had back for seven days (trash_retention in config.toml;\n" +
			"0 keeps nothing), as they were stored last. What was never stored is gone, and so is what was written\n" +
			"since. The trash belongs to this state folder: a drive that is restored elsewhere begins without.",
		Args: arguments(0), RunE: needSubcommand,
	}
	cmd.AddCommand(newTrashListCommand(a), newTrashRestoreCommand(a), newTrashEmptyCommand(a))
	return cmd
}

func newTrashListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list [PATH]",
		Short: "List deleted files, the last one first",
		Long: "List shows what lies in the trash, or what of it was at PATH or below. PATH is one below the\n" +
			"mount point, or one in the drive, counted from its root.",
		Args: arguments(0, "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.listTrash(cmd.Context(), args) },
	}
}

func (a *app) listTrash(ctx context.Context, args []string) (err error) {
	l, err := a.reach(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	var question trashListArgs
	if len(args) > 0 {
		if question.Path, err = l.inside(ctx, args[0]); err != nil {
			return err
		}
	}
	table := a.Table("ID", "DELETED", "STAYS UNTIL", "SIZE", "", "PATH")
	var sum trashSum
	var bad error
	err = l.call(ctx, opTrashList, question, func(event json.RawMessage) {
		var page trashPage
		if err := json.Unmarshal(event, &page); err != nil {
			bad = err
		}
		for _, e := range page.Entries {
			if a.JSON() {
				bad = errors.Join(bad, a.Emit("trash", e))
				continue
			}
			table.Row(e.ID, shortTime(e.Deleted), shortTime(e.Until), ui.Size(e.Size), e.how(), e.name())
		}
	}, &sum)
	if err = errors.Join(err, bad); err != nil || a.JSON() || sum.Files == 0 {
		return err
	}
	return table.Flush()
}

func shortTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }

func (e *trashEntry) how() string {
	if e.Replaced {
		return "replaced"
	}
	return "deleted"
}

func (e *trashEntry) name() string {
	if e.PathBytes != nil {
		return string(e.PathBytes)
	}
	return e.Path
}

func (d *drive) newTrashEntry(t index.Trashed, now time.Time) trashEntry {
	e := trashEntry{
		ID: t.ID, Path: string(t.Path), Kind: "file", Size: t.Size, Mtime: time.Unix(0, t.Mtime).UTC(),
		Deleted: t.Deleted.UTC(), Replaced: t.Replaced, Until: now.Add(max(0, d.config.retention()-t.Age)).UTC().Truncate(time.Second),
	}
	if goMode(t.Mode).Type() != 0 {
		e.Kind = "symlink"
	}
	if !utf8.Valid(t.Path) {
		e.PathBytes = t.Path
	}
	return e
}

func (d *drive) answerTrashList(ctx context.Context, args trashListArgs, emit func(any) error) (sum trashSum, err error) {
	now := time.Now()
	err = d.eachTrashed(ctx, args.Path, func(list []index.Trashed) error {
		var page trashPage
		for _, t := range list {
			page.Entries = append(page.Entries, d.newTrashEntry(t, now))
			sum.add(t)
		}
		return emit(page)
	})
	return sum, err
}

// eachTrashed calls each for what was at a path or below, some at a time, those first that
// were deleted last.
func (d *drive) eachTrashed(ctx context.Context, path []byte, each func([]index.Trashed) error) error {
	for q := (index.TrashQuery{Path: inTrash(path), Max: maxListPage}); ; {
		list, err := d.index.Trash(ctx, q)
		if err != nil || len(list) == 0 {
			return err
		}
		if err := each(list); err != nil {
			return err
		}
		q.Before = list[len(list)-1].ID
	}
}

func (s *trashSum) add(t index.Trashed) {
	s.Files++
	s.Bytes += t.Size
	s.Newest = max(s.Newest, t.ID)
}

// inTrash turns a path in the drive into one as the trash has it.
func inTrash(name []byte) []byte { return []byte(strings.Trim(path.Clean("/"+string(name)), "/")) }

// items turns what a person named into items: a number may be an ID.
func (l *line) items(ctx context.Context, args []string) (list []trashItem, err error) {
	for _, arg := range args {
		var item trashItem
		if id, err := strconv.ParseInt(arg, 10, 64); err == nil && id > 0 {
			item.ID = id
		}
		if item.Path, err = l.inside(ctx, arg); err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}

// trashed calls each for what an item names, as eachTrashed does. It is an error if that is nothing.
func (d *drive) trashed(ctx context.Context, item trashItem, each func([]index.Trashed) error) error {
	if item.ID > 0 {
		list, err := d.index.Trash(ctx, index.TrashQuery{ID: item.ID})
		if err != nil {
			return err
		}
		if len(list) > 0 {
			return each(list)
		}
	}
	found := false
	err := d.eachTrashed(ctx, item.Path, func(list []index.Trashed) error {
		found = true
		return each(list)
	})
	if err == nil && !found {
		err = ui.Errorf(ui.Failed, "%s is not in the trash", ui.Clean(string(item.Path))).
			WithHint("walfs trash list shows what is; what was never stored, or lay there for too long, is gone")
	}
	return err
}

// files counts files for people.
func files(n int64) string { return ui.Plural(n, "file", "files") }

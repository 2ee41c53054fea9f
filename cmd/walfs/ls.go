package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/index"
)

// listArgs is the question of opList.
type listArgs struct {
	Path      []byte `json:"path"` // in the drive
	Recursive bool   `json:"recursive,omitempty"`
	Long      bool   `json:"long,omitempty"` // states and targets too
}

// listed is the answer; the entries come before it, as events.
type listed struct {
	Entries int64 `json:"entries"`
}

// listPage is an event of opList.
type listPage struct {
	Entries []listEntry `json:"entries"`
}

// listEntry is one name in the drive, as walfs ls prints it.
type listEntry struct {
	Path      string    `json:"path"`
	PathBytes []byte    `json:"path_bytes,omitempty"` // when Path is no UTF-8
	Inode     uint64    `json:"inode"`
	Kind      string    `json:"kind"` // file, dir, symlink or other
	Mode      string    `json:"mode"` // as ls -l has it
	Size      int64     `json:"size"`
	Mtime     time.Time `json:"mtime"`
	State     string    `json:"state,omitempty"`
	Error     string    `json:"error,omitempty"`
	Target    string    `json:"target,omitempty"` // of a symbolic link
}

// listOptions is the flags of ls.
type listOptions struct {
	long, recursive bool
}

func newListCommand(a *app) *cobra.Command {
	var o listOptions
	cmd := &cobra.Command{
		Use:   "ls [PATH]",
		Short: "List files with how safe each of them is",
		Long: "Ls takes a path below the mount point, or one in the drive, counted from its root. -l shows the\n" +
			"state of each file: dirty (written), staged (safe on this machine), storing, or certified (a\n" +
			"fresh machine with the keys gets it back). Names come in the order in which they were made.",
		Args: arguments(0, "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.list(cmd.Context(), o, args) },
	}
	cmd.Flags().BoolVarP(&o.long, "long", "l", false, "show mode, size, time and state")
	cmd.Flags().BoolVarP(&o.recursive, "recursive", "R", false, "list what lies below too, with paths from the root")
	return cmd
}

func (a *app) list(ctx context.Context, o listOptions, args []string) (err error) {
	l, err := a.reach(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	path := []byte("/")
	if len(args) > 0 {
		if path, err = l.existing(ctx, args[0]); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	question := listArgs{Path: path, Recursive: o.recursive, Long: o.long || a.JSON()}
	err = l.call(ctx, opList, question, func(event json.RawMessage) {
		if bad := a.showPage(event, o); bad != nil {
			stop(bad) // nobody reads any more
		}
	}, nil)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func (a *app) showPage(event json.RawMessage, o listOptions) error {
	var page listPage
	if err := json.Unmarshal(event, &page); err != nil {
		return err
	}
	for _, e := range page.Entries {
		err := a.result("entry", e, func() error { return a.Print("%s", e.line(o)) })
		if err != nil {
			return err
		}
	}
	return nil
}

// line is an entry for people.
func (e listEntry) line(o listOptions) string {
	name := e.Path
	if e.PathBytes != nil {
		name = string(e.PathBytes)
	}
	name = ui.Clean(name)
	if !o.long {
		return name
	}
	if e.Target != "" {
		name += " -> " + ui.Clean(e.Target)
	}
	if e.Error != "" {
		name += "  (" + ui.Clean(e.Error) + ")"
	}
	return fmt.Sprintf("%s %9s  %s  %-9s  %s", e.Mode, ui.Size(e.Size), e.Mtime.Local().Format("2006-01-02 15:04"), e.State, name)
}

// lister walks the tree for one question.
type lister struct {
	d    *drive
	args listArgs
	emit func(any) error
	page listPage
	n    int64
}

// maxListPage is how many entries one event carries.
const maxListPage = 256

func (d *drive) answerList(ctx context.Context, args listArgs, emit func(any) error) (listed, error) {
	attr, err := d.resolve(ctx, args.Path)
	if err != nil {
		return listed{}, err
	}
	w := lister{d: d, args: args, emit: emit}
	if attr.IsDir() {
		err = w.dir(ctx, attr.Ino, "")
	} else {
		err = w.add(ctx, attr, string(args.Path))
	}
	if err == nil {
		err = w.send()
	}
	return listed{Entries: w.n}, err
}

// dir lists a folder whose path from the start of the walk is prefix.
func (w *lister) dir(ctx context.Context, ino index.Ino, prefix string) error {
	after := uint64(0)
	for {
		entries, err := w.d.index.ReadDir(ctx, ino, after, maxListPage)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			after = e.Cookie
			path := prefix + string(e.Name)
			if err := w.add(ctx, e.Attr, path); err != nil {
				return err
			}
			if !w.args.Recursive || !e.Attr.IsDir() {
				continue
			}
			if err := w.dir(ctx, e.Attr.Ino, path+"/"); err != nil && !errors.Is(err, index.ErrNotExist) {
				return err
			}
		}
	}
}

// add puts an entry on the page. One that was deleted meanwhile is left out.
func (w *lister) add(ctx context.Context, attr index.Attr, path string) error {
	e := newListEntry(attr, path)
	if w.args.Long {
		err := w.long(ctx, attr, &e)
		if errors.Is(err, index.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	w.n++
	w.page.Entries = append(w.page.Entries, e)
	if len(w.page.Entries) < maxListPage {
		return nil
	}
	return w.send()
}

func (w *lister) long(ctx context.Context, attr index.Attr, e *listEntry) error {
	at, err := w.d.index.State(ctx, attr.Ino)
	if err != nil {
		return err
	}
	e.State, e.Error = string(at.State), at.Error
	if !attr.IsSymlink() {
		return nil
	}
	target, err := w.d.index.Readlink(ctx, attr.Ino)
	e.Target = string(target)
	return err
}

func (w *lister) send() error {
	if len(w.page.Entries) == 0 {
		return nil
	}
	err := w.emit(w.page)
	w.page.Entries = w.page.Entries[:0]
	return err
}

func newListEntry(attr index.Attr, path string) listEntry {
	mode := goMode(attr.Mode)
	e := listEntry{
		Path: path, Inode: uint64(attr.Ino), Kind: "other", Mode: mode.String(), Size: attr.Size,
		Mtime: time.Unix(0, attr.Mtime).UTC(),
	}
	switch {
	case attr.IsDir():
		e.Kind = "dir"
	case attr.IsRegular():
		e.Kind = "file"
	case attr.IsSymlink():
		e.Kind = "symlink"
	}
	if !utf8.ValidString(path) {
		e.PathBytes = []byte(path)
	}
	return e
}

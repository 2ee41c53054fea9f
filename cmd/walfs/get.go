package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
)

func newGetCommand(a *app) *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "get PATH [DEST]",
		Short: "Copy files out of the drive, mounted or not",
		Long: "Get copies a file to DEST, or into it where it is a folder; to the working folder without DEST,\n" +
			"and to stdout with -. It needs no FUSE: where the drive is not mounted it opens it itself. Content is\n" +
			"verified against the blob ID as it is read. A file that is there is replaced when the new one is\n" +
			"whole. " + keptHelp,
		Args: arguments(1, "PATH", "DEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dest := ""
			if len(args) > 1 {
				dest = args[1]
			}
			return a.get(cmd.Context(), args[0], dest, recursive)
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "copy folders with all that is in them")
	return cmd
}

func (a *app) get(ctx context.Context, path, dest string, recursive bool) (err error) {
	h, err := a.home()
	if err != nil {
		return err
	}
	t, from, err := a.openTree(ctx, h, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	e, err := t.entry(ctx, from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	mode := goMode(e.attr.mode)
	if mode.IsDir() && (!recursive || dest == "-") {
		return ui.Errorf(ui.Usage, "%s is a folder", ui.Clean(from)).WithHint("-r copies it to a folder")
	}
	c := newCopier(a)
	c.tree, c.size = t, totalOf(mode, e.attr.size)
	c.progress = a.Progress("get", "files")
	defer c.progress.End()
	if dest == "-" {
		out := inOrder{w: a.out}
		size, err := c.pour(ctx, e, &out)
		if err != nil {
			return err
		}
		return out.upTo(size)
	}
	root, name, err := openDest(dest, from)
	if err != nil {
		return err
	}
	c.sink = (&folderWriter{to: root, lost: &c.lost}).sink()
	return errors.Join(c.run(ctx, "get", from, name), root.close())
}

// openDest opens the folder that the copy goes into, and names the copy in it. Nothing is
// written outside of that folder, whatever links lie there.
func openDest(dest, from string) (root *folder, name string, err error) {
	if dest == "" {
		dest = "."
	}
	dir, name := filepath.Split(absolute(dest))
	if info, err := os.Stat(dest); err == nil && info.IsDir() {
		dir, name = dest, filepath.Base(from)
		if from == "/" {
			name = "."
		}
	}
	root, err = openFolder(dir)
	return root, name, wrapf(err, "open the folder to copy to")
}

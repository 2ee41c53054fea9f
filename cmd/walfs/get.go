package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

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
			"whole. Permissions and times are kept; device nodes and sockets are left out, with exit code 3.",
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

// fetched is what get prints in JSON.
type fetched struct {
	Files   int64 `json:"files"`
	Bytes   int64 `json:"bytes"`
	Skipped int64 `json:"skipped"`
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
	attr, err := t.attr(ctx, from)
	if err != nil {
		return err
	}
	if attr.mode.IsDir() && (!recursive || dest == "-") {
		return ui.Errorf(ui.Usage, "%s is a folder", ui.Clean(from)).WithHint("-r copies it to a folder")
	}
	c := copier{app: a, tree: t, progress: a.Progress("get", "files"), size: attr.size}
	defer c.progress.End()
	if dest == "-" {
		return c.pour(ctx, from, a.out)
	}
	root, name, err := openDest(dest, from)
	if err != nil {
		return err
	}
	c.root = root
	err = errors.Join(c.copy(ctx, from, name), root.Close())
	c.progress.End()
	if a.JSON() {
		err = errors.Join(err, a.Emit("get", c.done))
	}
	if err == nil && c.done.Skipped > 0 {
		return ui.Errorf(ui.Partial, "%d entries were left out", c.done.Skipped)
	}
	return err
}

// openDest opens the folder that the copy goes into, and names the copy in it. Nothing is
// written outside of that folder, whatever links lie there.
func openDest(dest, from string) (root *os.Root, name string, err error) {
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
	root, err = os.OpenRoot(dir)
	return root, name, wrapf(err, "open the folder to copy to")
}

// copier copies from a tree to a folder of this machine.
type copier struct {
	app      *app
	tree     *tree
	root     *os.Root
	progress *ui.Progress
	size     int64 // of the one file, for progress
	done     fetched
}

// copy copies what lies at from in the drive to the name to.
func (c *copier) copy(ctx context.Context, from, to string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	attr, err := c.tree.attr(ctx, from)
	if err != nil {
		return err
	}
	switch {
	case attr.mode.IsDir():
		err = c.folder(ctx, from, to, attr)
	case attr.mode.IsRegular():
		err = c.file(ctx, from, to, attr)
	case attr.mode&os.ModeSymlink != 0:
		err = c.link(ctx, from, to)
	default:
		c.app.Warn("%s is no file, folder or link: left out", from)
		c.done.Skipped++
	}
	return err
}

// folder copies all that is in a folder. Its mode and time come last, when nothing more
// is written to it.
func (c *copier) folder(ctx context.Context, from, to string, attr treeAttr) error {
	if err := c.root.Mkdir(to, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := c.root.Lstat(to)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return ui.Errorf(ui.Failed, "%s is there and is no folder", c.place(to))
	}
	err = c.tree.names(ctx, from, func(name string) error {
		return c.copy(ctx, filepath.Join(from, name), filepath.Join(to, name))
	})
	if err != nil || to == "." {
		return err
	}
	return c.finish(to, attr)
}

// file copies content to a temporary name, and gives it the right one when it is whole
// and on the disk.
func (c *copier) file(ctx context.Context, from, to string, attr treeAttr) error {
	temp := filepath.Join(filepath.Dir(to), ".walfs-"+rand.Text())
	f, err := c.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = c.pour(ctx, from, f)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = c.finish(temp, attr)
	}
	if err == nil {
		err = c.root.Rename(temp, to)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", ui.Clean(from), err), c.root.Remove(temp))
	}
	c.done.Files++
	c.progress.Add(ui.Count{Items: 1})
	return nil
}

// blockSize is how much is read at once, in bytes.
const blockSize = 1 << 20

// pour copies content to w.
func (c *copier) pour(ctx context.Context, from string, w io.Writer) error {
	src, err := c.tree.open(ctx, from)
	if err != nil {
		return err
	}
	c.progress.Total(ui.Count{Bytes: c.size})
	block := make([]byte, blockSize)
	for err == nil {
		var n int
		if n, err = src.Read(block); n > 0 {
			if _, bad := w.Write(block[:n]); bad != nil {
				err = bad
			}
			c.done.Bytes += int64(n)
			c.progress.Add(ui.Count{Bytes: int64(n)})
		}
		if err == nil {
			err = ctx.Err()
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, src.Close())
}

func (c *copier) link(ctx context.Context, from, to string) error {
	target, err := c.tree.target(ctx, from)
	if err != nil {
		return err
	}
	err = c.root.Symlink(target, to)
	if errors.Is(err, os.ErrExist) {
		if old, bad := c.root.Readlink(to); bad == nil && old == target {
			return nil
		}
	}
	return err
}

// finish gives a copy mode and time of the original.
func (c *copier) finish(to string, attr treeAttr) error {
	return errors.Join(c.root.Chmod(to, attr.mode.Perm()), c.root.Chtimes(to, time.Time{}, attr.mtime))
}

// place names a copy for a message.
func (c *copier) place(to string) string { return ui.Clean(filepath.Join(c.root.Name(), to)) }

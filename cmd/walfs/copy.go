package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// sink is where copies go: a folder of this machine, or a drive that is open in this process.
type sink struct {
	mkdir func(ctx context.Context, path string) error // content when the folder is there
	// file makes a file of what pour writes, whole or not at all, with mode and time of attr.
	file   func(ctx context.Context, path string, attr treeAttr, pour func(io.Writer) error) error
	link   func(ctx context.Context, path, target string) error // content when the same link is there
	finish func(ctx context.Context, path string, attr treeAttr) error
}

// copier copies from a tree to a sink.
type copier struct {
	app      *app
	tree     *tree
	sink     *sink
	progress *ui.Progress
	size     int64 // of all that is copied, for progress; 0: not known
	done     copied
}

// totalOf returns how many bytes a copy of something has, 0 when that is not known.
func totalOf(mode os.FileMode, size int64) int64 {
	if !mode.IsRegular() {
		return 0 // the size of a folder says nothing of what is in it
	}
	return size
}

// copied is what get and put print in JSON.
type copied struct {
	Files   int64 `json:"files"`
	Bytes   int64 `json:"bytes"`
	Skipped int64 `json:"skipped"`
}

// run copies, and tells what was copied under the name of the command.
func (c *copier) run(ctx context.Context, kind, from, to string) error {
	err := c.copy(ctx, from, to)
	c.progress.End()
	if c.app.JSON() {
		err = errors.Join(err, c.app.Emit(kind, c.done))
	}
	if err == nil && c.done.Skipped > 0 {
		return ui.Errorf(ui.Partial, "%s left out", ui.Plural(c.done.Skipped, "entry was", "entries were"))
	}
	return err
}

// copy copies what lies at from in the tree to the path to of the sink.
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
		return c.folder(ctx, from, to, attr)
	case attr.mode.IsRegular():
		err = c.sink.file(ctx, to, attr, func(w io.Writer) error { return c.pour(ctx, from, w) })
		if err == nil {
			c.done.Files++
			c.progress.Add(ui.Count{Items: 1})
		}
	case attr.mode&os.ModeSymlink != 0:
		var target string
		if target, err = c.tree.target(ctx, from); err == nil {
			err = c.sink.link(ctx, to, target)
		}
	default:
		c.app.Warn("%s is no file, folder or link: left out", from)
		c.done.Skipped++
	}
	return wrapf(err, "%s", ui.Clean(from))
}

// folder copies all that is in a folder. Its mode and time come last, when nothing more
// is written to it.
func (c *copier) folder(ctx context.Context, from, to string, attr treeAttr) error {
	if err := c.sink.mkdir(ctx, to); err != nil {
		return err
	}
	err := c.tree.names(ctx, from, func(name string) error {
		return c.copy(ctx, filepath.Join(from, name), filepath.Join(to, name))
	})
	if err != nil {
		return err
	}
	return c.sink.finish(ctx, to, attr)
}

// copyBlock is how much is read at once, in bytes.
const copyBlock = 1 << 20

// pour copies content to w.
func (c *copier) pour(ctx context.Context, from string, w io.Writer) error {
	src, err := c.tree.open(ctx, from)
	if err != nil {
		return err
	}
	if c.size > 0 {
		c.progress.Total(ui.Count{Bytes: c.size})
	}
	block := make([]byte, copyBlock)
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

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// sink is where copies go: a folder of this machine, or a drive that is open in this process.
// Owner, mode, attributes and times are those of attr, as far as they can be kept.
type sink struct {
	mkdir func(ctx context.Context, path string) error // content when the folder is there
	// file makes a file of what pour writes, whole or not at all. What lies between is left out, and
	// it is as long as pour says.
	file func(ctx context.Context, path string, attr *treeAttr, pour pour) error
	// node makes a symbolic link, a fifo or a device, and is content when the same one is there.
	node func(ctx context.Context, path string, attr *treeAttr) error
	// link gives what was copied to old another name, where a file may be. errReplaced: old is something else by now.
	link     func(ctx context.Context, old placed, path string) error
	identity func(ctx context.Context, path string) (identity, error)
	finish   func(ctx context.Context, path string, attr *treeAttr) error // of a folder
}

// placed is a copy with more than one link.
type placed struct {
	path string
	is   identity
}

// errReplaced refuses a link to a copy in whose place another file is, as where names differ in case only and
// the file system takes them for one.
var errReplaced = errors.New("the copy was replaced by another")

// pour writes the content of a file, and returns how long it is.
type pour func(w io.WriterAt) (size int64, err error)

// copier copies from a tree to a sink.
type copier struct {
	app      *app
	tree     *tree
	base     string // where paths of the tree begin, for messages
	sink     *sink
	lost     losses
	progress *ui.Progress
	size     int64 // of all that is copied, for progress; 0: not known
	done     copied
	block    []byte
	linked   map[identity]placed // where a file with more than one link was copied to
}

// keptHelp tells what get and put keep.
const keptHelp = `Permissions, times, extended attributes, ACLs, holes, links, fifos, and hard links
among what is copied are kept; owners, device nodes and root's attributes as far as this user may. A warning
at the end counts what could not be kept. Sockets, and what this user or the file system cannot make, are left
out, with exit code 3.`

func newCopier(a *app) *copier {
	return &copier{app: a, lost: losses{app: a}, block: make([]byte, copyBlock), linked: map[identity]placed{}}
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
	// NotKept counts entries by what of them could not be kept.
	NotKept map[aspect]int64 `json:"not_kept,omitempty"`
}

// run copies, and tells what was copied under the name of the command.
func (c *copier) run(ctx context.Context, kind, from, to string) error {
	err := c.copy(ctx, from, to)
	c.progress.End()
	c.done.NotKept = c.lost.entries
	c.lost.warn()
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
	e, err := c.tree.entry(ctx, from)
	if err != nil {
		return err
	}
	if e.attr.kind() == unix.S_IFDIR {
		return errors.Join(c.folder(ctx, e, from, to), e.close())
	}
	return wrapf(errors.Join(c.other(ctx, e, from, to), e.close()), "%s", ui.Clean(c.name(from)))
}

// name is a path of the tree in messages.
func (c *copier) name(from string) string { return filepath.Join(c.base, from) }

// other copies what is no folder.
func (c *copier) other(ctx context.Context, e *treeEntry, from, to string) error {
	if first, ok := c.linked[e.attr.is]; ok && e.attr.links > 1 {
		err := c.sink.link(ctx, first, to)
		if err == nil {
			c.counted(e)
			return nil
		}
		if err := c.lost.note(to, aspectHardLink, err); err != nil {
			return err
		}
	}
	if err := c.lost.note(c.name(from), aspectXattr, e.attr.unread); err != nil {
		return err
	}
	switch e.attr.kind() {
	case unix.S_IFREG:
		if err := c.sink.file(ctx, to, &e.attr, func(w io.WriterAt) (int64, error) { return c.pour(ctx, e, w) }); err != nil {
			return err
		}
		c.counted(e)
	case unix.S_IFLNK, unix.S_IFIFO, unix.S_IFCHR, unix.S_IFBLK:
		err := c.sink.node(ctx, to, &e.attr)
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) { // by this user, or on this file system
			c.leaveOut(from, "cannot be made here")
			return nil
		}
		if err != nil {
			return err
		}
	default:
		c.leaveOut(from, "is a socket")
		return nil
	}
	if e.attr.links < 2 {
		return nil
	}
	is, err := c.sink.identity(ctx, to)
	c.linked[e.attr.is] = placed{path: to, is: is}
	return err
}

// counted counts a file that was copied, or got another name.
func (c *copier) counted(e *treeEntry) {
	if e.attr.kind() == unix.S_IFREG {
		c.done.Files++
		c.progress.Add(ui.Count{Items: 1})
	}
}

func (c *copier) leaveOut(from, why string) {
	c.app.Warn("%s %s: left out", c.name(from), why)
	c.done.Skipped++
}

// folder copies all that is in a folder. Its mode, attributes and times come last, when nothing more
// is written to it.
func (c *copier) folder(ctx context.Context, e *treeEntry, from, to string) error {
	if err := c.sink.mkdir(ctx, to); err != nil {
		return err
	}
	err := e.names(ctx, func(name string) error {
		if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
			return fmt.Errorf("%s: %q cannot be a name", ui.Clean(c.name(from)), name)
		}
		return c.copy(ctx, filepath.Join(from, name), filepath.Join(to, name))
	})
	if err == nil {
		err = c.lost.note(c.name(from), aspectXattr, e.attr.unread)
	}
	if err != nil {
		return err
	}
	return c.sink.finish(ctx, to, &e.attr)
}

// copyBlock is how much is read at once, in bytes.
const copyBlock = 1 << 20

// pour copies content to w, but for holes, and returns how long it is.
func (c *copier) pour(ctx context.Context, e *treeEntry, w io.WriterAt) (size int64, err error) {
	src, err := e.open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, src.close()) }()
	if c.size > 0 {
		c.progress.Total(ui.Count{Bytes: c.size})
	}
	for off := int64(0); ; {
		from, to, err := src.data(ctx, off)
		if err != nil {
			return off, err
		}
		c.copied(from - off)
		if off = from; off == to {
			return off, nil
		}
		for off < to {
			n, err := src.read(ctx, c.block[:min(copyBlock, to-off)], off)
			if n > 0 {
				if _, bad := w.WriteAt(c.block[:n], off); bad != nil {
					return off, bad
				}
				c.copied(int64(n))
				off += int64(n)
			}
			if errors.Is(err, io.EOF) {
				return off, nil
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return off, err
			}
		}
	}
}

// copied counts bytes of content, holes included.
func (c *copier) copied(n int64) {
	if n > 0 {
		c.done.Bytes += n
		c.progress.Add(ui.Count{Bytes: n})
	}
}

// inOrder writes to a stream what comes in ascending order, with zeros for what was left out.
type inOrder struct {
	w  io.Writer
	at int64
}

// WriteAt is io.WriterAt's.
func (s *inOrder) WriteAt(p []byte, off int64) (int, error) {
	if err := s.upTo(off); err != nil {
		return 0, err
	}
	n, err := s.w.Write(p)
	s.at += int64(n)
	return n, err
}

// upTo writes zeros until off.
func (s *inOrder) upTo(off int64) error {
	zeros := make([]byte, min(copyBlock, max(0, off-s.at)))
	for s.at < off {
		n, err := s.w.Write(zeros[:min(copyBlock, off-s.at)])
		s.at += int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

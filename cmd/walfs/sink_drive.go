package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	drivefs "github.com/walfs/walfs/fs"
	"github.com/walfs/walfs/index"
)

// drivePlace is a path in an open drive, taken apart.
type drivePlace struct {
	parent index.Ino
	name   []byte
}

// driveWriter is an open drive that copies go into.
type driveWriter struct {
	d    *drive
	fsys *drivefs.FS
	lost *losses
}

func (w *driveWriter) sink() *sink {
	return &sink{mkdir: w.mkdir, file: w.file, node: w.node, link: w.link, identity: w.identity, finish: w.finish}
}

// place finds the folder of a path.
func (w *driveWriter) place(ctx context.Context, path string) (drivePlace, error) {
	dir, err := w.d.resolve(ctx, []byte(filepath.Dir(path)))
	if err == nil && !dir.IsDir() {
		err = noFolder(filepath.Dir(path))
	}
	return drivePlace{parent: dir.Ino, name: []byte(filepath.Base(path))}, err
}

// request is for a new inode of this user.
func (p drivePlace) request(mode uint32) index.CreateRequest {
	return index.CreateRequest{
		Parent: p.parent, Name: p.name, Mode: mode, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()),
	}
}

func (w *driveWriter) mkdir(ctx context.Context, path string) error {
	if attr, err := w.d.index.Resolve(ctx, path); err == nil {
		if !attr.IsDir() {
			return noFolder(path)
		}
		return nil
	}
	p, err := w.place(ctx, path)
	if err == nil {
		_, err = w.fsys.Create(ctx, p.request(modeDir|0o700))
	}
	return err
}

func (w *driveWriter) node(ctx context.Context, path string, attr *treeAttr) error {
	p, err := w.place(ctx, path)
	if err != nil {
		return err
	}
	r := p.request(attr.kind() | 0o600)
	switch attr.kind() {
	case unix.S_IFLNK:
		r.Mode, r.Target = modeLink|0o777, []byte(attr.target)
	case unix.S_IFCHR, unix.S_IFBLK:
		if os.Geteuid() != 0 {
			return unix.EPERM
		}
		r.Rdev = uint32(attr.rdev)
	}
	if _, err = w.fsys.Create(ctx, r); err != nil && !errors.Is(err, index.ErrExist) {
		return err
	}
	there, bad := w.d.index.Lookup(ctx, p.parent, p.name)
	if bad != nil {
		return errors.Join(err, bad)
	}
	if same, bad := w.same(ctx, &there, attr); bad != nil || !same {
		return errors.Join(err, bad)
	}
	return w.keep(ctx, path, &there, attr)
}

// same reports whether an inode is the same link, fifo or device.
func (w *driveWriter) same(ctx context.Context, there *index.Attr, attr *treeAttr) (bool, error) {
	if there.Mode&unix.S_IFMT != attr.kind() || attr.kind() != unix.S_IFLNK {
		return there.Mode&unix.S_IFMT == attr.kind() && uint64(there.Rdev) == attr.rdev, nil
	}
	target, err := w.d.index.Readlink(ctx, there.Ino)
	return string(target) == attr.target, err
}

// file writes to a temporary name, and renames when the whole of it is on the disk.
func (w *driveWriter) file(ctx context.Context, path string, attr *treeAttr, pour pour) error {
	temp := tempName(path)
	p, err := w.place(ctx, temp)
	if err != nil {
		return err
	}
	content, err := w.fsys.Create(ctx, p.request(modeFile|0o600))
	if err != nil {
		return err
	}
	undone := context.WithoutCancel(ctx)
	size, err := pour(&contentWriter{ctx: ctx, content: content})
	if err == nil {
		err = content.Truncate(ctx, size)
	}
	if err == nil {
		err = w.finishFile(ctx, p, path, attr, content)
	}
	if err = errors.Join(err, content.Close(undone)); err == nil {
		err = w.move(ctx, p, path)
	}
	if err != nil {
		return errors.Join(err, w.fsys.Remove(undone, p.parent, p.name))
	}
	return nil
}

// finishFile gives a file that is written what is kept of it, and brings it to the disk.
func (w *driveWriter) finishFile(ctx context.Context, p drivePlace, path string, attr *treeAttr, content *drivefs.Content) error {
	there, err := w.d.index.Lookup(ctx, p.parent, p.name)
	if err != nil {
		return err
	}
	change, err := w.prepare(ctx, path, &there, attr)
	if err != nil {
		return err
	}
	return content.Finish(ctx, change)
}

// move gives what is under a temporary name its own.
func (w *driveWriter) move(ctx context.Context, p drivePlace, path string) error {
	return w.fsys.Rename(ctx, index.RenameRequest{
		OldParent: p.parent, OldName: p.name, NewParent: p.parent, NewName: []byte(filepath.Base(path)),
	})
}

// link gives a file that was copied another name, in the place of another file that is there.
func (w *driveWriter) link(ctx context.Context, old placed, path string) error {
	from, err := w.d.resolve(ctx, []byte(old.path))
	if err != nil {
		return err
	}
	if uint64(from.Ino) != old.is.ino {
		return errReplaced
	}
	temp := tempName(path)
	p, err := w.place(ctx, temp)
	if err != nil {
		return err
	}
	there, err := w.d.index.Lookup(ctx, p.parent, []byte(filepath.Base(path)))
	if err == nil && there.Ino == from.Ino {
		return nil
	}
	if err != nil && !errors.Is(err, index.ErrNotExist) {
		return err
	}
	if err := w.fsys.Link(ctx, from.Ino, p.parent, p.name); err != nil {
		return err
	}
	if err := w.move(ctx, p, path); err != nil {
		return errors.Join(err, w.fsys.Remove(context.WithoutCancel(ctx), p.parent, p.name))
	}
	return nil
}

func (w *driveWriter) identity(ctx context.Context, path string) (identity, error) {
	attr, err := w.d.resolve(ctx, []byte(path))
	return identity{ino: uint64(attr.Ino)}, err
}

func (w *driveWriter) finish(ctx context.Context, path string, attr *treeAttr) error {
	dir, err := w.d.resolve(ctx, []byte(path))
	if err != nil || dir.Ino == index.Root {
		return err
	}
	return w.keep(ctx, path, &dir, attr)
}

// keep makes owner, attributes, mode and times of an inode those of attr.
func (w *driveWriter) keep(ctx context.Context, path string, there *index.Attr, attr *treeAttr) error {
	change, err := w.prepare(ctx, path, there, attr)
	if err != nil {
		return err
	}
	_, err = w.d.index.SetAttr(ctx, there.Ino, change)
	return err
}

// prepare sets attributes of an inode, and returns the change that makes the rest that of attr. What
// root alone may do in a mounted drive, root alone may do here.
func (w *driveWriter) prepare(ctx context.Context, path string, there *index.Attr, attr *treeAttr) (index.Change, error) {
	change, err := w.owned(path, there, attr)
	if err != nil {
		return change, err
	}
	atime, mtime := drivefs.Nanos(time.Unix(attr.atime.Unix())), drivefs.Nanos(time.Unix(attr.mtime.Unix()))
	change.Atime, change.Mtime = &atime, &mtime
	for _, x := range attr.xattrs {
		err := w.setXattr(ctx, there.Ino, x)
		if err := w.lost.note(path, aspectOf(x.Name), wrapf(err, "set %s", x.Name)); err != nil {
			return change, err
		}
	}
	have, err := w.d.index.ListXattr(ctx, there.Ino)
	if err != nil {
		return change, err
	}
	for _, name := range inheritedACLs(have, attr.xattrs) {
		if err := w.d.index.RemoveXattr(ctx, there.Ino, name); err != nil {
			return change, err
		}
	}
	return change, nil
}

// setXattr sets an attribute as the kernel lets a mount's owner do: anybody his own and ACLs, root others.
func (w *driveWriter) setXattr(ctx context.Context, ino index.Ino, x index.Xattr) error {
	switch {
	case !drivefs.StoredXattr(x.Name):
		return unix.EOPNOTSUPP
	case os.Geteuid() != 0 && !strings.HasPrefix(x.Name, "user.") && !index.IsACL(x.Name):
		return unix.EPERM
	}
	return w.d.index.SetXattr(ctx, ino, x.Name, x.Value, 0)
}

// owned returns a change to the owner and the permission bits of attr, as far as this user may.
func (w *driveWriter) owned(path string, there *index.Attr, attr *treeAttr) (index.Change, error) {
	var c index.Change
	perm := attr.perm()
	var refused error
	switch {
	case there.UID == attr.uid:
	case os.Geteuid() == 0:
		c.UID = &attr.uid
	default:
		refused, perm = unix.EPERM, perm&^unix.S_ISUID
	}
	switch {
	case there.GID == attr.gid:
	case os.Geteuid() == 0 || memberOf(attr.gid):
		c.GID = &attr.gid
	default:
		refused, perm = unix.EPERM, withoutSetgid(perm, attr.kind())
	}
	if attr.kind() != unix.S_IFLNK {
		c.Mode = &perm
	}
	if refused == nil {
		return c, nil
	}
	return c, w.lost.noteOwner(path, attr, perm, refused)
}

// memberOf reports whether this process is in a group.
func memberOf(group uint32) bool {
	groups, err := os.Getgroups()
	return err == nil && slices.Contains(append(groups, os.Getegid()), int(group))
}

// contentWriter writes to a file of an open drive.
type contentWriter struct {
	ctx     context.Context // of the command, which is as long as the writer
	content *drivefs.Content
}

// WriteAt is io.WriterAt's.
func (w *contentWriter) WriteAt(p []byte, off int64) (int, error) {
	return w.content.WriteAt(w.ctx, p, off)
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/ui"
	"github.com/walfs/walfs/index"
)

// tempName is a name for a copy that is not whole.
func tempName(path string) string { return filepath.Join(filepath.Dir(path), ".walfs-"+rand.Text()) }

// noFolder reports that something else lies where a folder should.
func noFolder(path string) error {
	return ui.Errorf(ui.Failed, "%s is there and is no folder", ui.Clean(path))
}

// folderWriter writes below a folder of this machine and nowhere else, whatever links lie there.
type folderWriter struct {
	to   *folder
	lost *losses
}

func (w *folderWriter) sink() *sink {
	return &sink{mkdir: w.mkdir, file: w.file, node: w.node, link: w.link, identity: w.identity, finish: w.finish}
}

func (w *folderWriter) mkdir(_ context.Context, path string) error {
	dir, name, err := w.to.parent(path)
	if err != nil {
		return err
	}
	err = w.to.call("mkdir", path, func() error { return unix.Mkdirat(dir, name, 0o700) })
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	p, err := w.to.grip(path)
	if err != nil {
		return err
	}
	return errors.Join(p.fillable(path), p.close())
}

// fillable makes sure that files can be made in a folder that was there before. What a copy before has left
// as its original is, finish makes so again.
func (g *grip) fillable(path string) error {
	st, err := g.stat()
	switch {
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return noFolder(path)
	case st.Mode&unix.S_IRWXU == unix.S_IRWXU || int(st.Uid) != os.Geteuid() || path == ".":
		return nil
	}
	return g.chmod(st.Mode&^unix.S_IFMT | unix.S_IRWXU)
}

// finish gives a folder what is kept of it.
func (w *folderWriter) finish(_ context.Context, path string, attr *treeAttr) error {
	if path == "." { // it was there before
		return nil
	}
	p, err := w.to.grip(path)
	if err != nil {
		return err
	}
	return errors.Join(p.keep(attr, w.lost), p.close())
}

func (w *folderWriter) node(_ context.Context, path string, attr *treeAttr) error {
	dir, name, err := w.to.parent(path)
	if err != nil {
		return err
	}
	if attr.kind() == unix.S_IFLNK {
		err = w.to.call("symlink", path, func() error { return unix.Symlinkat(attr.target, dir, name) })
	} else {
		err = w.to.call("mknod", path, func() error { return unix.Mknodat(dir, name, attr.kind()|0o600, int(attr.rdev)) })
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	p, bad := w.to.grip(path)
	if bad != nil {
		return bad
	}
	same, bad := p.same(attr)
	switch {
	case bad != nil:
		err = bad
	case same:
		err = p.keep(attr, w.lost)
	case err == nil: // somebody has put something else there
		err = w.to.wrong("mknod", path, unix.EEXIST)
	}
	return errors.Join(err, p.close())
}

// same reports whether an entry is the same link, fifo or device.
func (g *grip) same(attr *treeAttr) (bool, error) {
	st, err := g.stat()
	if err != nil || st.Mode&unix.S_IFMT != attr.kind() {
		return false, err
	}
	if attr.kind() != unix.S_IFLNK {
		return attr.kind() == unix.S_IFIFO || st.Rdev == attr.rdev, nil
	}
	target, err := g.target()
	return target == attr.target, err
}

// file writes to a temporary name, and renames when the whole of it is on the disk.
func (w *folderWriter) file(_ context.Context, path string, attr *treeAttr, pour pour) error {
	temp := tempName(path)
	dir, name, err := w.to.parent(temp)
	if err != nil {
		return err
	}
	fd := 0
	err = w.to.call("create", temp, func() (err error) {
		fd, err = unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), filepath.Join(w.to.name, temp))
	size, err := pour(f)
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		err = (&grip{fd: fd, path: f.Name()}).keep(attr, w.lost)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = w.to.call("rename", path, func() error { return unix.Renameat(dir, name, dir, filepath.Base(path)) })
	}
	if err != nil {
		return errors.Join(err, w.to.call("remove", temp, func() error { return unix.Unlinkat(dir, name, 0) }))
	}
	return nil
}

// link gives a file that was copied another name, in the place of another file that is there.
func (w *folderWriter) link(_ context.Context, old placed, path string) error {
	from, err := w.to.grip(old.path)
	if err != nil {
		return err
	}
	temp := tempName(path)
	dir, name, err := w.to.parent(temp)
	if err == nil {
		err = from.linkAt(old.is, dir, name, filepath.Base(path))
	}
	return errors.Join(err, from.close())
}

// linkAt links the entry, which should be old, to temp in a folder, and moves that to name.
func (g *grip) linkAt(old identity, dir int, temp, name string) error {
	is, err := g.identity()
	if err == nil && is != old {
		err = errReplaced
	}
	if err != nil {
		return err
	}
	var there unix.Stat_t
	if err := unix.Fstatat(dir, name, &there, unix.AT_SYMLINK_NOFOLLOW); err == nil && is == (identity{dev: there.Dev, ino: there.Ino}) {
		return nil // moving a file to another name of it would leave both
	}
	err = g.call("link", func() error { return unix.Linkat(unix.AT_FDCWD, g.self(), dir, temp, unix.AT_SYMLINK_FOLLOW) })
	if err != nil {
		return err
	}
	if err := g.call("rename", func() error { return unix.Renameat(dir, temp, dir, name) }); err != nil {
		return errors.Join(err, g.call("remove", func() error { return unix.Unlinkat(dir, temp, 0) }))
	}
	return nil
}

func (w *folderWriter) identity(_ context.Context, path string) (identity, error) {
	p, err := w.to.grip(path)
	if err != nil {
		return identity{}, err
	}
	is, err := p.identity()
	return is, errors.Join(err, p.close())
}

func (g *grip) identity() (identity, error) {
	st, err := g.stat()
	return identity{dev: st.Dev, ino: st.Ino}, err
}

// keep makes owner, attributes, mode and times of the entry those of attr, in an order in which
// none undoes another: a new owner takes set-id bits and capabilities away, and a file that its owner may not
// write takes no more attributes.
func (g *grip) keep(attr *treeAttr, lost *losses) error {
	st, err := g.stat()
	if err != nil {
		return err
	}
	perm, err := g.keepOwner(&st, attr, lost)
	if err != nil {
		return err
	}
	if err := g.keepXattrs(attr, lost); err != nil {
		return err
	}
	if attr.kind() != unix.S_IFLNK {
		if err := lost.note(g.path, aspectMode, g.chmod(perm)); err != nil {
			return err
		}
	}
	times := []unix.Timespec{attr.atime, attr.mtime}
	return lost.note(g.path, aspectTime, g.call("utimensat", func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, g.self(), times, 0) }))
}

// keepOwner returns the permission bits that fit who owns the entry then: what ran with the rights of its owner must not
// run with those of another.
func (g *grip) keepOwner(st *unix.Stat_t, attr *treeAttr, lost *losses) (perm uint32, err error) {
	perm = attr.perm()
	uid, gid := -1, -1
	if st.Uid != attr.uid {
		uid = int(attr.uid)
	}
	if st.Gid != attr.gid {
		gid = int(attr.gid)
	}
	if uid == -1 && gid == -1 {
		return perm, nil
	}
	if err = g.chown(uid, gid); err == nil {
		return perm, nil
	}
	if gid != -1 && (uid == -1 || g.chown(-1, gid) != nil) {
		perm = withoutSetgid(perm, attr.kind())
	}
	if uid != -1 {
		perm &^= unix.S_ISUID
	}
	return perm, lost.noteOwner(g.path, attr, perm, err)
}

// chown leaves as it is what is -1.
func (g *grip) chown(uid, gid int) error {
	return g.call("chown", func() error { return unix.Fchownat(g.fd, "", uid, gid, unix.AT_EMPTY_PATH) })
}

// chmod sets permission bits, or returns EPERM when the kernel leaves a set-id bit out without a word.
func (g *grip) chmod(perm uint32) error {
	err := g.call("chmod", func() error { return unix.Chmod(g.self(), perm) })
	const setid = unix.S_ISUID | unix.S_ISGID
	if err != nil || perm&setid == 0 {
		return err
	}
	st, err := g.stat()
	if err == nil && st.Mode&setid != perm&setid {
		err = g.wrong("chmod", unix.EPERM)
	}
	return err
}

// withoutSetgid takes the set-gid bit away, but from a folder: there it gives no rights.
func withoutSetgid(perm, kind uint32) uint32 {
	if kind == unix.S_IFDIR {
		return perm
	}
	return perm &^ unix.S_ISGID
}

// noteOwner counts an entry that has another owner or group than its original, and the set-id bits
// that go with them.
func (l *losses) noteOwner(path string, attr *treeAttr, perm uint32, err error) error {
	if perm != attr.perm() {
		if err := l.note(path, aspectMode, err); err != nil {
			return err
		}
	}
	return l.note(path, aspectOwner, err)
}

// keepXattrs sets attributes, and takes away ACLs that the entry has from its folder. Other attributes of
// what was there before stay.
func (g *grip) keepXattrs(attr *treeAttr, lost *losses) error {
	for _, x := range attr.xattrs {
		err := g.call("setxattr "+x.Name, func() error { return unix.Setxattr(g.self(), x.Name, x.Value, 0) })
		if err := lost.note(g.path, aspectOf(x.Name), err); err != nil {
			return err
		}
	}
	have, err := g.xattrNames()
	if err != nil {
		return err
	}
	for _, name := range inheritedACLs(have, attr.xattrs) {
		err := g.call("removexattr "+name, func() error { return unix.Removexattr(g.self(), name) })
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err := lost.note(g.path, aspectACL, err); err != nil {
			return err
		}
	}
	return nil
}

// aspectOf tells ACLs from other attributes.
func aspectOf(xattr string) aspect {
	if index.IsACL(xattr) {
		return aspectACL
	}
	return aspectXattr
}

// inheritedACLs returns those ACLs among the names that are not wanted.
func inheritedACLs(names []string, want []index.Xattr) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !index.IsACL(name) || slices.ContainsFunc(want, func(x index.Xattr) bool { return x.Name == name })
	})
}

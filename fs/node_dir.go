package fs

import (
	"context"
	"errors"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/index"
)

// Lookup finds a name.
func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if len(name) > index.MaxName {
		return nil, syscall.ENAMETOOLONG
	}
	moment := n.fs.ended.now()
	attr, err := n.fs.cfg.Index.Lookup(ctx, n.ino(), []byte(name))
	if errors.Is(err, index.ErrNotExist) && n.isVirtual(ctx, name) {
		return n.virtual(ctx, out), 0
	}
	if err != nil {
		return nil, n.errno("lookup", err)
	}
	return n.child(ctx, attr, moment, out), 0
}

// Mkdir makes a directory.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	return n.make(ctx, "mkdir", name, index.CreateRequest{Mode: mode&^syscall.S_IFMT | syscall.S_IFDIR}, out)
}

// Mknod makes a file of any type but a directory.
func (n *node) Mknod(ctx context.Context, name string, mode, dev uint32, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	return n.make(ctx, "mknod", name, index.CreateRequest{Mode: mode, Rdev: dev}, out)
}

// Symlink makes a symbolic link.
func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if len(target) == 0 {
		return nil, syscall.ENOENT // Source: symlink(2)
	}
	return n.make(ctx, "symlink", name, index.CreateRequest{Mode: syscall.S_IFLNK | 0o777, Target: []byte(target)}, out)
}

func (n *node) make(ctx context.Context, op, name string, r index.CreateRequest, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	moment := n.fs.ended.now()
	attr, err := n.create(ctx, name, r)
	if err != nil {
		return nil, n.errno(op, err)
	}
	if attr.IsRegular() { // mknod(2) of a file that nobody has open
		f, err := n.openNew(ctx, name, attr)
		if err == nil {
			err = f.release(ctx)
		}
		if err != nil {
			return nil, n.errno(op, err)
		}
	}
	return n.child(ctx, attr, moment, out), 0
}

// openNew begins the use of a file that was just made, or takes it back.
func (n *node) openNew(ctx context.Context, name string, attr index.Attr) (*file, error) {
	f, err := n.fs.acquireNew(ctx, attr)
	if err == nil {
		return f, nil
	}
	if name != "" {
		if _, uerr := n.fs.cfg.Index.Unlink(ctx, n.ino(), []byte(name)); uerr != nil {
			return nil, errors.Join(err, uerr)
		}
	}
	return nil, errors.Join(err, n.fs.bury(ctx, attr.Ino))
}

// create makes an inode under a name of the directory n, owned by the caller.
func (n *node) create(ctx context.Context, name string, r index.CreateRequest) (index.Attr, error) {
	if err := n.fs.change(); err != nil {
		return index.Attr{}, err
	}
	if n.isVirtual(ctx, name) {
		return index.Attr{}, index.ErrExist
	}
	if r.Mode&syscall.S_IFMT == syscall.S_IFREG {
		if err := n.fs.take(0); err != nil {
			return index.Attr{}, err
		}
	}
	r.Parent, r.Name = n.ino(), []byte(name)
	r.Mode, r.Umask = r.Mode&(1<<umaskShift-1), r.Mode>>umaskShift
	r.UID, r.GID, _ = caller(ctx)
	return n.fs.cfg.Index.Create(ctx, r)
}

// Link gives an inode another name.
func (n *node) Link(ctx context.Context, target fusefs.InodeEmbedder, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	err := n.fs.change()
	if err == nil && n.isVirtual(ctx, name) {
		err = index.ErrExist
	}
	if _, ok := target.(*node); !ok && err == nil {
		err = errOwn
	}
	if err != nil {
		return nil, n.errno("link", err)
	}
	ino := index.Ino(target.EmbeddedInode().StableAttr().Ino)
	moment := n.fs.ended.now()
	attr, err := n.fs.cfg.Index.Link(ctx, ino, n.ino(), []byte(name))
	if errors.Is(err, index.ErrIsDir) {
		return nil, syscall.EPERM // Source: link(2)
	}
	if err != nil {
		return nil, n.errno("link", err)
	}
	n.fs.relink(ino)
	return n.child(ctx, attr, moment, out), 0
}

// Readlink returns the target of a symbolic link.
func (n *node) Readlink(ctx context.Context) ([]byte, syscall.Errno) {
	target, err := n.fs.cfg.Index.Readlink(ctx, n.ino())
	return target, n.errno("readlink", err)
}

// Unlink removes the name of anything but a directory.
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	err := n.fs.change()
	if err == nil {
		var attr index.Attr
		err = n.fs.patiently(func() error {
			attr, err = n.fs.cfg.Index.Unlink(ctx, n.ino(), []byte(name))
			return err
		})
		if err == nil {
			n.fs.unlink(attr)
		}
	}
	return n.errno("unlink", err)
}

// Rmdir removes an empty directory.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	err := n.fs.change()
	if err == nil && n.isVirtual(ctx, name) {
		err = errOwn
	}
	if err == nil {
		var attr index.Attr
		if attr, err = n.fs.cfg.Index.Rmdir(ctx, n.ino(), []byte(name)); err == nil {
			n.fs.unlink(attr)
		}
	}
	return n.errno("rmdir", err)
}

// Rename moves a name. Over an existing file it is atomic after a power cut
// too, and what was written to the new file goes to the disk before.
func (n *node) Rename(ctx context.Context, name string, newParent fusefs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE|unix.RENAME_WHITEOUT) != 0 {
		return syscall.EINVAL
	}
	to, ok := newParent.(*node)
	if !ok || n.isVirtual(ctx, name) || to.isVirtual(ctx, newName) {
		return syscall.EPERM
	}
	r := index.RenameRequest{
		OldParent: n.ino(), OldName: []byte(name),
		NewParent: to.ino(), NewName: []byte(newName),
		NoReplace: flags&unix.RENAME_NOREPLACE != 0,
		Exchange:  flags&unix.RENAME_EXCHANGE != 0,
	}
	var err error
	if flags&unix.RENAME_WHITEOUT != 0 {
		r.Whiteout, err = n.whiteout(ctx)
	}
	if err == nil {
		_, err = n.fs.rename(ctx, r)
	}
	if errors.Is(err, index.ErrUnsynced) { // the kernel takes it for not done, and has to look again
		go n.NotifyEntry(name)
		go to.NotifyEntry(newName)
	}
	return n.errno("rename", err)
}

// whiteout describes what overlay file systems put in the place of a file of
// the lower layer. Source: rename(2), RENAME_WHITEOUT.
func (n *node) whiteout(ctx context.Context) (*index.CreateRequest, error) {
	parent, err := n.fs.cfg.Index.Get(ctx, n.ino())
	r := &index.CreateRequest{Mode: syscall.S_IFCHR}
	r.UID, r.GID, _ = caller(ctx)
	if parent.Mode&syscall.S_ISGID != 0 {
		r.GID = parent.GID
	}
	return r, err
}

func (fs *FS) rename(ctx context.Context, r index.RenameRequest) (displaced index.Attr, err error) {
	if err := fs.change(); err != nil {
		return displaced, err
	}
	if !r.NoReplace {
		if err := fs.syncBefore(ctx, &r); err != nil {
			return displaced, err
		}
	}
	displaced, err = fs.cfg.Index.Rename(ctx, r)
	if err == nil || errors.Is(err, index.ErrUnsynced) {
		fs.unlink(displaced)
	}
	return displaced, err
}

// syncBefore makes a rename over a file a barrier, and brings the content of
// the file that moves to stable storage before.
func (fs *FS) syncBefore(ctx context.Context, r *index.RenameRequest) error {
	target, err := fs.cfg.Index.Lookup(ctx, r.NewParent, r.NewName)
	if errors.Is(err, index.ErrNotExist) || err == nil && !target.IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	moved, err := fs.cfg.Index.Lookup(ctx, r.OldParent, r.OldName)
	if err != nil {
		return err
	}
	r.Full = true // before staging forgets the one that is replaced
	if !moved.IsRegular() || !moved.Dirty || fs.cfg.Staging.Synced(moved.Ino) {
		return nil
	}
	local, ok, err := fs.cfg.Staging.Lookup(moved.Ino)
	if err != nil || !ok {
		return err
	}
	defer local.Release()
	held, err := local.Sync(ctx)
	r.Held = []index.Held{held}
	return err
}

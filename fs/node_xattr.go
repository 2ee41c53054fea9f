package fs

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/walfs/walfs/index"
)

// rootsPrefix is that of attributes of which only root hears.
const rootsPrefix = "trusted."

// labelXattr is for SELinux. Where that is used the kernel labels all files of a mount alike and never
// asks; elsewhere ls(1) asks for each file, unless it hears that a file system has no
// labels, as long as nobody stored one.
const labelXattr = "security.selinux"

// namespaces are those of which attributes are stored. Of system. there are
// the POSIX ACLs, which the kernel obeys.
var namespaces = []string{"user.", rootsPrefix, "security."}

func checkNamespace(name string) syscall.Errno {
	for _, prefix := range namespaces {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest == "" {
			return syscall.EINVAL
		} else if ok {
			return 0
		}
	}
	if index.IsACL(name) {
		return 0
	}
	return syscall.EOPNOTSUPP
}

// StoredXattr reports whether a drive keeps an attribute of that name.
func StoredXattr(name string) bool { return checkNamespace(name) == 0 && !IsOwnXattr(name) }

// Getxattr reads an attribute.
func (n *node) Getxattr(ctx context.Context, name string, dest []byte) (uint32, syscall.Errno) {
	if errno := checkNamespace(name); errno != 0 {
		return 0, errno
	}
	if name == labelXattr && !n.fs.cfg.Index.XattrUsed(name) {
		return 0, syscall.EOPNOTSUPP
	}
	read := n.fs.cfg.Index.GetXattr
	if IsOwnXattr(name) {
		read = n.fs.ownXattr
	}
	value, err := read(ctx, n.ino(), name)
	if err != nil {
		return 0, n.errno("getxattr", err)
	}
	return give(dest, value)
}

// give copies a value, or returns how much room it needs.
func give(dest, value []byte) (uint32, syscall.Errno) {
	if len(dest) < len(value) {
		return uint32(len(value)), syscall.ERANGE
	}
	return uint32(copy(dest, value)), 0
}

// Setxattr sets an attribute.
func (n *node) Setxattr(ctx context.Context, name string, data []byte, flags uint32) syscall.Errno {
	if errno := checkNamespace(name); errno != 0 {
		return errno
	}
	if IsOwnXattr(name) {
		return n.errno("setxattr", n.fs.setOwn(ctx, n.ino(), name, string(data)))
	}
	if len(name) > index.MaxXattrName {
		return syscall.ERANGE
	}
	return n.errno("setxattr", n.setxattr(ctx, name, data, index.XattrFlags(flags)))
}

func (n *node) setxattr(ctx context.Context, name string, data []byte, flags index.XattrFlags) error {
	if err := n.fs.change(); err != nil {
		return err
	}
	if name == index.AccessACL {
		attr, err := n.fs.cfg.Index.Get(ctx, n.ino())
		if err != nil {
			return err
		}
		if attr.Mode&syscall.S_ISGID != 0 && !member(ctx, attr.GID) {
			flags |= index.XattrDropSetgid
		}
	}
	return n.fs.cfg.Index.SetXattr(ctx, n.ino(), name, data, flags)
}

// member reports whether the caller is root or in a group. The kernel tells of
// the first group only; for the others we have to look at the process, and one
// that we cannot see is in none.
func member(ctx context.Context, group uint32) bool {
	uid, gid, pid := caller(ctx)
	if uid == 0 || gid == group {
		return true
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if list, ok := strings.CutPrefix(line, "Groups:"); ok {
			return slices.Contains(strings.Fields(list), fmt.Sprint(group))
		}
	}
	return false
}

// Removexattr removes an attribute.
func (n *node) Removexattr(ctx context.Context, name string) syscall.Errno {
	if errno := checkNamespace(name); errno != 0 {
		return errno
	}
	if IsOwnXattr(name) {
		return n.errno("removexattr", n.fs.removeOwn(ctx, n.ino(), name))
	}
	err := n.fs.change()
	if err == nil {
		err = n.fs.cfg.Index.RemoveXattr(ctx, n.ino(), name)
	}
	return n.errno("removexattr", err)
}

// Listxattr lists the names of the attributes that are stored, each followed
// by a NUL; those that only root may read to root.
func (n *node) Listxattr(ctx context.Context, dest []byte) (uint32, syscall.Errno) {
	names, err := n.fs.cfg.Index.ListXattr(ctx, n.ino())
	if err != nil {
		return 0, n.errno("listxattr", err)
	}
	var list []byte
	uid, _, _ := caller(ctx)
	for _, name := range names {
		if uid != 0 && strings.HasPrefix(name, rootsPrefix) {
			continue
		}
		list = append(append(list, name...), 0)
	}
	return give(dest, list)
}

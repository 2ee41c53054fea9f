package fs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Shown is what a mount shows instead of owner, group and permission bits of
// all inodes. What is nil is shown as it is. Nothing of it is stored, and what
// programs set is stored as ever, and not seen.
type Shown struct {
	UID, GID *uint32
	Umask    *uint32 // the permission bits that are taken away of 0777
}

// over lays what is shown over attributes.
func (s Shown) over(out *fuse.Attr) {
	if s.UID != nil {
		out.Uid = *s.UID
	}
	if s.GID != nil {
		out.Gid = *s.GID
	}
	if s.Umask != nil {
		out.Mode = out.Mode&syscall.S_IFMT | 0o777&^*s.Umask
	}
}

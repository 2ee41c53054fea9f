package index

// Attr is the live state of an inode.
type Attr struct {
	Ino        Ino
	Mode       uint32 // type and permission bits as in st_mode
	UID, GID   uint32
	Nlink      uint32
	Rdev       uint32
	Size       int64
	Atime      int64 // this and the following: Unix time in nanoseconds
	Mtime      int64
	Ctime      int64
	Btime      int64
	Version    uint64
	Dirty      bool   // regular file: the live version is newer than the published one
	PubVersion uint64 // regular file: 0 when it was never packed whole
	PubSize    int64
}

// The file types in st_mode. Source: inode(7).
const (
	modeType    = 0o170000
	modeDir     = 0o040000
	modeRegular = 0o100000
	modeSymlink = 0o120000
	modeFifo    = 0o010000
	modeSocket  = 0o140000
	modeChar    = 0o020000
	modeBlock   = 0o060000
	modePerm    = 0o007777
	modeSetGID  = 0o002000
	modeSetgid  = 0o002000
)

// IsDir reports whether the inode is a directory.
func (a *Attr) IsDir() bool { return a.Mode&modeType == modeDir }

// IsRegular reports whether the inode is a regular file.
func (a *Attr) IsRegular() bool { return a.Mode&modeType == modeRegular }

// IsSymlink reports whether the inode is a symbolic link.
func (a *Attr) IsSymlink() bool { return a.Mode&modeType == modeSymlink }

// Entry is one name in a directory.
type Entry struct {
	Cookie uint64 // at least 16; lesser ones are free for "." and ".."
	Name   []byte
	Attr   Attr
}

// CreateRequest describes a new inode and its name.
type CreateRequest struct {
	Parent   Ino
	Name     []byte // empty: a regular file without a name (O_TMPFILE), for Link to name
	Mode     uint32 // with the type bits of st_mode
	Umask    uint32 // bits to take from Mode, unless Parent has a default ACL
	UID, GID uint32 // a Parent with the set-gid bit passes on its group, and to directories the bit
	Rdev     uint32
	Target   []byte // of a symbolic link
}

// RenameRequest describes a rename.
type RenameRequest struct {
	OldParent Ino
	OldName   []byte
	NewParent Ino
	NewName   []byte
	NoReplace bool   // ErrExist when the new name exists
	Exchange  bool   // both names exist and swap their inodes
	Full      bool   // inside a barrier
	Held      []Held // as in Barrier, when Full

	// Whiteout is what takes the place of the old name in the same
	// transaction; nil: nothing. Its Parent and Name are not looked at.
	Whiteout *CreateRequest
}

// Change lists the attributes to set; nil leaves one as it is.
type Change struct {
	Mode  *uint32 // permission bits; the type stays
	UID   *uint32
	GID   *uint32
	Size  *int64 // the live size of a regular file, after MarkDirty
	Atime *int64
	Mtime *int64
	Ctime *int64 // nil: now
	Seq   uint64 // as in Queued, with an mtime that staging has already
}

package index

import "context"

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

// IsDir reports whether the inode is a directory.
func (a *Attr) IsDir() bool { return a.Mode&modeType == modeDir }

// IsRegular reports whether the inode is a regular file.
func (a *Attr) IsRegular() bool { return a.Mode&modeType == modeRegular }

// IsSymlink reports whether the inode is a symbolic link.
func (a *Attr) IsSymlink() bool { return a.Mode&modeType == modeSymlink }

// Entry is one name in a directory.
type Entry struct {
	Cookie uint64
	Name   []byte
	Attr   Attr
}

// CreateRequest describes a new inode and its name.
type CreateRequest struct {
	Parent   Ino
	Name     []byte // empty: an inode without a name (O_TMPFILE), for Link to name
	Mode     uint32 // with the type bits of st_mode
	UID, GID uint32
	Rdev     uint32
	Target   []byte // of a symbolic link
}

// RenameRequest describes a rename.
type RenameRequest struct {
	OldParent Ino
	OldName   []byte
	NewParent Ino
	NewName   []byte
	NoReplace bool // ErrExist when the new name exists
	Exchange  bool // both names exist and swap their inodes
	Full      bool // commit inside a barrier
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
}

// Lookup returns the inode that a live name is bound to, or ErrNotExist.
func (db *DB) Lookup(ctx context.Context, parent Ino, name []byte) (Attr, error) {
	return Attr{}, errUnfinished
}

// Get returns an inode, or ErrNotExist.
func (db *DB) Get(ctx context.Context, ino Ino) (Attr, error) { return Attr{}, errUnfinished }

// Create makes an inode under a new name. A regular file starts with version
// 1, open-dirty. ErrNotExist: the parent is gone. ErrExist, ErrName, ErrNameLong.
func (db *DB) Create(ctx context.Context, r CreateRequest) (Attr, error) {
	return Attr{}, errUnfinished
}

// Link gives an inode that is no directory another name and returns its attributes.
func (db *DB) Link(ctx context.Context, ino, parent Ino, name []byte) (Attr, error) {
	return Attr{}, errUnfinished
}

// Unlink removes the name of anything but a directory (ErrIsDir) and returns
// the inode as it is afterwards.
func (db *DB) Unlink(ctx context.Context, parent Ino, name []byte) (Attr, error) {
	return Attr{}, errUnfinished
}

// Rmdir removes an empty directory and returns it as it is afterwards.
// ErrNotDir, ErrNotEmpty.
func (db *DB) Rmdir(ctx context.Context, parent Ino, name []byte) (Attr, error) {
	return Attr{}, errUnfinished
}

// Rename moves a name, over another one if that exists, and returns the inode
// that was displaced, as it is afterwards; its Ino is 0 when there was none.
func (db *DB) Rename(ctx context.Context, r RenameRequest) (displaced Attr, err error) {
	return Attr{}, errUnfinished
}

// SetAttr changes attributes and returns all of them.
func (db *DB) SetAttr(ctx context.Context, ino Ino, c Change) (Attr, error) {
	return Attr{}, errUnfinished
}

// ReadDir returns up to max entries of a directory whose cookies are greater
// than after, in the order of their cookies. An entry keeps its cookie for life.
func (db *DB) ReadDir(ctx context.Context, dir Ino, after uint64, max int) ([]Entry, error) {
	return nil, errUnfinished
}

// Readlink returns the target of a symbolic link. ErrRange: it is something else.
func (db *DB) Readlink(ctx context.Context, ino Ino) ([]byte, error) { return nil, errUnfinished }

// Parent returns a directory that holds a live name of the inode; Root is its own parent.
func (db *DB) Parent(ctx context.Context, ino Ino) (Ino, error) { return 0, errUnfinished }

// Path returns a path of the inode from the root, beginning with a slash, for messages.
func (db *DB) Path(ctx context.Context, ino Ino) (string, error) { return "", errUnfinished }

// Resolve walks a path from the root. It follows no symbolic links.
func (db *DB) Resolve(ctx context.Context, path string) (Attr, error) { return Attr{}, errUnfinished }

// Reap deletes an inode that has no link left and that nobody has open. It
// reports false when the published tree still needs it; the inode then goes
// by itself once that is over.
func (db *DB) Reap(ctx context.Context, ino Ino) (deleted bool, err error) {
	return false, errUnfinished
}

// Orphans returns the inodes without a live link.
func (db *DB) Orphans(ctx context.Context) ([]Ino, error) { return nil, errUnfinished }

// Usage counts what the drive holds. Bytes are the live sizes of regular files.
type Usage struct {
	Inodes    int64
	Bytes     int64 // the sum of the following four
	Dirty     int64
	Staged    int64
	Storing   int64
	Certified int64
}

// Usage returns the counts, cheaply.
func (db *DB) Usage(ctx context.Context) (Usage, error) { return Usage{}, errUnfinished }

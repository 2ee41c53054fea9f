package index

import "github.com/walfs/walfs/blobstore/walrus"

// Trailer is the index rows of one generation. Each list is sorted by its key
// and holds a key once.
type Trailer struct {
	Drive      [16]byte
	Generation uint64 // number of the first segment that carries it
	Previous   uint64 // the generation before; 0: none
	Time       int64  // of the cut, Unix time in nanoseconds
	NextIno    Ino    // greater than every number given out before the cut
	Full       int64  // bytes of the full snapshot behind the rows; 0: there is none
	Moved      bool   // some contents only tell where the version that is published already lies now
	Segments   []TrailerSegment
	Inodes     []InodeRow
	Contents   []ContentRow
	Names      []NameRow
}

// TrailerSegment announces a segment that is certified.
type TrailerSegment struct {
	Number   uint64
	Blob     walrus.BlobID
	Object   walrus.ObjectID
	Size     int64 // sealed, in bytes
	EndEpoch walrus.Epoch
}

// InodeRow is the published state of an inode.
type InodeRow struct {
	Ino                        Ino
	Mode                       uint32
	UID, GID                   uint32
	Rdev                       uint32
	Version                    uint64
	Size                       int64
	Atime, Mtime, Ctime, Btime int64
	Target                     []byte  // of a symbolic link
	Xattrs                     []Xattr // all of them, by ascending name
}

// ContentRow is how the published content of a file changes: what is at Base
// or behind goes, the ops are laid over the rest, and Size cuts it.
type ContentRow struct {
	Ino     Ino
	Version uint64
	Size    int64
	Mtime   int64
	Base    int64
	Ops     []Op
}

// NameRow binds a name. Ino 0 removes it.
type NameRow struct {
	Parent Ino
	Name   []byte
	Ino    Ino
}

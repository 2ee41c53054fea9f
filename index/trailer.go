package index

import "github.com/walfs/walfs/blobstore/walrus"

// Trailer is the index rows of one generation.
type Trailer struct {
	Drive      [16]byte
	Generation uint64 // number of the first segment that carries it
	Previous   uint64 // the generation before; 0: none
	Time       int64  // of the cut, Unix time in nanoseconds
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

// MarshalTrailer returns the encoded trailer.
func MarshalTrailer(t *Trailer) ([]byte, error) { return nil, errUnfinished }

// UnmarshalTrailer reads what MarshalTrailer wrote, or returns ErrTrailer.
func UnmarshalTrailer(b []byte) (*Trailer, error) { return nil, errUnfinished }

// FooterSize is the length in bytes of a footer.
const FooterSize = 64

// Footer is the end of a segment's plaintext. It says which part of which
// encoded trailer stands before it.
type Footer struct {
	Drive       [16]byte
	Number      uint64 // of the segment
	Generation  uint64 // number of the first segment of the trailer
	Part, Parts int
	PartSize    int    // bytes of this part
	Size        int    // bytes of the whole encoded trailer
	Sum         uint32 // CRC32C of the whole encoded trailer
}

// Marshal returns the 64 bytes of the footer.
func (f Footer) Marshal() ([FooterSize]byte, error) { return [FooterSize]byte{}, errUnfinished }

// ParseFooter reads the last FooterSize bytes of b, or returns ErrTrailer.
func ParseFooter(b []byte) (Footer, error) { return Footer{}, errUnfinished }

// TrailerSum returns the CRC32C that footers hold of an encoded trailer.
func TrailerSum(encoded []byte) uint32 { return 0 }

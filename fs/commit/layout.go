package commit

import (
	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// Layout tells into how many segments files would be packed if they were
// packed in one go, by the rules of the packer, without reading them. How well
// trailers compress is an estimate.
type Layout struct {
	plain    bool
	capacity int64
	files    int // that a segment completes at most
	cut      func(sealed int64)

	data     int64 // bytes of the open segment
	reserved int   // bytes for its trailer
	done     int   // files that it completes
}

// NewLayout begins a layout for a drive, plain or not. Cut is called with the
// sealed length in bytes of each segment.
func NewLayout(g walrus.Geometry, plain bool, cut func(sealed int64)) *Layout {
	return &Layout{plain: plain, capacity: plainCapacity(Capacity(g), plain), files: filesAtOnce(), cut: cut}
}

// File adds a regular file with some bytes of data, holes left out, and a name
// of so many bytes.
func (l *Layout) File(data int64, name int) {
	rows := rowsSize + name
	if data <= wholeBelow && data > l.room(rows) {
		l.seal()
	}
	for data > 0 {
		n := min(data, l.room(rows))
		if n < data {
			n -= n % staging.BlockSize
		}
		if n <= 0 {
			l.seal()
			continue
		}
		l.data += n
		data -= n
		rows += opSize
	}
	l.reserved += rows
	if l.done++; l.done >= l.files {
		l.seal()
	}
}

// Name adds a folder or a symbolic link with a name of so many bytes.
func (l *Layout) Name(name int) { l.reserved += rowsSize + name }

// End ends the layout: the last segment is cut.
func (l *Layout) End() {
	if l.data > 0 || l.reserved > 0 {
		l.seal()
	}
}

func (l *Layout) room(rows int) int64 {
	return roomLeft(l.capacity, l.data, index.FooterSize+announcedSize+l.reserved+rows)
}

// trailerShare is how much of what is reserved for a trailer it usually takes.
const trailerShare = 2

// seal ends the open segment. What its trailer does not find room for goes into segments that follow.
func (l *Layout) seal() {
	trailer := int64(l.reserved / trailerShare)
	for more := true; more; more = trailer > 0 {
		n := min(trailer, l.capacity-index.FooterSize-l.data)
		l.cut(l.sealed(l.data + n + index.FooterSize))
		trailer -= n
		l.data = 0
	}
	l.reserved, l.done = 0, 0
}

func (l *Layout) sealed(plain int64) int64 {
	if l.plain {
		return seal.HeaderSize + plain
	}
	return seal.SealedSize(plain)
}

package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/klauspost/compress/zstd"

	"github.com/walfs/walfs/blobstore/walrus"
)

// UnmarshalTrailer reads what MarshalTrailer wrote, or returns ErrTrailer. It
// checks the form only, that lists are sorted and that numbers fit; whether
// the rows make sense is for Replay to say.
func UnmarshalTrailer(b []byte) (*Trailer, error) {
	if len(b) > MaxTrailer {
		return nil, fmt.Errorf("trailer of %d bytes: %w", len(b), ErrTrailer)
	}
	limit := uint64(len(b))*trailerRatio + trailerSlack
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(limit),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("unmarshal trailer: %w", err)
	}
	defer r.Close()
	rows, err := r.DecodeAll(b, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTrailer, err)
	}
	return unmarshalRows(rows)
}

// unmarshalRows reads rows that are not compressed.
func unmarshalRows(rows []byte) (*Trailer, error) {
	d := decoder{b: rows}
	t := d.trailer()
	if d.bad || len(d.b) != 0 {
		return nil, ErrTrailer
	}
	return t, nil
}

// decoder takes rows from the front of b. After the first mistake it is bad
// and gives zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) trailer() *Trailer {
	head := d.take(len(trailerMagic) + 1)
	if d.bad || string(head[:len(trailerMagic)]) != trailerMagic {
		d.bad = true
		return nil
	}
	t := new(Trailer)
	switch head[len(trailerMagic)] {
	case trailerVersion:
	case trailerVersionFull:
		t.Full = int64(d.uint())
		d.bad = d.bad || t.Full == 0
	case trailerVersionMoved:
		t.Full, t.Moved = int64(d.uint()), true
	default:
		d.bad = true
	}
	copy(t.Drive[:], d.take(len(t.Drive)))
	t.Generation, t.Previous = d.uint(), d.uint()
	t.Time = d.int()
	t.NextIno = Ino(d.uint())
	t.Segments = d.segments()
	t.Inodes = d.inodes()
	t.Contents = d.contents()
	t.Names = d.names()
	return t
}

func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad = true
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

// uint takes a number that fits a column, which is an int64, in its shortest form.
func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 || v > math.MaxInt64 || n > 1 && d.b[n-1] == 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint32() uint32 {
	v := d.uint()
	if v > math.MaxUint32 {
		d.bad = true
	}
	return uint32(v)
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if d.bad || n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

// key takes the next key of a list in ascending order.
func (d *decoder) key(last uint64, first bool) uint64 {
	diff := d.uint()
	if !first && diff == 0 || diff > math.MaxInt64-last {
		d.bad = true
	}
	return last + diff
}

// bytes takes a string that belongs to the caller; nil when it is empty.
func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	return append([]byte(nil), d.take(int(n))...)
}

// count takes the length of a list of rows of at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.b)/size) {
		d.bad = true
		return 0
	}
	return int(n)
}

// The least number of bytes that a row takes.
const (
	minSegmentRow = 67
	minInodeRow   = 13
	minXattrRow   = 2
	minContentRow = 6
	minOpRow      = 4
	minNameRow    = 3
)

func (d *decoder) segments() []TrailerSegment {
	n := d.count(minSegmentRow)
	var list []TrailerSegment
	last := uint64(0)
	for i := range n {
		if d.bad {
			return nil
		}
		s := TrailerSegment{Number: d.key(last, i == 0)}
		last = s.Number
		copy(s.Blob[:], d.take(len(s.Blob)))
		copy(s.Object[:], d.take(len(s.Object)))
		s.Size = int64(d.uint())
		s.EndEpoch = walrus.Epoch(d.uint32())
		list = append(list, s)
	}
	return list
}

func (d *decoder) inodes() []InodeRow {
	n := d.count(minInodeRow)
	list := make([]InodeRow, 0, n)
	last := uint64(0)
	for i := range n {
		if d.bad {
			return nil
		}
		r := InodeRow{Ino: Ino(d.key(last, i == 0))}
		last = uint64(r.Ino)
		for _, p := range []*uint32{&r.Mode, &r.UID, &r.GID, &r.Rdev} {
			*p = d.uint32()
		}
		r.Version = d.uint()
		r.Size = int64(d.uint())
		r.Mtime = d.int()
		for _, p := range []*int64{&r.Atime, &r.Ctime, &r.Btime} {
			*p = r.Mtime + d.int()
		}
		r.Target = d.bytes()
		r.Xattrs = d.xattrs()
		list = append(list, r)
	}
	return list
}

func (d *decoder) xattrs() []Xattr {
	n := d.count(minXattrRow)
	var list []Xattr
	for i := range n {
		if d.bad {
			return nil
		}
		x := Xattr{Name: string(d.bytes()), Value: nonNil(d.bytes())}
		if i > 0 && x.Name <= list[i-1].Name {
			d.bad = true
		}
		list = append(list, x)
	}
	return list
}

func (d *decoder) contents() []ContentRow {
	n := d.count(minContentRow)
	list := make([]ContentRow, 0, n)
	last := uint64(0)
	for i := range n {
		if d.bad {
			return nil
		}
		c := ContentRow{Ino: Ino(d.key(last, i == 0))}
		last = uint64(c.Ino)
		c.Version = d.uint()
		c.Size = int64(d.uint())
		c.Mtime = d.int()
		c.Base = int64(d.uint())
		for range d.count(minOpRow) {
			if d.bad {
				return nil
			}
			c.Ops = append(c.Ops, Op{Off: int64(d.uint()), Len: int64(d.uint()), Segment: d.uint(), Pos: int64(d.uint())})
		}
		list = append(list, c)
	}
	return list
}

func (d *decoder) names() []NameRow {
	n := d.count(minNameRow)
	list := make([]NameRow, 0, n)
	last := uint64(0)
	for i := range n {
		if d.bad {
			return nil
		}
		// Several names share a parent: the difference may be 0.
		r := NameRow{Parent: Ino(d.key(last, true)), Name: d.bytes(), Ino: Ino(d.uint())}
		last = uint64(r.Parent)
		if i > 0 && r.Parent == list[i-1].Parent && bytes.Compare(r.Name, list[i-1].Name) <= 0 {
			d.bad = true
		}
		list = append(list, r)
	}
	return list
}

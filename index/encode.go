package index

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// trailerMagic and a version begin the rows of a trailer. Those with a full
// snapshot behind them have another version and one number more. Those with
// moved content have a third, so that readers who would leave it out refuse
// them; there the number may be 0.
const (
	trailerMagic        = "WTRL"
	trailerVersion      = 1
	trailerVersionFull  = 2
	trailerVersionMoved = 3
)

// Limits of an encoded trailer. The rows may be trailerRatio times as long as
// the frame that holds them, and trailerSlack bytes more, so that a small
// forged frame cannot fill the memory of a reader.
const (
	MaxTrailer   = 256 << 20 // bytes, encoded
	trailerRatio = 16
	trailerSlack = 1 << 20
)

// skippableMagic and skippableHeader begin a zstd frame that decoders skip.
// Source: RFC 8878, section 3.1.2.
const (
	skippableMagic  = 0x184D2A50
	skippableHeader = 8
)

// MarshalTrailer returns the encoded trailer. Its lists must be sorted.
// ErrRange: it would be longer than MaxTrailer.
func MarshalTrailer(t *Trailer) ([]byte, error) {
	rows := marshalRows(t)
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("marshal trailer: %w", err)
	}
	b := pad(w.EncodeAll(rows, nil), len(rows))
	if len(b) > MaxTrailer {
		return nil, fmt.Errorf("trailer of %d bytes: %w", len(b), ErrRange)
	}
	return b, w.Close()
}

// marshalRows returns the rows before they are compressed.
func marshalRows(t *Trailer) []byte {
	e := encoder{b: append([]byte(trailerMagic), trailerVersion)}
	switch {
	case t.Moved:
		e.b[len(trailerMagic)] = trailerVersionMoved
		e.uint(uint64(t.Full))
	case t.Full > 0:
		e.b[len(trailerMagic)] = trailerVersionFull
		e.uint(uint64(t.Full))
	}
	e.b = append(e.b, t.Drive[:]...)
	e.uint(t.Generation)
	e.uint(t.Previous)
	e.int(t.Time)
	e.uint(uint64(t.NextIno))
	e.segments(t.Segments)
	e.inodes(t.Inodes)
	e.contents(t.Contents)
	e.names(t.Names)
	return e.b
}

// pad appends a skippable frame if rows compressed better than readers believe.
func pad(b []byte, rows int) []byte {
	missing := (rows-trailerSlack+trailerRatio-1)/trailerRatio - len(b)
	if missing <= 0 {
		return b
	}
	n := max(0, missing-skippableHeader)
	b = binary.LittleEndian.AppendUint32(b, skippableMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	return append(b, make([]byte, n)...)
}

// encoder appends rows. Numbers are uvarints; those that may be negative are
// zigzag; keys that ascend are written as differences.
type encoder struct{ b []byte }

func (e *encoder) uint(n uint64) { e.b = binary.AppendUvarint(e.b, n) }
func (e *encoder) int(n int64)   { e.b = binary.AppendVarint(e.b, n) }

func (e *encoder) bytes(b []byte) {
	e.uint(uint64(len(b)))
	e.b = append(e.b, b...)
}

func (e *encoder) segments(list []TrailerSegment) {
	e.uint(uint64(len(list)))
	last := uint64(0)
	for i := range list {
		s := &list[i]
		e.uint(s.Number - last)
		last = s.Number
		e.b = append(e.b, s.Blob[:]...)
		e.b = append(e.b, s.Object[:]...)
		e.uint(uint64(s.Size))
		e.uint(uint64(s.EndEpoch))
	}
}

func (e *encoder) inodes(list []InodeRow) {
	e.uint(uint64(len(list)))
	last := Ino(0)
	for i := range list {
		n := &list[i]
		e.uint(uint64(n.Ino - last))
		last = n.Ino
		for _, v := range []uint32{n.Mode, n.UID, n.GID, n.Rdev} {
			e.uint(uint64(v))
		}
		e.uint(n.Version)
		e.uint(uint64(n.Size))
		e.int(n.Mtime)
		for _, v := range []int64{n.Atime, n.Ctime, n.Btime} {
			e.int(v - n.Mtime)
		}
		e.bytes(n.Target)
		e.uint(uint64(len(n.Xattrs)))
		for _, x := range n.Xattrs {
			e.bytes([]byte(x.Name))
			e.bytes(x.Value)
		}
	}
}

func (e *encoder) contents(list []ContentRow) {
	e.uint(uint64(len(list)))
	last := Ino(0)
	for i := range list {
		c := &list[i]
		e.uint(uint64(c.Ino - last))
		last = c.Ino
		e.uint(c.Version)
		e.uint(uint64(c.Size))
		e.int(c.Mtime)
		e.uint(uint64(c.Base))
		e.uint(uint64(len(c.Ops)))
		for _, op := range c.Ops {
			e.uint(uint64(op.Off))
			e.uint(uint64(op.Len))
			e.uint(op.Segment)
			e.uint(uint64(op.Pos))
		}
	}
}

func (e *encoder) names(list []NameRow) {
	e.uint(uint64(len(list)))
	last := Ino(0)
	for i := range list {
		n := &list[i]
		e.uint(uint64(n.Parent - last))
		last = n.Parent
		e.bytes(n.Name)
		e.uint(uint64(n.Ino))
	}
}

package integration

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// fsxOp is one operation of the exerciser. It says all that there is to it, so
// that a list of them can be cut and done again; where a name or a length makes
// no sense any more, it does nothing.
type fsxOp struct {
	N     int    `json:"n"`
	Kind  string `json:"kind"`
	File  int    `json:"file"`            // the name that it is done to
	To    int    `json:"to,omitempty"`    // the second name, of those operations that have one
	Fd    int    `json:"fd,omitempty"`    // picks one of the handles that are open
	Off   int64  `json:"off,omitempty"`   // in bytes, as At and Len are
	At    int64  `json:"at,omitempty"`    // where a copy goes
	Len   int64  `json:"len,omitempty"`   //
	Flags int    `json:"flags,omitempty"` // what the kind makes of it
	Seed  uint64 `json:"seed,omitempty"`  // of the bytes to write
}

// fsxFile is what one inode has to be, and how it is open.
type fsxFile struct {
	data     []byte
	reserved int64 // end of what fallocate was asked for
	handles  []fsxHandle
	maps     []fsxMap
	mtime    unix.Timespec // that was set, if the file did not change since
}

// fsxHandle is an open file.
type fsxHandle struct{ fd, flags int }

func (h fsxHandle) reads() bool   { return h.flags&unix.O_ACCMODE != unix.O_WRONLY }
func (h fsxHandle) writes() bool  { return h.flags&unix.O_ACCMODE != unix.O_RDONLY }
func (h fsxHandle) direct() bool  { return h.flags&unix.O_DIRECT != 0 }
func (h fsxHandle) appends() bool { return h.flags&unix.O_APPEND != 0 }

// fsxMap is a shared mapping that is kept: of the bytes from off on.
type fsxMap struct {
	off int64
	mem []byte
}

const fsxPage = 4096

func (f *fsxFile) size() int64 { return int64(len(f.data)) }

// write makes the bytes from off on what data says, and zeros of what lies between.
func (f *fsxFile) write(off int64, data []byte) {
	f.resize(max(f.size(), off+int64(len(data))))
	copy(f.data[off:], data)
}

func (f *fsxFile) resize(size int64) {
	if size < f.size() {
		clear(f.data[size:])
		f.data = f.data[:size]
		return
	}
	if size > int64(cap(f.data)) {
		grown := make([]byte, size, max(size, 2*f.size()))
		copy(grown, f.data)
		f.data = grown
		return
	}
	f.data = f.data[:size]
}

// zero makes a range zeros, as far as the file goes.
func (f *fsxFile) zero(off, n int64) {
	if off < f.size() {
		clear(f.data[off:min(off+n, f.size())])
	}
}

// slice is the range as far as the file goes.
func (f *fsxFile) slice(off, n int64) []byte {
	off = min(off, f.size())
	return f.data[off:min(off+n, f.size())]
}

// fsxBytes makes the bytes that an operation writes: random ones mostly, else
// zeros, or one byte throughout.
func fsxBytes(seed uint64, n int64) []byte {
	b := make([]byte, n+8)
	switch x := seed | 1; seed % 8 {
	case 0: // zeros
	case 1:
		for i := range b {
			b[i] = byte(seed >> 8)
		}
	default:
		for i := int64(0); i < n; i += 8 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			binary.LittleEndian.PutUint64(b[i:], x)
		}
	}
	return b[:n]
}

// fsxDiffer says where two contents differ first, and how; nil if they do not.
func fsxDiffer(what string, off int64, got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	n := min(len(got), len(want))
	first, differ := n, 0
	for i := range n {
		if got[i] != want[i] {
			first = min(first, i)
			differ++
		}
	}
	at := func(b []byte) []byte { return b[first:min(first+16, len(b))] }
	return fmt.Errorf("%s: %d bytes instead of %d, %d of them wrong, the first at %#x (page %d): %x instead of %x",
		what, len(got), len(want), differ, off+int64(first), (off+int64(first))/fsxPage, at(got), at(want))
}

package node

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"

	"github.com/walfs/walfs/blobstore/walrus"
)

// The format of a blob file. Integers are little-endian, checksums CRC32C.
//
//	 0   8  magic "WALNODE1"
//	 8   4  version 1
//	12   4  number of shards n
//	16  32  blob ID
//	48   8  unencoded size of the blob
//	56   4  symbol size
//	60   4  number of slots k
//	64   4  length m of the metadata
//	68   4  checksum of the metadata
//	72   4  checksum of bytes 0 to 72 and of the slot table
//	76   4  zero
//	80  4k  slot table: u16 sliver index, u8 axis, u8 zero
//	 .   m  BCS BlobMetadata
//
// From the next multiple of 4096 on the slots follow in the order of the
// table, each at a multiple of 64: the sliver's bytes, then the mark "SLOT"
// once they are written, and their checksum.
const (
	magic       = "WALNODE1"
	version     = 1
	headSize    = 80
	entrySize   = 4
	firstSlot   = 4096
	slotAlign   = 64
	tailSize    = 8
	slotMark    = 0x544f4c53 // "SLOT"
	headSummed  = 72         // bytes under the checksum of the head
	maxMetadata = 4 << 20    // above 10+3+66n for the largest n. Source: BCS of BlobMetadata
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errHead reports a file whose head cannot be trusted.
var errHead = errors.New("head is damaged")

// slotKey names a slot within its file.
type slotKey struct {
	axis  walrus.Axis
	index uint16
}

func compareKeys(a, b slotKey) int {
	return cmp.Or(cmp.Compare(a.axis, b.axis), cmp.Compare(a.index, b.index))
}

// layout says where everything is in the file of a blob.
type layout struct {
	geometry     walrus.Geometry
	blob         walrus.BlobID
	size         int64 // of the blob, unencoded
	symbol       int
	metadataSize int
	metadataCRC  uint32
	table        []slotKey
	offsets      []int64 // of the slots
	end          int64   // length of the file
}

// newLayout lays out a file with the given slots, which it sorts.
func newLayout(g walrus.Geometry, blob walrus.BlobID, size int64, metadata []byte, table []slotKey) (*layout, error) {
	symbol, err := g.SymbolSize(size)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(table, compareKeys)
	l := &layout{
		geometry: g, blob: blob, size: size, symbol: symbol, table: table,
		metadataSize: len(metadata), metadataCRC: checksum(metadata),
	}
	l.place()
	return l, nil
}

// place computes the offsets from the rest.
func (l *layout) place() {
	l.offsets = make([]int64, len(l.table))
	at := alignUp(l.metadataOffset()+int64(l.metadataSize), firstSlot)
	for i, key := range l.table {
		l.offsets[i] = at
		at = alignUp(at+int64(l.sliverSize(key.axis))+tailSize, slotAlign)
	}
	l.end = at
}

func alignUp(n, to int64) int64 { return (n + to - 1) / to * to }

func (l *layout) metadataOffset() int64 { return headSize + entrySize*int64(len(l.table)) }

func (l *layout) sliverSize(axis walrus.Axis) int { return l.geometry.SliverSize(axis, l.symbol) }

// find returns the number of a slot, or -1.
func (l *layout) find(key slotKey) int {
	i, ok := slices.BinarySearchFunc(l.table, key, compareKeys)
	if !ok {
		return -1
	}
	return i
}

// has tells whether the file has a slot for each of keys.
func (l *layout) has(keys []slotKey) bool {
	return !slices.ContainsFunc(keys, func(k slotKey) bool { return l.find(k) < 0 })
}

// head returns the bytes of header and slot table.
func (l *layout) head() []byte {
	b := make([]byte, headSize, l.metadataOffset())
	copy(b, magic)
	le := binary.LittleEndian
	le.PutUint32(b[8:], version)
	le.PutUint32(b[12:], uint32(l.geometry.Shards))
	copy(b[16:], l.blob[:])
	le.PutUint64(b[48:], uint64(l.size))
	le.PutUint32(b[56:], uint32(l.symbol))
	le.PutUint32(b[60:], uint32(len(l.table)))
	le.PutUint32(b[64:], uint32(l.metadataSize))
	le.PutUint32(b[68:], l.metadataCRC)
	for _, key := range l.table {
		b = le.AppendUint16(b, key.index)
		b = append(b, byte(key.axis), 0)
	}
	le.PutUint32(b[72:], headChecksum(b))
	return b
}

// headChecksum skips the field that holds it and the zeros behind it.
func headChecksum(head []byte) uint32 {
	return crc32.Update(checksum(head[:headSummed]), castagnoli, head[headSize:])
}

// parseCounts reads from the first headSize bytes how long the head is.
func parseCounts(b []byte) (headLength int, err error) {
	if len(b) < headSize || !bytes.HasPrefix(b, []byte(magic)) || binary.LittleEndian.Uint32(b[8:]) != version {
		return 0, errHead
	}
	shards := binary.LittleEndian.Uint32(b[12:])
	slots := binary.LittleEndian.Uint32(b[60:])
	if _, err := walrus.NewGeometry(int(shards)); err != nil || slots > 2*shards {
		return 0, errHead
	}
	return headSize + entrySize*int(slots), nil
}

// parseHead reads header and slot table. It returns errHead for anything that head did not write.
func parseHead(b []byte) (*layout, error) {
	length, err := parseCounts(b)
	if err != nil || len(b) < length || binary.LittleEndian.Uint32(b[72:]) != headChecksum(b[:length]) {
		return nil, errHead
	}
	le := binary.LittleEndian
	l := &layout{
		geometry:     walrus.Geometry{Shards: int(le.Uint32(b[12:]))},
		blob:         walrus.BlobID(b[16:48]),
		size:         int64(le.Uint64(b[48:])),
		symbol:       int(le.Uint32(b[56:])),
		metadataSize: int(le.Uint32(b[64:])),
		metadataCRC:  le.Uint32(b[68:]),
	}
	if symbol, err := l.geometry.SymbolSize(l.size); err != nil || symbol != l.symbol || l.metadataSize > maxMetadata {
		return nil, errHead
	}
	for at := headSize; at < length; at += entrySize {
		key := slotKey{axis: walrus.Axis(b[at+2]), index: le.Uint16(b[at:])}
		if int(key.index) >= l.geometry.Shards || key.axis > walrus.Secondary || b[at+3] != 0 {
			return nil, errHead
		}
		l.table = append(l.table, key)
	}
	if !slices.IsSortedFunc(l.table, compareKeys) {
		return nil, errHead
	}
	l.place()
	return l, nil
}

// tail returns what stands behind a filled slot.
func tail(crc uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, slotMark)
	return binary.LittleEndian.AppendUint32(b, crc)
}

package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"github.com/walfs/walfs/blobstore/redstuff"
	"github.com/walfs/walfs/blobstore/walrus"
)

// What is wrong with a slot, or with the file in which it should be.
var (
	errEmpty = errors.New("slot was never filled")
	errRot   = errors.New("slot is damaged")
	errGone  = errors.New("file is gone")
)

// copySize is how much is read, summed or written at once: it stays in the processor's cache.
const copySize = 256 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// blobFile is an open blob file with a sound head.
type blobFile struct {
	*layout
	f *os.File
}

// openBlob opens the file of a blob. It returns ErrNotFound if there is none,
// and errHead together with the open file, without a layout, if its head is
// damaged or that of another blob.
func openBlob(path string, blob walrus.BlobID, flag int) (*blobFile, error) {
	f, err := os.OpenFile(path, flag, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	l, err := readHead(f)
	if err == nil && l.blob != blob {
		l, err = nil, fmt.Errorf("%w: it is that of %s", errHead, l.blob)
	}
	if err != nil && !errors.Is(err, errHead) {
		return nil, errors.Join(err, f.Close())
	}
	return &blobFile{layout: l, f: f}, err
}

func readHead(f *os.File) (*layout, error) {
	head := make([]byte, firstSlot)
	n, err := f.ReadAt(head, 0)
	if errors.Is(err, syscall.EIO) { // the disk has lost it, which is damage like any other
		return nil, fmt.Errorf("%w: %w", errHead, err)
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	length, err := parseCounts(head[:n])
	if err != nil {
		return nil, err
	}
	if length > n {
		head = make([]byte, length)
		if n, err = f.ReadAt(head, 0); err != nil && err != io.EOF {
			return nil, err
		}
	}
	return parseHead(head[:n])
}

// metadata returns the metadata, or errHead if it is damaged.
func (b *blobFile) metadata() (*redstuff.Metadata, error) {
	raw := make([]byte, b.metadataSize)
	if _, err := b.f.ReadAt(raw, b.metadataOffset()); err != nil && err != io.EOF {
		return nil, err
	}
	if checksum(raw) != b.metadataCRC {
		return nil, fmt.Errorf("metadata: %w", errHead)
	}
	return redstuff.ParseMetadata(b.geometry, raw)
}

// slot returns the bytes of slot i, or errEmpty or errRot.
func (b *blobFile) slot(i int) ([]byte, error) {
	size := b.sliverSize(b.table[i].axis)
	data := make([]byte, size+tailSize)
	if n, err := b.f.ReadAt(data, b.offsets[i]); err == io.EOF && n < len(data) {
		return nil, fmt.Errorf("%w: file ends inside it", errRot)
	} else if err != nil && err != io.EOF {
		return nil, fmt.Errorf("%w: %w", errRot, err)
	}
	crc, err := parseTail(data[size:])
	if err != nil {
		return nil, err
	}
	if checksum(data[:size]) != crc {
		return nil, fmt.Errorf("%w: checksum differs", errRot)
	}
	return data[:size:size], nil
}

// check reads slot i and returns its checksum, or errEmpty or errRot.
func (b *blobFile) check(i int) (uint32, error) {
	size := int64(b.sliverSize(b.table[i].axis))
	want, err := b.mark(i)
	if err != nil {
		return 0, err
	}
	buffer := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buffer)
	sum := crc32.New(castagnoli)
	if _, err := io.CopyBuffer(onlyWriter{sum}, io.NewSectionReader(b.f, b.offsets[i], size), buffer[:]); err != nil {
		return 0, fmt.Errorf("%w: %w", errRot, err)
	}
	if sum.Sum32() != want {
		return 0, fmt.Errorf("%w: checksum differs", errRot)
	}
	return want, nil
}

// mark returns the checksum behind slot i without a look at the slot, or errEmpty or errRot.
func (b *blobFile) mark(i int) (crc uint32, err error) {
	var raw [tailSize]byte
	if _, err := b.f.ReadAt(raw[:], b.tailOffset(i)); err != nil {
		return 0, fmt.Errorf("%w: %w", errRot, err)
	}
	return parseTail(raw[:])
}

// onlyWriter keeps io.CopyBuffer to the buffer it was given.
type onlyWriter struct{ io.Writer }

func checksum(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

func parseTail(b []byte) (crc uint32, err error) {
	mark, crc := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	switch {
	case mark == 0 && crc == 0:
		return 0, errEmpty
	case mark != slotMark:
		return 0, fmt.Errorf("%w: mark differs", errRot)
	}
	return crc, nil
}

// write fills slot i except for its tail, and checks that the bytes it wrote
// have the given checksum. It returns ErrRefused if they have not.
func (b *blobFile) write(l *layer, i int, data []byte, crc uint32) error {
	key := b.table[i]
	if len(data) != b.sliverSize(key.axis) {
		return fmt.Errorf("%s sliver %d has %d bytes, want %d: %w",
			key.axis, key.index, len(data), b.sliverSize(key.axis), ErrRefused)
	}
	sum := uint32(0)
	for at := 0; at < len(data); at += copySize {
		part := data[at:min(at+copySize, len(data))]
		sum = crc32.Update(sum, castagnoli, part)
		if _, err := l.writeAt(b.f, part, b.offsets[i]+int64(at)); err != nil {
			return err
		}
	}
	if sum != crc {
		return fmt.Errorf("bytes of %s sliver %d changed on the way: %w", key.axis, key.index, ErrRefused)
	}
	return nil
}

// finish writes the tail of slot i: from here on it counts as filled.
func (b *blobFile) finish(l *layer, i int, crc uint32) error {
	_, err := l.writeAt(b.f, tail(crc), b.tailOffset(i))
	return err
}

// wipe makes slot i count as never filled.
func (b *blobFile) wipe(l *layer, i int) error {
	_, err := l.writeAt(b.f, make([]byte, tailSize), b.tailOffset(i))
	return err
}

func (b *blobFile) tailOffset(i int) int64 {
	return b.offsets[i] + int64(b.sliverSize(b.table[i].axis))
}

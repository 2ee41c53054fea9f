package staging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// The header of a block map; the package comment has the layout.
const (
	mapMagic   = "WSMP"
	mapVersion = 3
	mapHeader  = 64

	// A map is a list of units, each with a checksum and written whole.
	unitSize   = 64
	unitBits   = 60 // bytes
	unitBlocks = unitBits * 4

	mapWhole = 1 << 0
)

// mapPart is how many blocks are written to a map at a time: 64 KiB of it.
const mapPart = 1 << 18

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (f *File) header() []byte {
	b := make([]byte, mapHeader)
	copy(b, mapMagic)
	binary.LittleEndian.PutUint32(b[4:], mapVersion)
	binary.LittleEndian.PutUint64(b[8:], uint64(f.ino))
	binary.LittleEndian.PutUint64(b[16:], uint64(f.base))
	if f.whole {
		binary.LittleEndian.PutUint32(b[24:], mapWhole)
	}
	binary.LittleEndian.PutUint64(b[32:], f.under.newest)
	binary.LittleEndian.PutUint64(b[40:], f.under.oldest)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// parseHeader reads a header and returns its version, 1 to 3.
func (f *File) parseHeader(b []byte) (version uint32, err error) {
	base, version := int64(binary.LittleEndian.Uint64(b[16:])), binary.LittleEndian.Uint32(b[4:])
	switch {
	case string(b[:4]) != mapMagic, binary.LittleEndian.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli):
		return 0, fmt.Errorf("header: %w", ErrCorrupt)
	case version == 0 || version > mapVersion:
		return 0, fmt.Errorf("version %d: %w", version, ErrCorrupt)
	case binary.LittleEndian.Uint64(b[8:]) != uint64(f.ino), base < 0:
		return 0, fmt.Errorf("header: %w", ErrCorrupt)
	}
	f.base, f.behind = min(base, f.size), base > f.size
	f.whole = binary.LittleEndian.Uint32(b[24:])&mapWhole != 0
	f.under = under{binary.LittleEndian.Uint64(b[40:]), binary.LittleEndian.Uint64(b[32:])}
	return version, nil
}

// unitSum is the checksum of a unit, over the inode, its number and its bits.
func (f *File) unitSum(number int64, bits []byte) uint32 {
	var place [16]byte
	binary.LittleEndian.PutUint64(place[:], uint64(f.ino))
	binary.LittleEndian.PutUint64(place[8:], uint64(number))
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, bits)
}

// createMap writes the map as it is in memory under a new name and puts it in
// the place of the one before, if there was one.
func (f *File) createMap() (err error) {
	path := f.d.mapPath(f.ino)
	file, err := f.d.disk.create(path + ".tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(path+".tmp"))
		}
	}()
	if _, err := f.d.disk.pwrite(file, f.header(), 0); err != nil {
		return err
	}
	for _, page := range f.blocks.order() {
		if err := f.writeBlocks(file, page*pageBlocks, (page+1)*pageBlocks); err != nil {
			return err
		}
	}
	if err := f.d.disk.rename(path+".tmp", path); err != nil {
		return err
	}
	if f.blockMap != nil {
		_ = f.blockMap.Close() // nobody reads it any more
	}
	f.blockMap = file
	f.d.mu.Lock()
	if p := f.d.present[f.ino]; p != nil {
		p.mapped = true
	}
	f.d.mu.Unlock()
	return nil
}

// writeBlocks writes the units that the blocks from..to-1 lie in. Units do not
// cross pages, so that kill -9 leaves each as it was or as it is.
func (f *File) writeBlocks(file *os.File, from, to int64) error {
	first, limit := from/unitBlocks, (to+unitBlocks-1)/unitBlocks
	bits, _ := f.blocks.encode(first*unitBlocks, limit*unitBlocks)
	b := make([]byte, 0, (limit-first)*unitSize)
	for n := first; n < limit; n++ {
		unit := bits[(n-first)*unitBits:][:unitBits]
		b = append(b, unit...)
		b = binary.LittleEndian.AppendUint32(b, f.unitSum(n, unit))
	}
	_, err := f.d.disk.pwrite(file, b, mapHeader+first*unitSize)
	return err
}

// rewriteMap writes header and blocks over those on disk, the header first, so
// that a base that grew is there before blocks that rely on it. A file without
// a map stays so.
func (f *File) rewriteMap() error {
	if f.blockMap == nil {
		return nil
	}
	if err := f.writeHeader(); err != nil {
		return err
	}
	for _, page := range f.blocks.order() {
		if err := f.writeBlocks(f.blockMap, page*pageBlocks, (page+1)*pageBlocks); err != nil {
			f.behind = true
			return err
		}
	}
	return nil
}

func (f *File) writeHeader() error {
	if f.blockMap == nil {
		return nil
	}
	_, err := f.d.disk.pwrite(f.blockMap, f.header(), 0)
	f.behind = f.behind || err != nil
	return err
}

// needMap gives a file a map before it changes, if what it holds is no longer
// told by the data file alone, and a new one if an earlier change did not get
// to it. The caller holds mu.
func (f *File) needMap() error {
	if f.plain || f.blockMap != nil && !f.behind {
		return nil
	}
	if err := f.createMap(); err != nil {
		return err
	}
	f.behind = false
	return nil
}

// setBlocks puts blocks into a state, on disk too. When it fails, some of them may be in it.
func (f *File) setBlocks(from, to int64, s state) error {
	for ; from < to; from += mapPart {
		end := min(to, from+mapPart)
		if f.blocks.all(from, end, s) {
			continue
		}
		before, off := f.blocks.encode(from, end)
		f.blocks.set(from, end, s)
		if f.blockMap == nil {
			continue
		}
		if err := f.writeBlocks(f.blockMap, from, end); err != nil {
			f.blocks.decode(before, off)
			werr := f.writeBlocks(f.blockMap, from, end)
			f.behind = f.behind || werr != nil
			return err
		}
	}
	return nil
}

// loadMap reads the map. What it says of blocks beyond the end is forgotten,
// lest it come true when the file grows.
func (f *File) loadMap() error {
	b := make([]byte, mapHeader)
	if _, err := f.blockMap.ReadAt(b, 0); errors.Is(err, io.EOF) {
		return fmt.Errorf("header: %w", ErrCorrupt)
	} else if err != nil {
		return err
	}
	version, err := f.parseHeader(b)
	if err != nil {
		return err
	}
	load := f.loadUnits
	if version == 1 {
		load = f.loadPlain
	}
	if err := load(); err != nil {
		return err
	}
	if version > 1 {
		return f.dropBeyond(f.size)
	}
	f.blocks.set(blocksFor(f.size), max(blocksFor(f.size), f.blocks.end()), absent)
	return f.createMap()
}

// eachStored calls do for each stretch of the map that is no hole, with what
// stands there: multiples of step from the header on, but for the end.
func (f *File) eachStored(step int64, do func(b []byte, off int64) error) error {
	info, err := f.blockMap.Stat()
	if err != nil {
		return err
	}
	buf := make([]byte, step)
	for off := int64(mapHeader); ; off += step {
		if off, err = seek(f.blockMap, off, info.Size(), unix.SEEK_DATA); err != nil {
			return err
		}
		if off >= info.Size() {
			return nil
		}
		off -= (off - mapHeader) % step
		n, err := f.blockMap.ReadAt(buf, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := do(buf[:n], off-mapHeader); err != nil {
			return err
		}
	}
}

// loadUnits reads the blocks of a map. A unit of zeros was never written.
func (f *File) loadUnits() error {
	var none [unitSize]byte
	return f.eachStored(pageBytes, func(b []byte, off int64) error {
		for ; len(b) > 0; off += unitSize {
			n := off / unitSize
			if len(b) < unitSize {
				return fmt.Errorf("unit %d is cut off: %w", n, ErrCorrupt)
			}
			unit := b[:unitSize]
			b = b[unitSize:]
			if bytes.Equal(unit, none[:]) {
				continue
			}
			if binary.LittleEndian.Uint32(unit[unitBits:]) != f.unitSum(n, unit[:unitBits]) {
				return fmt.Errorf("unit %d: %w", n, ErrCorrupt)
			}
			f.blocks.decode(unit[:unitBits], n*unitBits)
		}
		return nil
	})
}

// loadPlain reads the blocks of a map of version 1, which has no checksums.
func (f *File) loadPlain() error {
	return f.eachStored(pageBytes, func(b []byte, off int64) error {
		f.blocks.decode(b, off)
		return nil
	})
}

// dropBeyond makes the blocks behind size absent.
func (f *File) dropBeyond(size int64) error {
	from, end := blocksFor(size), f.blocks.end()
	if f.blocks.all(from, end, absent) {
		return nil
	}
	f.blocks.set(from, end, absent)
	if f.blockMap == nil {
		return nil
	}
	err := f.d.disk.truncate(f.blockMap, mapHeader+(from+unitBlocks-1)/unitBlocks*unitSize)
	if err == nil && from%unitBlocks != 0 {
		err = f.writeBlocks(f.blockMap, from-1, from)
	}
	f.behind = f.behind || err != nil
	return err
}

// spread gives a plain file the blocks that it could do without: those with
// data are dirty. The caller holds mu.
func (f *File) spread() error {
	f.blocks = blocks{}
	err := f.eachData(0, f.size, func(off, end int64) error {
		f.blocks.set(blockOf(off), blocksFor(end), dirty)
		return nil
	})
	if err == nil {
		f.plain = false
	}
	return err
}

// eachData calls do for each range between off and end that is no hole in the
// data file, in multiples of BlockSize but for the end.
func (f *File) eachData(off, end int64, do func(off, end int64) error) error {
	return eachData(f.data, off, end, do)
}

func eachData(file *os.File, off, end int64, do func(off, end int64) error) error {
	for off < end {
		from, err := seek(file, off, end, unix.SEEK_DATA)
		if err != nil {
			return err
		}
		if from >= end {
			return nil
		}
		to, err := seek(file, from, end, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		from = max(off, from/BlockSize*BlockSize)
		to = min(end, blocksFor(to)*BlockSize)
		if err := do(from, to); err != nil {
			return err
		}
		off = to
	}
	return nil
}

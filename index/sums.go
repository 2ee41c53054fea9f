package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"os"
	"slices"
)

// SQLite has checksums in its log, and none in the database file: a byte that
// changes there is a wrong name or a wrong place of content, and nobody
// notices. So the file <index>.sums keeps a checksum for every page:
//
//	offset  size  field of a block, of which there is one for each 1022 pages
//	0       4     CRC32C of page number (8 bytes) and page, for each page; 0: not known.
//	              Of page 1 the bytes 24 to 27, 60 to 63 and 92 to 99 count as zeros
//	4088    4     number of the block
//	4092    4     CRC32C of "WISM" and the bytes before
//
// Pages change in the log first. Before the log is copied into the file, it is
// synced, and the checksums of what it holds are written and synced. So at any
// time a page is in the log, under the log's own checksums, or is what its
// checksum says. Nothing but this package may write the file.
const (
	sumsSuffix = ".sums"
	sumsMagic  = "WISM"
	sumsBlock  = 4096
	sumsPages  = (sumsBlock - 8) / 4

	// pageSize is that of the databases that this package makes. Source: SQLite's default.
	pageSize = 4096
)

// sums are the checksums of a database's pages. The caller holds DB.mu.
type sums struct {
	path  string
	list  []uint32 // by number of the page, from 1; 0: not known
	dirty map[int]bool
	log   logTail

	// The database and the shared memory, once they were read. The first descriptor of a file
	// that a process closes takes all locks with it that the process has there,
	// and with SQLite's gone another program removes the log, and empties the memory, under
	// those who use them. So these are closed after SQLite's. Source: fcntl(2).
	file, shared *os.File
}

// opened opens a file to be read, unless it is.
func (s *sums) opened(f **os.File, suffix string) (_ *os.File, err error) {
	if *f == nil {
		*f, err = os.Open(s.path + suffix)
	}
	return *f, err
}

// close closes what was opened. Nobody has the database open any more.
func (s *sums) close() (err error) {
	for _, f := range []**os.File{&s.file, &s.shared} {
		if *f != nil {
			err = errors.Join(err, (*f).Close())
			*f = nil
		}
	}
	return err
}

// volatile are fields of the first page that do not count: the change counter, the
// version of the schema, which Open looks at first, and which SQLite wrote last.
// Source: SQLite, "The Database Header".
var volatile = []struct{ off, len int }{{24, 4}, {60, 4}, {92, 8}}

func pageSum(number uint32, page []byte) uint32 {
	if number == 1 {
		page = bytes.Clone(page)
		for _, v := range volatile {
			clear(page[v.off:][:v.len])
		}
	}
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(number))
	return max(1, crc32.Update(crc32.Checksum(n[:], castagnoli), castagnoli, page))
}

func blockSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(sumsMagic), castagnoli), castagnoli, b[:sumsBlock-4])
}

// loadSums reads the checksums of a database. Where they are missing or damaged themselves, they are not known.
func loadSums(path string) (*sums, error) {
	s := &sums{path: path, dirty: map[int]bool{}, log: logTail{pages: map[uint32]uint32{}}}
	b, err := os.ReadFile(path + sumsSuffix)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	s.list = make([]uint32, len(b)/sumsBlock*sumsPages)
	for i := range len(b) / sumsBlock {
		block := b[i*sumsBlock:][:sumsBlock]
		if binary.LittleEndian.Uint32(block[sumsBlock-4:]) != blockSum(block) || binary.LittleEndian.Uint32(block[sumsBlock-8:]) != uint32(i) {
			continue
		}
		for k := range sumsPages {
			s.list[i*sumsPages+k] = binary.LittleEndian.Uint32(block[4*k:])
		}
	}
	return s, nil
}

func (s *sums) get(page uint32) uint32 {
	if int(page) > len(s.list) {
		return 0
	}
	return s.list[page-1]
}

func (s *sums) set(page, sum uint32) {
	for int(page) > len(s.list) {
		s.list = append(s.list, make([]uint32, sumsPages)...)
	}
	if s.list[page-1] != sum {
		s.list[page-1] = sum
		s.dirty[int(page-1)/sumsPages] = true
	}
}

// forget makes the checksum of a page not known.
func (s *sums) forget(page uint32) {
	if s.get(page) != 0 {
		s.set(page, 0)
	}
}

// save writes the blocks that changed, durably.
func (s *sums) save() (err error) {
	if len(s.dirty) == 0 {
		return nil
	}
	f, err := os.OpenFile(s.path+sumsSuffix, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, i := range slices.Sorted(maps.Keys(s.dirty)) {
		block := make([]byte, sumsBlock)
		for k := range sumsPages {
			binary.LittleEndian.PutUint32(block[4*k:], s.list[i*sumsPages+k])
		}
		binary.LittleEndian.PutUint32(block[sumsBlock-8:], uint32(i))
		binary.LittleEndian.PutUint32(block[sumsBlock-4:], blockSum(block))
		if _, err := f.WriteAt(block, int64(i)*sumsBlock); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	clear(s.dirty)
	return nil
}

// eachPage calls do for the pages of the database file that are not in the log.
func (s *sums) eachPage(do func(number uint32, page []byte)) error {
	f, err := s.opened(&s.file, "")
	if err != nil {
		return err
	}
	all := io.NewSectionReader(f, 0, math.MaxInt64)
	buf := make([]byte, 256*pageSize)
	for number := uint32(1); ; {
		n, err := io.ReadFull(all, buf)
		for b := buf[:n/pageSize*pageSize]; len(b) > 0; b = b[pageSize:] {
			if _, in := s.log.pages[number]; !in {
				do(number, b[:pageSize])
			}
			number++
		}
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// verify returns the pages that are not what was written.
func (s *sums) verify() (bad []uint32, err error) {
	err = s.eachPage(func(number uint32, page []byte) {
		if want := s.get(number); want != 0 && want != pageSum(number, page) {
			bad = append(bad, number)
		}
	})
	return bad, err
}

// fill writes down checksums of pages that have none. It reads the file only if there are such pages.
func (s *sums) fill() error {
	lacks, err := s.lacks()
	if err == nil && lacks {
		err = s.eachPage(func(number uint32, page []byte) {
			if s.get(number) == 0 {
				s.set(number, pageSum(number, page))
			}
		})
	}
	if err != nil {
		return err
	}
	return s.save()
}

// lacks reports whether a page of the database file that is not in the log has no checksum.
func (s *sums) lacks() (bool, error) {
	f, err := s.opened(&s.file, "")
	if err != nil {
		return false, err
	}
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	for number := uint32(1); int64(number) <= info.Size()/pageSize; number++ {
		if _, in := s.log.pages[number]; !in && s.get(number) == 0 {
			return true, nil
		}
	}
	return false, nil
}

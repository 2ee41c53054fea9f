package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
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

// The write-ahead log. Source: SQLite, "WAL-mode file format".
const (
	logSuffix = "-wal"
	// sharedSuffix is of the file in which SQLite finds its way in the log.
	sharedSuffix = "-shm"
	logHeader    = 32
	logMagic     = 0x377f0682 // and 1 more where its checksums are of big-endian words
	frameHeader  = 24
	frameSize    = frameHeader + pageSize
)

// checkpointPages is how many pages of log make a checkpoint due: as many as SQLite
// was told before it was taken over here. 16 MiB instead of 4 spare writes of pages
// that change all the time.
const checkpointPages = 4096

// sums are the checksums of a database's pages. The caller holds DB.mu.
type sums struct {
	path  string
	list  []uint32 // by number of the page, from 1; 0: not known
	dirty map[int]bool
	log   logTail
}

// logTail is how far the log was read.
type logTail struct {
	salts [8]byte
	end   int64             // behind the last commit
	pages map[uint32]uint32 // in the log, with their checksums
	head  []byte            // the newest first page in the log that recoverLog found
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
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 256*pageSize)
	for number := uint32(1); ; {
		n, err := io.ReadFull(f, buf)
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

// fill writes down checksums of pages that have none.
func (s *sums) fill() error {
	err := s.eachPage(func(number uint32, page []byte) {
		if s.get(number) == 0 {
			s.set(number, pageSum(number, page))
		}
	})
	if err != nil {
		return err
	}
	return s.save()
}

// committed returns where the last commit in the log ends, which nobody writes just
// now. Behind it stands what a commit left whose sync failed. Source: SQLite,
// "WAL-mode file format", the index header: mxFrame at 16, in the machine's order.
func (s *sums) committed() (int64, error) {
	f, err := os.Open(s.path + sharedSuffix)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var head [20]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return 0, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return logHeader + int64(binary.NativeEndian.Uint32(head[16:]))*frameSize, nil
}

// cutFailed takes away what commits that failed left in the log: when newer ones have
// taken the place of their first frames, the rest would look like
// transactions behind a damaged one.
func (s *sums) cutFailed() error {
	end, err := s.committed()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.path+logSuffix, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var head [logHeader]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return nil // an empty log
	}
	var none, frame [frameHeader]byte
	for ; ; end += frameSize {
		if _, err := f.ReadAt(frame[:], end); errors.Is(err, io.EOF) || err == nil && !bytes.Equal(frame[8:16], head[16:24]) {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := f.WriteAt(none[:], end); err != nil {
			return err
		}
	}
}

// follow reads what was committed to the log since the last call.
func (s *sums) follow() error {
	f, err := os.Open(s.path + logSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var head [logHeader]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return nil // an empty log
	}
	limit, err := s.committed()
	if err != nil {
		return err
	}
	if s.log.end == 0 || s.log.salts != [8]byte(head[16:24]) { // it begins anew, and all of the old one was copied
		s.log = logTail{salts: [8]byte(head[16:24]), end: logHeader, pages: map[uint32]uint32{}}
	}
	fresh := map[uint32]uint32{} // not known to be committed
	buf := make([]byte, 64*frameSize)
	for off := s.log.end; ; {
		n, err := f.ReadAt(buf, off)
		if err != nil && err != io.EOF {
			return err
		}
		for b := buf[:n/frameSize*frameSize]; len(b) > 0; b = b[frameSize:] {
			if off >= limit || [8]byte(b[8:16]) != s.log.salts {
				return nil
			}
			number := binary.BigEndian.Uint32(b)
			fresh[number] = pageSum(number, b[frameHeader:frameSize])
			off += frameSize
			if binary.BigEndian.Uint32(b[4:]) != 0 {
				maps.Copy(s.log.pages, fresh)
				clear(fresh)
				s.log.end = off
			}
		}
		if n < len(buf) {
			return nil
		}
	}
}

// prepare makes the checksums those that the pages will have once the log is
// copied into the file. The log is synced first: what is lost of it must not be expected.
func (s *sums) prepare() error {
	if err := s.follow(); err != nil {
		return err
	}
	f, err := os.OpenFile(s.path+logSuffix, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	for number, sum := range s.log.pages {
		s.set(number, sum)
	}
	return s.save()
}

// recoverLog reads the log as SQLite does when it opens a database: up to the last commit
// before the first frame whose checksum does not fit. It returns how many commits
// stand behind that, in frames of the same round: kill -9 leaves none, since frames are
// written in order, and what a rollback leaves has none.
func (s *sums) recoverLog() (lost int, err error) {
	b, err := os.ReadFile(s.path + logSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil || len(b) < logHeader {
		return 0, err
	}
	var order binary.ByteOrder = binary.LittleEndian
	magic := binary.BigEndian.Uint32(b)
	if magic == logMagic+1 {
		order = binary.BigEndian
	}
	sum := logSum{order: order}
	sum.add(b[:24])
	if magic&^1 != logMagic || binary.BigEndian.Uint32(b[8:]) != pageSize || !sum.is(b[24:32]) {
		if len(b) < logHeader+frameSize {
			return 0, nil
		}
		return commits(b[logHeader:], [8]byte(b[logHeader+8:logHeader+16])), nil
	}
	s.log.salts, s.log.end = [8]byte(b[16:24]), logHeader
	fresh := map[uint32]uint32{}
	var head []byte
	for off := int64(logHeader); off+frameSize <= int64(len(b)); off += frameSize {
		frame := b[off:][:frameSize]
		sum.add(frame[:8])
		sum.add(frame[frameHeader:])
		if !bytes.Equal(frame[8:16], s.log.salts[:]) || !sum.is(frame[16:24]) {
			return commits(b[off+frameSize:], s.log.salts), nil
		}
		number := binary.BigEndian.Uint32(frame)
		fresh[number] = pageSum(number, frame[frameHeader:])
		if number == 1 {
			head = frame[frameHeader:]
		}
		if binary.BigEndian.Uint32(frame[4:]) != 0 {
			maps.Copy(s.log.pages, fresh)
			clear(fresh)
			s.log.end, s.log.head = off+frameSize, head
		}
	}
	return 0, nil
}

// commits counts the frames that end a transaction.
func commits(b []byte, salts [8]byte) (n int) {
	for ; len(b) >= frameSize; b = b[frameSize:] {
		if [8]byte(b[8:16]) == salts && binary.BigEndian.Uint32(b[4:]) != 0 {
			n++
		}
	}
	return n
}

// logSum is the running checksum of a log.
type logSum struct {
	order  binary.ByteOrder
	s0, s1 uint32
}

func (c *logSum) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		c.s0 += c.order.Uint32(b) + c.s1
		c.s1 += c.order.Uint32(b[4:]) + c.s0
	}
}

func (c *logSum) is(b []byte) bool {
	return binary.BigEndian.Uint32(b) == c.s0 && binary.BigEndian.Uint32(b[4:]) == c.s1
}

// checkSums looks whether a database that nobody has open is what was written,
// without SQLite, which would change it. With strict, the machine has not stopped
// since. ErrNewer: it is of a later version than newest.
func checkSums(path string, strict bool, newest int) (*sums, error) {
	s, err := loadSums(path)
	if err != nil {
		return nil, err
	}
	lost, err := s.recoverLog()
	if err != nil {
		return nil, err
	}
	if err := s.notNewer(newest); err != nil {
		return nil, err
	}
	if strict && lost > 0 {
		return nil, fmt.Errorf("%d transactions in the log behind a damaged one: %w", lost, ErrCorrupt)
	}
	bad, err := s.verify()
	if err == nil && len(bad) > 0 {
		err = fmt.Errorf("%d pages are not what was written, such as %d: %w", len(bad), bad[0], ErrCorrupt)
	}
	return s, err
}

// notNewer looks at the version in the newest first page. Source: SQLite, "The
// Database Header": user version at 60, application at 68.
func (s *sums) notNewer(newest int) error {
	head := s.log.head
	if head == nil {
		f, err := os.Open(s.path)
		if err != nil {
			return err
		}
		defer f.Close()
		head = make([]byte, 100)
		if _, err := io.ReadFull(f, head); err != nil {
			return nil // an empty file, or one that SQLite refuses
		}
	}
	version := binary.BigEndian.Uint32(head[60:])
	if binary.BigEndian.Uint32(head[68:]) == applicationID && int64(version) > int64(newest) {
		return fmt.Errorf("version %d, at most %d: %w", version, newest, ErrNewer)
	}
	return nil
}

// examine makes sure that the database file is what was written, and opens the
// connection that writes. An index that was in use when its process ended has a log.
// Where that is gone, either somebody removed it, and what it had is lost; or a
// program that looked into the index has copied it into the file, and only
// SQLite's own checks are left.
func (db *DB) examine(c Config, newest int) error {
	_, noLog := os.Lstat(c.Path + logSuffix)
	sums, bad := checkSums(c.Path, c.Strict, newest)
	if bad != nil && (noLog == nil || sums == nil || !errors.Is(bad, ErrCorrupt)) {
		return bad
	}
	var err error
	if db.writer, err = openWriter(c.Path); err != nil {
		return err
	}
	unclean := false
	if app, err := db.writer.int(`PRAGMA application_id`); err != nil {
		return err
	} else if app == applicationID && noLog != nil {
		if _, unclean, err = db.writer.loadCounters(); err != nil {
			return err
		}
	}
	switch {
	case bad == nil && unclean && c.Strict:
		return fmt.Errorf("its log is missing: %w", ErrCorrupt)
	case bad != nil && !unclean:
		return bad
	case bad != nil:
		if _, err := db.writer.verify(); err != nil && !errors.Is(err, ErrNoDrive) {
			return errors.Join(bad, err)
		}
		db.log.Warn("another program has written the index", "err", bad)
		clear(sums.list)
	}
	db.sums = sums
	return nil
}

// How often it is looked how long the log is.
const (
	sumsEvery = 64 // transactions
	// sumsRetry is how many pages the log grows until it is tried again to copy it, when
	// readers kept it from being copied whole.
	sumsRetry = 1024
)

// grew is called after each commit. The caller holds mu.
func (db *DB) grew() {
	if db.commits++; db.commits%sumsEvery != 0 {
		return
	}
	db.keepRoom()
	if db.sums == nil {
		return
	}
	err := db.sums.follow()
	if pages := int((db.sums.log.end - logHeader) / frameSize); err == nil && pages >= max(db.checkpointAt, db.retryAt) {
		err = db.checkpoint("PASSIVE")
		db.retryAt = pages + sumsRetry
	} else if err == nil && pages < db.checkpointAt {
		db.retryAt = 0
	}
	if err != nil { // the log stays, and grows; nothing is lost
		db.log.Warn("index log is not written back", "op", "checkpoint", "err", err)
	}
}

// errSums reports checksums that could not be written: the log must stay.
var errSums = errors.New("checksums of the index")

// checkpoint copies the log into the database file. The caller holds mu.
func (db *DB) checkpoint(mode string) error {
	if db.sums == nil {
		return nil
	}
	if err := db.sums.prepare(); err != nil {
		return fmt.Errorf("%w: %w", errSums, err)
	}
	return db.writer.script("PRAGMA wal_checkpoint(" + mode + ")")
}

// rotten describes pages of the database file that are not what was written.
func (db *DB) rotten() (problems []string, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed || db.sums == nil {
		return nil, nil
	}
	if err := db.sums.follow(); err != nil {
		return nil, err
	}
	bad, err := db.sums.verify()
	if len(bad) > 0 {
		problems = append(problems, fmt.Sprintf("%d pages of the index are not what was written, such as %d", len(bad), bad[0]))
	}
	return problems, err
}

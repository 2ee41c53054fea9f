package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
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

// logTail is how far the log was read.
type logTail struct {
	salts [8]byte
	end   int64             // behind the last commit
	pages map[uint32]uint32 // in the log, with their checksums
	head  []byte            // the newest first page in the log that recoverLog found
}

// committed returns where the last commit in the log ends, which nobody writes just
// now. Behind it stands what a commit left whose sync failed. Source: SQLite,
// "WAL-mode file format", the index header: mxFrame at 16, in the machine's order.
func (s *sums) committed() (int64, error) {
	f, err := s.opened(&s.shared, sharedSuffix)
	if err != nil {
		return 0, err
	}
	var head [20]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
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
	s.log.salts, s.log.end = [8]byte(b[16:24]), logHeader
	fresh := map[uint32]uint32{}
	var head []byte
	end := eachFrame(b, func(end int64, frame []byte) {
		number := binary.BigEndian.Uint32(frame)
		fresh[number] = pageSum(number, frame[frameHeader:])
		if number == 1 {
			head = frame[frameHeader:]
		}
		if binary.BigEndian.Uint32(frame[4:]) != 0 {
			maps.Copy(s.log.pages, fresh)
			clear(fresh)
			s.log.end, s.log.head = end, head
		}
	})
	switch {
	case end == 0 && len(b) < logHeader+frameSize:
		s.log = logTail{pages: s.log.pages}
		return 0, nil
	case end == 0:
		s.log = logTail{pages: s.log.pages}
		return commits(b[logHeader:], [8]byte(b[logHeader+8:logHeader+16])), nil
	case end+frameSize > int64(len(b)):
		return 0, nil
	}
	return commits(b[end+frameSize:], s.log.salts), nil
}

// eachFrame calls do for the frames of a log, each with where it ends, up to the first
// whose checksum does not fit, and returns where that one begins; 0: not even the header is good.
func eachFrame(b []byte, do func(end int64, frame []byte)) (end int64) {
	if len(b) < logHeader {
		return 0
	}
	var order binary.ByteOrder = binary.LittleEndian
	magic := binary.BigEndian.Uint32(b)
	if magic == logMagic+1 {
		order = binary.BigEndian
	}
	sum := logSum{order: order}
	sum.add(b[:24])
	if magic&^1 != logMagic || binary.BigEndian.Uint32(b[8:]) != pageSize || !sum.is(b[24:32]) {
		return 0
	}
	for end = logHeader; end+frameSize <= int64(len(b)); end += frameSize {
		frame := b[end:][:frameSize]
		sum.add(frame[:8])
		sum.add(frame[frameHeader:])
		if !bytes.Equal(frame[8:16], b[16:24]) || !sum.is(frame[16:24]) {
			break
		}
		do(end+frameSize, frame)
	}
	return end
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

package localnet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"

	"golang.org/x/crypto/blake2b"
)

// LogFile is the name of the ledger's log, in Config.Dir and in every folder that holds a copy.
//
// A log is a header, the state of the ledger as of a record (rows of its tables), and a record
// for each transaction since. Each record carries the hash of the one before it. All integers
// are little-endian; ARCHITECTURE.md has the offsets.
const LogFile = "ledger.log"

const (
	logMagic    = "WLEDGLOG"
	recordMagic = "WREC"
	logVersion  = 3 // version 1 had no records of kindProgram, version 2 had rows of tableGone
	headerSize  = 128
	recordHead  = 68 // bytes before the payload
	recordTail  = 8  // and after it: CRC32C, whole length
	// maxPayload bounds a record in bytes. A transaction of chain.MaxBatch members stays far below.
	maxPayload = 64 << 20
)

// The kinds of records.
const (
	kindState       = 1 // rows of a table
	kindStateEnd    = 2 // the state is whole
	kindTransaction = 3 // what a transaction changed
	kindTakeover    = 4 // another home has the network from here on
	kindProgram     = 5 // what a signed transaction changed, and the transaction
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// hash is a BLAKE2b-256 of a record, or of the header.
type hash = [32]byte

// era names who writes a log: the number of takeovers in its upper half, a random number in its lower one.
type era uint64

// takeovers returns how often the network was taken over.
func (e era) takeovers() uint32 { return uint32(e >> 32) }

// logHeader is the head of a log.
type logHeader struct {
	version  uint32 // logVersion in what is written anew
	chainID  [32]byte
	base     uint64 // number of the record of which the state is
	baseHash hash   // of that record; random for the first state of a ledger
	era      era
	timeMS   uint64 // the ledger's time then
}

func (h *logHeader) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, logMagic)
	binary.LittleEndian.PutUint32(b[8:], h.version)
	copy(b[16:], h.chainID[:])
	binary.LittleEndian.PutUint64(b[48:], h.base)
	copy(b[56:], h.baseHash[:])
	binary.LittleEndian.PutUint64(b[88:], uint64(h.era))
	binary.LittleEndian.PutUint64(b[96:], h.timeMS)
	binary.LittleEndian.PutUint32(b[headerSize-4:], crc32.Checksum(b[:headerSize-4], castagnoli))
	return b
}

func decodeHeader(b []byte) (h logHeader, err error) {
	if len(b) != headerSize || string(b[:8]) != logMagic {
		return h, fmt.Errorf("no head of a ledger log: %w", ErrDamaged)
	}
	h.version = binary.LittleEndian.Uint32(b[8:])
	if h.version == 0 || h.version > logVersion {
		return h, fmt.Errorf("ledger log of version %d, this program knows %d: %w", h.version, logVersion, ErrSchema)
	}
	if binary.LittleEndian.Uint32(b[headerSize-4:]) != crc32.Checksum(b[:headerSize-4], castagnoli) {
		return h, fmt.Errorf("head of ledger log: %w", ErrDamaged)
	}
	copy(h.chainID[:], b[16:])
	h.base = binary.LittleEndian.Uint64(b[48:])
	copy(h.baseHash[:], b[56:])
	h.era = era(binary.LittleEndian.Uint64(b[88:]))
	h.timeMS = binary.LittleEndian.Uint64(b[96:])
	return h, nil
}

// logRecord is a record of a log.
type logRecord struct {
	kind    uint8
	number  uint64
	era     era
	timeMS  uint64
	prev    hash // of the record before
	payload []byte
}

// encode returns the bytes of a record and its hash.
func (r *logRecord) encode() ([]byte, hash) {
	whole := recordHead + len(r.payload) + recordTail
	b := make([]byte, recordHead, whole)
	copy(b, recordMagic)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(r.payload)))
	b[8] = r.kind
	binary.LittleEndian.PutUint64(b[12:], r.number)
	binary.LittleEndian.PutUint64(b[20:], uint64(r.era))
	binary.LittleEndian.PutUint64(b[28:], r.timeMS)
	copy(b[36:], r.prev[:])
	b = append(b, r.payload...)
	sum := blake2b.Sum256(b)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return binary.LittleEndian.AppendUint32(b, uint32(whole)), sum
}

// errRecord reports bytes that are no record.
var errRecord = errors.New("not a record")

// readRecord reads the record at the head of r.
func readRecord(r io.Reader) (*logRecord, hash, error) {
	head := make([]byte, recordHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, hash{}, err
	}
	length := binary.LittleEndian.Uint32(head[4:])
	if string(head[:4]) != recordMagic || length > maxPayload || head[9]|head[10]|head[11] != 0 {
		return nil, hash{}, errRecord
	}
	body, err := readN(r, int(length)+recordTail)
	if err != nil {
		return nil, hash{}, err
	}
	payload, tail := body[:length], body[length:]
	crc := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, payload)
	crcAt := recordHead + len(payload)
	if binary.LittleEndian.Uint32(tail) != crc || binary.LittleEndian.Uint32(tail[4:]) != uint32(crcAt+recordTail) {
		return nil, hash{}, errRecord
	}
	rec := &logRecord{
		kind: head[8], number: binary.LittleEndian.Uint64(head[12:]), era: era(binary.LittleEndian.Uint64(head[20:])),
		timeMS: binary.LittleEndian.Uint64(head[28:]), prev: hash(head[36:68]), payload: payload,
	}
	h, err := blake2b.New256(nil)
	if err != nil {
		return nil, hash{}, err
	}
	_, _ = h.Write(head) // never fails, by its documentation
	_, _ = h.Write(payload)
	return rec, hash(h.Sum(nil)), nil
}

// readN reads n bytes without trusting n for the memory it takes.
func readN(r io.Reader, n int) ([]byte, error) {
	const step = 1 << 20
	b := make([]byte, 0, min(n, step))
	for len(b) < n {
		at := len(b)
		b = append(b, make([]byte, min(n-at, step))...)
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// LogError reports a log that is damaged before its end, and how far it is whole.
type LogError struct {
	Path   string
	Offset int64     // of the damage, in bytes
	Number uint64    // of the last record that is whole; 0 when not even the state is
	Time   time.Time // of that record
}

// Error names the damage.
func (e *LogError) Error() string {
	if e.Number == 0 && e.Time.IsZero() {
		return fmt.Sprintf("%s is damaged at byte %d, in the state that it starts with", e.Path, e.Offset)
	}
	return fmt.Sprintf("%s is damaged at byte %d: it is whole up to record %d of %s", e.Path, e.Offset, e.Number, e.Time.UTC().Format(time.RFC3339))
}

// Unwrap returns ErrDamaged.
func (e *LogError) Unwrap() error { return ErrDamaged }

// logReader reads a log from its start and checks it on the way.
type logReader struct {
	f      *os.File
	r      *bufio.Reader
	size   int64 // of the file
	header logHeader

	state  bool   // still in the state
	off    int64  // behind the last record that was read
	number uint64 // of it, and what follows speaks of it too
	hash   hash
	era    era
	timeMS uint64
	torn   int64 // bytes at the end that are no whole record; set with io.EOF
}

// openLog opens a log to be read. The caller closes it.
func openLog(path string) (l *logReader, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	l = &logReader{f: f, r: bufio.NewReaderSize(f, 1<<18), size: info.Size(), state: true}
	head, err := readN(l.r, headerSize)
	if err != nil {
		return nil, fmt.Errorf("%s: head of %d bytes: %w", path, l.size, ErrDamaged)
	}
	if l.header, err = decodeHeader(head); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	l.off, l.hash = headerSize, blake2b.Sum256(head)
	return l, nil
}

func (l *logReader) close() error { return l.f.Close() }

// next returns the next record. It returns io.EOF at the end, where a record
// that was cut short does not count, and a LogError for damage before the end.
func (l *logReader) next() (*logRecord, error) {
	rec, sum, err := readRecord(l.r)
	if err == nil && !l.follows(rec) {
		err = errRecord
	}
	if err != nil {
		return nil, l.ended(err)
	}
	l.off += int64(recordHead + len(rec.payload) + recordTail)
	l.number, l.hash = rec.number, sum
	if l.state {
		if rec.kind == kindStateEnd {
			l.state = false
			l.number, l.hash, l.era, l.timeMS = l.header.base, l.header.baseHash, l.header.era, l.header.timeMS
		}
		return rec, nil
	}
	l.era, l.timeMS = rec.era, rec.timeMS
	return rec, nil
}

// follows reports whether a record may stand behind the last one.
func (l *logReader) follows(rec *logRecord) bool {
	if rec.number != l.number+1 || rec.prev != l.hash {
		return false
	}
	if l.state {
		return rec.kind == kindState || rec.kind == kindStateEnd && len(rec.payload) == 0
	}
	switch rec.kind {
	case kindTransaction:
		return rec.era == l.era
	case kindProgram:
		return rec.era == l.era && l.header.version > 1
	case kindTakeover:
		return rec.era.takeovers() == l.era.takeovers()+1 && len(rec.payload) == 0
	}
	return false
}

// ended says what it means that there is no record where the reader is.
func (l *logReader) ended(err error) error {
	if !errors.Is(err, errRecord) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	more, err := l.anyRecord()
	if err != nil {
		return err
	}
	if l.state || more { // the state is written whole or not at all
		bad := &LogError{Path: l.f.Name(), Offset: l.off}
		if !l.state {
			bad.Number, bad.Time = l.number, time.UnixMilli(int64(l.timeMS))
		}
		return bad
	}
	l.torn = l.size - l.off
	return io.EOF
}

// anyRecord reports whether a whole record begins anywhere behind the reader.
func (l *logReader) anyRecord() (bool, error) {
	const window = 1 << 18
	buf := make([]byte, window+len(recordMagic)-1)
	for at := l.off; at < l.size; at += window {
		n, err := l.f.ReadAt(buf, at)
		if err != nil && err != io.EOF {
			return false, err
		}
		for i := 0; i+len(recordMagic) <= n; i++ {
			if string(buf[i:i+len(recordMagic)]) != recordMagic {
				continue
			}
			rec, _, err := readRecord(io.NewSectionReader(l.f, at+int64(i), l.size-at-int64(i)))
			if err == nil && rec.kind > kindStateEnd && rec.number > l.number {
				return true, nil
			}
		}
	}
	return false, nil
}

// LogInfo says what a log holds.
type LogInfo struct {
	Path    string
	ChainID [32]byte
	Era     uint64    // who wrote it: grows with each takeover
	Number  uint64    // of its last whole record
	Time    time.Time // the ledger's, at that record
	Size    int64     // of what is whole, in bytes
	Damage  *LogError // if it is damaged before its end; what is above speaks of what is whole

	base   uint64
	hashes []hash // of the records base, base+1, …, Number
}

// InspectLog reads the log in a folder and checks every byte of it. It returns
// fs.ErrNotExist when there is none, and ErrDamaged or ErrSchema when no state can be had from it.
func InspectLog(path string) (info LogInfo, err error) {
	l, err := openLog(path)
	if err != nil {
		return info, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	for err == nil {
		if _, err = l.next(); err == nil && !l.state {
			info.hashes = append(info.hashes, l.hash)
		}
	}
	info.Path, info.ChainID, info.base, info.Size = path, l.header.chainID, l.header.base, l.off
	if !l.state {
		info.Era, info.Number, info.Time = uint64(l.era), l.number, time.UnixMilli(int64(l.timeMS))
	}
	if !l.state && errors.As(err, &info.Damage) {
		return info, nil
	}
	if err == io.EOF {
		return info, nil
	}
	return info, err
}

// damage returns the damage as an error, or nil.
func (i *LogInfo) damage() error {
	if i.Damage == nil {
		return nil
	}
	return i.Damage
}

// Longer reports whether restoring takes this log rather than another: the one
// that was taken over more often, else the one with more records.
func (i *LogInfo) Longer(other *LogInfo) bool {
	if a, b := era(i.Era).takeovers(), era(other.Era).takeovers(); a != b {
		return a > b
	}
	return i.Number > other.Number
}

// Fork returns how many records at the end of a log that is not Longer went
// another way than this one. One is what a crash leaves of a transaction that nobody
// was told of. The records before the state of this log are taken for the same.
func (i *LogInfo) Fork(other *LogInfo) int {
	apart := 0
	for n := other.Number; n >= other.base; n-- {
		if n < i.base || n <= i.Number && i.hashes[n-i.base] == other.hashes[n-other.base] {
			return apart
		}
		if n == other.base { // not even its state is of this ledger's past
			return apart + 1 + int(min(n, 1<<30))
		}
		apart++
	}
	return apart
}

package sui

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// The errors of a journal.
var (
	ErrJournalInUse = errors.New("another process has the journal open")
	ErrJournal      = errors.New("journal cannot be written") // but for a full disk, until it is opened again
	ErrNoJournal    = errors.New("not a transaction journal")
)

// The file of a journal: journalMagic, then records, each of them
//
//	0  4  length of the payload, little-endian
//	4  4  CRC-32C of the payload, little-endian
//	8  …  payload: BCS of a record
//
// A record that is cut off or damaged ends the file: it was being written when
// the machine stopped, and nothing was sent on the strength of it.
const (
	journalFile   = "transactions.journal"
	journalMagic  = "walfsj1\n"
	recordHeader  = 8
	maxRecord     = 1 << 20 // a transaction takes at most 128 KiB
	compactBeyond = 8 << 20 // bytes of file at which compacting is considered
)

// Finished entries are forgotten when they are both so old and so far back:
// whoever wrote a transaction ID down has asked for its outcome long before.
const (
	keepFinished  = 20_000
	keepYoungerMS = 180 * 24 * int64(time.Hour/time.Millisecond)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Journal remembers which transactions were signed and what became of them. A
// transaction is in it, on disk, before it is sent. It is safe for concurrent
// use, and may serve clients of several owners.
type Journal struct {
	dir string
	now func() time.Time

	mu      sync.Mutex // guards the fields below
	file    *os.File
	size    int64 // of whole records
	broken  error // why nothing can be written any more, if so
	chain   move.Digest
	entries map[chain.TxID]*entry
	order   []chain.TxID // of finished entries, oldest first
	pending int
	owners  map[chain.Address]chan struct{} // held by whoever sends for an owner
}

// entry is what the journal knows of a transaction ID. Its bytes are in the file.
type entry struct {
	kind    uint8
	owner   chain.Address
	request [32]byte
	timeMS  uint64
	at      int64 // offset of the record
	length  int   // of header and payload
}

// OpenJournal opens the journal in a folder, which is made when missing, and
// makes it when there is none. It returns ErrJournalInUse while another process
// has it open.
func OpenJournal(dir string) (*Journal, error) {
	j := &Journal{dir: dir, now: time.Now, entries: map[chain.TxID]*entry{}, owners: map[chain.Address]chan struct{}{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := j.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal in %s: %w", dir, err), j.Close())
	}
	return j, nil
}

func (j *Journal) open() (err error) {
	path := filepath.Join(j.dir, journalFile)
	if j.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err := unix.Flock(int(j.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return ErrJournalInUse
		}
		return err
	}
	if err := j.begin(); err != nil {
		return err
	}
	if err := j.scan(); err != nil {
		return err
	}
	// What follows the last whole record was never promised to anybody.
	if err := j.file.Truncate(j.size); err != nil {
		return err
	}
	return errors.Join(j.file.Sync(), syncFolder(j.dir))
}

// begin writes the head of a new file. A file shorter than the head is one that was being made.
func (j *Journal) begin() error {
	head := make([]byte, len(journalMagic))
	n, err := io.ReadFull(io.NewSectionReader(j.file, 0, int64(len(head))), head)
	switch {
	case err == nil && string(head) == journalMagic:
	case n < len(head) && string(head[:n]) == journalMagic[:n]:
		if _, err := j.file.WriteAt([]byte(journalMagic), 0); err != nil {
			return err
		}
	default:
		return ErrNoJournal
	}
	j.size = int64(len(journalMagic))
	return nil
}

// scan reads all whole records.
func (j *Journal) scan() error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	for {
		payload, err := j.read(j.size, info.Size())
		if err != nil {
			return err
		}
		if payload == nil {
			return nil
		}
		var r record
		if err := move.Unmarshal(payload, &r); err != nil {
			return fmt.Errorf("record at byte %d: %w", j.size, err)
		}
		j.apply(&r, j.size, recordHeader+len(payload))
		j.size += int64(recordHeader + len(payload))
	}
}

// read returns the payload of the record at an offset, nil where no whole record is.
func (j *Journal) read(at, end int64) ([]byte, error) {
	var head [recordHeader]byte
	if end-at < recordHeader {
		return nil, nil
	}
	if _, err := j.file.ReadAt(head[:], at); err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(head[:4]))
	if length == 0 || length > maxRecord || length > end-at-recordHeader {
		return nil, nil
	}
	payload := make([]byte, length)
	if _, err := j.file.ReadAt(payload, at+recordHeader); err != nil {
		return nil, err
	}
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, nil
	}
	return payload, nil
}

// apply brings the memory in step with a record of the file.
func (j *Journal) apply(r *record, at int64, length int) {
	if r.Kind == recordChain {
		j.chain = r.Chain
		return
	}
	if old := j.entries[r.Tx]; old != nil && old.kind == recordSigned {
		j.pending--
	}
	if r.Kind == recordDead {
		delete(j.entries, r.Tx)
		return
	}
	e := &entry{kind: r.Kind, owner: r.Owner, request: r.Request, timeMS: r.TimeMS, at: at, length: length}
	j.entries[r.Tx] = e
	if r.Kind == recordSigned {
		j.pending++
	} else {
		j.order = append(j.order, r.Tx)
	}
}

// append writes a record and returns when it is on disk. That a transaction was
// executed may get there later: where it is missing, the ledger is asked again.
func (j *Journal) append(r *record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	r.TimeMS = uint64(j.now().UnixMilli())
	b, err := frame(r)
	if err != nil {
		return err
	}
	if _, err = j.file.WriteAt(b, j.size); err != nil && isFull(err) && j.file.Truncate(j.size) == nil {
		return fmt.Errorf("%w: %w", ErrJournal, err) // nothing of it is left: there may be room for a later one
	}
	if err == nil && r.Kind != recordDone {
		err = unix.Fdatasync(int(j.file.Fd()))
	}
	if err != nil {
		// The record may be there in part or whole: no more is written until somebody has looked again.
		j.broken = fmt.Errorf("%w: %w", ErrJournal, err)
		return j.broken
	}
	j.apply(r, j.size, len(b))
	j.size += int64(len(b))
	if err := j.compactIfDue(); err != nil {
		j.broken = fmt.Errorf("%w: %w", ErrJournal, err)
	}
	return nil
}

// isFull tells whether an error says that there is no room on the disk.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// frame returns the bytes of a record in the file.
func frame(r *record) ([]byte, error) {
	payload, err := move.Marshal(r)
	if err != nil {
		return nil, err
	}
	if len(payload) > maxRecord {
		return nil, fmt.Errorf("record of %d bytes: %w", len(payload), ErrJournal)
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli))
	return append(b, payload...), nil
}

// get returns the record of a transaction ID, nil if there is none.
func (j *Journal) get(tx chain.TxID) (*record, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.entries[tx]
	if e == nil {
		return nil, nil
	}
	return j.load(e)
}

func (j *Journal) load(e *entry) (*record, error) {
	payload, err := j.read(e.at, e.at+int64(e.length))
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	if payload == nil {
		return nil, fmt.Errorf("record at byte %d of the journal is damaged: %w", e.at, ErrNoJournal)
	}
	r := new(record)
	return r, move.Unmarshal(payload, r)
}

// open transactions of an owner, the ones signed first before the others.
func (j *Journal) unsettled(owner chain.Address) (list []*record, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.pending == 0 {
		return nil, nil
	}
	var found []*entry
	for _, e := range j.entries {
		if e.kind == recordSigned && e.owner == owner {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *entry) int { return int(a.at - b.at) })
	for _, e := range found {
		r, err := j.load(e)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// newest returns the newest records of an owner's transactions, at most so many.
func (j *Journal) newest(owner chain.Address, most int) (list []*record, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []*entry
	for _, e := range j.entries {
		if e.owner == owner {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *entry) int { return cmp.Compare(b.at, a.at) })
	for _, e := range found[:min(len(found), most)] {
		r, err := j.load(e)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// undecided returns how many transactions of an owner are open, and when the first of them was signed.
func (j *Journal) undecided(owner chain.Address) (n int, since time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.pending == 0 {
		return 0, since
	}
	for _, e := range j.entries {
		if e.kind != recordSigned || e.owner != owner {
			continue
		}
		if at := time.UnixMilli(int64(e.timeMS)); n == 0 || at.Before(since) {
			since = at
		}
		n++
	}
	return n, since
}

// pin returns the chain that the journal's transactions are for, and writes it down when there is none yet.
func (j *Journal) pin(id move.Digest) (move.Digest, error) {
	j.mu.Lock()
	pinned := j.chain
	j.mu.Unlock()
	if pinned != (move.Digest{}) {
		return pinned, nil
	}
	return id, j.append(&record{Kind: recordChain, Chain: id})
}

// chainID returns the chain that the journal's transactions are for, zero when it has none yet.
func (j *Journal) chainID() move.Digest {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.chain
}

// turn returns what whoever sends for an owner takes from and puts back into.
func (j *Journal) turn(owner chain.Address) chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := j.owners[owner]
	if t == nil {
		t = make(chan struct{}, 1)
		t <- struct{}{}
		j.owners[owner] = t
	}
	return t
}

// Close closes the file. Closing again does nothing.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file, j.broken = nil, fmt.Errorf("%w: it is closed", ErrJournal)
	return err
}

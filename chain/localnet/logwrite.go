package localnet

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// tip is where a log ends.
type tip struct {
	number uint64 // of the last record
	hash   hash
	era    era
	end    int64 // of the file, in bytes
}

// tipSize is the length of a tip in the table meta: number, hash, era, end.
const tipSize = 8 + 32 + 8 + 8

func (t tip) encode() []byte {
	b := binary.LittleEndian.AppendUint64(nil, t.number)
	b = append(b, t.hash[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(t.era))
	return binary.LittleEndian.AppendUint64(b, uint64(t.end))
}

func decodeTip(b []byte) (t tip, err error) {
	if len(b) != tipSize {
		return t, fmt.Errorf("tip of %d bytes: %w", len(b), ErrDamaged)
	}
	t.number = binary.LittleEndian.Uint64(b)
	copy(t.hash[:], b[8:])
	t.era = era(binary.LittleEndian.Uint64(b[40:]))
	t.end = int64(binary.LittleEndian.Uint64(b[48:]))
	return t, nil
}

// same reports whether two tips are the same record, wherever it lies.
func (t tip) same(o tip) bool { return t.number == o.number && t.hash == o.hash }

// getTip returns the record up to which the database is, or nil when it has none yet.
func getTip(ctx context.Context, q queryer) (*tip, error) {
	var raw []byte
	err := q.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, metaLog).Scan(&raw)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t, err := decodeTip(raw)
	return &t, err
}

// homeLog is the log in the ledger's own folder, open for appending.
type homeLog struct {
	path   string
	f      *os.File
	header logHeader
	state  int64 // length of header and state, in bytes
	tip    tip
	swaps  int // how often the file was replaced since it was opened
}

// newHomeLog writes a log with the state that tx reads and nothing behind it.
func newHomeLog(ctx context.Context, dir string, tx *sql.Tx, header logHeader) (l *homeLog, err error) {
	path := filepath.Join(dir, LogFile)
	size, err := writeLogFile(path+".tmp", func(f *os.File) error { return writeState(ctx, f, tx, header) })
	if err != nil {
		return nil, err
	}
	if err := putFile(path); err != nil {
		return nil, err
	}
	return openHomeLog(path, header, size, tip{header.base, header.baseHash, header.era, size})
}

// writeLogFile writes a file that is durable on return, and returns its length.
func writeLogFile(path string, write func(f *os.File) error) (size int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if err := write(f); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), f.Sync()
}

// putFile gives path.tmp its name.
func putFile(path string) error {
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func openHomeLog(path string, header logHeader, state int64, at tip) (*homeLog, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &homeLog{path: path, f: f, header: header, state: state, tip: at}, nil
}

func (l *homeLog) close() error {
	if l == nil {
		return nil
	}
	return l.f.Close()
}

// next returns the bytes of a new record and where the log ends then.
func (l *homeLog) next(kind uint8, e era, timeMS uint64, payload []byte) ([]byte, tip, error) {
	if len(payload) > maxPayload {
		return nil, tip{}, fmt.Errorf("record of %d bytes, at most %d", len(payload), maxPayload)
	}
	rec := logRecord{kind: kind, number: l.tip.number + 1, era: e, timeMS: timeMS, prev: l.tip.hash, payload: payload}
	b, sum := rec.encode()
	return b, tip{rec.number, sum, e, l.tip.end + int64(len(b))}, nil
}

// errHomeLog marks a log that could not be brought back to what it was.
var errHomeLog = errors.New("the ledger's log is in doubt until it is opened again")

// appendLog makes a record durable in the home and on every disk that has a
// copy, and returns how to take it back. The caller holds mu.
func (n *Net) appendLog(b []byte, after tip) (undo func() error, err error) {
	if n.doubt != nil {
		return nil, n.doubt
	}
	before, length := n.home.tip, int64(len(b))
	undo = func() error {
		if n.home.tip != before {
			n.growCopies(-length)
		}
		n.cutCopies()
		err := n.home.f.Truncate(before.end)
		if err == nil {
			err = n.home.f.Sync()
		}
		if err != nil {
			n.doubt = fmt.Errorf("%w: %w", errHomeLog, err)
			return n.doubt
		}
		n.home.tip = before
		return nil
	}
	n.writeCopies(b)
	synced := make(chan struct{})
	go func() { defer close(synced); n.syncCopies() }()
	_, err = n.home.f.WriteAt(b, before.end)
	if err == nil {
		err = n.home.f.Sync()
	}
	<-synced
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write the ledger's log: %w", err), undo())
	}
	n.home.tip = after
	n.growCopies(length)
	return undo, nil
}

// commitLogged appends a record and commits the transaction that did what it
// says. When this fails, neither of the two is there. The caller holds mu.
func (n *Net) commitLogged(ctx context.Context, tx *sql.Tx, b []byte, after tip) error {
	if err := setMeta(ctx, tx, metaLog, after.encode()); err != nil {
		return err
	}
	before := n.home.tip
	undo, err := n.appendLog(b, after)
	if err != nil {
		return err
	}
	commitErr := tx.Commit()
	n.changes.Add(1)
	if commitErr == nil {
		return nil
	}
	at, err := getTip(ctx, n.store.writer)
	switch {
	case err == nil && at != nil && at.same(after):
		return nil // it was committed
	case err == nil && at != nil && at.same(before):
		return errors.Join(commitErr, undo())
	}
	n.doubt = fmt.Errorf("%w: %w", errHomeLog, errors.Join(commitErr, err))
	return n.doubt
}

// logHead returns the head of a log that starts with the state of now. The caller holds mu.
func (n *Net) logHead(at tip) logHeader {
	return logHeader{version: logVersion, chainID: n.facts.chainID, base: at.number, baseHash: at.hash, era: at.era, timeMS: n.clock.timeMS()}
}

// A log is replaced by one that starts with the state of now once its records
// are compactFactor times as long as its state, and longer than compactBytes.
const (
	compactFactor = 2
	compactBytes  = 8 << 20
)

// compactIfDue replaces a log that has grown long.
func (n *Net) compactIfDue(ctx context.Context) error {
	n.mu.Lock()
	records := n.home.tip.end - n.home.state
	due := n.doubt == nil && !n.closed && records > compactBytes && records > compactFactor*n.home.state
	n.mu.Unlock()
	if !due {
		return nil
	}
	return n.compact(ctx)
}

// compact writes the state beside the log while transactions go on, puts what
// they appended behind it, and swaps.
func (n *Net) compact(ctx context.Context) (err error) {
	n.compactMu.Lock()
	defer n.compactMu.Unlock()
	began := time.Now()
	path := n.home.path
	n.mu.Lock()
	if err := n.update(ctx, func(tx *sql.Tx) error { return n.prune(ctx, tx) }); err != nil {
		n.mu.Unlock()
		return fmt.Errorf("compact the ledger's log: %w", err)
	}
	if err := n.store.copyWAL(ctx); err != nil { // what the state is read from is checked in the database alone
		n.mu.Unlock()
		return fmt.Errorf("compact the ledger's log: %w", err)
	}
	at, header := n.home.tip, n.logHead(n.home.tip)
	tx, err := n.store.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	var seen *tip
	if err == nil { // a first read pins what the transaction sees
		seen, err = getTip(ctx, tx)
	}
	n.mu.Unlock()
	if err == nil && (seen == nil || !seen.same(at)) {
		err = errors.Join(errHomeLog, tx.Rollback())
	}
	if err != nil {
		return fmt.Errorf("compact the ledger's log: %w", err)
	}
	state, err := writeLogFile(path+".tmp", func(f *os.File) error { return writeState(ctx, f, tx, header) })
	if err = errors.Join(err, ignoreDone(tx.Rollback())); err != nil {
		return fmt.Errorf("compact the ledger's log: %w", n.store.named(err))
	}
	if err := n.swapLog(ctx, at, header, state); err != nil {
		return fmt.Errorf("compact the ledger's log: %w", err)
	}
	n.log.Info("ledger log compacted", "op", "compact", "state", state, "took", time.Since(began))
	return nil
}

// swapLog puts the new log in place of the old one, with the records behind at.
func (n *Net) swapLog(ctx context.Context, at tip, header logHeader, state int64) (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.doubt != nil || n.closed {
		return errors.Join(n.doubt, os.Remove(n.home.path+".tmp"))
	}
	f, err := os.OpenFile(n.home.path+".tmp", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := copyRange(f, state, n.home.f, at.end, n.home.tip.end); err != nil {
		return errors.Join(err, f.Close(), os.Remove(n.home.path+".tmp"))
	}
	if err := putFile(n.home.path); err != nil {
		n.doubt = fmt.Errorf("%w: %w", errHomeLog, err) // either may have the name
		return errors.Join(err, f.Close())
	}
	old := n.home
	n.home = &homeLog{path: old.path, f: f, header: header, state: state, tip: old.tip, swaps: old.swaps + 1}
	n.home.tip.end = state + old.tip.end - at.end
	err = n.update(ctx, func(tx *sql.Tx) error { return setMeta(ctx, tx, metaLog, n.home.tip.encode()) })
	return errors.Join(err, old.close())
}

// copyRange copies bytes of one file behind a place in another, durably.
func copyRange(to *os.File, at int64, from *os.File, start, end int64) error {
	buf := make([]byte, min(1<<20, end-start))
	for start < end {
		k, err := from.ReadAt(buf[:min(int64(len(buf)), end-start)], start)
		if k == 0 && err != nil {
			return err
		}
		if _, err := to.WriteAt(buf[:k], at); err != nil {
			return err
		}
		start, at = start+int64(k), at+int64(k)
	}
	return to.Sync()
}

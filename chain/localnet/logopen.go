package localnet

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// anyLog reports whether the ledger can be had from a log.
func (cfg *Config) anyLog() bool {
	for _, dir := range append([]string{cfg.Dir}, cfg.Copies...) {
		if _, err := os.Stat(filepath.Join(dir, LogFile)); err == nil {
			return true
		}
	}
	return false
}

// settle brings log, copies and database together. The log is written first, so
// it is ahead of the database by what a crash interrupted, or a power cut took
// back: that is replayed. A log that is lost, or damaged within what the database
// has, is begun anew with the database as its state.
func (n *Net) settle(ctx context.Context, cfg Config, fresh bool, now func() time.Time) error {
	var at *tip
	if !fresh {
		if err := n.found(ctx, n.store.reader, now); err != nil {
			return err
		}
		var err error
		if at, err = getTip(ctx, n.store.reader); err != nil {
			return err
		}
		if at == nil { // made before there was a log, or interrupted in making it
			return n.beginLog(ctx, tip{})
		}
	}
	path := filepath.Join(cfg.Dir, LogFile)
	if at != nil {
		done, err := n.replayTail(ctx, cfg, path, at)
		if done || err != nil {
			return err
		}
	}
	best, err := n.longest(cfg, path, at)
	switch {
	case err != nil:
		return err
	case best == nil && fresh:
		return n.makeLedger(ctx, cfg, now)
	case best == nil:
		return n.beginLog(ctx, *at)
	}
	if fresh && best.Damage != nil {
		return best.Damage
	}
	if best.Path != path {
		if err := adoptLog(path, best); err != nil {
			return err
		}
	}
	return n.replayWhole(ctx, path, best, at, now)
}

// makeLedger makes a ledger where there is none.
func (n *Net) makeLedger(ctx context.Context, cfg Config, now func() time.Time) error {
	if cfg.Genesis == nil {
		return ErrNoGenesis
	}
	n.clock = newClock(now, uint64(now().UnixMilli()))
	if err := n.genesis(ctx, cfg.Seed, *cfg.Genesis); err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	if err := n.beginLog(ctx, tip{}); err != nil {
		return err
	}
	n.log.Info("ledger made", "op", "genesis")
	return nil
}

// beginLog writes a log that starts with the state of the database, behind the
// record at. Without one a first log begins, under a hash that is like no other.
func (n *Net) beginLog(ctx context.Context, at tip) error {
	if at == (tip{}) {
		var draw [4]byte
		if _, err := rand.Read(at.hash[:]); err != nil {
			return err
		}
		if _, err := rand.Read(draw[:]); err != nil {
			return err
		}
		at.era = era(binary.LittleEndian.Uint32(draw[:]))
	}
	err := n.view(ctx, func(tx *sql.Tx) (err error) {
		n.home, err = newHomeLog(ctx, n.dir, tx, n.logHead(at))
		return err
	})
	if err != nil {
		return fmt.Errorf("begin the ledger's log: %w", err)
	}
	n.log.Info("ledger log begun", "op", "log", "record", at.number)
	return n.update(ctx, func(tx *sql.Tx) error {
		if err := setMeta(ctx, tx, metaLog, n.home.tip.encode()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
		return err
	})
}

// replayTail opens a log that has the database's last record where the database
// says, and replays what stands behind it, by which at moves on. It reports
// false when it is not so, or when a copy may be longer.
func (n *Net) replayTail(ctx context.Context, cfg Config, path string, at *tip) (bool, error) {
	l, err := openLog(path)
	if err != nil {
		return false, ignoreDamage(err)
	}
	defer func() { _ = l.close() }() // which was read only
	if l.header.chainID != n.facts.chainID || at.end > l.size {
		return false, nil
	}
	state, ok, err := l.skipTo(*at)
	if err != nil || !ok {
		return false, err
	}
	last, err := n.replay(ctx, l)
	if err != nil {
		var damaged *LogError
		if errors.As(err, &damaged) {
			return false, nil
		}
		return false, err
	}
	*at = last
	if longer, err := anyLonger(cfg.Copies, l.header.chainID, last); longer || err != nil {
		return false, err
	}
	return true, n.openHome(path, l.header, state, last)
}

func ignoreDamage(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged) {
		return nil
	}
	return err
}

// skipTo moves the reader behind a record without reading what is before it,
// and returns where the state ends. It reports whether the record was there.
func (l *logReader) skipTo(at tip) (state int64, ok bool, err error) {
	if at.end < headerSize+recordHead+recordTail {
		return 0, false, nil
	}
	found, err := lastIn(l.f, at.end)
	if errors.Is(err, errRecord) || err == nil && !found.same(at) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if state, err = l.stateEnd(); err != nil {
		return 0, false, ignoreDamage(err)
	}
	l.state, l.off, l.number, l.hash, l.era, l.timeMS = false, at.end, at.number, at.hash, at.era, l.header.timeMS
	if _, err := l.f.Seek(at.end, io.SeekStart); err != nil {
		return 0, false, err
	}
	l.r.Reset(l.f)
	return state, true, nil
}

// stateEnd returns where the state ends, by the lengths that its records give.
func (l *logReader) stateEnd() (int64, error) {
	head := make([]byte, recordHead)
	for off := int64(headerSize); ; {
		if _, err := l.f.ReadAt(head, off); err != nil || string(head[:4]) != recordMagic {
			return 0, fmt.Errorf("state of %s: %w", l.f.Name(), ErrDamaged)
		}
		off += recordHead + recordTail + int64(binary.LittleEndian.Uint32(head[4:]))
		if head[8] == kindStateEnd {
			return off, nil
		}
	}
}

// anyLonger reports whether a copy ends behind the record last, or another home
// has taken the network over.
func anyLonger(dirs []string, chainID [32]byte, last tip) (bool, error) {
	for _, dir := range dirs {
		path := filepath.Join(dir, LogFile)
		found, err := lastOf(path)
		if err != nil || found.same(last) {
			continue // what is torn is not ahead of the home, which was synced before
		}
		if found.number > last.number || found.era.takeovers() > last.era.takeovers() {
			return true, nil
		}
	}
	return false, nil
}

// longest returns the log that says most: the home's, or a copy that goes on
// from the record at of the database. It returns nil when there is none.
func (n *Net) longest(cfg Config, path string, at *tip) (*LogInfo, error) {
	var best *LogInfo
	var bad error // what no ledger can be had from, and was one
	own, err := InspectLog(path)
	switch {
	case ignoreDamage(err) != nil:
		return nil, err
	case err != nil:
		if !errors.Is(err, fs.ErrNotExist) {
			bad = err
		}
	case at != nil && own.Number < at.number: // the database says more
	case at != nil && own.base <= at.number && !own.has(*at):
		return nil, fmt.Errorf("record %d of %s is not the one that the database has: %w", at.number, path, ErrDamaged)
	default:
		best = &own
	}
	for _, dir := range cfg.Copies {
		info, err := InspectLog(filepath.Join(dir, LogFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			n.log.Warn("copy of the ledger's log cannot be read", "dir", dir, "err", err)
			bad = errors.Join(bad, err)
			continue
		}
		if at != nil {
			if info.ChainID != n.facts.chainID {
				continue
			}
			if era(info.Era).takeovers() > at.era.takeovers() {
				return nil, fmt.Errorf("%s: %w", dir, ErrTakenOver)
			}
			if info.Number < at.number || info.base <= at.number && !info.has(*at) {
				continue // behind, or of another past: Attach will see
			}
		}
		if at == nil && own.hashes != nil && !cfg.TakeOver { // without its database, the home's log says whose the ledger is
			if info.ChainID == own.ChainID && era(info.Era).takeovers() > era(own.Era).takeovers() {
				return nil, fmt.Errorf("%s: %w", dir, ErrTakenOver)
			}
			if !info.goesOn(&own) {
				continue
			}
		}
		if best == nil || info.Longer(best) {
			best = &info
		}
	}
	if best == nil && at == nil {
		return nil, bad
	}
	return best, nil
}

// has reports whether a record stands in the log.
func (i *LogInfo) has(t tip) bool {
	return t.number >= i.base && t.number <= i.Number && i.hashes[t.number-i.base] == t.hash
}

// goesOn reports whether a log has all that another one has; what was before its state it is taken to have.
func (i *LogInfo) goesOn(from *LogInfo) bool {
	return i.ChainID == from.ChainID &&
		(from.Number < i.base || i.has(tip{number: from.Number, hash: from.hashes[len(from.hashes)-1]}))
}

// adoptLog puts the whole part of another log in the place of the home's.
func adoptLog(path string, best *LogInfo) (err error) {
	from, err := os.Open(best.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if _, err := writeLogFile(path+".tmp", func(f *os.File) error { return copyRange(f, 0, from, 0, best.Size) }); err != nil {
		return err
	}
	return putFile(path)
}

// replayWhole reads a log from its start: into an empty database with all that
// it has, into another one with what it lacks.
func (n *Net) replayWhole(ctx context.Context, path string, best *LogInfo, at *tip, now func() time.Time) (err error) {
	l, err := openLog(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	var last tip
	var state int64
	if at == nil || !best.has(*at) {
		if state, last, err = n.rebuild(ctx, l, at == nil, now); err != nil {
			return fmt.Errorf("rebuild the ledger from %s: %w", path, err)
		}
		n.log.Info("ledger rebuilt from its log", "op", "rebuild", "record", last.number)
	} else {
		for l.state || l.number < at.number {
			if _, err := l.next(); err != nil {
				return err
			}
		}
		if state, err = l.stateEnd(); err != nil {
			return err
		}
		if last, err = n.replay(ctx, l); err != nil {
			return err
		}
	}
	return n.openHome(path, l.header, state, last)
}

// rebuild fills the database from a log, in one SQL transaction.
func (n *Net) rebuild(ctx context.Context, l *logReader, empty bool, now func() time.Time) (state int64, last tip, err error) {
	err = n.update(ctx, func(tx *sql.Tx) error {
		prepare := func() error { return wipe(ctx, tx) }
		if empty {
			prepare = func() error {
				_, err := tx.ExecContext(ctx, schema)
				return err
			}
		}
		if err := prepare(); err != nil {
			return err
		}
		for l.state {
			rec, err := l.next()
			if err != nil {
				return err
			}
			if rec.kind == kindState {
				if err := loadRows(ctx, tx, rec); err != nil {
					return err
				}
			}
		}
		state = l.off
		if err := setMeta(ctx, tx, metaClock, uint64Bytes(l.header.timeMS)); err != nil {
			return err
		}
		if err := n.found(ctx, tx, now); err != nil {
			return err
		}
		if n.facts.chainID != l.header.chainID {
			return fmt.Errorf("state of another ledger: %w", ErrDamaged)
		}
		if last, err = n.replayIn(ctx, tx, l, 0); err != nil {
			return err
		}
		if err := n.found(ctx, tx, now); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
		return err
	})
	return state, last, err
}

// replay writes the records behind the reader into the database, some at a time.
func (n *Net) replay(ctx context.Context, l *logReader) (last tip, err error) {
	const atOnce = 1000
	for before := l.number; ; before = l.number {
		err := n.update(ctx, func(tx *sql.Tx) (err error) {
			last, err = n.replayIn(ctx, tx, l, atOnce)
			return err
		})
		if err != nil {
			return last, fmt.Errorf("replay the ledger's log: %w", err)
		}
		if l.number == before {
			return last, n.refound(ctx)
		}
	}
}

// refound brings the clock up to what was replayed.
func (n *Net) refound(ctx context.Context) error {
	value, err := getMeta(ctx, n.store.reader, metaClock)
	if err != nil {
		return err
	}
	ms, err := bytesUint64(value)
	n.clock.advanceTo(ms)
	return err
}

// replayIn writes at most so many records into the database; 0 means all.
func (n *Net) replayIn(ctx context.Context, tx *sql.Tx, l *logReader, most int) (tip, error) {
	w := &writer{n.store, tx, &n.facts.packages}
	for i := 0; most == 0 || i < most; i++ {
		rec, err := l.next()
		if err == io.EOF {
			break
		}
		if err == nil && (rec.kind == kindTransaction || rec.kind == kindProgram) {
			err = w.apply(ctx, rec)
		}
		if err != nil {
			return tip{}, err
		}
	}
	last := tip{l.number, l.hash, l.era, l.off}
	return last, setMeta(ctx, tx, metaLog, last.encode())
}

// openHome opens the log for appending and cuts off what a crash left of a record.
func (n *Net) openHome(path string, header logHeader, state int64, last tip) (err error) {
	if n.home, err = openHomeLog(path, header, state, last); err != nil {
		return err
	}
	if err := n.home.f.Truncate(last.end); err != nil {
		return err
	}
	return n.home.f.Sync() // a killed process may leave what no sync has seen
}

// takeOver begins a new era.
func (n *Net) takeOver(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var draw [4]byte
	if _, err := rand.Read(draw[:]); err != nil {
		return err
	}
	next := era(n.home.tip.era.takeovers()+1)<<32 | era(binary.LittleEndian.Uint32(draw[:]))
	b, after, err := n.home.next(kindTakeover, next, n.clock.timeMS(), nil)
	if err != nil {
		return err
	}
	tx, err := n.store.writer.BeginTx(ctx, nil)
	if err != nil {
		return n.store.named(err)
	}
	if err := n.commitLogged(ctx, tx, b, after); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	n.log.Info("network taken over", "op", "takeover", "record", after.number)
	return nil
}

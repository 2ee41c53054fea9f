package localnet

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"

	"github.com/walfs/walfs/chain/localnet/pagesum"
	"github.com/walfs/walfs/chain/move"
)

//go:embed schema.sql
var schema string

// schemaVersion is the number of schema.sql, in the database's user_version.
// Version 1 had no log, version 2 no signed transactions, version 3 a table of attributes.
const schemaVersion = 4

// toSchema3 brings a database of version 1 or 2 up to version 3.
const toSchema3 = `
ALTER TABLE transactions ADD COLUMN bcs BLOB;
ALTER TABLE transactions ADD COLUMN signatures BLOB;
ALTER TABLE transactions ADD COLUMN effects BLOB;
ALTER TABLE transactions ADD COLUMN details BLOB;
ALTER TABLE events ADD COLUMN package BLOB;
ALTER TABLE events ADD COLUMN module TEXT;
CREATE INDEX events_by_tx ON events (tx);
CREATE INDEX transactions_by_request ON transactions (request) WHERE length(outcome) > 0`

// toSchema4 brings one of version 3 up to this one.
const toSchema4 = `
DROP TABLE attributes;
PRAGMA user_version = 4`

// Names of the files in Config.Dir.
const (
	databaseFile = "ledger.db"
	lockFile     = "ledger.lock"
)

// maxReaders bounds the connections that only read.
const maxReaders = 4

// ErrInUse reports that another process, or another Net, has the ledger open.
var ErrInUse = errors.New("ledger is in use")

// ErrSchema reports a ledger that a newer program wrote.
var ErrSchema = errors.New("ledger has a newer schema")

// store is the database of a ledger: one connection that writes, a few that read.
type store struct {
	path   string
	log    *slog.Logger
	lock   *os.File
	writer *sql.DB
	reader *sql.DB

	told  sync.Once  // that it is damaged
	mu    sync.Mutex // guards types
	types map[int64]move.StructTag
}

// openStore opens the database in a folder that is locked, which it closes with the lock. It reports whether
// the database is new and has no schema yet.
func openStore(dir string, lock *os.File, driver string, log *slog.Logger) (s *store, fresh bool, err error) {
	path := filepath.Join(dir, databaseFile)
	s = &store{path: path, log: log, lock: lock, types: make(map[int64]move.StructTag)}
	defer func() {
		if err != nil {
			err = s.named(errors.Join(err, s.close()))
		}
	}()
	if err := pagesum.Create(path); err != nil {
		return s, false, err
	}
	if s.writer, err = sql.Open(driver, dsn(path, "_txlock=immediate")); err != nil {
		return s, false, err
	}
	s.writer.SetMaxOpenConns(1)
	if s.reader, err = sql.Open(driver, dsn(path, "_query_only=1")); err != nil {
		return s, false, err
	}
	s.reader.SetMaxOpenConns(maxReaders)
	var version int
	if err := s.writer.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return s, false, fmt.Errorf("open %s: %w", path, err)
	}
	if version > schemaVersion {
		return s, false, fmt.Errorf("open %s: schema %d, this program knows %d: %w", path, version, schemaVersion, ErrSchema)
	}
	if version > 0 && version < schemaVersion {
		if err := s.migrate(version); err != nil {
			return s, false, fmt.Errorf("open %s: bring it from schema %d to %d: %w", path, version, schemaVersion, err)
		}
	}
	return s, version == 0, nil
}

// migrate brings the database from an older schema up to that of this program, in one transaction.
func (s *store) migrate(version int) error {
	steps := toSchema4
	if version < 3 {
		steps = toSchema3 + ";" + toSchema4
	}
	tx, err := s.writer.Begin()
	if err != nil {
		return err
	}
	if _, err := tx.Exec(steps); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// dsn opens the database so that a commit is safe against kill -9. What a power
// cut takes back is in the log, which was synced before.
func dsn(path, options string) string {
	return pagesum.URI(path, "vfs="+pagesum.VFS+"&_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=10000&_foreign_keys=1&"+options)
}

func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return f, nil
}

// close closes what openStore opened.
func (s *store) close() error {
	var errs []error
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// syncFolder makes the names of new files in a folder durable.
func syncFolder(dir string) (err error) {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}

// queryer is a database or a transaction that reads.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// object reads one object, or returns nil when there is none.
func (s *store) object(ctx context.Context, q queryer, id move.ID) (*move.Object, error) {
	row := q.QueryRowContext(ctx, `SELECT version, type, public, owner_kind, owner, initial_version, contents, previous_tx
		FROM objects WHERE id = ?`, id[:])
	o, err := s.scanObject(ctx, q, row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return o, s.named(err)
}

// scanObject reads the columns that object selects.
func (s *store) scanObject(ctx context.Context, q queryer, scan func(...any) error) (*move.Object, error) {
	var o move.Object
	var tag int64
	var owner, previous []byte
	var initial sql.NullInt64
	if err := scan(&o.Version, &tag, &o.HasPublicTransfer, &o.Owner.Kind, &owner, &initial, &o.Contents, &previous); err != nil {
		return nil, err
	}
	copy(o.Owner.Address[:], owner)
	copy(o.PreviousTransaction[:], previous)
	o.Owner.InitialVersion = uint64(initial.Int64)
	var err error
	o.Type, err = s.typeTag(ctx, q, tag)
	return &o, err
}

// typeTag returns the type with a number.
func (s *store) typeTag(ctx context.Context, q queryer, id int64) (move.StructTag, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tag, ok := s.types[id]; ok {
		return tag, nil
	}
	var name string
	if err := q.QueryRowContext(ctx, `SELECT name FROM types WHERE id = ?`, id).Scan(&name); err != nil {
		return move.StructTag{}, fmt.Errorf("type %d: %w", id, err)
	}
	tag, err := move.ParseStructTag(name)
	if err == nil {
		s.types[id] = tag
	}
	return tag, err
}

// typeID returns the number of a type, or 0 when no object or event has it.
func (s *store) typeID(ctx context.Context, q queryer, tag move.StructTag) (int64, error) {
	var id int64
	err := q.QueryRowContext(ctx, `SELECT id FROM types WHERE name = ?`, tag.String()).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return id, err
}

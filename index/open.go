package index

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

//go:embed schema.sql
var schema string

//go:embed schema2.sql
var schema2 string

//go:embed schema3.sql
var schema3 string

//go:embed schema4.sql
var schema4 string

//go:embed schema5.sql
var schema5 string

// applicationID stands in the header of the database file: "WFSi".
const applicationID = 0x57465369

// migrations[i] turns version i+1 into i+2. The number of the schema is one more than their
// number. A new index gets them all too.
var migrations = []string{schema2, schema3, schema4, schema5}

// readerCount is the size of the pool of reading connections.
// More than there are cores does not help.
const readerCount = 3

// commonPragmas are set on every connection. A damaged file is noticed early
// by cell_size_check; trusted_schema keeps a forged one from calling functions.
var commonPragmas = []string{"trusted_schema = OFF", "cell_size_check = ON", "cache_size = -16384"}

// Open opens the index, creates it with an empty root directory, or migrates
// it. It returns ErrNewer or ErrCorrupt for a file that it cannot use. The
// caller sees to it that no one else has it open.
func Open(ctx context.Context, c Config) (*DB, error) {
	db, err := open(c, migrations)
	if err != nil {
		return nil, fmt.Errorf("open index %s: %w", c.Path, err)
	}
	return db, nil
}

func open(c Config, migrations []string) (_ *DB, err error) {
	for _, pattern := range c.Ignore {
		if err := CheckPattern(pattern); err != nil {
			return nil, err
		}
	}
	db := &DB{
		path: c.Path, log: c.Log, now: c.Now, trash: c.Trash, ignore: c.Ignore, checkpointAt: checkpointPages,
		readers: make(chan *conn, readerCount), told: make(map[Ino]told), soon: soon{files: map[Ino]Queued{}},
		changed: make(chan struct{}, 1),
	}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	if db.now == nil {
		db.now = time.Now
	}
	if err := createIndex(c.Path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.closeConns())
		}
	}()
	if err := db.examine(c, len(migrations)+1); err != nil {
		return nil, err
	}
	if err := db.useLog(); err != nil {
		return nil, err
	}
	if err := db.prepareSchema(c.Path, migrations); err != nil {
		return nil, err
	}
	if err := errors.Join(db.sums.follow(), db.sums.fill()); err != nil {
		return nil, err
	}
	if db.state, db.unclean, err = db.writer.loadState(); err != nil {
		return nil, err
	}
	db.latest.Store(new(db.state))
	if err := db.attrNames.load(db.writer); err != nil {
		return nil, err
	}
	for range readerCount {
		r, err := openConn(c.Path, append(commonPragmas, "query_only = ON")...)
		if err != nil {
			return nil, err
		}
		db.readers <- r
		db.pool++
	}
	if err := db.recoverAhead(); err != nil {
		return nil, fmt.Errorf("make changes again: %w", err)
	}
	if err := db.start(); err != nil {
		return nil, err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	defer db.keepRoom()
	return db, db.checkpoint("PASSIVE") // the file says from now on that it has a log
}

// createIndex makes an empty database file. Checksums of one that was there before it go.
func createIndex(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if err := os.Remove(path + sumsSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return createFile(path)
}

// createFile makes an empty file that only its owner may read, durably.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), syncDir(filepath.Dir(path)))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openWriter opens the connection that writes. It copies the log into the file
// only when it is told to, see checkpoint.
func openWriter(path string) (*conn, error) {
	return openConn(path, append(commonPragmas, "synchronous = NORMAL", "wal_autocheckpoint = 0", "journal_size_limit = 67108864")...)
}

// useLog makes a database that has none use a log, which changes its first page.
func (db *DB) useLog() error {
	r, err := db.writer.one(`PRAGMA journal_mode`)
	if err != nil || r.text(0) == "wal" {
		return err
	}
	db.sums.forget(1)
	return db.writer.script("PRAGMA journal_mode = WAL")
}

// prepareSchema creates the tables or brings them up to date.
func (db *DB) prepareSchema(path string, migrations []string) error {
	newest := int64(len(migrations) + 1)
	version, err := db.writer.int(`PRAGMA user_version`)
	if err != nil {
		return err
	}
	app, err := db.writer.int(`PRAGMA application_id`)
	if err != nil {
		return err
	}
	switch {
	case version == 0 && app == 0:
		return db.create(migrations)
	case app != applicationID:
		return fmt.Errorf("application %#x: %w", app, ErrCorrupt)
	case version == newest:
		return nil
	case version < 1:
		return fmt.Errorf("version %d: %w", version, ErrCorrupt)
	}
	return db.migrate(path, version, migrations)
}

// create makes the tables and the root directory, in one FULL transaction.
func (db *DB) create(migrations []string) error {
	tables, err := db.writer.int(`SELECT count(*) FROM sqlite_schema`)
	if err != nil {
		return err
	}
	if tables != 0 {
		return fmt.Errorf("tables of something else: %w", ErrCorrupt)
	}
	return db.full(func(tx *txn) error {
		for _, step := range append([]string{schema}, migrations...) {
			if err := tx.script(step); err != nil {
				return err
			}
		}
		if err := tx.stamp(int64(len(migrations) + 1)); err != nil {
			return err
		}
		root := inode{Attr: Attr{Ino: Root, Mode: modeDir | 0o755, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()),
			Nlink: 2, Atime: tx.now, Mtime: tx.now, Ctime: tx.now, Btime: tx.now, Version: 1, PubVersion: 1}, generation: 1}
		if err := tx.insertInode(&root); err != nil {
			return err
		}
		tx.st = firstState()
		tx.st.inoLimit, tx.st.cookieLimit = tx.st.nextIno, tx.st.nextCookie
		return errors.Join(
			tx.run(sqlSetMeta, metaBarrier, 0),
			tx.run(sqlSetMeta, metaClean, 1),
			tx.run(sqlSetMeta, metaInodes, tx.st.inodes),
		)
	})
}

// stamp writes the version into the file's header.
func (tx *txn) stamp(version int64) error {
	return tx.script(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, version))
}

// migrate copies the database and then brings it up to date, in one FULL transaction.
func (db *DB) migrate(path string, have int64, migrations []string) error {
	backup := fmt.Sprintf("%s.v%d", path, have)
	if err := copyTo(path, backup); err != nil {
		return fmt.Errorf("copy before migration: %w", err)
	}
	err := db.full(func(tx *txn) error {
		tx.st, _, _ = tx.loadState()
		for _, step := range migrations[have-1:] {
			if err := tx.script(step); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.run(sqlSetMeta, metaClean, 0), // what an older program did not count is counted
			tx.stamp(int64(len(migrations)+1)),
		)
	})
	if err != nil {
		return fmt.Errorf("migrate from version %d: %w", have, err)
	}
	db.log.Info("index migrated", "from", have, "copy", backup)
	return nil
}

func copyTo(from, path string) (err error) {
	temporary := path + ".tmp"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := createFile(temporary); err != nil {
		return err
	}
	c, err := openConn(from)
	if err != nil {
		return err
	}
	if err := errors.Join(c.run(`VACUUM INTO ?`, temporary), c.close()); err != nil {
		return err
	}
	return appear(temporary, path)
}

// appear gives a complete file its name, durably.
func appear(temporary, path string) error {
	f, err := os.OpenFile(temporary, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// start marks the index as in use. What an earlier process cut and did not
// commit belongs to the generation that is open.
func (db *DB) start() error {
	var run [16]byte
	_, _ = rand.Read(run[:]) // it does not fail
	err := db.update(func(tx *txn) error {
		if err := errors.Join(tx.run(sqlSetMeta, metaClean, 0), tx.run(sqlSetMeta, metaRun, run[:])); err != nil {
			return err
		}
		if err := tx.useList(db.ignore); err != nil || tx.st.open == tx.st.last+1 {
			return err
		}
		tx.st.open = tx.st.last + 1
		return tx.renumber(tx.st.open)
	})
	db.mu.Lock()
	defer db.mu.Unlock()
	db.notes = notes{path: db.path + aheadSuffix, run: run}
	return err
}

// Close writes the log into the database file and closes it. It gathers no
// statistics (PRAGMA optimize): from those of a small drive SQLite concludes
// that reading a whole table is cheapest, and goes on to when it has grown.
func (db *DB) Close() error {
	db.soon.close()
	err := db.full(func(tx *txn) error {
		tx.st.inoLimit, tx.st.cookieLimit = tx.st.nextIno, tx.st.nextCookie
		return errors.Join(
			tx.run(sqlSetMeta, metaInodes, tx.st.inodes),
			tx.run(sqlSetMeta, metaBytes, tx.st.bytes),
			tx.run(sqlSetMeta, metaTrashed, tx.st.trashed),
			tx.run(sqlSetMeta, metaTrashedBytes, tx.st.trashedBytes),
			tx.run(sqlSetMeta, metaCopies, tx.st.copies.Bytes),
			tx.run(sqlSetMeta, metaCopiesHot, tx.st.copies.Hot),
			tx.run(sqlSetMeta, metaCopiesFiles, tx.st.copies.Files),
			tx.run(sqlSetMeta, metaClean, 1),
		)
	})
	db.logSync.mu.Lock()
	defer db.logSync.mu.Unlock()
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return ErrClosed
	}
	return errors.Join(err, db.closeConns())
}

// closeConns waits for readers and closes all connections. SQLite copies the log
// into the file with the last one, so that this has to be done before. If the
// checksums cannot be written, the last one stays open until the process ends,
// as if it were killed: the next one finds the log. The caller holds logSync.mu and mu, or is Open.
func (db *DB) closeConns() error {
	db.closed = true
	db.soon.close()
	db.rollBack()
	errs := []error{db.notes.close(len(db.answered) == 0), db.logSync.close()}
	copied := true
	if db.writer != nil {
		err := db.checkpoint("TRUNCATE")
		copied = !errors.Is(err, errSums)
		errs = append(errs, err)
	}
	for range db.pool {
		errs = append(errs, (<-db.readers).close())
	}
	close(db.readers)
	if db.writer != nil && copied {
		errs = append(errs, db.writer.close())
		if db.sums != nil {
			errs = append(errs, db.sums.close())
		}
	}
	return errors.Join(errs...)
}

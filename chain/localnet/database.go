package localnet

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/walfs/walfs/chain/localnet/pagesum"
	"github.com/walfs/walfs/chain/move"
)

// What the ledger reads from ledger.db decides what it writes into its log, and the state
// with which a compacted log begins is read from there. So nothing is read that is not checked:
// every page has a checksum (package pagesum), all are looked at when a ledger is opened, and each
// when it is read. A database that is damaged is put aside, and made anew from
// the log, at the start and by itself: the log is written, and synced, before the database, and
// has checksums of its own. Only where no log has all that the database had it stays where it is, and the ledger closed.

// walSuffix is of SQLite's log. Source: SQLite, "Temporary Files Used By SQLite", as of the others.
const walSuffix = "-wal"

// besides are the suffixes of what belongs to a database.
var besides = []string{walSuffix, "-shm", "-journal"}

// damagedSuffix is of the name under which a damaged database is kept, until there is another one.
const damagedSuffix = ".damaged"

// oldSuffix is of the name of a database without checksums, until what takes its place is there.
const oldSuffix = ".old"

// ErrDatabase reports a damaged ledger.db that is made anew when the ledger is opened again.
var ErrDatabase = errors.New("the ledger's database is damaged")

// DatabaseError reports that ledger.db is not what was written.
type DatabaseError struct {
	Path string
	What string
	Err  error // why it cannot be made anew; nil: the next start will
}

// Error names the damage and what becomes of it.
func (e *DatabaseError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s is damaged (%s); it is made anew from the ledger's log when the ledger is opened again", e.Path, e.What)
	}
	return fmt.Sprintf("%s is damaged (%s), and cannot be made anew from the ledger's log: %v", e.Path, e.What, e.Err)
}

// Unwrap returns ErrDamaged, and ErrDatabase or why the database cannot be made anew.
func (e *DatabaseError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrDamaged, ErrDatabase}
	}
	return []error{ErrDamaged, e.Err}
}

// rotten reports whether SQLite says that a file is not what it wrote.
func rotten(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB)
}

// named gives an error that speaks of a damaged database its name.
func (s *store) named(err error) error {
	var known *DatabaseError
	if !rotten(err) || errors.As(err, &known) {
		return err
	}
	bad := &DatabaseError{Path: s.path, What: err.Error()}
	s.told.Do(func() { s.log.Error("the ledger's database is damaged", "err", bad) })
	return bad
}

// copyWAL copies SQLite's log into the database, as far as nobody is reading from it.
func (s *store) copyWAL(ctx context.Context) error {
	_, err := s.writer.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
	return s.named(err)
}

// admitDatabase sees to it that ledger.db is what was written, or is not there. The caller holds the lock of the folder.
func (n *Net) admitDatabase(ctx context.Context, cfg Config) error {
	path := filepath.Join(n.dir, databaseFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	var summed bool
	if err := inFile(path, func(f *os.File) { summed = pagesum.Has(f, info.Size()) }); err != nil {
		return err
	}
	if !summed {
		return n.admitOld(ctx, cfg, path)
	}
	what, err := damageOf(path)
	if err == nil && what != "" {
		err = n.putAside(ctx, cfg, path, what)
	}
	return err
}

// damageOf copies what a crash left in SQLite's log into a database that nobody has open, and says what is damaged, if anything is.
func damageOf(path string) (what string, err error) {
	wal, err := os.ReadFile(path + walSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err == nil {
		if !pagesum.WholeLog(wal) { // of what is in the database already, part would be taken back
			return "SQLite's log is not what was written", nil
		}
		copied, err := copyWAL(path)
		if rotten(err) {
			return err.Error(), nil
		}
		if err != nil || !copied {
			return "", err // each page is looked at when it is read
		}
	}
	var bad []uint64
	err = inFile(path, func(f *os.File) {
		if info, err := f.Stat(); err == nil {
			bad = pagesum.Verify(f, info.Size())
		}
	})
	if err != nil || len(bad) == 0 {
		return "", err
	}
	return fmt.Sprintf("%d pages are not what was written, such as %d", len(bad), bad[0]), nil
}

// inFile opens a file to be read.
func inFile(path string, do func(f *os.File)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	do(f)
	return f.Close()
}

// copyWAL copies SQLite's log into the database, and reports whether that is all there.
func copyWAL(path string) (bool, error) {
	db, err := openRaw(path, "vfs="+pagesum.VFS)
	if err != nil {
		return false, err
	}
	var busy, pages, copied int
	err = db.QueryRow("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &copied)
	if err = errors.Join(err, db.Close()); err != nil && !rotten(err) {
		return false, nil // a full disk, for instance
	}
	return busy == 0, err
}

// openRaw opens a database for a look at it.
func openRaw(path, parameters string) (*sql.DB, error) {
	if err := pagesum.Register(); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite3", pagesum.URI(path, "mode=rw&"+parameters))
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// putAside gives a damaged database another name, provided that a log makes the ledger.
func (n *Net) putAside(ctx context.Context, cfg Config, path, what string) error {
	at, _ := tipOf(ctx, path, "vfs="+pagesum.VFS) // which may be in the part that is damaged
	if err := n.mayRebuild(cfg, at); err != nil {
		return &DatabaseError{Path: path, What: what, Err: err}
	}
	if err := moveDatabase(path, path+damagedSuffix); err != nil {
		return err
	}
	n.log.Warn("the ledger's database is damaged, and made anew from the log", "damage", what, "kept", path+damagedSuffix)
	return nil
}

// errNoWholeLog reports that no log within reach has what the database had.
var errNoWholeLog = errors.New("no log within reach has all of it; the nodes' folders have copies, attach them")

// mayRebuild reports why the ledger cannot be made of the logs within reach, without a database that was at a record, if that is known.
func (n *Net) mayRebuild(cfg Config, at *tip) error {
	best, err := n.longest(cfg, filepath.Join(cfg.Dir, LogFile), nil)
	switch {
	case err != nil:
		return err
	case best == nil:
		return errNoWholeLog
	case best.Damage != nil:
		return fmt.Errorf("%w: %w", errNoWholeLog, best.Damage)
	case at == nil:
		return nil
	case era(best.Era).takeovers() > at.era.takeovers() && !cfg.TakeOver:
		return ErrTakenOver
	case best.Number < at.number || best.base <= at.number && !best.has(*at):
		return fmt.Errorf("the database is at record %d, the log at %d: %w", at.number, best.Number, errNoWholeLog)
	}
	return nil
}

// tipOf reads the record up to which a database is that nobody has open; nil when it knows none.
func tipOf(ctx context.Context, path, parameters string) (at *tip, err error) {
	db, err := openRaw(path, parameters)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return getTip(ctx, db)
}

// moveDatabase gives a database that nobody has open another name. SQLite's log goes first, so that no other database ever gets it.
func moveDatabase(path, to string) error {
	for _, suffix := range besides {
		if err := removeIfThere(to + suffix); err != nil {
			return err
		}
		if err := os.Rename(path+suffix, to+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(path, to); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// admitOld takes over a database of the time before pages had checksums. What the log has is taken from
// there; where it lacks something the database is copied as it is, if SQLite and the digests of the objects find no fault with it.
func (n *Net) admitOld(ctx context.Context, cfg Config, path string) error {
	version, at, err := inspectOld(ctx, path)
	switch {
	case rotten(err) || errors.Is(err, ErrDamaged):
		return n.putAside(ctx, cfg, path, err.Error())
	case err != nil:
		return err
	case version > schemaVersion:
		return fmt.Errorf("open %s: schema %d, this program knows %d: %w", path, version, schemaVersion, ErrSchema)
	case version == 0: // interrupted in making it
		return moveDatabase(path, path+oldSuffix)
	case at != nil && n.mayRebuild(cfg, at) == nil:
		n.log.Info("the ledger's database gets checksums", "op", "rebuild", "record", at.number)
		return moveDatabase(path, path+oldSuffix)
	}
	if err := checkOld(ctx, path); err != nil {
		return &DatabaseError{Path: path, What: err.Error(), Err: errNoWholeLog}
	}
	return convert(path)
}

// inspectOld returns the schema of a database without checksums, and the record up to which it is.
func inspectOld(ctx context.Context, path string) (version int, at *tip, err error) {
	db, err := openRaw(path, "")
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil || version == 0 || version > schemaVersion {
		return version, nil, err
	}
	at, err = getTip(ctx, db)
	return version, at, err
}

// checkOld looks for faults in a database without checksums.
func checkOld(ctx context.Context, path string) (err error) {
	db, err := openRaw(path, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var found string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return fmt.Errorf("%s: %w", found, ErrDamaged)
	}
	ids, err := queryIDs(ctx, db, "SELECT id FROM objects")
	if err != nil {
		return err
	}
	s := &store{types: make(map[int64]move.StructTag)}
	for _, id := range ids {
		o, err := s.object(ctx, db, id)
		if err != nil {
			return err
		}
		var digest []byte
		if err := db.QueryRowContext(ctx, "SELECT digest FROM objects WHERE id = ?", id[:]).Scan(&digest); err != nil {
			return err
		}
		if is, err := o.Digest(); err != nil || o.ID() != id || !bytes.Equal(is[:], digest) {
			return errors.Join(err, fmt.Errorf("object %s: %w", id, ErrDamaged))
		}
	}
	return nil
}

// convert puts a copy with checksums in the place of a database without.
func convert(path string) error {
	if err := removeIfThere(path + ".tmp"); err != nil {
		return err
	}
	if err := pagesum.Convert(path, path+".tmp"); err != nil {
		return err
	}
	if info, err := os.Stat(path + walSuffix); err == nil && info.Size() > 0 {
		return fmt.Errorf("%s: SQLite does not let go of its log", path)
	}
	var synced error
	if err := errors.Join(inFile(path+".tmp", func(f *os.File) { synced = f.Sync() }), synced); err != nil {
		return err
	}
	return putFile(path)
}

// forgetOld removes the database whose place another one has taken.
func forgetOld(dir string) error {
	path := filepath.Join(dir, databaseFile) + oldSuffix
	for _, suffix := range append(besides, "") {
		if err := removeIfThere(path + suffix); err != nil {
			return err
		}
	}
	return nil
}

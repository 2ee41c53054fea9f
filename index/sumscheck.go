package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// checkSums looks whether a database that nobody has open is what was written,
// without SQLite, which would change it. With strict, the machine has not stopped
// since. ErrNewer: it is of a later version than newest. Whoever gets sums closes them.
func checkSums(path string, strict bool, newest int) (got *sums, err error) {
	s, err := loadSums(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if got == nil {
			err = errors.Join(err, s.close())
		}
	}()
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
		err = fmt.Errorf("%s not what was written, such as %d: %w", pages(len(bad)), bad[0], ErrCorrupt)
	}
	return s, err
}

// notNewer looks at the version in the newest first page. Source: SQLite, "The
// Database Header": user version at 60, application at 68.
func (s *sums) notNewer(newest int) error {
	head := s.log.head
	if head == nil {
		f, err := s.opened(&s.file, "")
		if err != nil {
			return err
		}
		head = make([]byte, 100)
		if _, err := f.ReadAt(head, 0); err != nil {
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
func (db *DB) examine(c Config, newest int) (err error) {
	_, noLog := os.Lstat(c.Path + logSuffix)
	sums, bad := checkSums(c.Path, c.Strict, newest)
	defer func() {
		if sums != nil && db.sums == nil {
			err = errors.Join(err, sums.close())
		}
	}()
	if bad != nil && (noLog == nil || sums == nil || !errors.Is(bad, ErrCorrupt)) {
		return bad
	}
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

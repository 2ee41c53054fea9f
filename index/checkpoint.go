package index

import (
	"errors"
	"fmt"
	"os"
)

// checkpointPages is how many pages of log make a checkpoint due: as many as SQLite
// was told before it was taken over here. 16 MiB instead of 4 spare writes of pages
// that change all the time.
const checkpointPages = 4096

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

// errSums reports checksums that could not be written: the log must stay.
var errSums = errors.New("checksums of the index")

// checkpoint copies the log into the database file. The caller holds mu.
func (db *DB) checkpoint(mode string) error {
	if db.sums == nil {
		return nil
	}
	if err := errors.Join(db.repairLog(), db.sums.prepare()); err != nil {
		return fmt.Errorf("%w: %w", errSums, err)
	}
	return db.writer.script("PRAGMA wal_checkpoint(" + mode + ")")
}

// pages says how many there are.
func pages(n int) string {
	if n == 1 {
		return "1 page is"
	}
	return fmt.Sprintf("%d pages are", n)
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
		problems = append(problems, fmt.Sprintf("of the index %s not what was written, such as %d", pages(len(bad)), bad[0]))
	}
	return problems, err
}

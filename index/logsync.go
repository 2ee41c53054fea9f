package index

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// logSync brings the log to stable storage, beside SQLite.
type logSync struct {
	mu   sync.Mutex // held for the length of a sync; taken before DB.mu
	file *os.File
	bad  atomic.Bool  // a sync failed: see repairLog
	fail func() error // what a sync comes to, in tests
}

// synced runs fn in a transaction, together with what was answered before, and syncs
// the log then, which others need not wait for. That is what FULL does; but SQLite can turn to
// that between transactions only. All who come while an earlier sync runs share the next one.
// ErrUnsynced: the change is made, and a power cut may take it back.
func (db *DB) synced(fn func(*txn) error) error { return db.barriers.join(fn, db.leadSynced) }

func (db *DB) leadSynced() {
	s := &db.logSync
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*request
	defer func() { answer(list) }()
	if !db.commitBarriers(&list) {
		return
	}
	if err := db.syncLog(); err != nil {
		db.log.Error("index log is not on the disk", "op", "sync", "err", err)
		for _, r := range list {
			if r.err == nil {
				r.err = fmt.Errorf("%w: %w", ErrUnsynced, err)
			}
		}
	}
}

// commitBarriers commits the requests of all who have come, and reports whether any of them is.
func (db *DB) commitBarriers(list *[]*request) (any bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	*list = db.barriers.take()
	db.commitAll(*list)
	for _, r := range *list {
		any = any || r.err == nil
	}
	return any
}

// syncLog brings all that is committed to stable storage. The caller holds logSync.mu.
func (db *DB) syncLog() (err error) {
	s := &db.logSync
	if !syncs {
		return nil
	}
	if s.bad.Load() {
		db.mu.Lock()
		defer db.mu.Unlock()
		return db.repairLog()
	}
	if s.file == nil {
		if s.file, err = os.OpenFile(db.path+logSuffix, os.O_RDWR, 0); err != nil {
			return err
		}
	}
	if s.fail != nil {
		err = s.fail()
	} else {
		err = dataSync(s.file)
	}
	if err != nil {
		s.bad.Store(true)
	}
	return err
}

// dataSync brings the content of a file to stable storage, and its length.
func dataSync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// repairLog makes good for a sync that failed. After that the kernel takes for
// written what never reached the disk, so that the next sync would promise too
// much: all of the log is written once more, if it still is what it was. The caller holds mu.
func (db *DB) repairLog() error {
	s := &db.logSync
	if !s.bad.Load() {
		return nil
	}
	if s.fail != nil {
		if err := s.fail(); err != nil {
			return err
		}
	}
	if err := db.sums.rewriteLog(); err != nil {
		return fmt.Errorf("repair the index log: %w", err)
	}
	s.bad.Store(false)
	return nil
}

// rewriteLog writes what is committed in the log over itself, and syncs it.
// ErrCorrupt: it is not what was written.
func (s *sums) rewriteLog() (err error) {
	end, err := s.committed()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.path+logSuffix, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, end)
	if _, err := f.ReadAt(b, 0); err != nil {
		return err
	}
	if sound := eachFrame(b, func(int64, []byte) {}); sound < end {
		return fmt.Errorf("%d of %d bytes are left: %w", sound, end, ErrCorrupt)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	return f.Sync()
}

// close closes the file. Nobody syncs any more.
func (s *logSync) close() (err error) {
	if s.file != nil {
		err = s.file.Close()
		s.file = nil
	}
	return err
}

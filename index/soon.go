package index

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// What Queue writes down of a file is known to staging too, and after kill -9 it is
// found there: see fs.Recover. So who closes a file need not wait for a transaction:
// it goes along with the next one, whatever that is for, or by itself after soonAfter.
// No transaction runs before what is queued, and nobody reads past it.
const (
	soonAfter = 100 * time.Millisecond
	soonMost  = 256         // files that wait
	soonRetry = time.Second // when there was no room
)

// soon is files that are to be queued.
type soon struct {
	waiting atomic.Int64  // how many there are
	applied atomic.Uint64 // how often some were

	mu     sync.Mutex // guards the fields below
	files  map[Ino]Queued
	timer  *time.Timer
	failed bool // the index could not take them
	closed bool
}

// QueueSoon is Queue, in one of the next transactions: every call that follows
// sees it done. An error is that of a transaction of before, for which there was no room.
func (db *DB) QueueSoon(ctx context.Context, ino Ino, q Queued) error {
	q.told = db.now().UnixNano()
	s := &db.soon
	s.mu.Lock()
	if s.failed || s.closed || q.Size < 0 {
		s.mu.Unlock()
		return db.Queue(ctx, ino, q)
	}
	s.files[ino] = q
	s.waiting.Store(int64(len(s.files)))
	full := len(s.files) >= soonMost
	if s.timer == nil && !full {
		s.timer = time.AfterFunc(soonAfter, db.settleLater)
	}
	s.mu.Unlock()
	if full {
		_ = db.settle() // it has told
	}
	return nil
}

// settle queues what waits for it, and commits what was answered.
// It fails when that cannot be committed.
func (db *DB) settle() error {
	if db.soon.waiting.Load() == 0 && db.ahead.Load() == 0 {
		return nil
	}
	err := db.update(func(tx *txn) error {
		if tx.along {
			return nil
		}
		return tx.queueSoon(db.soon.list())
	})
	if err != nil && !errors.Is(err, ErrClosed) {
		db.log.Warn("size and time of closed files are not written down yet", "op", "queue", "err", err)
		db.soon.fail(db.settleLater)
	}
	if db.ahead.Load() == 0 {
		return nil
	}
	return err
}

// settleLater is what the timer calls.
func (db *DB) settleLater() {
	db.soon.mu.Lock()
	db.soon.timer = nil
	db.soon.mu.Unlock()
	_ = db.settle() // it has told
}

// list returns what waits.
func (s *soon) list() map[Ino]Queued {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.files)
}

// take returns what the next transaction takes along. It reports false when
// there was no room for it.
func (s *soon) take() (files map[Ino]Queued, ok bool) {
	if s.waiting.Load() == 0 {
		return nil, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed {
		return nil, false
	}
	return maps.Clone(s.files), true
}

// fail keeps what waits out of the way of other transactions, and tries again by and by.
func (s *soon) fail(retry func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = true
	if s.timer == nil && !s.closed {
		s.timer = time.AfterFunc(soonRetry, retry)
	}
}

// done notes what a committed transaction has queued.
func (s *soon) done(queued map[Ino]Queued) {
	if len(queued) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for ino, q := range queued {
		if s.files[ino] == q {
			delete(s.files, ino)
		}
	}
	s.failed = false
	s.waiting.Store(int64(len(s.files)))
	s.applied.Add(1)
}

// close ends the timer.
func (s *soon) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// queueSoon queues files; those that are gone meanwhile are left out.
func (tx *txn) queueSoon(files map[Ino]Queued) error {
	for ino, q := range files {
		if err := tx.queueOne(ino, q); err != nil {
			return err
		}
	}
	tx.along = true
	return nil
}

// queueOne queues what waits of one file, unless this transaction has.
func (tx *txn) queueOne(ino Ino, q Queued) error {
	before, ok := tx.queued[ino]
	if ok && before == q {
		return nil
	}
	if _, err := tx.queue(ino, q); err != nil && !errors.Is(err, ErrNotExist) {
		return err
	}
	if tx.queued == nil {
		tx.queued = map[Ino]Queued{}
	}
	tx.queued[ino] = q
	tx.undo = append(tx.undo, func() {
		if ok {
			tx.queued[ino] = before
		} else {
			delete(tx.queued, ino)
		}
	})
	return nil
}

// queueFirst queues what waits of a file before it is told what staging knew at
// seq, or later; 0: now.
func (tx *txn) queueFirst(ino Ino, seq uint64) error {
	s := &tx.db.soon
	if s.waiting.Load() == 0 {
		return nil
	}
	s.mu.Lock()
	q, ok := s.files[ino]
	s.mu.Unlock()
	if !ok || seq != 0 && q.Seq > seq {
		return nil
	}
	return tx.queueOne(ino, q)
}

// moment is when what waits was looked at.
func (s *soon) moment() uint64 { return s.applied.Load() }

// over puts what waits over attributes that c read after a moment. It reports
// false when they have to be read again.
func (db *DB) over(c *conn, a *Attr, moment uint64) bool {
	if !a.IsRegular() {
		return true
	}
	s := &db.soon
	if s.waiting.Load() == 0 {
		return s.applied.Load() == moment
	}
	s.mu.Lock()
	q, ok := s.files[a.Ino]
	again := !ok && s.applied.Load() != moment
	s.mu.Unlock()
	if ok && c == db.writer && db.left.queued[a.Ino] == q {
		return true
	}
	if !ok || !a.Dirty {
		return !again
	}
	a.Ctime = q.Changed(a, q.told)
	a.Size, a.Mtime = q.Size, q.Mtime
	return true
}

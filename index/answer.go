package index

import (
	"errors"
	"fmt"
	"time"
)

// Changes of names and attributes that ask for no barrier are answered before they are
// committed: each is made in a transaction that stays open for the next ones, and
// noted in a file (see ahead) that outlives the process as the index's log does. It is
// committed leftFor after the first, or before anything else is, so that the
// order of all changes is that of their answers. Who reads single rows reads them
// in the open transaction; who reads more has it committed first.
const (
	leftFor   = soonAfter
	leftMost  = 128         // changes, so that their pages fit into the room that is kept for the log
	leftRetry = time.Second // when there was no room
)

// errCommit tells that a change cannot be answered before it is committed.
var errCommit = errors.New("has to be committed first")

// answer makes a change and answers it. If that cannot be, commit, which is
// db.update or does as that does, makes it.
func (db *DB) answer(o *op, commit func(func(*txn) error) error) (Attr, error) {
	a, err := db.answerAhead(o)
	if !errors.Is(err, errCommit) && !errors.Is(err, ErrFull) {
		return a, err
	}
	err = commit(func(tx *txn) error {
		o.now, o.made = tx.now, 0
		a, err = o.apply(tx)
		return err
	})
	return a, err
}

func (db *DB) answerAhead(o *op) (a Attr, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return a, ErrClosed
	}
	if db.behind || !db.notes.ready(db) {
		return a, errCommit
	}
	tx, err := db.begin()
	if err != nil {
		return a, err
	}
	answered := false
	defer func() {
		if !answered && (tx.raw.AutoCommit() || len(db.answered) == 0) {
			db.rollBack()
		}
	}()
	o.now = db.now().UnixNano()
	err = tx.attempt(func(tx *txn) error {
		if a, err = o.apply(tx); err != nil {
			return err
		}
		return db.note(tx, o)
	})
	if err != nil {
		return Attr{}, err
	}
	answered = true
	db.answered = append(db.answered, o)
	db.ahead.Store(int64(len(db.answered)))
	switch {
	case len(db.answered) >= leftMost:
		db.commitLater()
	case len(db.answered) == 1:
		db.leave(leftFor)
	}
	return a, nil
}

// note notes a change that was made. The caller holds mu.
func (db *DB) note(tx *txn, o *op) error {
	if o.kind == opHold {
		return nil
	}
	tx.st.step++
	return db.notes.add(tx.st.step, o)
}

// leave has the transaction that is open committed after some time. The caller holds mu.
func (db *DB) leave(d time.Duration) {
	if db.leaving {
		return
	}
	db.leaving = true
	time.AfterFunc(d, func() {
		db.mu.Lock()
		defer db.mu.Unlock()
		db.leaving = false
		db.commitLater()
	})
}

// commitLater is commitLeft for who cannot be told: it is tried again. The caller holds mu.
func (db *DB) commitLater() {
	if err := db.commitLeft(); err != nil && !errors.Is(err, ErrClosed) {
		db.log.Warn("changes of names are not in the index yet", "op", "commit", "err", err)
		db.leave(leftRetry)
	}
}

// commitLeft commits what was answered before, if anything. The caller holds mu.
func (db *DB) commitLeft() error {
	if len(db.answered) == 0 {
		return nil
	}
	db.commit(nil)
	if len(db.answered) > 0 {
		return fmt.Errorf("commit what was answered: %w", db.why)
	}
	return nil
}

// begin goes on with the transaction that was left open, or begins one, with
// all that was answered and could not be committed. The caller holds mu.
func (db *DB) begin() (*txn, error) {
	if db.closed {
		return nil, ErrClosed
	}
	if db.left != nil {
		return db.left, nil
	}
	if err := db.writer.run(`BEGIN IMMEDIATE`); err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	tx := &txn{conn: db.writer, st: db.state, now: db.now().UnixNano(), db: db}
	db.left = tx
	for _, o := range db.answered {
		if _, err := o.apply(tx); err != nil {
			db.rollBack()
			return nil, fmt.Errorf("make a change again: %w", err)
		}
		if o.kind != opHold {
			tx.st.step++
		}
	}
	return tx, nil
}

// rollBack ends the transaction that is open; what was answered in it is made
// again by the next one. The caller holds mu.
func (db *DB) rollBack() {
	tx := db.left
	if tx == nil {
		return
	}
	db.left = nil
	db.behind = len(db.answered) > 0
	if db.behind {
		db.leave(leftRetry)
	}
	tx.undone(0)
	if tx.raw.AutoCommit() {
		return
	}
	if err := tx.run(`ROLLBACK`); err != nil {
		db.log.Error("index cannot roll back", "err", err)
	}
}

// settled notes that all that was answered is committed. The caller holds mu.
func (db *DB) settled() {
	db.left, db.behind, db.why = nil, false, nil
	if len(db.answered) == 0 {
		return
	}
	clear(db.answered)
	db.answered = db.answered[:0]
	db.ahead.Store(0)
	db.notes.again()
}

// peekLeft runs fn in the transaction that was left open, if there is one.
func (db *DB) peekLeft(fn func(*conn) error) (seen bool, err error) {
	if db.ahead.Load() == 0 {
		return false, nil
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if len(db.answered) == 0 {
		return false, nil
	}
	tx, err := db.begin()
	if err != nil {
		return true, err
	}
	return true, fn(tx.conn)
}

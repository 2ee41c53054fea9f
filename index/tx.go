package index

import (
	"errors"
	"fmt"
)

// txn is a running write transaction.
type txn struct {
	*conn
	st  state
	now int64 // Unix time in nanoseconds
	// fresh: a replay, which keeps no superseded content.
	fresh bool
	// gone: what is deleted does not go to the trash.
	gone bool
	db   *DB
	undo []func() // what a failure has to take back in memory, last first
}

// request is one call's share of a FULL transaction.
type request struct {
	fn   func(*txn) error
	err  error
	done chan struct{}
}

// errGivenUp is the result of a request whose transaction ended by a panic of another one.
var errGivenUp = errors.New("transaction was given up")

// update runs fn in a NORMAL transaction: after kill -9 it is there, after a
// power cut it may be gone, with everything committed after it.
func (db *DB) update(fn func(*txn) error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	r := &request{fn: fn, err: errGivenUp}
	db.commit([]*request{r})
	return r.err
}

// full runs fn in a FULL transaction, shared with all callers that come while
// an earlier transaction is running: the first of them waits for the writer and
// then commits for all.
func (db *DB) full(fn func(*txn) error) error {
	r := &request{fn: fn, err: errGivenUp, done: make(chan struct{})}
	db.barrierMu.Lock()
	db.barrier = append(db.barrier, r)
	leads := len(db.barrier) == 1
	db.barrierMu.Unlock()
	if leads {
		db.lead()
	}
	<-r.done
	return r.err
}

func (db *DB) lead() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.barrierMu.Lock()
	group := db.barrier
	db.barrier = nil
	db.barrierMu.Unlock()
	defer func() {
		for _, r := range group {
			close(r.done)
		}
	}()
	if err := db.synchronous(syncFull); err != nil {
		fail(group, err)
		return
	}
	db.commit(group)
	if err := db.synchronous("NORMAL"); err != nil {
		db.log.Error("index stays in full synchronous mode", "err", err)
	}
}

// synchronous switches how commits reach the disk; it works between transactions only.
func (db *DB) synchronous(mode string) error {
	if db.closed {
		return ErrClosed
	}
	return db.writer.script("PRAGMA synchronous = " + mode)
}

func fail(group []*request, err error) {
	for _, r := range group {
		r.err = err
	}
}

// commit runs the requests in one transaction. A request that fails leaves no
// trace and does not harm the others. The caller holds mu.
func (db *DB) commit(group []*request) {
	if db.closed {
		fail(group, ErrClosed)
		return
	}
	w := db.writer
	if err := w.run(`BEGIN IMMEDIATE`); err != nil {
		fail(group, fmt.Errorf("begin: %w", err))
		return
	}
	// A panic in a request or a failed commit must not leave the writer inside a transaction.
	defer func() {
		if w.raw.AutoCommit() {
			return
		}
		if err := w.run(`ROLLBACK`); err != nil {
			db.log.Error("index cannot roll back", "err", err)
		}
	}()
	tx := &txn{conn: w, st: db.state, now: db.now().UnixNano(), db: db}
	committed := false
	defer func() {
		if !committed {
			tx.undone(0)
		}
	}()
	errs, err := tx.attemptAll(group)
	if err != nil {
		fail(group, err)
		return
	}
	if err = tx.saveState(db.state); err == nil {
		err = w.run(`COMMIT`)
	}
	if err != nil {
		fail(group, fmt.Errorf("commit: %w", err))
		db.failed()
		return
	}
	committed = true
	for i, r := range group {
		r.err = errs[i]
	}
	db.adopt(tx)
	db.grew()
}

// failed is called when a commit was not, as when its sync failed. The caller holds mu.
func (db *DB) failed() {
	if db.sums == nil {
		return
	}
	if err := db.sums.cutFailed(); err != nil {
		db.log.Warn("index log keeps a commit that failed", "op", "commit", "err", err)
	}
}

// adopt makes the transaction's state the index's.
func (db *DB) adopt(tx *txn) {
	db.state = tx.st
	st := tx.st
	db.latest.Store(&st)
}

// attemptAll runs the requests and returns their errors, or one error when the
// transaction cannot be committed: it has ended, or its only request failed.
func (tx *txn) attemptAll(group []*request) ([]error, error) {
	if len(group) == 1 {
		return []error{nil}, group[0].fn(tx)
	}
	errs := make([]error, len(group))
	for i, r := range group {
		errs[i] = tx.attempt(r.fn)
		if tx.raw.AutoCommit() { // a full disk may have undone all of it
			return nil, errs[i]
		}
	}
	return errs, nil
}

// attempt runs fn so that a failure undoes what it did, in the database and in
// the state.
func (tx *txn) attempt(fn func(*txn) error) error {
	if err := tx.run(`SAVEPOINT attempt`); err != nil {
		return err
	}
	st, steps := tx.st, len(tx.undo)
	err := fn(tx)
	if err != nil {
		tx.st = st
		tx.undone(steps)
		err = errors.Join(err, tx.run(`ROLLBACK TO attempt`))
	}
	return errors.Join(err, tx.run(`RELEASE attempt`))
}

// view runs one reading statement on a connection of the pool.
func (db *DB) view(fn func(*conn) error) error {
	c, ok := <-db.readers
	if !ok {
		return ErrClosed
	}
	defer func() { db.readers <- c }()
	return fn(c)
}

// snapshot runs several reading statements that see the same state.
func (db *DB) snapshot(fn func(*conn) error) error {
	return db.view(func(c *conn) error {
		if err := c.run(`BEGIN`); err != nil {
			return err
		}
		err := fn(c)
		if c.raw.AutoCommit() {
			return err
		}
		return errors.Join(err, c.run(`COMMIT`))
	})
}

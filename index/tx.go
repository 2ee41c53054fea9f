package index

import (
	"errors"
	"fmt"
	"sync"
)

// txn is a running write transaction.
type txn struct {
	*conn
	st  state
	now int64 // Unix time in nanoseconds
	// fresh: a replay, which keeps no superseded content.
	fresh bool
	// made is the number that the next inode gets; 0: a new one.
	made Ino
	// gone: what is deleted does not go to the trash.
	gone bool
	db   *DB
	undo []func() // what a failure has to take back in memory, last first

	queued map[Ino]Queued // of what waited, see QueueSoon
	along  bool           // all that waited is queued
}

// request is one call's share of a transaction.
type request struct {
	fn   func(*txn) error
	err  error
	done chan struct{}
}

// group is the requests that share the next transaction of a kind.
type group struct {
	mu      sync.Mutex
	waiting []*request
}

// join adds a request to the group and waits until it is answered. The first
// of a group leads: it waits for the writer and then commits for all who came meanwhile.
func (g *group) join(fn func(*txn) error, lead func()) error {
	r := &request{fn: fn, err: errGivenUp, done: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, r)
	leads := len(g.waiting) == 1
	g.mu.Unlock()
	if leads {
		lead()
	}
	<-r.done
	return r.err
}

// take ends the group and returns its requests.
func (g *group) take() []*request {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.waiting
	g.waiting = nil
	return list
}

// answer lets those go on who wait for their requests.
func answer(list []*request) {
	for _, r := range list {
		close(r.done)
	}
}

// errGivenUp is the result of a request whose transaction ended by a panic of another one.
var errGivenUp = errors.New("transaction was given up")

// update runs fn in a NORMAL transaction, shared with callers that come while
// an earlier transaction is running: after kill -9 it is there, after a power cut
// it may be gone, with everything committed after it.
func (db *DB) update(fn func(*txn) error) error { return db.ordinary.join(fn, db.leadUpdate) }

func (db *DB) leadUpdate() {
	db.mu.Lock()
	defer db.mu.Unlock()
	list := db.ordinary.take()
	defer answer(list)
	db.commitAll(list)
}

// full runs fn in a FULL transaction, shared with all callers that come while
// an earlier transaction is running.
func (db *DB) full(fn func(*txn) error) error { return db.fulls.join(fn, db.leadFull) }

func (db *DB) leadFull() {
	db.mu.Lock()
	defer db.mu.Unlock()
	list := db.fulls.take()
	defer answer(list)
	if err := errors.Join(db.commitLeft(), db.repairLog()); err != nil {
		fail(list, err)
		return
	}
	if err := db.synchronous(syncFull); err != nil {
		fail(list, err)
		return
	}
	db.commitAll(list)
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

// commitAll commits the requests together or, where there is no room for that,
// those that there is room for. The caller holds mu.
func (db *DB) commitAll(list []*request) {
	db.commit(list)
	for _, r := range list {
		if errors.Is(r.err, ErrFull) {
			r.err = errGivenUp
			db.commit([]*request{r})
		}
	}
}

// commit runs the requests in the transaction that was left open, or in a new one, and
// commits it. A request that fails leaves no trace and does not harm the others. The caller holds mu.
func (db *DB) commit(group []*request) {
	tx, err := db.begin()
	if err != nil {
		db.why = err
		fail(group, err)
		return
	}
	committed := false
	// A panic in a request or a failed commit must not leave the writer inside a transaction.
	defer func() {
		if !committed {
			db.rollBack()
		}
	}()
	tx.now = db.now().UnixNano()
	if err := tx.takeAlong(); err != nil {
		db.why = err
		fail(group, err)
		return
	}
	errs, err := tx.attemptAll(group)
	if err != nil {
		db.why = err
		fail(group, err)
		return
	}
	if len(group) > 0 {
		tx.st.step++
	}
	if err = errors.Join(db.broken, tx.saveState(db.state)); err == nil {
		err = tx.run(`COMMIT`)
	}
	if err != nil {
		if tx.queued != nil {
			db.soon.fail(db.settleLater)
		}
		db.why = fmt.Errorf("commit: %w", err)
		fail(group, db.why)
		db.failed()
		return
	}
	committed = true
	for i, r := range group {
		r.err = errs[i]
	}
	db.soon.done(tx.queued)
	db.adopt(tx)
	db.settled()
	select {
	case db.changed <- struct{}{}:
	default:
	}
	db.next.committed()
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
	if len(group) == 1 && len(tx.db.answered) == 0 {
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

// takeAlong queues what waits for it.
func (tx *txn) takeAlong() error {
	files, ok := tx.db.soon.take()
	if !ok {
		return nil
	}
	err := tx.attempt(func(tx *txn) error { return tx.queueSoon(files) })
	if err == nil {
		return nil
	}
	tx.db.soon.fail(tx.db.settleLater)
	if tx.raw.AutoCommit() { // a full disk may have undone all of it
		return err
	}
	return nil
}

// view runs one reading statement on a connection of the pool.
func (db *DB) view(fn func(*conn) error) error {
	if err := db.settle(); err != nil {
		return err
	}
	return db.pooled(fn)
}

// peek is view for those who need not see what waits to be queued.
func (db *DB) peek(fn func(*conn) error) error {
	if seen, err := db.peekLeft(fn); seen {
		return err
	}
	return db.pooled(fn)
}

// pooled runs fn on a connection of the pool.
func (db *DB) pooled(fn func(*conn) error) error {
	c, ok := <-db.readers
	if !ok {
		return ErrClosed
	}
	defer func() { db.readers <- c }()
	return fn(c)
}

// snapshot runs several reading statements that see the same state.
func (db *DB) snapshot(fn func(*conn) error) error {
	if err := db.settle(); err != nil {
		return err
	}
	return db.pooledAll(fn)
}

// peekAll is snapshot for those who need not see what waits to be queued.
func (db *DB) peekAll(fn func(*conn) error) error {
	if seen, err := db.peekLeft(fn); seen {
		return err
	}
	return db.pooledAll(fn)
}

// pooledAll is pooled for several statements.
func (db *DB) pooledAll(fn func(*conn) error) error {
	return db.pooled(func(c *conn) error {
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

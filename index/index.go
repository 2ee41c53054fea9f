package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Ino numbers an inode. Numbers are never used twice.
type Ino uint64

// Root is the inode of the drive's root directory.
const Root Ino = 1

// Config is what Open needs besides a context.
type Config struct {
	Path string // of the database file
	Log  *slog.Logger
	Now  func() time.Time
	// Trash says whether files that are deleted or replaced can be had back.
	Trash bool
	// Strict: the machine has not stopped since the index was used, so that damage in its log is
	// damage, and not what a power cut has left.
	Strict bool
	// Ignore lists patterns for names, see CheckPattern. Files that have no other names, and were
	// never published, are not. Nil: those that are ignored stay so, and none is from now on.
	Ignore []string
}

// DB is an open index. Its methods may be called concurrently; each is one
// transaction. Transactions are short and never wait for anything but the
// disk, so none of them is given up because a context ends.
type DB struct {
	path   string
	log    *slog.Logger
	now    func() time.Time
	trash  bool
	ignore []string

	// mu is held for the length of each write transaction and guards the fields below.
	mu       sync.Mutex
	writer   *conn
	left     *txn  // the transaction that was left open, see answer
	answered []*op // that are in it, or are made again in the next one
	notes    notes
	leaving  bool  // it is going to be committed
	behind   bool  // it could not be committed
	why      error // the last commit failed
	broken   error // of commits, in tests
	state    state
	told     map[Ino]told  // of dirty files, see order.go
	lastDir  pathOf        // in which something was deleted last
	force    atomic.Uint64 // generation, see ForceNames
	closed   bool

	logSync               logSync
	sums                  *sums // nil while the file is not known to be sound
	commits               uint64
	checkpointAt, retryAt int   // pages of log, see grew
	roomEnd               int64 // up to which byte the log has disk, see keepRoom

	attrNames attrNames
	soon      soon         // to be queued
	ahead     atomic.Int64 // how many changes were answered and are not committed
	changed   chan struct{}
	next      next
	ordinary  group // that share the next NORMAL transaction
	fulls     group // that share the next FULL one
	barriers  group // that share the next sync of the log

	readers chan *conn // those not in use
	pool    int        // how many there are
	latest  atomic.Pointer[state]
	epochs  atomic.Pointer[epochs] // nil: nobody has told
	unclean bool
}

// Drive is what the index knows of the drive as a whole.
type Drive struct {
	ID     [16]byte
	Writer [16]byte // of this state folder
	Plain  bool     // segments are not encrypted
}

// Init writes down, FULL, which drive the index belongs to, once. ErrExist: it has one.
func (db *DB) Init(ctx context.Context, d Drive) error {
	return db.full(func(tx *txn) error { return tx.init(d) })
}

func (tx *txn) init(d Drive) error {
	if _, err := tx.one(sqlMeta, metaDrive); err == nil {
		return fmt.Errorf("init: %w", ErrExist)
	} else if !errors.Is(err, errNoRow) {
		return err
	}
	return errors.Join(
		tx.run(sqlSetMeta, metaDrive, d.ID[:]),
		tx.run(sqlSetMeta, metaWriter, d.Writer[:]),
		tx.run(sqlSetMeta, metaPlain, truth(d.Plain)),
	)
}

// Drive returns what Init wrote, or ErrNoDrive.
func (db *DB) Drive(ctx context.Context) (Drive, error) {
	var d Drive
	err := db.snapshot(func(c *conn) (err error) {
		d, err = c.drive()
		return err
	})
	return d, err
}

func (c *conn) drive() (Drive, error) {
	var d Drive
	r, err := c.one(sqlMeta, metaDrive)
	if errors.Is(err, errNoRow) {
		return d, ErrNoDrive
	}
	if err != nil {
		return d, err
	}
	copy(d.ID[:], r.bytes(0))
	if r, err = c.one(sqlMeta, metaWriter); err != nil {
		return d, err
	}
	copy(d.Writer[:], r.bytes(0))
	plain, err := c.int(sqlMeta, metaPlain)
	d.Plain = plain != 0
	return d, err
}

// Boot notes which boot of the machine the index is used in and reports
// whether there was another one since the last call. Then what was packed of
// versions that are not complete yet is forgotten, since staging may have lost
// what was written after the last barrier.
func (db *DB) Boot(ctx context.Context, bootID string) (rebooted bool, err error) {
	err = db.full(func(tx *txn) error {
		r, err := tx.one(sqlMeta, metaBoot)
		switch {
		case errors.Is(err, errNoRow):
		case err != nil:
			return err
		case r.text(0) == bootID:
			return nil
		default:
			rebooted = true
			if err := tx.run(`DELETE FROM partials`); err != nil {
				return err
			}
		}
		return tx.run(sqlSetMeta, metaBoot, bootID)
	})
	return rebooted, err
}

// Changed receives when something was committed since it was received from
// last. There is one receiver.
func (db *DB) Changed() <-chan struct{} { return db.changed }

// NextChange returns a channel that is closed when something is committed from now on. Whoever
// takes it before looking misses nothing.
func (db *DB) NextChange() <-chan struct{} {
	db.next.mu.Lock()
	defer db.next.mu.Unlock()
	if db.next.ch == nil {
		db.next.ch = make(chan struct{})
	}
	return db.next.ch
}

// next is what waits for a commit.
type next struct {
	mu sync.Mutex    // guards ch
	ch chan struct{} // closed by the next commit; nil: nobody waits
}

// committed tells those who wait.
func (n *next) committed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}

// Unclean reports whether the index was not closed the last time it was used.
// Nothing is wrong then; it is a good moment for Check.
func (db *DB) Unclean() bool { return db.unclean }

// truth returns how a boolean is stored.
func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

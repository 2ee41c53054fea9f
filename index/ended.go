package index

import (
	"context"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
)

// epochs is what the index was told of the ledger's time.
type epochs struct {
	now  walrus.Epoch // 0: nothing yet
	late walrus.Epoch // storage that ends by then counts as about to end
}

// AtEpoch tells the ledger's epoch, and by which one storage ends that should
// have been renewed. The end epochs of segments have to be right by then:
// after a restore they may be too early until the ledger was asked.
func (db *DB) AtEpoch(now, late walrus.Epoch) { db.epochs.Store(&epochs{now, late}) }

func (db *DB) atEpoch() epochs {
	if e := db.epochs.Load(); e != nil {
		return *e
	}
	return epochs{}
}

// endState returns how safe a certified file is whose first segment ends in
// an epoch, and what is wrong with it.
func (c *conn) endState(ino Ino, end walrus.Epoch, at epochs) (State, string, error) {
	if at.now == 0 || end == 0 || end > at.late {
		return StateCertified, "", nil
	}
	if end > at.now {
		return StateExpiring, fmt.Sprintf("storage ends in epoch %d and is not renewed", end), nil
	}
	text := fmt.Sprintf("storage ended in epoch %d", end)
	local, err := c.int(`SELECT EXISTS (SELECT 1 FROM copies WHERE ino = ? AND synced <> ?)`, ino, doubtful)
	if err != nil || local == 0 {
		return StateLost, text, err
	}
	return StateExpiring, text + "; the only copy is on this machine", nil
}

// HasEnded reports whether published content of a file lies in segments whose
// storage has ended. What is here of it must not be given up then.
func (db *DB) HasEnded(ctx context.Context, ino Ino) (ended bool, err error) {
	at := db.atEpoch()
	if at.now == 0 {
		return false, nil
	}
	err = db.view(func(c *conn) error {
		ended, err = c.hasEnded(ino, at)
		return err
	})
	return ended, err
}

func (c *conn) hasEnded(ino Ino, at epochs) (bool, error) {
	n, err := c.int(`SELECT EXISTS (SELECT 1 FROM extents e JOIN segments s ON s.number = e.segment
		WHERE e.ino = ? AND e.dead = 9223372036854775807 AND s.end_epoch > 0 AND s.end_epoch <= ?)`, ino, int64(at.now))
	return n != 0, err
}

// Ended sums up what was not renewed in time.
type Ended struct {
	Segments int   // of which the storage has ended; garbage counts until it is collected
	Files    int   // with content in them
	Bytes    int64 // live sizes of those files
	Local    int   // of those files, how many are whole on this machine
}

// Ended returns the sums. It costs little unless there is something to sum up.
func (db *DB) Ended(ctx context.Context) (e Ended, err error) {
	at := db.atEpoch()
	if at.now == 0 {
		return e, nil
	}
	err = db.snapshot(func(c *conn) error {
		n, err := c.int(`SELECT count(*) FROM segments INDEXED BY segments_end WHERE end_epoch > 0 AND end_epoch <= ?`, int64(at.now))
		if err != nil || n == 0 {
			return err
		}
		e.Segments = int(n)
		r, err := c.one(`SELECT count(*), sum(i.size), count(c.ino) FROM inodes i LEFT JOIN copies c ON c.ino = i.ino WHERE i.dirty = 0 AND i.ino IN
			(SELECT e.ino FROM extents e JOIN segments s ON s.number = e.segment
			WHERE e.dead = 9223372036854775807 AND s.end_epoch > 0 AND s.end_epoch <= ?)`, int64(at.now))
		if err != nil {
			return err
		}
		e.Files, e.Bytes, e.Local = int(r.int(0)), r.int(1), int(r.int(2))
		return nil
	})
	return e, err
}

// unkept returns, in one number for each, the ranges of a file's hashes whose
// content lies in segments that have ended: they have to be stored again.
func (c *conn) unkept(ino Ino, now walrus.Epoch) (map[int64]bool, error) {
	if now == 0 {
		return nil, nil
	}
	ranges := map[int64]bool{}
	err := c.query(`SELECT e.off, e.len FROM extents e JOIN segments s ON s.number = e.segment
		WHERE e.ino = ? AND e.dead = 9223372036854775807 AND s.end_epoch > 0 AND s.end_epoch <= ?`, func(r row) error {
		for i := r.int(0) / HashRange; i <= (r.int(0)+r.int(1)-1)/HashRange; i++ {
			ranges[i] = true
		}
		return nil
	}, ino, int64(now))
	return ranges, err
}

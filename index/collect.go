package index

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
)

// A segment is collected in steps: condemned when nothing needs it, deleted on
// the ledger when it has been condemned for long enough and still nothing
// does, and forgotten when the ledger says that it is gone. Triggers of the
// schema keep everything from referring to one whose deletion is written down,
// and acquit a condemned one that something refers to again.

// sqlFree tells that nothing needs a segment s: ?1 is the newest full snapshot
// that the anchor covers. A restore reads the trailers from there on, and the
// headers of segments that the snapshot did not know the blobs of. Content that
// was superseded keeps its rows until the anchor has passed, see Finish.
const sqlFree = `s.stage = 5 AND s.number < ?1 AND s.announced < ?1
	AND NOT EXISTS (SELECT 1 FROM extents e INDEXED BY extents_segment WHERE e.segment = s.number)
	AND NOT EXISTS (SELECT 1 FROM partials p INDEXED BY partials_segment WHERE p.segment = s.number)
	AND NOT EXISTS (SELECT 1 FROM moved m INDEXED BY moved_from WHERE m.from_seg = s.number)`

// coveredFull returns the generation of the newest full snapshot that the
// recorded anchor covers, 0 if there is none: then no segment is free.
func (c *conn) coveredFull() (uint64, error) {
	a, err := c.anchored()
	if errors.Is(err, ErrNotExist) || err == nil && (a.Anchor == nil || a.Anchor.Snapshot == nil) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return a.Anchor.Snapshot.Generation, nil
}

// Condemn notes, at a time of the ledger, which segments nothing needs any
// more, and returns how many became so and how many are needed again. A time
// that lies before one noted earlier means another ledger: that one counts anew.
func (db *DB) Condemn(ctx context.Context, now time.Time) (condemned, acquitted int, err error) {
	var fresh, needed, ahead []uint64
	err = db.snapshot(func(c *conn) error {
		full, err := c.coveredFull()
		if err != nil {
			return err
		}
		fresh, err = c.numbers(`SELECT s.number FROM segments s WHERE s.condemned IS NULL AND s.delete_tx IS NULL
			AND `+sqlFree+` ORDER BY s.number`, full)
		if err != nil {
			return err
		}
		needed, err = c.numbers(`SELECT s.number FROM segments s WHERE s.condemned IS NOT NULL AND s.delete_tx IS NULL
			AND NOT (`+sqlFree+`) ORDER BY s.number`, full)
		if err != nil {
			return err
		}
		ahead, err = c.numbers(`SELECT number FROM segments WHERE condemned > ?`, now.UnixNano())
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("condemn: %w", err)
	}
	if len(fresh)+len(needed)+len(ahead) == 0 {
		return 0, 0, nil
	}
	err = db.update(func(tx *txn) error {
		condemned, acquitted = 0, 0
		full, err := tx.coveredFull()
		if err != nil {
			return err
		}
		for _, number := range fresh {
			n, err := tx.exec(`UPDATE segments AS s SET condemned = ?2 WHERE s.number = ?3 AND s.condemned IS NULL AND `+sqlFree,
				full, now.UnixNano(), number)
			if err != nil {
				return err
			}
			condemned += int(n)
		}
		for _, number := range needed {
			n, err := tx.exec(`UPDATE segments SET condemned = NULL WHERE number = ? AND condemned IS NOT NULL`, number)
			if err != nil {
				return err
			}
			acquitted += int(n)
		}
		return tx.run(`UPDATE segments SET condemned = ?1 WHERE condemned > ?1`, now.UnixNano())
	})
	if err != nil {
		return 0, 0, fmt.Errorf("condemn: %w", err)
	}
	return condemned, acquitted, nil
}

func (c *conn) numbers(sql string, args ...any) (list []uint64, err error) {
	err = c.query(sql, func(r row) error {
		list = append(list, r.uint(0))
		return nil
	}, args...)
	return list, err
}

// Deletion is a journalled transaction that deletes segments.
type Deletion struct {
	Tx       [32]byte
	Segments []DeletedSegment
}

// DeletedSegment is a segment of a Deletion.
type DeletedSegment struct {
	Number uint64
	Blob   walrus.BlobID
	Object walrus.ObjectID
	Size   int64 // sealed, in bytes
}

// BeginDeletion writes down, FULL, that a transaction is about to delete up to
// max segments which were condemned by the given time, and which nothing needs
// at this moment, trash included. None are left when it returns an empty list.
func (db *DB) BeginDeletion(ctx context.Context, tx [32]byte, condemnedBy time.Time, max int) (list []DeletedSegment, err error) {
	err = db.full(func(t *txn) error {
		full, err := t.coveredFull()
		if err != nil {
			return err
		}
		list, err = t.deletedSegments(`SELECT s.number, s.blob, s.object, s.size FROM segments s INDEXED BY segments_condemned
			WHERE s.condemned IS NOT NULL AND s.condemned <= ?2 AND s.delete_tx IS NULL AND `+sqlFree+`
			AND NOT EXISTS (SELECT 1 FROM trash_extents t INDEXED BY trash_extents_segment WHERE t.segment = s.number)
			AND s.object IS NOT (SELECT value FROM meta WHERE key = 'anchor_object')
			ORDER BY s.number LIMIT ?3`, full, condemnedBy.UnixNano(), max)
		if err != nil {
			return err
		}
		return t.journalDeletion(tx, list)
	})
	if err != nil {
		return nil, fmt.Errorf("begin deletion: %w", err)
	}
	return list, nil
}

func (tx *txn) journalDeletion(id [32]byte, list []DeletedSegment) error {
	for _, s := range list {
		if err := tx.run(`UPDATE segments SET delete_tx = ? WHERE number = ?`, id[:], s.Number); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) deletedSegments(sql string, args ...any) (list []DeletedSegment, err error) {
	err = c.query(sql, func(r row) error {
		s := DeletedSegment{Number: r.uint(0), Size: r.int(3)}
		copy(s.Blob[:], r.bytes(1))
		copy(s.Object[:], r.bytes(2))
		list = append(list, s)
		return nil
	}, args...)
	return list, err
}

// Deletions returns the journalled deletions whose end is not recorded, each
// with its segments in ascending order.
func (db *DB) Deletions(ctx context.Context) (list []Deletion, err error) {
	err = db.snapshot(func(c *conn) error {
		err := c.query(`SELECT delete_tx FROM segments INDEXED BY segments_deleting WHERE delete_tx IS NOT NULL
			GROUP BY delete_tx ORDER BY min(number)`, func(r row) error {
			var d Deletion
			copy(d.Tx[:], r.bytes(0))
			list = append(list, d)
			return nil
		})
		for i := range list {
			if err != nil {
				return err
			}
			list[i].Segments, err = c.deletedSegments(`SELECT number, blob, object, size FROM segments INDEXED BY segments_deleting
				WHERE delete_tx = ? ORDER BY number`, list[i].Tx[:])
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("deletions: %w", err)
	}
	return list, nil
}

// SplitDeletion writes down, FULL, that some segments of a deletion that was
// refused are deleted by another transaction.
func (db *DB) SplitDeletion(ctx context.Context, tx [32]byte, segments []DeletedSegment) error {
	err := db.full(func(t *txn) error { return t.journalDeletion(tx, segments) })
	if err != nil {
		return fmt.Errorf("split deletion: %w", err)
	}
	return nil
}

// Deleted forgets, FULL, segments of a journalled deletion that the ledger does
// not have any more. Others stay.
func (db *DB) Deleted(ctx context.Context, segments []DeletedSegment) error {
	err := db.full(func(tx *txn) error {
		for _, s := range segments {
			n, err := tx.exec(`DELETE FROM segments WHERE number = ? AND delete_tx IS NOT NULL`, s.Number)
			if err == nil && n > 0 {
				err = tx.run(`DELETE FROM gaps WHERE segment = ?`, s.Number)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget deleted segments: %w", err)
	}
	return nil
}

// CondemnedSegment is a segment that nothing needs.
type CondemnedSegment struct {
	Size      int64 // sealed, in bytes
	Condemned int64 // the ledger's time, Unix ns
}

// Condemned returns the condemned segments that are not being deleted, by
// their numbers.
func (db *DB) Condemned(ctx context.Context) (map[uint64]CondemnedSegment, error) {
	list := map[uint64]CondemnedSegment{}
	err := db.view(func(c *conn) error {
		return c.query(`SELECT number, size, condemned FROM segments INDEXED BY segments_condemned
			WHERE condemned IS NOT NULL AND delete_tx IS NULL`, func(r row) error {
			list[r.uint(0)] = CondemnedSegment{Size: r.int(1), Condemned: r.int(2)}
			return nil
		})
	})
	return list, err
}

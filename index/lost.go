package index

import (
	"context"
	"strings"
)

// lostMark begins the error of a finished segment that cannot be read any more.
const lostMark = "lost: "

// LostFile is a file whose published content lies in segments that cannot be
// read any more.
type LostFile struct {
	Ino   Ino
	Bytes int64  // in such segments
	Why   string // of one of them
}

// MarkLost writes down, FULL, that finished segments cannot be read any more,
// and why; an empty text takes it back.
func (db *DB) MarkLost(ctx context.Context, why map[uint64]string) error {
	if len(why) == 0 {
		return nil
	}
	return db.full(func(tx *txn) error {
		for number, text := range why {
			var mark any
			if text != "" {
				mark = lostMark + text
			}
			if err := tx.run(`UPDATE segments SET error = ? WHERE number = ? AND stage = 5`, mark, number); err != nil {
				return err
			}
		}
		return tx.countBarrier()
	})
}

// LostFiles returns the files that MarkLost speaks of, at most max, and how
// many there are. Without such segments it costs a look at the segments.
func (db *DB) LostFiles(ctx context.Context, max int) (list []LostFile, n int, err error) {
	err = db.snapshot(func(c *conn) error {
		some, err := c.int(`SELECT EXISTS (SELECT 1 FROM segments WHERE stage = 5 AND error LIKE 'lost: %')`)
		if err != nil || some == 0 {
			return err
		}
		return c.query(`SELECT e.ino, CAST(total(e.len) AS INTEGER), max(s.error) FROM extents e JOIN segments s ON s.number = e.segment
			WHERE e.dead = 9223372036854775807 AND s.stage = 5 AND s.error LIKE 'lost: %' GROUP BY e.ino ORDER BY e.ino`, func(r row) error {
			if n++; n <= max {
				list = append(list, LostFile{Ino: r.ino(0), Bytes: r.int(1), Why: strings.TrimPrefix(r.text(2), lostMark)})
			}
			return nil
		})
	})
	return list, n, err
}

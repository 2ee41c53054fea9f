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

// LostSegments returns the segments that MarkLost speaks of.
func (db *DB) LostSegments(ctx context.Context) (list []SegmentRow, err error) {
	err = db.view(func(c *conn) error {
		return c.query(`SELECT `+segmentColumns+` FROM segments WHERE stage = 5 AND error LIKE 'lost: %' ORDER BY number`, func(r row) error {
			s, err := scanSegment(r)
			list = append(list, s)
			return err
		})
	})
	return list, err
}

// FoundAgain takes back, FULL, what MarkLost wrote down: the segments can be read. Their
// headers are noted where a restore could not read them.
func (db *DB) FoundAgain(ctx context.Context, segments []SegmentRow) error {
	if len(segments) == 0 {
		return nil
	}
	return db.full(func(tx *txn) error {
		for i := range segments {
			s := &segments[i]
			err := tx.run(`UPDATE segments SET error = NULL, header = ? WHERE number = ? AND blob = ? AND stage = 5`, s.Header[:], s.Number, s.Blob[:])
			if err != nil {
				return err
			}
		}
		return tx.countBarrier()
	})
}

// FilesIn returns the files with published content in a segment, and whether a restore
// reads its trailer.
func (db *DB) FilesIn(ctx context.Context, number uint64) (files []Ino, trailer bool, err error) {
	err = db.snapshot(func(c *conn) error {
		full, err := c.coveredFull()
		if err != nil {
			return err
		}
		trailer = number >= full
		files, err = c.inos(`SELECT DISTINCT e.ino FROM extents e INDEXED BY extents_segment
			WHERE e.segment = ? AND e.dead = 9223372036854775807 ORDER BY e.ino`, number)
		return err
	})
	return files, trailer, err
}

// sqlLostFiles gives the files with content in segments that are lost, or in a gap that a restore met.
const sqlLostFiles = `SELECT ino, CAST(total(len) AS INTEGER), max(why) FROM (
	SELECT e.ino, e.len, s.error AS why FROM extents e JOIN segments s ON s.number = e.segment
	WHERE e.dead = 9223372036854775807 AND s.stage = 5 AND s.error LIKE 'lost: %'
	UNION ALL
	SELECT e.ino, min(e.pos + e.len, g.pos + g.len) - max(e.pos, g.pos), '` + lostMark + whyGap + `'
	FROM gaps g JOIN segments s ON s.number = g.segment AND coalesce(s.error, '') NOT LIKE 'lost: %'
	JOIN extents e INDEXED BY extents_segment ON e.segment = g.segment AND e.dead = 9223372036854775807
		AND e.pos < g.pos + g.len AND g.pos < e.pos + e.len
	WHERE g.ino = 0) GROUP BY ino ORDER BY ino`

// LostFiles returns the files that MarkLost speaks of or that show a gap, see
// Settle, at most max, and how many there are. Without such segments it costs a look at the segments.
func (db *DB) LostFiles(ctx context.Context, max int) (list []LostFile, n int, err error) {
	err = db.snapshot(func(c *conn) error {
		some, err := c.int(`SELECT EXISTS (SELECT 1 FROM segments WHERE stage = 5 AND error LIKE 'lost: %')
			OR EXISTS (SELECT 1 FROM gaps WHERE ino = 0)`)
		if err != nil || some == 0 {
			return err
		}
		return c.query(sqlLostFiles, func(r row) error {
			if n++; n <= max {
				list = append(list, LostFile{Ino: r.ino(0), Bytes: r.int(1), Why: strings.TrimPrefix(r.text(2), lostMark)})
			}
			return nil
		})
	})
	return list, n, err
}

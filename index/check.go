package index

import (
	"context"
	"fmt"
)

// rules are statements that give no row in a sound index.
var rules = []struct{ broken, sql string }{
	{"name of no inode", `SELECT d.parent, d.ino FROM dirents d LEFT JOIN inodes i ON i.ino = d.ino
		WHERE d.ino IS NOT NULL AND i.ino IS NULL`},
	{"name in no directory", `SELECT d.parent, d.ino FROM dirents d LEFT JOIN inodes i ON i.ino = d.parent
		WHERE d.ino IS NOT NULL AND (i.ino IS NULL OR i.mode & 61440 <> 16384 OR i.nlink = 0)`},
	{"links of a file", `SELECT ino, nlink FROM inodes WHERE mode & 61440 <> 16384 AND nlink <>
		(SELECT count(*) FROM dirents d INDEXED BY dirents_ino WHERE d.ino = inodes.ino)`},
	{"links of a directory", `SELECT i.ino, i.nlink FROM inodes i WHERE i.mode & 61440 = 16384 AND i.nlink > 0 AND i.nlink <>
		2 + (SELECT count(*) FROM dirents d INDEXED BY dirents_cookie JOIN inodes c ON c.ino = d.ino
		WHERE d.parent = i.ino AND d.ino IS NOT NULL AND c.mode & 61440 = 16384)`},
	{"dirty mark", `SELECT ino, version FROM inodes WHERE dirty <> (version <> pub_version) OR version < pub_version`},
	{"job of a clean file", `SELECT j.ino, j.version FROM jobs j LEFT JOIN inodes i ON i.ino = j.ino
		WHERE i.ino IS NULL OR i.dirty = 0 OR j.version > i.version`},
	{"ignored file that is published", `SELECT j.ino, i.pub_version FROM jobs j INDEXED BY jobs_ignored JOIN inodes i ON i.ino = j.ino
		WHERE j.ignored = 1 AND i.pub_version > 0`},
	{"overlapping extents", `SELECT ino, off FROM (SELECT ino, off, lag(off + len) OVER (PARTITION BY ino ORDER BY off) AS before
		FROM extents WHERE dead = 9223372036854775807) WHERE before > off`},
	{"extent beyond the end", `SELECT e.ino, e.off FROM extents e JOIN inodes i ON i.ino = e.ino
		WHERE e.dead = 9223372036854775807 AND e.off + e.len > i.pub_size`},
	{"extent without life", `SELECT ino, off FROM extents WHERE born >= dead`},
	{"extent of no file", `SELECT e.ino, e.off FROM extents e LEFT JOIN inodes i ON i.ino = e.ino
		WHERE e.dead = 9223372036854775807 AND i.ino IS NULL`},
	{"extent in no segment", `SELECT e.ino, e.segment FROM extents e LEFT JOIN segments s ON s.number = e.segment
		WHERE s.number IS NULL`},
	{"adopted inode without content", `SELECT a.ino, 0 FROM adopted a LEFT JOIN inodes i ON i.ino = a.ino
		WHERE i.ino IS NULL OR i.pub_version = 0 OR i.pub_generation <> 0`},
	{"adopted inode that no trailer takes", `SELECT i.ino, i.generation FROM adopted a JOIN inodes i ON i.ino = a.ino
		WHERE i.nlink > 0 AND i.generation <= (SELECT value FROM meta WHERE key = 'packed')`},
	{"trash beyond the end", `SELECT e.id, e.off FROM trash_extents e LEFT JOIN trash t ON t.id = e.id
		WHERE t.id IS NULL OR e.off + e.len > t.size`},
	{"reference to a segment that is being deleted", `SELECT s.number, e.ino FROM segments s JOIN extents e ON e.segment = s.number
		WHERE s.delete_tx IS NOT NULL`},
	{"condemned segment that is needed", `SELECT s.number, e.ino FROM segments s JOIN extents e ON e.segment = s.number
		WHERE s.condemned IS NOT NULL`},
	{"moved range of no segment", `SELECT m.segment, m.from_seg FROM moved m LEFT JOIN segments s ON s.number = m.from_seg
		WHERE s.number IS NULL`},
	{"deleted file in no segment", `SELECT t.id, t.segment FROM trash_extents t LEFT JOIN segments s ON s.number = t.segment
		WHERE s.number IS NULL OR s.delete_tx IS NOT NULL`},
	{"segment without its trailer", `SELECT s.number, s.generation FROM segments s LEFT JOIN trailers t ON t.generation = s.generation
		WHERE s.stage < 4 AND t.generation IS NULL`},
	{"trailer of no segment", `SELECT t.generation, 0 FROM trailers t LEFT JOIN segments s ON s.number = t.generation
		WHERE s.number IS NULL`},
	{"gap in no segment", `SELECT g.segment, g.pos FROM gaps g LEFT JOIN segments s ON s.number = g.segment
		WHERE s.number IS NULL OR g.pos + g.len > s.size`},
	{"overlapping gaps", `SELECT segment, pos FROM (SELECT segment, pos, lag(pos + len) OVER (PARTITION BY segment ORDER BY pos) AS before
		FROM gaps) WHERE before > pos`},
	// The end of what no name leads to is known no better than that of its extents.
	{"gap in the anchored generation", `SELECT ino, born FROM (` + sqlShownGaps + `)
		WHERE (SELECT value FROM meta WHERE key = 'anchored') >= born AND dead = 9223372036854775807`},
	{"gap in a file that waits for nothing", `SELECT e.ino, e.off FROM ` + gappedExtents + ` JOIN inodes i ON i.ino = e.ino
		WHERE ` + inGap + ` AND e.dead = 9223372036854775807 AND i.dirty = 0 AND i.nlink > 0`},
}

// Check looks for damage in the database file and for rows that contradict
// each other, and describes what it finds. It reads everything.
func (db *DB) Check(ctx context.Context) (problems []string, err error) {
	if problems, err = db.rotten(); err != nil || len(problems) > 0 {
		return problems, err
	}
	err = db.snapshot(func(c *conn) error {
		err := c.query(`PRAGMA quick_check(20)`, func(r row) error {
			if text := r.text(0); text != "ok" {
				problems = append(problems, text)
			}
			return nil
		})
		if err != nil || len(problems) > 0 {
			return err
		}
		for _, rule := range rules {
			r, err := c.one(rule.sql + ` LIMIT 1`)
			if err == errNoRow {
				continue
			}
			if err != nil {
				return err
			}
			problems = append(problems, fmt.Sprintf("%s: %d, %d", rule.broken, r.int(0), r.int(1)))
		}
		return nil
	})
	return problems, err
}

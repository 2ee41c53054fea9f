package index

import (
	"context"
	"fmt"
)

// Regulars returns up to max regular files with numbers above after that have a
// live name, in ascending order.
func (db *DB) Regulars(ctx context.Context, after Ino, max int) (list []Attr, err error) {
	err = db.view(func(c *conn) error {
		return c.query(`SELECT `+attrColumns+` FROM inodes i WHERE i.ino > ? AND i.mode & 61440 = 32768 AND i.nlink > 0
			ORDER BY i.ino LIMIT ?`, func(r row) error {
			list = append(list, scanAttr(r, 0))
			return nil
		}, after, max)
	})
	return list, err
}

// Reach is how far into the plaintext of a segment live extents point.
type Reach struct {
	Segment uint64
	Ino     Ino // one that points to End
	End     int64
}

// Reaches returns the reach of every segment that live extents point into. It reads all of them.
func (db *DB) Reaches(ctx context.Context) (list []Reach, err error) {
	err = db.view(func(c *conn) error {
		return c.query(`SELECT segment, ino, max(pos + len) FROM extents WHERE dead = 9223372036854775807 GROUP BY segment`,
			func(r row) error {
				list = append(list, Reach{Segment: r.uint(0), Ino: r.ino(1), End: r.int(2)})
				return nil
			})
	})
	return list, err
}

// InSegment returns the live ranges that point into a segment. It reads all extents.
func (db *DB) InSegment(ctx context.Context, number uint64) (list []SegmentRange, err error) {
	err = db.view(func(c *conn) error {
		return c.query(`SELECT ino, off, len, pos FROM extents WHERE dead = 9223372036854775807 AND segment = ? ORDER BY ino, off`,
			func(r row) error {
				list = append(list, SegmentRange{Ino: r.ino(0), Off: r.int(1), Len: r.int(2), Pos: r.int(3), Live: true})
				return nil
			}, number)
	})
	return list, err
}

// HasJob reports whether a file waits to be packed.
func (db *DB) HasJob(ctx context.Context, ino Ino) (found bool, err error) {
	err = db.view(func(c *conn) error {
		n, err := c.int(`SELECT count(*) FROM jobs WHERE ino = ?`, ino)
		found = n > 0
		return err
	})
	return found, err
}

// Unhash forgets, FULL, the hashes of a range of a file, so that it is stored
// anew when it is packed although it is unchanged.
func (db *DB) Unhash(ctx context.Context, ino Ino, off, n int64) error {
	if off < 0 || n <= 0 {
		return nil
	}
	return db.full(func(tx *txn) error { return tx.unhash(ino, off, off+n) })
}

// Repair counts links and sizes anew and drops jobs of files that are clean. It
// returns what it changed. Nothing else can be put right without guessing.
func (db *DB) Repair(ctx context.Context) (done []string, err error) {
	err = db.full(func(tx *txn) error {
		done = nil
		for _, step := range []struct{ what, sql string }{
			{"link counts of files", `UPDATE inodes SET nlink = (SELECT count(*) FROM dirents d INDEXED BY dirents_ino WHERE d.ino = inodes.ino)
				WHERE mode & 61440 <> 16384 AND nlink > 0 AND nlink <>
				(SELECT count(*) FROM dirents d INDEXED BY dirents_ino WHERE d.ino = inodes.ino)
				AND EXISTS (SELECT 1 FROM dirents d INDEXED BY dirents_ino WHERE d.ino = inodes.ino)`},
			{"link counts of folders", `UPDATE inodes SET nlink = 2 + (SELECT count(*) FROM dirents d INDEXED BY dirents_cookie JOIN inodes c ON c.ino = d.ino
				WHERE d.parent = inodes.ino AND d.ino IS NOT NULL AND c.mode & 61440 = 16384)
				WHERE mode & 61440 = 16384 AND nlink > 0 AND nlink <>
				2 + (SELECT count(*) FROM dirents d INDEXED BY dirents_cookie JOIN inodes c ON c.ino = d.ino
				WHERE d.parent = inodes.ino AND d.ino IS NOT NULL AND c.mode & 61440 = 16384)`},
			{"jobs of clean files", `DELETE FROM jobs WHERE ino NOT IN (SELECT ino FROM inodes WHERE dirty = 1)`},
		} {
			n, err := tx.exec(step.sql)
			if err != nil {
				return err
			}
			if n > 0 {
				done = append(done, fmt.Sprintf("%s: %d put right", step.what, n))
			}
		}
		sum, err := tx.one(`SELECT count(*), sum(CASE WHEN mode & 61440 = 32768 THEN size END) FROM inodes`)
		if err != nil {
			return err
		}
		if inodes, bytes := sum.int(0), sum.int(1); inodes != tx.st.inodes || bytes != tx.st.bytes {
			tx.st.inodes, tx.st.bytes = inodes, bytes
			done = append(done, "the counts of files and bytes put right")
		}
		return tx.countBarrier()
	})
	if err != nil {
		return nil, fmt.Errorf("repair index: %w", err)
	}
	return done, nil
}

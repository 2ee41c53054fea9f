package index

import (
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
)

// A segment whose sealed bytes are lost before the nodes have them is made
// again from what it was made of. Content that has moved on since is missing
// then: the segment has a gap, zeros. Since its trailer stays as it was, the
// generation would show the gap in the place of content. So the anchor passes
// over it, to a generation in which newer content has taken the place.

// Material is what a segment is made of.
type Material struct {
	Segment SegmentRow
	Parts   []SegmentRow   // all that carry the trailer, Segment among them, in order
	Trailer []byte         // encoded
	Ranges  []SegmentRange // all that points into the plaintext, but for what was moved there
	Moved   []MovedRange   // in order
}

// SegmentRange is a range of a file in the plaintext of a segment.
type SegmentRange struct {
	Ino      Ino
	Off, Len int64
	Pos      int64
	Live     bool   // it belongs to the published version
	Version  uint64 // of a Partial, which belongs to none yet; else 0
}

// Gap is a place in the plaintext of a segment that holds zeros instead of
// what was packed of an inode.
type Gap struct {
	Ino      Ino
	Pos, Len int64
}

// Material returns what a segment is made of. ErrNotExist: there is no such
// segment, or it is finished.
func (db *DB) Material(ctx context.Context, number uint64) (m Material, err error) {
	err = db.snapshot(func(c *conn) error {
		m, err = c.material(number)
		return err
	})
	if err != nil {
		return m, fmt.Errorf("material of segment %d: %w", number, err)
	}
	return m, nil
}

func (c *conn) material(number uint64) (m Material, err error) {
	if m.Segment, err = c.segment(number); err != nil {
		return m, err
	}
	g := m.Segment.Generation
	for i := range m.Segment.Parts {
		part, err := c.segment(g + uint64(i))
		if err != nil {
			return m, err
		}
		m.Parts = append(m.Parts, part)
	}
	r, err := c.one(`SELECT encoded FROM trailers WHERE generation = ?`, g)
	if errors.Is(err, errNoRow) {
		return m, fmt.Errorf("trailer of generation %d: %w", g, ErrNotExist)
	}
	if err != nil {
		return m, err
	}
	m.Trailer = r.bytes(0)
	// What points into a segment that is not finished was published since, and is unfinished.
	err = c.query(`SELECT e.ino, e.off, e.len, e.pos, e.dead = 9223372036854775807 FROM
		(SELECT DISTINCT ino FROM unfinished WHERE generation >= ?1) u CROSS JOIN extents e ON e.ino = u.ino
		WHERE e.segment = ?2 AND coalesce((SELECT m.pos + m.len FROM moved m WHERE m.segment = ?2 AND m.pos <= e.pos
		ORDER BY m.pos DESC LIMIT 1), 0) <= e.pos ORDER BY e.pos, e.len`, func(r row) error {
		m.Ranges = append(m.Ranges, SegmentRange{Ino: r.ino(0), Off: r.int(1), Len: r.int(2), Pos: r.int(3), Live: r.int(4) != 0})
		return nil
	}, g, number)
	if err != nil {
		return m, err
	}
	if m.Moved, err = c.movedRanges(number); err != nil {
		return m, err
	}
	err = c.query(`SELECT ino, off, len, pos, version FROM partials WHERE segment = ? ORDER BY pos`, func(r row) error {
		m.Ranges = append(m.Ranges, SegmentRange{Ino: r.ino(0), Off: r.int(1), Len: r.int(2), Pos: r.int(3), Version: r.uint(4)})
		return nil
	}, number)
	return m, err
}

// Reseal records, FULL, that a segment is made again under a new header, with
// the same length, and that its Put has to start anew. Gaps are in ascending
// order and replace those of an earlier call. Nothing refers to them from now
// on but what is published: partials in them are dropped, and the hashes of
// ranges that they are in. Files in the trash that refer to the segment are
// dropped, since what staging held of them is gone.
//
// ErrStale: the nodes have the segment, or a gap is in a file that no newer
// version is about to take the place of. ErrRange: impossible gaps.
func (db *DB) Reseal(ctx context.Context, number uint64, header [64]byte, gaps []Gap) error {
	err := db.full(func(tx *txn) error { return tx.reseal(number, header, gaps) })
	if err != nil {
		return fmt.Errorf("reseal segment %d: %w", number, err)
	}
	return nil
}

func (tx *txn) reseal(number uint64, header [64]byte, gaps []Gap) error {
	s, err := tx.segment(number)
	if err != nil {
		return err
	}
	if s.Stage >= walrus.Stored {
		return fmt.Errorf("stage %s: %w", s.Stage, ErrStale)
	}
	if err := tx.setGaps(&s, gaps); err != nil {
		return err
	}
	if err := errors.Join(tx.detach(number), tx.dropLost(number)); err != nil {
		return err
	}
	var none [32]byte
	return tx.run(`UPDATE segments SET header = ?1, stage = ?2, blob = ?3, root = ?3, object = ?3, end_epoch = 0,
		register_tx = ?3, certify_tx = ?3, cert = NULL, tries = 0, next = 0, error = NULL WHERE number = ?4`,
		header[:], int(walrus.Encoded), none[:], number)
}

// setGaps replaces the gaps of a segment.
func (tx *txn) setGaps(s *SegmentRow, gaps []Gap) error {
	if err := tx.run(`DELETE FROM gaps WHERE segment = ?`, s.Number); err != nil {
		return err
	}
	end := int64(0)
	for _, g := range gaps {
		if g.Pos < end || g.Len <= 0 || g.Len > s.Size-g.Pos {
			return fmt.Errorf("gap %+v after %d: %w", g, end, ErrRange)
		}
		end = g.Pos + g.Len
		if err := tx.run(`INSERT INTO gaps (segment, pos, len, ino) VALUES (?, ?, ?, ?)`, s.Number, g.Pos, g.Len, g.Ino); err != nil {
			return err
		}
	}
	return nil
}

// detach makes sure that nothing packed from now on refers to the gaps of a
// segment, and that what does is about to be superseded.
func (tx *txn) detach(number uint64) error {
	type shown struct {
		ino      Ino
		off, len int64
		settled  bool // no newer version is on its way
	}
	var list []shown
	err := tx.query(`SELECT e.ino, e.off, e.len, i.dirty = 0 AND i.nlink > 0 FROM `+gappedExtents+` JOIN inodes i ON i.ino = e.ino
		WHERE d.segment = ? AND e.dead = 9223372036854775807 AND `+inGap, func(r row) error {
		list = append(list, shown{r.ino(0), r.int(1), r.int(2), r.int(3) != 0})
		return nil
	}, number)
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.settled {
			return fmt.Errorf("gap in inode %d, which is not dirty: %w", e.ino, ErrStale)
		}
		if err := tx.unhash(e.ino, e.off, e.off+e.len); err != nil {
			return err
		}
	}
	return tx.run(`DELETE FROM partials WHERE segment = ? AND (SELECT g.pos + g.len FROM gaps g
		WHERE g.segment = partials.segment AND g.pos < partials.pos + partials.len ORDER BY g.pos DESC LIMIT 1) > partials.pos`, number)
}

const (
	// gappedExtents are the extents e of inodes in segments that have gaps of theirs.
	gappedExtents = `(SELECT DISTINCT segment, ino FROM gaps) d CROSS JOIN extents e ON e.ino = d.ino AND e.segment = d.segment`
	// inGap tells that the last gap that begins before the end of an extent e reaches into it.
	inGap = `(SELECT g.pos + g.len FROM gaps g WHERE g.segment = e.segment AND g.pos < e.pos + e.len
		ORDER BY g.pos DESC LIMIT 1) > e.pos`
	// sqlShownGaps gives the generations, born <= g < dead, that show a gap of an
	// inode. What no name leads to any more is not shown by the newest one.
	sqlShownGaps = `SELECT e.ino AS ino, e.born AS born, CASE WHEN e.dead < 9223372036854775807 OR i.nlink > 0 OR EXISTS
		(SELECT 1 FROM dirents n INDEXED BY dirents_pub WHERE n.pub = e.ino AND n.pub IS NOT NULL AND n.ino IS NOT n.pub)
		THEN e.dead ELSE (SELECT value FROM meta WHERE key = 'packed') END AS dead
		FROM ` + gappedExtents + ` LEFT JOIN inodes i ON i.ino = e.ino WHERE ` + inGap
)

// gapsShown are generations that show a gap.
type gapsShown []struct{ born, dead uint64 }

func (s gapsShown) in(generation uint64) bool {
	for _, g := range s {
		if g.born <= generation && generation < g.dead {
			return true
		}
	}
	return false
}

func (c *conn) shownGaps() (list gapsShown, err error) {
	err = c.query(sqlShownGaps, func(r row) error {
		list = append(list, struct{ born, dead uint64 }{r.uint(1), r.uint(2)})
		return nil
	})
	return list, err
}

// Gapped returns the inodes of which the newest committed generation shows a
// gap: until a newer one does not, the anchor stays where it is.
func (db *DB) Gapped(ctx context.Context) (inos []Ino, err error) {
	err = db.view(func(c *conn) error {
		inos, err = c.inos(`SELECT DISTINCT ino FROM (` + sqlShownGaps + `)
			WHERE (SELECT value FROM meta WHERE key = 'packed') BETWEEN born AND dead - 1 ORDER BY ino`)
		return err
	})
	return inos, err
}

// dropGaps forgets the gaps of finished segments that nothing refers to any more.
func (tx *txn) dropGaps() error {
	type held struct {
		segment uint64
		ino     Ino
	}
	var list []held
	err := tx.query(`SELECT DISTINCT g.segment, g.ino FROM gaps g CROSS JOIN segments s ON s.number = g.segment WHERE s.stage = 5`,
		func(r row) error {
			list = append(list, held{r.uint(0), r.ino(1)})
			return nil
		})
	if err != nil {
		return err
	}
	for _, h := range list {
		sql := `SELECT 1 FROM extents e WHERE e.ino = ? AND e.segment = ? AND ` + inGap + ` LIMIT 1`
		if h.ino == 0 { // of a restore, whatever refers to it
			sql = `SELECT 1 FROM extents e INDEXED BY extents_segment WHERE ? = 0 AND e.segment = ? AND e.dead = 9223372036854775807 AND ` + inGap + ` LIMIT 1`
		}
		_, err := tx.one(sql, h.ino, h.segment)
		if errors.Is(err, errNoRow) {
			err = tx.run(`DELETE FROM gaps WHERE segment = ? AND ino = ?`, h.segment, h.ino)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

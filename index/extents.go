package index

import (
	"context"
	"math"

	"github.com/walfs/walfs/blobstore/walrus"
)

// never is the end of the life of a row that is still part of the published tree.
const never = math.MaxInt64

// Extent is a range of a file's published content and where it is stored.
type Extent struct {
	Off, Len   int64
	Segment    uint64
	Pos        int64 // in the segment's plaintext
	Blob       walrus.BlobID
	SealedSize int64
	Header     [64]byte // of the sealed segment
}

const sqlExtents = `SELECT e.off, e.len, e.segment, e.pos, s.blob, s.size, s.header
	FROM extents e LEFT JOIN segments s ON s.number = e.segment
	WHERE e.ino = ?1 AND e.dead = 9223372036854775807 AND e.off < ?3 AND e.off >= coalesce(
		(SELECT max(off) FROM extents WHERE ino = ?1 AND dead = 9223372036854775807 AND off <= ?2), 0)
	ORDER BY e.off`

// Extents returns the published extents in a range, in order, clipped to it.
// What none covers is a hole. A negative n means up to the end.
func (db *DB) Extents(ctx context.Context, ino Ino, off, n int64) (list []Extent, err error) {
	end := off + n
	if n < 0 || end < off {
		end = never
	}
	err = db.view(func(c *conn) error {
		list, err = c.extents(ino, max(off, 0), end)
		return err
	})
	return list, err
}

func (c *conn) extents(ino Ino, off, end int64) (list []Extent, err error) {
	err = c.query(sqlExtents, func(r row) error {
		e := Extent{Off: r.int(0), Len: r.int(1), Segment: r.uint(2), Pos: r.int(3), SealedSize: r.int(5)}
		copy(e.Blob[:], r.bytes(4))
		copy(e.Header[:], r.bytes(6))
		from, to := max(e.Off, off), min(e.Off+e.Len, end)
		if from < to {
			e.Pos += from - e.Off
			e.Off, e.Len = from, to-from
			list = append(list, e)
		}
		return nil
	}, ino, off, end)
	return list, err
}

// piece is a row of the table extents.
type piece struct {
	off, len int64
	segment  uint64
	pos      int64
	born     uint64
}

// overlapping returns the live rows of a file that touch a range.
func (c *conn) overlapping(ino Ino, from, to int64) (list []piece, err error) {
	err = c.query(`SELECT off, len, segment, pos, born FROM extents
		WHERE ino = ?1 AND dead = 9223372036854775807 AND off < ?3 AND off >= coalesce(
			(SELECT max(off) FROM extents WHERE ino = ?1 AND dead = 9223372036854775807 AND off <= ?2), 0)
		ORDER BY off`,
		func(r row) error {
			p := piece{off: r.int(0), len: r.int(1), segment: r.uint(2), pos: r.int(3), born: r.uint(4)}
			if p.off+p.len > from {
				list = append(list, p)
			}
			return nil
		}, ino, from, to)
	return list, err
}

// carve takes a range out of a file's published content at generation g.
func (tx *txn) carve(g uint64, ino Ino, from, to int64) error {
	if from >= to {
		return nil
	}
	list, err := tx.overlapping(ino, from, to)
	if err != nil {
		return err
	}
	for _, p := range list {
		if err := tx.kill(g, ino, p); err != nil {
			return err
		}
		end := p.off + p.len
		if p.off < from {
			if err := tx.lay(g, ino, Op{Off: p.off, Len: from - p.off, Segment: p.segment, Pos: p.pos}); err != nil {
				return err
			}
		}
		if end > to {
			if err := tx.lay(g, ino, Op{Off: to, Len: end - to, Segment: p.segment, Pos: p.pos + to - p.off}); err != nil {
				return err
			}
		}
	}
	return nil
}

// kill ends the life of a row at generation g.
func (tx *txn) kill(g uint64, ino Ino, p piece) error {
	if tx.fresh || p.born >= g {
		return tx.run(`DELETE FROM extents WHERE ino = ? AND dead = 9223372036854775807 AND off = ?`, ino, p.off)
	}
	return tx.run(`UPDATE extents SET dead = ? WHERE ino = ? AND dead = 9223372036854775807 AND off = ?`, g, ino, p.off)
}

// lay adds a row that is born at generation g.
func (tx *txn) lay(g uint64, ino Ino, op Op) error {
	return tx.run(`INSERT INTO extents (ino, dead, off, len, segment, pos, born) VALUES (?, 9223372036854775807, ?, ?, ?, ?, ?)`,
		ino, op.Off, op.Len, op.Segment, op.Pos, g)
}

// overlay makes the published content of a file, which was size bytes long,
// that of a ContentRow.
func (tx *txn) overlay(g uint64, c *ContentRow, size int64) error {
	if c.Base < size {
		if err := tx.carve(g, c.Ino, c.Base, never); err != nil {
			return err
		}
	}
	for _, op := range c.Ops {
		size = max(size, op.Off+op.Len)
		if err := tx.carve(g, c.Ino, op.Off, op.Off+op.Len); err != nil {
			return err
		}
		if op.Segment == 0 {
			continue
		}
		if err := tx.lay(g, c.Ino, op); err != nil {
			return err
		}
	}
	if size <= c.Size {
		return nil
	}
	return tx.carve(g, c.Ino, c.Size, never)
}

// retire ends the published content of an inode that is about to go. It was
// unpublished by a generation up to the last committed one.
func (tx *txn) retire(n *inode) error {
	g := tx.st.packed
	if n.pubGeneration > 0 && n.pubGeneration < g && n.IsRegular() {
		if err := tx.remember(n, g); err != nil {
			return err
		}
	}
	if err := tx.run(`DELETE FROM extents WHERE ino = ? AND dead = 9223372036854775807 AND born >= ?`, n.Ino, g); err != nil {
		return err
	}
	return tx.run(`UPDATE extents SET dead = ? WHERE ino = ? AND dead = 9223372036854775807`, g, n.Ino)
}

// remember keeps the published version of a file that is superseded at generation g.
func (tx *txn) remember(n *inode, g uint64) error {
	return tx.run(`INSERT OR REPLACE INTO past (ino, dead, born, size, mtime, version) VALUES (?, ?, ?, ?, ?, ?)`,
		n.Ino, g, n.pubGeneration, n.PubSize, n.pubMtime, n.PubVersion)
}

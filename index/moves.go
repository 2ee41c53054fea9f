package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// Compaction copies what is left of a segment into a new one. Nothing of a
// file changes but where its published content lies: not its version, dates or
// state. The old places stay until the anchor covers the new ones.

// Move is a range of a file's published content that is copied from one place to another.
type Move struct {
	Ino      Ino
	Off, Len int64
	Segment  uint64 // in which it lies
	Pos      int64
	To       uint64 // segment that is being made
	ToPos    int64
}

// MovedRange is a range of the plaintext of a segment that was copied from another one.
type MovedRange struct {
	Pos, Len int64
	From     SegmentRow
	FromPos  int64
}

// Movable returns a finished segment and the published ranges in it that can be
// moved, in the order of their places: those of files that a name is published
// of. ErrNotExist: it is gone, or about to be.
func (db *DB) Movable(ctx context.Context, number uint64) (s SegmentRow, list []Move, err error) {
	err = db.snapshot(func(c *conn) error {
		if s, err = c.segment(number); err != nil {
			return err
		}
		deleting, err := c.int(`SELECT delete_tx IS NOT NULL FROM segments WHERE number = ?`, number)
		if err == nil && (deleting != 0 || s.Stage < Finished) {
			err = fmt.Errorf("segment %d at stage %s: %w", number, s.Stage, ErrNotExist)
		}
		if err != nil {
			return err
		}
		return c.query(`SELECT e.ino, e.off, e.len, e.pos FROM extents e INDEXED BY extents_segment
			WHERE e.segment = ? AND e.dead = 9223372036854775807 AND `+sqlShown+` ORDER BY e.pos`, func(r row) error {
			list = append(list, Move{Ino: r.ino(0), Off: r.int(1), Len: r.int(2), Pos: r.int(3), Segment: number})
			return ctx.Err()
		}, number)
	})
	if err != nil {
		return s, nil, fmt.Errorf("movable: %w", err)
	}
	return s, list, nil
}

// sqlShown tells that the published tree has a name of the inode e.ino: only
// then a reader of trailers knows it for sure.
const sqlShown = `(EXISTS (SELECT 1 FROM dirents d INDEXED BY dirents_ino WHERE d.ino = e.ino AND d.pub = e.ino)
	OR EXISTS (SELECT 1 FROM dirents d INDEXED BY dirents_pub WHERE d.pub = e.ino AND d.pub IS NOT NULL AND d.ino IS NOT d.pub))`

// cutMoves adds a row for each file of which ranges were moved, unless the
// trailer has a newer version of it.
func (tx *txn) cutMoves(t *Trailer, moves []Move) error {
	told := make(map[Ino]bool, len(t.Contents))
	for i := range t.Contents {
		told[t.Contents[i].Ino] = true
	}
	moves = slices.Clone(moves)
	slices.SortFunc(moves, func(a, b Move) int { return cmp.Or(cmp.Compare(a.Ino, b.Ino), cmp.Compare(a.Off, b.Off)) })
	for len(moves) > 0 {
		ino, n := moves[0].Ino, 1
		for n < len(moves) && moves[n].Ino == ino {
			n++
		}
		if !told[ino] {
			if err := tx.cutMoved(t, ino, moves[:n]); err != nil {
				return err
			}
		}
		moves = moves[n:]
	}
	return nil
}

// cutMoved adds a row for one file, unless nothing is left to move.
func (tx *txn) cutMoved(t *Trailer, ino Ino, moves []Move) error {
	n, err := tx.inode(ino)
	if errors.Is(err, ErrNotExist) || err == nil && (!n.IsRegular() || n.PubVersion == 0) {
		return nil
	}
	if err != nil {
		return err
	}
	shown, err := tx.int(`SELECT `+sqlShown+` FROM (SELECT ? AS ino) e`, ino)
	if err != nil || shown == 0 {
		return err
	}
	c := ContentRow{Ino: ino, Version: n.PubVersion, Size: n.PubSize, Mtime: n.pubMtime, Base: n.PubSize}
	for _, m := range moves {
		to := Op{Off: m.Off, Len: m.Len, Segment: m.To, Pos: m.ToPos}
		if !to.valid() || m.To != t.Generation {
			return fmt.Errorf("move %+v: %w", m, ErrRange)
		}
		list, err := tx.overlapping(ino, m.Off, m.Off+m.Len)
		if err != nil {
			return err
		}
		for _, p := range list {
			if p.segment != m.Segment || p.pos-p.off != m.Pos-m.Off {
				continue // something else is published there by now
			}
			from, end := max(p.off, m.Off), min(p.off+p.len, m.Off+m.Len)
			c.Ops = append(c.Ops, Op{Off: from, Len: end - from, Segment: m.To, Pos: m.ToPos + from - m.Off})
		}
	}
	if len(c.Ops) > 0 {
		t.Contents = append(t.Contents, c)
		t.Moved = true
	}
	return nil
}

// relocate replaces extents by copies of them in a new segment. That the old
// ones are there still is sure: what is published changes with a commit only,
// and bury spares what the cut speaks of.
func (tx *txn) relocate(g uint64, c *ContentRow) error {
	for _, op := range c.Ops {
		list, err := tx.overlapping(c.Ino, op.Off, op.Off+op.Len)
		if err != nil {
			return err
		}
		at := op.Off
		for _, p := range list {
			from, end := max(p.off, op.Off), min(p.off+p.len, op.Off+op.Len)
			if from != at {
				break
			}
			err := tx.run(`INSERT INTO moved (segment, pos, len, from_seg, from_pos) VALUES (?, ?, ?, ?, ?)`,
				op.Segment, op.Pos+from-op.Off, end-from, p.segment, p.pos+from-p.off)
			if err != nil {
				return err
			}
			at = end
		}
		if at != op.Off+op.Len {
			return fmt.Errorf("moved range %+v is not published up to %d: %w", op, at, ErrStale)
		}
		if err := tx.carve(g, c.Ino, op.Off, op.Off+op.Len); err != nil {
			return err
		}
		if err := tx.lay(g, c.Ino, op); err != nil {
			return err
		}
	}
	return nil
}

// movedRanges returns what was copied into a segment that is not finished.
func (c *conn) movedRanges(number uint64) (list []MovedRange, err error) {
	err = c.query(`SELECT m.pos, m.len, m.from_pos, m.from_seg FROM moved m WHERE m.segment = ? ORDER BY m.pos`, func(r row) error {
		list = append(list, MovedRange{Pos: r.int(0), Len: r.int(1), FromPos: r.int(2), From: SegmentRow{Number: r.uint(3)}})
		return nil
	}, number)
	for i := range list {
		if err != nil {
			return nil, err
		}
		list[i].From, err = c.segment(list[i].From.Number)
	}
	return list, err
}

// Unused returns the segments that nothing of the replayed tree refers to and
// whose trailers no restore needs. Those that the ledger does not have any more
// were collected: Forget them.
func (r *Replay) Unused(ctx context.Context) (list []DeletedSegment, err error) {
	err = r.db.view(func(c *conn) error {
		list, err = c.deletedSegments(`SELECT s.number, s.blob, s.object, s.size FROM segments s
			WHERE s.number < (SELECT value FROM meta WHERE key = 'full') AND NOT EXISTS
			(SELECT 1 FROM extents e INDEXED BY extents_segment WHERE e.segment = s.number AND ` + sqlShown + `) ORDER BY s.number`)
		return err
	})
	return list, err
}

// Forget drops segments that Unused returned.
func (r *Replay) Forget(ctx context.Context, segments []DeletedSegment) error {
	return r.db.update(func(tx *txn) error {
		for _, s := range segments {
			if err := tx.run(`DELETE FROM segments WHERE number = ?`, s.Number); err != nil {
				return err
			}
		}
		return nil
	})
}

// Used returns the segments that the replayed tree refers to.
func (r *Replay) Used(ctx context.Context) (list []DeletedSegment, err error) {
	err = r.db.view(func(c *conn) error {
		list, err = c.deletedSegments(`SELECT s.number, s.blob, s.object, s.size FROM segments s WHERE EXISTS
			(SELECT 1 FROM extents e INDEXED BY extents_segment WHERE e.segment = s.number AND ` + sqlShown + `) ORDER BY s.number`)
		return err
	})
	return list, err
}

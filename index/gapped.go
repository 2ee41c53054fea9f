package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A generation that the anchor has passed over may refer to a gap, see Reseal.
// Segments tell their gaps themselves, and what is in one is never read. A
// replay that ends there gives such a file the version that it had before.

// whyGap is what LostFiles says of a file that refers to a gap.
const whyGap = "it was lost before it was stored"

// replayGaps is what a replay knows of gaps.
type replayGaps struct {
	of     map[uint64][]Gap    // by segment, ascending
	before map[Ino]*ContentRow // of files that show a gap, their version before; nil: none is known
}

// hits reports whether a range lies in a gap, or in part.
func (g *replayGaps) hits(op *Op) bool {
	return InGap(g.of[op.Segment], *op)
}

func (g *replayGaps) hitBy(ops []Op) bool {
	return slices.ContainsFunc(ops, func(op Op) bool { return g.hits(&op) })
}

// shown reports whether the content of a file as it is now shows a gap.
func (g *replayGaps) shown(tx *txn, ino Ino) (bool, error) {
	ops, err := tx.liveOps(ino)
	return g.hitBy(ops), err
}

// overlay lays a version over a file, and remembers the one before if it is
// the last that shows no gap.
func (g *replayGaps) overlay(tx *txn, generation uint64, c *ContentRow, n *inode) error {
	_, known := g.before[c.Ino]
	if !known && !g.hitBy(c.Ops) {
		return tx.overlay(generation, c, n.PubSize)
	}
	var before *ContentRow
	if !known && n.PubVersion > 0 {
		ops, err := tx.liveOps(c.Ino)
		if err != nil {
			return err
		}
		before = &ContentRow{Ino: c.Ino, Version: n.PubVersion, Size: n.PubSize, Mtime: n.pubMtime, Ops: ops}
	}
	if err := tx.overlay(generation, c, n.PubSize); err != nil {
		return err
	}
	shown, err := g.shown(tx, c.Ino)
	switch {
	case err != nil:
		return err
	case !shown:
		delete(g.before, c.Ino)
	case !known:
		g.before[c.Ino] = before
	}
	return nil
}

// Gaps tells the replay what a segment lacks, in ascending order; their Ino
// does not count. It comes before the trailer that the segment carries, or
// after the full snapshot that knows the segment.
func (r *Replay) Gaps(ctx context.Context, number uint64, gaps []Gap) error {
	if len(gaps) == 0 {
		return nil
	}
	r.gaps.of[number] = gaps
	err := r.db.update(func(tx *txn) error {
		list, err := tx.inos(`SELECT DISTINCT e.ino FROM extents e INDEXED BY extents_segment
			WHERE e.segment = ? AND e.dead = 9223372036854775807 ORDER BY e.ino`, number)
		if err != nil {
			return err
		}
		for _, ino := range list {
			shown, err := r.gaps.shown(tx, ino)
			if err != nil {
				return err
			}
			if _, known := r.gaps.before[ino]; shown && !known {
				r.gaps.before[ino] = nil
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("gaps of segment %d: %w", number, err)
	}
	return nil
}

// Segments calls do with all segments that are replayed, in ascending order.
func (r *Replay) Segments(ctx context.Context, do func(SegmentRow) error) error {
	var list []SegmentRow
	err := r.db.view(func(c *conn) error {
		return c.query(`SELECT `+segmentColumns+` FROM segments ORDER BY number`, func(row row) error {
			s, err := scanSegment(row)
			list = append(list, s)
			return err
		})
	})
	if err != nil {
		return err
	}
	for _, s := range list {
		if err := do(s); err != nil {
			return err
		}
	}
	return nil
}

// Settle gives files that show a gap the version that they had before, as if a
// program had written that now: the next trailer says it. It comes after Place,
// and returns them in ascending order. Of what has no such version LostFiles tells.
func (r *Replay) Settle(ctx context.Context) (older []Ino, err error) {
	if len(r.gaps.before) == 0 {
		return nil, nil
	}
	err = r.db.update(func(tx *txn) error {
		if err := r.prune(tx); err != nil { // what no name leads to shows nothing
			return err
		}
		for _, ino := range slices.Sorted(maps.Keys(r.gaps.before)) {
			done, err := r.settle(tx, ino)
			if err != nil {
				return err
			}
			if done {
				older = append(older, ino)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("settle gaps: %w", err)
	}
	return older, nil
}

// settle reports whether a file got an older version.
func (r *Replay) settle(tx *txn, ino Ino) (older bool, err error) {
	n, err := tx.inode(ino)
	if errors.Is(err, ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ops, err := tx.liveOps(ino)
	if err != nil || !r.gaps.hitBy(ops) {
		return false, err
	}
	before := r.gaps.before[ino]
	if before == nil || r.gaps.hitBy(before.Ops) {
		return false, r.noteLost(tx, ops)
	}
	w := placing{tx: tx, r: r}
	if err := w.content(ino, before); err != nil {
		return false, err
	}
	return true, tx.run(`UPDATE inodes SET version = ?1, pub_version = ?1, pub_generation = 0, generation = ?2, size = ?3, pub_size = ?3,
		mtime = ?4, pub_mtime = ?4 WHERE ino = ?5`, n.PubVersion+1, tx.st.open, before.Size, before.Mtime, ino)
}

// noteLost writes down the gaps that ops refer to. They are of no inode: the
// anchor does not wait for anything newer.
func (r *Replay) noteLost(tx *txn, ops []Op) error {
	for i := range ops {
		if !r.gaps.hits(&ops[i]) {
			continue
		}
		for _, g := range r.gaps.of[ops[i].Segment] {
			err := tx.run(`INSERT OR IGNORE INTO gaps (segment, pos, len, ino) VALUES (?, ?, ?, 0)`, ops[i].Segment, g.Pos, g.Len)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// InGap reports whether a range lies in one of a list of gaps in ascending order, or in part.
func InGap(gaps []Gap, op Op) bool {
	i, _ := slices.BinarySearchFunc(gaps, op.Pos, func(g Gap, pos int64) int { return cmp.Compare(g.Pos+g.Len-1, pos) })
	return i < len(gaps) && gaps[i].Pos < op.Pos+op.Len
}

package index

import "context"

// SegmentUse says what a finished segment is still good for.
type SegmentUse struct {
	Number    uint64
	Size      int64 // sealed, in bytes
	Live      int64 // bytes of published content
	Trailer   bool  // a restore needs its trailer, or reads its header
	Held      bool  // content that was superseded just now, a file that is being packed, or a move needs it
	Trash     bool  // deleted files in the trash need it
	Gaps      bool  // it was made again with parts missing
	Condemned int64 // the ledger's time in Unix ns; 0: it is not
	Deleting  bool  // its deletion is written down
}

// Free reports whether nothing needs the segment but what the trash keeps.
func (u *SegmentUse) Free() bool { return u.Live == 0 && !u.Trailer && !u.Held }

// SegmentUses returns what all finished segments are good for, in ascending
// order. It reads every extent, and holds nobody up.
func (db *DB) SegmentUses(ctx context.Context) (list []SegmentUse, err error) {
	err = db.snapshot(func(c *conn) error {
		full, err := c.coveredFull()
		if err != nil {
			return err
		}
		live, err := c.sums(`SELECT segment, sum(len) FROM extents WHERE dead = 9223372036854775807 GROUP BY segment`)
		if err != nil {
			return err
		}
		held, err := c.sums(`SELECT segment, 1 FROM extents INDEXED BY extents_dead WHERE dead < 9223372036854775807
			UNION SELECT segment, 1 FROM partials UNION SELECT from_seg, 1 FROM moved`)
		if err != nil {
			return err
		}
		trash, err := c.sums(`SELECT DISTINCT segment, 1 FROM trash_extents`)
		if err != nil {
			return err
		}
		gaps, err := c.sums(`SELECT DISTINCT segment, 1 FROM gaps`)
		if err != nil {
			return err
		}
		return c.query(`SELECT number, size, condemned, delete_tx IS NOT NULL, number >= ?1 OR announced IS NULL OR announced >= ?1
			FROM segments WHERE stage = 5 ORDER BY number`, func(r row) error {
			n := r.uint(0)
			list = append(list, SegmentUse{
				Number: n, Size: r.int(1), Live: live[n], Trailer: r.int(4) != 0, Held: held[n] != 0,
				Trash: trash[n] != 0, Gaps: gaps[n] != 0, Condemned: r.int(2), Deleting: r.int(3) != 0,
			})
			return ctx.Err()
		}, full)
	})
	return list, err
}

// sums reads pairs of a segment and a number.
func (c *conn) sums(sql string) (map[uint64]int64, error) {
	m := map[uint64]int64{}
	err := c.query(sql, func(r row) error {
		m[r.uint(0)] = r.int(1)
		return nil
	})
	return m, err
}

package index

import (
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
)

// Twin returns the published extents of a range of a file that has a hash now, so that another file
// with the same bytes there can refer to them. It reports false unless all of them are
// certified, stay, and are whole. Up to n bytes belong to the range; what no extent covers is a hole.
// The extents can be collected before somebody refers to them: that transaction ends in ErrCollected.
func (db *DB) Twin(ctx context.Context, ino Ino, h RangeHash, n int64) (list []Extent, ok bool, err error) {
	off := h.Index * HashRange
	err = db.snapshot(func(c *conn) error {
		r, err := c.one(`SELECT hash FROM hashes WHERE ino = ? AND idx = ?`, ino, h.Index)
		if errors.Is(err, errNoRow) {
			return nil
		}
		if err != nil || [32]byte(r.bytes(0)) != h.Hash {
			return err
		}
		if list, err = c.extents(ino, off, off+n); err != nil {
			return err
		}
		for _, e := range list {
			if ok, err = c.lasts(&e, db.atEpoch().now); err != nil || !ok {
				return err
			}
		}
		ok = true
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("twin of inode %d: %w", ino, err)
	}
	return list, ok, nil
}

// lasts reports whether the bytes of an extent can be had for as long as somebody refers to them.
func (c *conn) lasts(e *Extent, now walrus.Epoch) (bool, error) {
	n, err := c.int(`SELECT EXISTS (SELECT 1 FROM segments s WHERE s.number = ?1 AND s.stage >= ?2 AND s.condemned IS NULL
		AND s.delete_tx IS NULL AND s.end_epoch > ?3 AND NOT EXISTS
		(SELECT 1 FROM gaps g WHERE g.segment = ?1 AND g.pos < ?5 AND g.pos + g.len > ?4))`,
		e.Segment, int(walrus.Certified), int64(now), e.Pos, e.Pos+e.Len)
	return n != 0, err
}

package index

import "context"

// HashRange is the length in bytes of the ranges that RangeHashes speaks of.
const HashRange = 1 << 20

// RangeHash is the keyed hash of one range of HashRange bytes of published content.
type RangeHash struct {
	Index int64 // the range begins at Index*HashRange; the last may be shorter
	Hash  [32]byte
}

// RangeHashes returns the known hashes of a file's published version, in
// order. A packer that finds a range of a rewritten file unchanged leaves it
// out, and when the published content was cut off before it, refers to the
// extents that it has already: an Op may name any committed segment. Ranges
// whose storage has ended are not among them.
func (db *DB) RangeHashes(ctx context.Context, ino Ino) (list []RangeHash, err error) {
	err = db.snapshot(func(c *conn) error {
		gone, err := c.unkept(ino, db.atEpoch().now)
		if err != nil {
			return err
		}
		return c.query(`SELECT idx, hash FROM hashes WHERE ino = ? ORDER BY idx`, func(r row) error {
			h := RangeHash{Index: r.int(0)}
			copy(h.Hash[:], r.bytes(1))
			if !gone[h.Index] {
				list = append(list, h)
			}
			return nil
		}, ino)
	})
	return list, err
}

// unhashChanged drops the hashes of ranges whose content a publication may have
// changed.
func (tx *txn) unhashChanged(c *ContentRow, oldSize int64) error {
	if from := min(c.Base, c.Size, oldSize); from < oldSize || c.Size > oldSize {
		if err := tx.unhash(c.Ino, from, never); err != nil {
			return err
		}
	}
	for _, op := range c.Ops {
		if err := tx.unhash(c.Ino, op.Off, op.Off+op.Len); err != nil {
			return err
		}
	}
	return nil
}

// addHashes takes over the hashes that came with a publication.
func (tx *txn) addHashes(ino Ino, hashes []RangeHash) error {
	for _, h := range hashes {
		err := tx.run(`INSERT INTO hashes (ino, idx, hash) VALUES (?, ?, ?)
			ON CONFLICT (ino, idx) DO UPDATE SET hash = excluded.hash`, ino, h.Index, h.Hash[:])
		if err != nil {
			return err
		}
	}
	return nil
}

// unhash drops the hashes of all ranges that touch the bytes from..to.
func (tx *txn) unhash(ino Ino, from, to int64) error {
	return tx.run(`DELETE FROM hashes WHERE ino = ? AND idx BETWEEN ? AND ?`, ino, from/HashRange, (to-1)/HashRange)
}

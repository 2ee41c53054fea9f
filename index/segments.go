package index

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
)

// unixNano stores a time; the zero time is 0.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// fromUnixNano is the inverse of unixNano.
func fromUnixNano(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// nullZero stores 0 as NULL.
func nullZero(n uint64) any {
	if n == 0 {
		return nil
	}
	return n
}

func (tx *txn) insertSegment(s *SegmentRow, g uint64, stage walrus.Stage) error {
	return tx.run(`INSERT INTO segments (number, generation, part, parts, blob, root, size, header, stage, object,
		end_epoch, register_tx, certify_tx, announced, tries, next, packed_at, certified_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?)`,
		s.Number, g, s.Part, s.Parts, s.Blob[:], s.Root[:], s.Size, s.Header[:], int(stage), s.Object[:],
		int64(s.EndEpoch), s.RegisterTx[:], s.CertifyTx[:], nullZero(s.Announced), tx.now, unixNano(s.CertifiedAt))
}

const (
	segmentColumns = `number, generation, part, parts, blob, root, size, header, stage, object, end_epoch,
		register_tx, certify_tx, cert, announced, tries, next, error, packed_at, certified_at`
	sqlSegments = `SELECT ` + segmentColumns + ` FROM segments
		WHERE number BETWEEN ? AND ? AND stage < ? AND next <= ? ORDER BY number LIMIT ?`
	sqlEndingSegments = `SELECT ` + segmentColumns + ` FROM segments INDEXED BY segments_end
		WHERE number BETWEEN ? AND ? AND stage < ? AND next <= ? AND end_epoch > 0 AND end_epoch <= ?
		AND delete_tx IS NULL ORDER BY number LIMIT ?`
	sqlOpenSegments = `SELECT ` + segmentColumns + ` FROM segments INDEXED BY segments_open
		WHERE number BETWEEN ? AND ? AND stage < ? AND stage < 5 AND next <= ? ORDER BY number LIMIT ?`
)

func scanSegment(r row) (SegmentRow, error) {
	s := SegmentRow{
		Number: r.uint(0), Generation: r.uint(1), Part: int(r.int(2)), Parts: int(r.int(3)), Size: r.int(6),
		Stage: walrus.Stage(r.int(8)), EndEpoch: walrus.Epoch(r.int(10)), Announced: r.uint(14), Tries: int(r.int(15)),
		Next: fromUnixNano(r.int(16)), Error: r.text(17), PackedAt: fromUnixNano(r.int(18)), CertifiedAt: fromUnixNano(r.int(19)),
	}
	copy(s.Blob[:], r.bytes(4))
	copy(s.Root[:], r.bytes(5))
	copy(s.Header[:], r.bytes(7))
	copy(s.Object[:], r.bytes(9))
	copy(s.RegisterTx[:], r.bytes(11))
	copy(s.CertifyTx[:], r.bytes(12))
	if r.null(13) {
		return s, nil
	}
	s.Cert = new(walrus.Certificate)
	if err := s.Cert.UnmarshalBinary(r.bytes(13)); err != nil {
		return s, fmt.Errorf("segment %d: %w: %w", s.Number, ErrCorrupt, err)
	}
	return s, nil
}

// Segments returns the selected segments in ascending order.
func (db *DB) Segments(ctx context.Context, f SegmentFilter) (list []SegmentRow, err error) {
	from, to := f.After+1, uint64(math.MaxInt64)
	if f.Number != 0 {
		from, to = max(from, f.Number), f.Number
	}
	sql, below, due, limit := sqlOpenSegments, int(f.Below), int64(math.MaxInt64), math.MaxInt
	if f.Below == 0 || f.Below > Finished {
		sql, below = sqlSegments, int(Finished)+1
	}
	if !f.Due.IsZero() {
		due = f.Due.UnixNano()
	}
	if f.Max > 0 {
		limit = f.Max
	}
	args := []any{from, to, below, due, limit}
	if f.EndBy > 0 {
		sql, args = sqlEndingSegments, []any{from, to, below, due, int64(f.EndBy), limit}
	}
	err = db.view(func(c *conn) error {
		return c.query(sql, func(r row) error {
			s, err := scanSegment(r)
			list = append(list, s)
			return err
		}, args...)
	})
	return list, err
}

// Stored sums up the segments.
type Stored struct {
	Segments   int
	Bytes      int64        // sealed
	NearestEnd walrus.Epoch // the first epoch at whose start some are not paid for; 0 when none is registered
}

// Stored returns the sums. It reads a row for every segment.
func (db *DB) Stored(ctx context.Context) (s Stored, err error) {
	err = db.snapshot(func(c *conn) error {
		r, err := c.one(`SELECT count(*), sum(size) FROM segments`)
		if err != nil {
			return err
		}
		s.Segments, s.Bytes = int(r.int(0)), r.int(1)
		end, err := c.int(`SELECT min(end_epoch) FROM segments INDEXED BY segments_end WHERE end_epoch > 0`)
		s.NearestEnd = walrus.Epoch(end)
		return err
	})
	return s, err
}

// Renewed records, FULL, that segments are paid for up to an epoch.
func (db *DB) Renewed(ctx context.Context, numbers []uint64, end walrus.Epoch) error {
	return db.full(func(tx *txn) error {
		for _, n := range numbers {
			if err := tx.run(`UPDATE segments SET end_epoch = ? WHERE number = ?`, int64(end), n); err != nil {
				return err
			}
		}
		return tx.countBarrier()
	})
}

// segment returns one segment, or ErrNotExist.
func (c *conn) segment(number uint64) (SegmentRow, error) {
	r, err := c.one(sqlSegments, number, number, int(Finished)+1, int64(math.MaxInt64), 1)
	if err == errNoRow {
		return SegmentRow{}, fmt.Errorf("segment %d: %w", number, ErrNotExist)
	}
	if err != nil {
		return SegmentRow{}, err
	}
	return scanSegment(r)
}

// Receipt returns what Checkpoint wrote last, for PutOptions.Resume.
func (db *DB) Receipt(ctx context.Context, number uint64) (r walrus.Receipt, err error) {
	err = db.view(func(c *conn) error {
		s, err := c.segment(number)
		r = walrus.Receipt{
			Stage: min(s.Stage, walrus.Certified), Blob: s.Blob, Root: s.Root, Size: s.Size, RegisterTx: s.RegisterTx,
			CertifyTx: s.CertifyTx, Object: s.Object, EndEpoch: s.EndEpoch, Cert: s.Cert,
		}
		return err
	})
	return r, err
}

// Checkpoint writes down how far the Put of a segment has come. It is FULL
// when the receipt names a new transaction, which is about to be sent and paid
// for, or says Certified. A stage is never taken back. The first receipt names
// the blob, unless CommitSegments did; ErrStale: a later one is of another.
func (db *DB) Checkpoint(ctx context.Context, number uint64, r walrus.Receipt) error {
	before, err := db.Receipt(ctx, number)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	commit := db.update
	if r.RegisterTx != before.RegisterTx || r.CertifyTx != before.CertifyTx || r.Stage >= walrus.Certified {
		commit = db.full
	}
	var cert []byte
	if r.Cert != nil {
		if cert, err = r.Cert.MarshalBinary(); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
	err = commit(func(tx *txn) error {
		s, err := tx.segment(number)
		if err != nil {
			return err
		}
		if !s.Blob.IsZero() && s.Blob != r.Blob {
			return fmt.Errorf("blob %s, segment has %s: %w", r.Blob, s.Blob, ErrStale)
		}
		certifiedAt := unixNano(s.CertifiedAt)
		if certifiedAt == 0 && r.Stage >= walrus.Certified {
			certifiedAt = tx.now
		}
		return tx.run(`UPDATE segments SET stage = max(stage, ?), blob = ?, root = ?, object = ?, end_epoch = ?, register_tx = ?,
			certify_tx = ?, cert = ?, certified_at = ?, tries = 0, next = 0, error = NULL WHERE number = ?`,
			int(r.Stage), r.Blob[:], r.Root[:], r.Object[:], int64(r.EndEpoch), r.RegisterTx[:],
			r.CertifyTx[:], cert, certifiedAt, number)
	})
	if err != nil {
		return fmt.Errorf("checkpoint of segment %d: %w", number, err)
	}
	return nil
}

// SegmentFailed notes why the Put of a segment failed and when to try it again.
func (db *DB) SegmentFailed(ctx context.Context, number uint64, cause error, next time.Time) error {
	return db.update(func(tx *txn) error {
		return tx.run(`UPDATE segments SET tries = tries + 1, error = ?, next = ? WHERE number = ?`,
			cause.Error(), unixNano(next), number)
	})
}

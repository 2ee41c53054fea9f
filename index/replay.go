package index

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
)

// Replay builds a fresh index from trailers. It belongs to one goroutine.
type Replay struct {
	path, temporary string
	db              *DB // nil once it is closed
	drive           Drive
	sizes           map[uint64]int64 // of the segments, sealed
	gaps            replayGaps
	report          ReplayReport
}

// ReplayReport says what a replay made and what it had to leave out.
type ReplayReport struct {
	Generations int
	Inodes      int64
	Bytes       int64
	Problems    []string // what was refused or made harmless; at most maxProblems
}

// maxProblems bounds the list of a report.
const maxProblems = 1000

func (r *ReplayReport) problem(format string, args ...any) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// NewReplay starts a fresh index for a drive, which appears at path when the
// replay is closed. ErrExist: there is one.
func NewReplay(ctx context.Context, path string, d Drive) (*Replay, error) {
	r := &Replay{path: path, temporary: path + ".replay", drive: d, sizes: make(map[uint64]int64),
		gaps: replayGaps{of: map[uint64][]Gap{}, before: map[Ino]*ContentRow{}}}
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("replay into %s: %w", path, ErrExist)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replay: %w", err)
	}
	if err := r.clear(); err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	db, err := Open(ctx, Config{Path: r.temporary})
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	r.db = db
	// Until Close nobody relies on the file.
	db.mu.Lock()
	err = db.synchronous("OFF")
	db.mu.Unlock()
	if err == nil {
		err = db.update(func(tx *txn) error { return tx.init(d) })
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("replay: %w", err), r.Abort())
	}
	return r, nil
}

// clear removes what an earlier replay left.
func (r *Replay) clear() error {
	for _, suffix := range []string{"", "-wal", "-shm", sumsSuffix, aheadSuffix} {
		if err := os.Remove(r.temporary + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Apply lays a trailer over the tree. Trailers come in ascending order, each
// with the segments that carried it: Number, Part, Parts, Blob, Root, Size and
// Header are used. ErrTrailer: the trailer is of another drive, or the segments
// are not its own; ErrStale: a generation is missing. Numbers of segments may be
// missing, see SkipTo. Rows that make no sense are left out and reported.
//
// Others are those that Unknown returns, filled in: Blob, Size and Header are
// used. Without them what lies in them is refused.
func (r *Replay) Apply(ctx context.Context, t *Trailer, segments []SegmentRow, others ...SegmentRow) error {
	err := r.db.update(func(tx *txn) error {
		if t.Drive != r.drive.ID {
			return fmt.Errorf("drive %x: %w", t.Drive, ErrTrailer)
		}
		if t.Generation <= tx.st.last || t.Previous != tx.st.packed {
			return fmt.Errorf("after generation %d, segment %d: %w", tx.st.packed, tx.st.last, ErrStale)
		}
		tx.fresh = true
		for i := range others {
			s := others[i]
			if tx.st.packed == 0 || s.Number <= tx.st.last || s.Number >= t.Generation || s.Size < 0 {
				return fmt.Errorf("segment %d between %d and %d: %w", s.Number, tx.st.last, t.Generation, ErrTrailer)
			}
			s.Part, s.Parts, s.Announced = 0, 1, 0 // as Place has it
			if err := tx.insertSegment(&s, tx.st.packed, Finished); err != nil {
				return err
			}
			r.sizes[s.Number] = s.Size
		}
		return r.apply(tx, t, segments)
	})
	if err != nil {
		return fmt.Errorf("apply generation %d: %w", t.Generation, err)
	}
	return nil
}

// Unknown returns the segments that a trailer announces and that carried none of
// those that were applied: a machine that went on from an older generation has
// found content in them, see Place.
func (r *Replay) Unknown(t *Trailer) (list []TrailerSegment) {
	last := r.db.latest.Load().last
	for _, s := range t.Segments {
		if s.Number > last && s.Number < t.Generation {
			list = append(list, s)
		}
	}
	return list
}

func (r *Replay) apply(tx *txn, t *Trailer, segments []SegmentRow) error {
	if len(segments) == 0 {
		return fmt.Errorf("no segments: %w", ErrTrailer)
	}
	for i := range segments {
		s := &segments[i]
		if s.Number != t.Generation+uint64(i) || s.Part != i || s.Parts != len(segments) || s.Size < 0 {
			return fmt.Errorf("segment %d, part %d of %d: %w", s.Number, s.Part, s.Parts, ErrTrailer)
		}
		if err := tx.insertSegment(s, t.Generation, Finished); err != nil {
			return err
		}
		r.sizes[s.Number] = s.Size
	}
	if err := tx.countReplay(t, int(t.Full)); err != nil {
		return err
	}
	rows := rows{tx: tx, t: t, last: segments[len(segments)-1].Number, sizes: r.sizes, gaps: &r.gaps, report: &r.report}
	if err := rows.lay(); err != nil {
		return err
	}
	tx.st.packed, tx.st.last = t.Generation, rows.last
	tx.st.open = rows.last + 1
	r.report.Generations++
	return nil
}

// Segment returns a segment that is replayed, or ErrNotExist.
func (r *Replay) Segment(ctx context.Context, number uint64) (s SegmentRow, err error) {
	err = r.db.view(func(c *conn) error {
		s, err = c.segment(number)
		return err
	})
	return s, err
}

// skipInos is how many numbers of inodes may have been given out in
// generations that are skipped: more than trailers have room for.
const skipInos = 1 << 32

// SkipTo numbers the next segment above last, and leaves the numbers between
// unused: they belong to generations that cannot be read any more. So do some
// numbers of inodes: one that is used twice would mix two files in a later restore.
func (r *Replay) SkipTo(ctx context.Context, last uint64) error {
	err := r.db.update(func(tx *txn) error {
		if last >= math.MaxInt64-MaxWindow {
			return fmt.Errorf("segment %d: %w", last, ErrRange)
		}
		if last > tx.st.last && tx.st.nextIno < maxIno-skipInos {
			tx.st.nextIno += skipInos
			tx.st.inoLimit = max(tx.st.inoLimit, tx.st.nextIno)
		}
		tx.st.last = max(tx.st.last, last)
		tx.st.open = tx.st.last + 1
		return nil
	})
	if err != nil {
		return fmt.Errorf("skip segments: %w", err)
	}
	return nil
}

// Close drops what no name reaches, recomputes link counts, numbers new inodes
// above all, records the anchor and puts the index in its place. ErrStale: the
// anchor does not speak of the newest generation.
func (r *Replay) Close(ctx context.Context, a AnchorState) (ReplayReport, error) {
	if err := r.close(a); err != nil {
		return r.report, errors.Join(fmt.Errorf("close replay: %w", err), r.Abort())
	}
	return r.report, nil
}

func (r *Replay) close(a AnchorState) error {
	err := r.db.full(func(tx *txn) error {
		if err := r.anchor(tx, a); err != nil {
			return err
		}
		if err := r.prune(tx); err != nil {
			return err
		}
		sum, err := tx.one(`SELECT count(*), CAST(total(CASE WHEN mode & 61440 = 32768 THEN size END) AS INTEGER) FROM inodes`)
		if err != nil {
			return err
		}
		tx.st.inodes, tx.st.bytes = sum.int(0), sum.int(1)
		r.report.Inodes, r.report.Bytes = tx.st.inodes, tx.st.bytes
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.db.Close(); err != nil {
		return err
	}
	r.db = nil
	// The checksums are made anew when the index is opened under its name.
	for _, path := range []string{r.temporary, r.path} {
		if err := os.Remove(path + sumsSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return appear(r.temporary, r.path)
}

func (r *Replay) anchor(tx *txn, a AnchorState) error {
	tx.st.anchored = tx.st.packed
	if a.Object.IsZero() {
		return nil
	}
	err := errors.Join(tx.run(sqlSetMeta, metaAnchorObject, a.Object[:]), tx.run(sqlSetMeta, metaAnchorVersion, a.Version))
	if err != nil || a.Anchor == nil {
		return err
	}
	if a.Anchor.Generation != tx.st.packed || a.Anchor.Drive != r.drive.ID {
		return fmt.Errorf("anchor of generation %d, replayed up to %d: %w", a.Anchor.Generation, tx.st.packed, ErrStale)
	}
	return tx.run(sqlSetMeta, metaAnchorText, a.Anchor.text())
}

// Abort gives up and removes what was built. After Close it does nothing.
func (r *Replay) Abort() error {
	if r.db == nil {
		return nil
	}
	err := r.db.Close()
	r.db = nil
	return errors.Join(err, r.clear())
}

// Reserve numbers new inodes above the given one. Staging may hold files with
// numbers that no trailer knows.
func (db *DB) Reserve(ctx context.Context, above Ino) error {
	if above >= maxIno {
		return fmt.Errorf("inode %d: %w", above, ErrRange)
	}
	return db.full(func(tx *txn) error {
		tx.st.nextIno = max(tx.st.nextIno, uint64(above)+1)
		tx.st.inoLimit = max(tx.st.inoLimit, tx.st.nextIno)
		return tx.countBarrier()
	})
}

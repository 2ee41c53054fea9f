package index

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/walfs/walfs/blobstore/walrus"
)

// SetAnchor writes down, FULL, the drive's anchor object when it was made.
func (db *DB) SetAnchor(ctx context.Context, object walrus.ObjectID, version uint64) error {
	return db.full(func(tx *txn) error {
		return errors.Join(
			tx.run(sqlSetMeta, metaAnchorObject, object[:]),
			tx.run(sqlSetMeta, metaAnchorVersion, version),
		)
	})
}

// Anchored returns the recorded state of the anchor. ErrNotExist: SetAnchor was never called.
func (db *DB) Anchored(ctx context.Context) (a AnchorState, err error) {
	err = db.snapshot(func(c *conn) error {
		a, err = c.anchored()
		return err
	})
	return a, err
}

func (c *conn) anchored() (AnchorState, error) {
	var a AnchorState
	r, err := c.one(sqlMeta, metaAnchorObject)
	if errors.Is(err, errNoRow) {
		return a, fmt.Errorf("anchor: %w", ErrNotExist)
	}
	if err != nil {
		return a, err
	}
	copy(a.Object[:], r.bytes(0))
	version, err := c.int(sqlMeta, metaAnchorVersion)
	if err != nil {
		return a, err
	}
	a.Version = uint64(version)
	r, err = c.one(sqlMeta, metaAnchorText)
	if errors.Is(err, errNoRow) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	anchor, err := parseAnchorText(r.text(0))
	a.Anchor = &anchor
	return a, err
}

// committed is what the anchor needs to know of a segment.
type committed struct {
	number, generation, announced uint64
	last                          bool // of its trailer
	stage                         walrus.Stage
	blob                          walrus.BlobID
}

// NextAnchor returns what the anchor is to say once the given blobs are
// certified too, or nil when it would name no newer generation. It passes over
// generations that show a gap, see Reseal.
func (db *DB) NextAnchor(ctx context.Context, certifying []walrus.BlobID) (a *Anchor, err error) {
	err = db.snapshot(func(c *conn) error {
		now, err := c.int(sqlMeta, metaAnchored)
		if err != nil {
			return err
		}
		a, err = c.nextAnchor(uint64(now), certifying)
		if a == nil || err != nil {
			return err
		}
		d, err := c.drive()
		if err != nil {
			return err
		}
		a.Drive, a.Writer, a.Time = d.ID, d.Writer, db.now().UnixNano()
		state, err := c.anchored()
		if err == nil && state.Anchor != nil {
			a.Snapshot = state.Anchor.Snapshot
		}
		if err != nil && !errors.Is(err, ErrNotExist) {
			return err
		}
		return c.refer(a)
	})
	if err != nil {
		return nil, fmt.Errorf("next anchor: %w", err)
	}
	return a, nil
}

// refer makes an anchor name the newest full snapshot, if it covers that.
func (c *conn) refer(a *Anchor) error {
	full, err := c.int(sqlMeta, metaFull)
	if err != nil || full == 0 || uint64(full) > a.Generation || a.Snapshot != nil && a.Snapshot.Generation >= uint64(full) {
		return err
	}
	s, err := c.segment(uint64(full))
	if err == nil {
		a.Snapshot = &SnapshotRef{Generation: s.Number, Blob: s.Blob}
	}
	return err
}

// nextAnchor walks the segments that are not finished or not announced, in
// order, as far as all of them are certified.
func (c *conn) nextAnchor(now uint64, certifying []walrus.BlobID) (*Anchor, error) {
	var list []committed
	err := c.query(`SELECT number, generation, part + 1 = parts, announced, stage, blob FROM segments
		WHERE number >= ?1 OR announced IS NULL OR announced > ?1 ORDER BY number`, func(r row) error {
		s := committed{number: r.uint(0), generation: r.uint(1), last: r.int(2) != 0, announced: r.uint(3), stage: walrus.Stage(r.int(4))}
		copy(s.blob[:], r.bytes(5))
		list = append(list, s)
		return nil
	}, now)
	if err != nil {
		return nil, err
	}
	shown, err := c.shownGaps()
	if err != nil {
		return nil, err
	}
	end := 0 // of the part of list that ends the newest generation that can be named
	for i, s := range list {
		if s.generation > now && s.stage < walrus.Certified && !slices.Contains(certifying, s.blob) {
			break
		}
		if s.last && !shown.in(s.generation) {
			end = i + 1
		}
	}
	if end == 0 || list[end-1].generation <= now {
		return nil, nil
	}
	a := &Anchor{Generation: list[end-1].generation}
	for _, s := range list[:end] {
		if s.number == a.Generation {
			a.Head = s.blob
		}
		if s.announced == 0 || s.announced > a.Generation {
			a.Window = append(a.Window, NumberedBlob{Number: s.number, Blob: s.blob})
		}
	}
	if len(a.Window) > MaxWindow {
		return nil, fmt.Errorf("%d segments in the window: %w", len(a.Window), ErrInFlight)
	}
	return a, nil
}

// AnchorMoved records, FULL, that the ledger's anchor says a, at the given
// object version. After a restart the ledger may be ahead of the index: the
// caller then passes what it parsed from the ledger. ErrStale: a is older
// than what is recorded, or names a generation that was never committed here.
func (db *DB) AnchorMoved(ctx context.Context, a Anchor, version uint64) error {
	err := db.full(func(tx *txn) error {
		if a.Generation < tx.st.anchored || a.Generation > tx.st.packed {
			return fmt.Errorf("generation %d, between %d and %d: %w", a.Generation, tx.st.anchored, tx.st.packed, ErrStale)
		}
		tx.st.anchored = a.Generation
		return errors.Join(
			tx.run(sqlSetMeta, metaAnchorVersion, version),
			tx.run(sqlSetMeta, metaAnchorText, a.text()),
			tx.countBarrier(),
		)
	})
	if err != nil {
		return fmt.Errorf("anchor moved: %w", err)
	}
	return nil
}

// Finish closes, FULL, all generations that the anchor covers: superseded
// extents go, segments become Finished. It returns the files whose packed
// blocks staging may let go of, and the segments whose outbox files may go.
// After a crash it does not return them again: outbox files of segments that
// are Finished may go, and blocks of files whose State is certified are clean.
func (db *DB) Finish(ctx context.Context) (files []FinishedFile, segments []uint64, err error) {
	err = db.full(func(tx *txn) error {
		files, segments = nil, nil
		g := tx.st.anchored
		err := tx.query(`SELECT number FROM segments INDEXED BY segments_open
			WHERE stage = 4 AND stage < 5 AND generation <= ? ORDER BY number`, func(r row) error {
			segments = append(segments, r.uint(0))
			return nil
		}, g)
		if err != nil {
			return err
		}
		if files, err = tx.finishedFiles(g); err != nil {
			return err
		}
		return errors.Join(
			tx.run(`UPDATE segments INDEXED BY segments_open SET stage = 5 WHERE stage = 4 AND stage < 5 AND generation <= ?`, g),
			tx.run(`DELETE FROM unfinished WHERE generation <= ?`, g),
			tx.run(`DELETE FROM extents INDEXED BY extents_dead WHERE dead <= ? AND dead < 9223372036854775807`, g),
			tx.run(`DELETE FROM past WHERE dead <= ?`, g),
			tx.run(`DELETE FROM moved WHERE segment IN (SELECT m.segment FROM moved m JOIN segments s ON s.number = m.segment WHERE s.stage = 5)`),
			tx.run(`DELETE FROM trailers WHERE generation <= ? AND NOT EXISTS
				(SELECT 1 FROM segments s INDEXED BY segments_open WHERE s.stage < 5 AND s.generation = trailers.generation)`, g),
			tx.dropGaps(),
		)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("finish: %w", err)
	}
	return files, segments, db.shorten()
}

// walLimit is the length in bytes of a write-ahead log that readers kept from
// starting over, at which writers are made to wait for them.
const walLimit = 64 << 20

// shorten empties the write-ahead log if it has become long.
func (db *DB) shorten() error {
	info, err := os.Stat(db.path + "-wal")
	if err != nil || info.Size() < walLimit {
		return nil // a missing log is short
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return ErrClosed
	}
	if err := db.checkpoint("TRUNCATE"); err != nil {
		return fmt.Errorf("shorten log: %w", err)
	}
	db.roomEnd = 0
	db.keepRoom()
	return nil
}

func (tx *txn) finishedFiles(g uint64) (files []FinishedFile, err error) {
	err = tx.query(`SELECT i.ino, i.dirty = 0 AND i.pub_generation <= ?1 FROM
		(SELECT DISTINCT ino FROM unfinished WHERE generation <= ?1) u CROSS JOIN inodes i ON i.ino = u.ino ORDER BY i.ino`,
		func(r row) error {
			files = append(files, FinishedFile{Ino: r.ino(0), Clean: r.int(1) != 0})
			return nil
		}, g)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if !f.Clean {
			continue
		}
		if err := tx.run(`DELETE FROM held WHERE ino = ?`, f.Ino); err != nil {
			return nil, err
		}
	}
	return files, nil
}

package index

import (
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
)

// CommitSegments records sealed segments that rest in the outbox and publishes
// what their trailer says, in one FULL transaction. ErrStale: the trailer is
// not the newest cut, or the numbers are not the next ones. ErrInFlight: the
// trailer spans more segments than a window has room for at the moment.
func (db *DB) CommitSegments(ctx context.Context, c Commit) error {
	packed := make(map[Ino]*Packed, len(c.Packed))
	for i := range c.Packed {
		packed[c.Packed[i].Ino] = &c.Packed[i]
	}
	if c.Encoded == nil {
		var err error
		if c.Encoded, err = MarshalTrailer(c.Trailer); err != nil {
			return fmt.Errorf("commit segments: %w", err)
		}
	}
	err := db.full(func(tx *txn) error {
		if tx.st.cut == nil || tx.st.cut.trailer != c.Trailer {
			return fmt.Errorf("trailer: %w", ErrStale)
		}
		return tx.commitSegments(&c, packed)
	})
	if err != nil {
		return fmt.Errorf("commit segments: %w", err)
	}
	return nil
}

func (tx *txn) commitSegments(c *Commit, packed map[Ino]*Packed) error {
	g := c.Trailer.Generation
	if err := tx.addSegments(c, g); err != nil {
		return err
	}
	if err := tx.run(`INSERT INTO trailers (generation, encoded) VALUES (?, ?)`, g, c.Encoded); err != nil {
		return err
	}
	for _, s := range c.Trailer.Segments {
		if err := tx.announce(s.Number, g); err != nil {
			return err
		}
	}
	adopted, err := tx.anyAdopted()
	if err != nil {
		return err
	}
	for i := range c.Trailer.Contents {
		row := &c.Trailer.Contents[i]
		if err := tx.publish(g, row, packed[row.Ino], adopted); err != nil {
			return fmt.Errorf("inode %d: %w", row.Ino, err)
		}
	}
	for i := range c.Trailer.Names {
		if err := tx.publishName(&c.Trailer.Names[i]); err != nil {
			return err
		}
	}
	for i := range c.Partials {
		if err := tx.addPartial(&c.Partials[i]); err != nil {
			return err
		}
	}
	tx.st.packed, tx.st.last = g, c.Segments[len(c.Segments)-1].Number
	tx.st.open = max(tx.st.open, tx.st.last+1)
	tx.st.cut = nil
	return errors.Join(tx.countReplay(c.Trailer, len(c.Encoded)), tx.unforce(), tx.sweep())
}

func (tx *txn) addSegments(c *Commit, g uint64) error {
	parts := len(c.Segments)
	n, err := tx.inFlight()
	switch {
	case err != nil:
		return err
	case parts == 0 || g != tx.st.last+1:
		return fmt.Errorf("generation %d in %d segments after segment %d: %w", g, parts, tx.st.last, ErrStale)
	case n+int64(parts) > MaxWindow:
		return fmt.Errorf("%d segments and %d: %w", n, parts, ErrInFlight)
	}
	for i := range c.Segments {
		s := &c.Segments[i]
		if s.Number != g+uint64(i) || s.Part != i || s.Parts != parts {
			return fmt.Errorf("segment %d, part %d of %d: %w", s.Number, s.Part, s.Parts, ErrStale)
		}
		if err := tx.insertSegment(s, g, walrus.Encoded); err != nil {
			return err
		}
	}
	return nil
}

func (tx *txn) announce(number, g uint64) error {
	return tx.run(`UPDATE segments SET announced = ? WHERE number = ? AND announced IS NULL`, g, number)
}

// publish makes a version that was packed whole the published one, or moves
// ranges of the one that is. Adopted: it may take the place of adopted content.
func (tx *txn) publish(g uint64, c *ContentRow, p *Packed, adopted bool) error {
	n, err := tx.inode(c.Ino)
	if err != nil {
		return err // bury spares what the cut speaks of
	}
	if adopted {
		if adopted, err = tx.settleAdopted(c.Ino); err != nil {
			return err
		}
	}
	if !adopted && c.Version == n.PubVersion {
		return tx.relocate(g, c)
	}
	if n.PubVersion > 0 && !adopted {
		if err := tx.remember(&n, g); err != nil {
			return err
		}
		if err := tx.unhashChanged(c, n.PubSize); err != nil {
			return err
		}
	}
	if err := tx.overlay(g, c, n.PubSize); err != nil {
		return err
	}
	if p != nil {
		if err := tx.addHashes(c.Ino, p.Hashes); err != nil {
			return err
		}
		if err := tx.outdate(&n, p); err != nil {
			return err
		}
	}
	mtime := c.Mtime
	if n.Version == c.Version {
		mtime = n.Mtime // if it was set after the cut, the row goes out with the next one
	}
	err = tx.run(`UPDATE inodes SET pub_version = ?, pub_generation = ?, pub_size = ?, pub_mtime = ?, dirty = ? WHERE ino = ?`,
		c.Version, g, c.Size, mtime, truth(n.Version != c.Version), c.Ino)
	return errors.Join(err,
		tx.run(`DELETE FROM partials WHERE ino = ? AND version <= ?`, c.Ino, c.Version),
		tx.run(`DELETE FROM jobs WHERE ino = ? AND version <= ?`, c.Ino, c.Version),
		tx.run(`UPDATE jobs SET ignored = 0 WHERE ino = ? AND ignored = 1`, c.Ino), // it got its names while it was packed
		tx.run(`INSERT INTO unfinished (generation, ino) VALUES (?, ?)`, g, c.Ino),
	)
}

// outdate forgets what a barrier wrote of a file before the published version
// was packed: after a power cut it must not come back over that.
func (tx *txn) outdate(n *inode, p *Packed) error {
	t := tx.db.told[n.Ino]
	if n.Version == p.Version && !n.touched { // else settle is to come
		tx.setTold(n.Ino, told{})
	}
	if p.Seq == 0 || t[toldHeld] >= p.Seq {
		return nil
	}
	if n.Version != p.Version {
		tx.newer(n.Ino, toldHeld, p.Seq)
	}
	return tx.run(`DELETE FROM held WHERE ino = ?`, n.Ino)
}

// publishName writes what the trailer said of a name. If it was changed since
// the cut it is pending still, also when its row had gone.
func (tx *txn) publishName(r *NameRow) error {
	if r.Ino != 0 {
		err := tx.run(`INSERT INTO dirents (parent, name, ino, pub, cookie, generation) VALUES (?, ?, NULL, ?, ?, ?)
			ON CONFLICT (parent, name) DO UPDATE SET pub = excluded.pub`,
			r.Parent, r.Name, r.Ino, tx.newCookie(), tx.st.open)
		return errors.Join(err, tx.displaced(r.Parent, r.Name))
	}
	n, err := tx.exec(`DELETE FROM dirents WHERE parent = ? AND name = ? AND ino IS NULL`, r.Parent, r.Name)
	if err != nil || n != 0 {
		return err
	}
	return tx.run(`UPDATE dirents SET pub = NULL WHERE parent = ? AND name = ?`, r.Parent, r.Name)
}

// addPartial notes a packed range of a version that is still the live one.
func (tx *txn) addPartial(p *Partial) error {
	op := Op{Off: p.Off, Len: p.Len, Segment: p.Segment, Pos: p.Pos}
	if !op.valid() {
		return fmt.Errorf("partial %+v: %w", *p, ErrRange)
	}
	return tx.run(`INSERT OR REPLACE INTO partials (ino, off, len, version, segment, pos)
		SELECT ino, ?, ?, version, ?, ? FROM inodes WHERE ino = ? AND version = ? AND pub_version < version`,
		p.Off, p.Len, p.Segment, p.Pos, p.Ino, p.Version)
}

// sweep deletes the inodes that only the published tree had kept.
func (tx *txn) sweep() error {
	inos, err := tx.inos(`SELECT ino FROM inodes INDEXED BY inodes_orphan WHERE nlink = 0 AND reap = 1`)
	if err != nil {
		return err
	}
	for _, ino := range inos {
		n, err := tx.inode(ino)
		if err != nil {
			return err
		}
		if _, err := tx.bury(&n); err != nil {
			return err
		}
	}
	return nil
}

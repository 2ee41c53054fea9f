package index

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/walfs/walfs/blobstore/walrus"
)

// cut is a trailer that was read and not committed yet.
type cut struct {
	trailer *Trailer
	inos    map[Ino]bool // all that it speaks of
}

// names reports whether a cut, which may be nil, speaks of an inode.
func (c *cut) names(ino Ino) bool { return c != nil && c.inos[ino] }

func newCut(t *Trailer) *cut {
	c := &cut{trailer: t, inos: make(map[Ino]bool)}
	for i := range t.Inodes {
		c.inos[t.Inodes[i].Ino] = true
	}
	for i := range t.Contents {
		c.inos[t.Contents[i].Ino] = true
	}
	for _, n := range t.Names {
		c.inos[n.Ino] = true
	}
	return c
}

// NextSegment returns the number of the next segment to be cut.
func (db *DB) NextSegment(ctx context.Context) (uint64, error) { return db.latest.Load().last + 1, nil }

// CutTrailer reads the rows that the next segment's trailer has to carry,
// given the versions that this segment completes, and opens a new generation
// for changes made from now on. Nothing is published until CommitSegments; a
// cut that is not committed is repeated by the next one. Versions of inodes
// that are gone are left out. ErrInFlight; ErrStale: a version that is already
// published or does not exist; ErrRange: impossible numbers.
//
// Moves are ranges that were copied into this segment. Of those that are still
// published where they were read the trailer tells the new place, unless the
// file has a newer version in it; the others are left out.
func (db *DB) CutTrailer(ctx context.Context, completed []Packed, moves ...Move) (t *Trailer, err error) {
	err = db.update(func(tx *txn) error {
		n, err := tx.inFlight()
		if err != nil {
			return err
		}
		if n >= MaxInFlight {
			return fmt.Errorf("%d segments: %w", n, ErrInFlight)
		}
		t = &Trailer{Generation: tx.st.last + 1, Previous: tx.st.packed, Time: tx.now, NextIno: Ino(tx.st.nextIno)}
		d, err := tx.drive()
		if err != nil {
			return err
		}
		t.Drive = d.ID
		if err := tx.reopen(t.Generation); err != nil {
			return err
		}
		if err := tx.cut(t, completed, moves); err != nil {
			return err
		}
		tx.st.cut = newCut(t)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cut trailer: %w", err)
	}
	return t, nil
}

// reopen gives rows that a cut without a commit left behind the number of the
// cut that follows, and opens the generation after it.
func (tx *txn) reopen(g uint64) error {
	if tx.st.open > g {
		if err := tx.run(`UPDATE inodes INDEXED BY inodes_changed SET generation = ? WHERE pub_version > 0 AND generation > ?`, g, g); err != nil {
			return err
		}
		if err := tx.run(`UPDATE dirents INDEXED BY dirents_pending SET generation = ? WHERE ino IS NOT pub AND generation > ?`, g, g); err != nil {
			return err
		}
	}
	tx.st.open = g + 1
	return nil
}

// renumber does what reopen does for all rows.
func (tx *txn) renumber(g uint64) error {
	return errors.Join(
		tx.run(`UPDATE inodes SET generation = ? WHERE generation > ?`, g, g),
		tx.run(`UPDATE dirents SET generation = ? WHERE generation > ?`, g, g),
	)
}

func (tx *txn) cut(t *Trailer, completed []Packed, moves []Move) error {
	whole := make(map[Ino]uint64, len(completed)) // 0: it is gone
	adopted, err := tx.anyAdopted()
	if err != nil {
		return err
	}
	for i := range completed {
		p := &completed[i]
		if whole[p.Ino] != 0 {
			return fmt.Errorf("inode %d twice: %w", p.Ino, ErrRange)
		}
		exists, err := tx.cutContent(t, p, adopted)
		if err != nil {
			return err
		}
		if exists {
			whole[p.Ino] = p.Version
		}
	}
	for _, read := range []func(*Trailer, map[Ino]uint64) error{tx.cutAdopted, tx.cutSegments, tx.cutInodes, tx.cutNames} {
		if err := read(t, whole); err != nil {
			return err
		}
	}
	if err := tx.cutMoves(t, moves); err != nil {
		return err
	}
	slices.SortFunc(t.Contents, func(a, b ContentRow) int { return cmp.Compare(a.Ino, b.Ino) })
	slices.SortFunc(t.Inodes, func(a, b InodeRow) int { return cmp.Compare(a.Ino, b.Ino) })
	slices.SortFunc(t.Names, compareNames)
	return nil
}

func compareNames(a, b NameRow) int {
	return cmp.Or(cmp.Compare(a.Parent, b.Parent), bytes.Compare(a.Name, b.Name))
}

// cutContent adds a version that was packed whole, and its inode. Adopted: it
// may build on adopted content.
func (tx *txn) cutContent(t *Trailer, p *Packed, adopted bool) (exists bool, err error) {
	n, err := tx.inode(p.Ino)
	if errors.Is(err, ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !n.IsRegular() || p.Version <= n.PubVersion || p.Version > n.Version {
		return false, fmt.Errorf("version %d of inode %d: %w", p.Version, p.Ino, ErrStale)
	}
	if err := checkPacked(p, t.Generation); err != nil {
		return false, err
	}
	c := ContentRow{Ino: p.Ino, Version: p.Version, Size: p.Size, Mtime: p.Mtime, Base: p.Base, Ops: p.Ops}
	if adopted {
		if err := tx.mergeAdopted(&c); err != nil {
			return false, err
		}
	}
	if p.Version == n.Version {
		// What staging packed is newer than the row, unless mtime was set meanwhile.
		q := Queued{Size: p.Size, Mtime: p.Mtime}
		if n.touched {
			q.Mtime = n.Mtime
		}
		if tx.newer(n.Ino, toldRow, p.Seq) {
			if err := tx.resize(&n, q); err != nil {
				return false, err
			}
		}
		c.Mtime = n.Mtime
	}
	if n.generation > t.Generation { // of a cut that was not committed, see reopen
		if err := tx.run(`UPDATE inodes SET generation = ? WHERE ino = ?`, t.Generation, n.Ino); err != nil {
			return false, err
		}
	}
	n.PubVersion, n.PubSize, n.pubMtime = p.Version, c.Size, c.Mtime
	t.Contents = append(t.Contents, c)
	return true, tx.addInode(t, &n)
}

func checkPacked(p *Packed, number uint64) error {
	if p.Size < 0 || p.Base < 0 {
		return fmt.Errorf("inode %d: size %d, base %d: %w", p.Ino, p.Size, p.Base, ErrRange)
	}
	for _, op := range p.Ops {
		if !op.valid() || op.Segment > number {
			return fmt.Errorf("inode %d: op %+v in segment %d: %w", p.Ino, op, number, ErrRange)
		}
	}
	return nil
}

// valid reports whether the numbers of an op can be added without overflow.
func (op *Op) valid() bool {
	return op.Off >= 0 && op.Len > 0 && op.Pos >= 0 && op.Off <= math.MaxInt64-op.Len && op.Pos <= math.MaxInt64-op.Len
}

// addInode adds the published state of an inode.
func (tx *txn) addInode(t *Trailer, n *inode) error {
	r, err := tx.inodeRow(n)
	t.Inodes = append(t.Inodes, r)
	return err
}

// inodeRow returns the published state of an inode.
func (c *conn) inodeRow(n *inode) (r InodeRow, err error) {
	r = InodeRow{
		Ino: n.Ino, Mode: n.Mode, UID: n.UID, GID: n.GID, Rdev: n.Rdev, Version: n.PubVersion,
		Size: n.Size, Atime: n.Atime, Mtime: n.Mtime, Ctime: n.Ctime, Btime: n.Btime, Target: n.target,
	}
	if n.IsRegular() {
		r.Size, r.Mtime = n.PubSize, n.pubMtime
	}
	r.Xattrs, err = c.xattrs(n.Ino)
	return r, err
}

// cutSegments adds the segments that are certified and were never announced.
func (tx *txn) cutSegments(t *Trailer, _ map[Ino]uint64) error {
	return tx.query(`SELECT number, blob, object, size, end_epoch FROM segments INDEXED BY segments_announced
		WHERE announced IS NULL AND stage >= 4 ORDER BY number`, func(r row) error {
		s := TrailerSegment{Number: r.uint(0), Size: r.int(3), EndEpoch: walrus.Epoch(r.int(4))}
		copy(s.Blob[:], r.bytes(1))
		copy(s.Object[:], r.bytes(2))
		t.Segments = append(t.Segments, s)
		return nil
	})
}

// cutInodes adds the inodes that changed since the last generation and may be published.
func (tx *txn) cutInodes(t *Trailer, whole map[Ino]uint64) error {
	var changed []inode
	err := tx.query(`SELECT `+inodeColumns+` FROM inodes i INDEXED BY inodes_changed
		WHERE i.pub_version > 0 AND i.generation > ? AND i.nlink > 0`, func(r row) error {
		n := scanInode(r)
		if whole[n.Ino] == 0 {
			changed = append(changed, n)
		}
		return nil
	}, tx.st.packed)
	if err != nil {
		return err
	}
	for i := range changed {
		if err := tx.addInode(t, &changed[i]); err != nil {
			return err
		}
	}
	return nil
}

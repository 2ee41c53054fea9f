package index

import (
	"errors"
	"fmt"
)

// maxIno bounds inode numbers that are read, so that there is always a next one.
const maxIno = 1 << 62

// rows lays the rows of one trailer over a replayed tree. What a forged
// trailer could say is refused row by row and reported.
type rows struct {
	tx     *txn
	t      *Trailer
	last   uint64           // number of the last segment that carries the trailer
	sizes  map[uint64]int64 // of all segments up to last, sealed
	gaps   *replayGaps
	report *ReplayReport
}

func (r *rows) lay() error {
	if r.t.NextIno < maxIno {
		r.tx.above(r.t.NextIno)
	} else {
		r.problem("next inode %d", r.t.NextIno)
	}
	for i := range r.t.Segments {
		if err := r.segment(&r.t.Segments[i]); err != nil {
			return err
		}
	}
	for i := range r.t.Inodes {
		if err := r.inode(&r.t.Inodes[i]); err != nil {
			return err
		}
	}
	for i := range r.t.Contents {
		if err := r.content(&r.t.Contents[i]); err != nil {
			return err
		}
	}
	for i := range r.t.Names {
		if err := r.name(&r.t.Names[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *rows) problem(format string, args ...any) {
	r.report.problem("generation %d: %s", r.t.Generation, fmt.Sprintf(format, args...))
}

func (r *rows) segment(s *TrailerSegment) error {
	n, err := r.tx.exec(`UPDATE segments SET announced = ?, object = ?, end_epoch = ?
		WHERE number = ? AND blob = ? AND announced IS NULL`, r.t.Generation, s.Object[:], int64(s.EndEpoch), s.Number, s.Blob[:])
	if err == nil && n == 0 {
		r.problem("segment %d is announced as blob %s", s.Number, s.Blob)
	}
	return err
}

// inode refuses impossible types and a type other than the inode had. The size
// of a regular file is that of its content.
func (r *rows) inode(row *InodeRow) error {
	if row.Ino == 0 || row.Ino >= maxIno || row.Mode > modeType|modePerm || checkKind(row.Mode, row.Target) != nil {
		r.problem("inode %d with mode %o is refused", row.Ino, row.Mode)
		return nil
	}
	old, err := r.tx.inode(row.Ino)
	exists := err == nil
	if err != nil && !errors.Is(err, ErrNotExist) {
		return err
	}
	if exists && (old.Mode^row.Mode)&modeType != 0 {
		r.problem("inode %d with mode %o is refused: it has %o", row.Ino, row.Mode, old.Mode)
		return nil
	}
	n := inode{
		Attr: Attr{Ino: row.Ino, Mode: row.Mode, UID: row.UID, GID: row.GID, Rdev: row.Rdev, Nlink: 1,
			Atime: row.Atime, Mtime: row.Mtime, Ctime: row.Ctime, Btime: row.Btime, Version: 1, PubVersion: 1},
		generation: r.t.Generation, target: row.Target, pubMtime: row.Mtime,
	}
	switch {
	case n.IsRegular():
		n.Size, n.PubSize, n.pubGeneration = old.Size, old.PubSize, old.pubGeneration
		n.Version, n.PubVersion = old.Version, old.PubVersion
	case n.IsSymlink():
		n.Size = int64(len(row.Target))
	}
	r.tx.above(row.Ino + 1)
	if err := r.tx.run(`DELETE FROM inodes WHERE ino = ?`, row.Ino); err != nil {
		return err
	}
	if err := r.tx.insertInode(&n); err != nil {
		return err
	}
	return r.xattrs(row)
}

func (r *rows) xattrs(row *InodeRow) error {
	if err := r.tx.run(`DELETE FROM xattrs WHERE ino = ?`, row.Ino); err != nil {
		return err
	}
	total := 0
	for _, x := range row.Xattrs {
		total += len(x.Name) + len(x.Value)
		if checkXattr(x.Name, x.Value) != nil || total > MaxXattrs {
			r.problem("an attribute of inode %d is refused", row.Ino)
			continue
		}
		r.tx.db.attrNames.add(x.Name)
		err := r.tx.run(`INSERT INTO xattrs (ino, name, value) VALUES (?, ?, ?)`, row.Ino, []byte(x.Name), nonNil(x.Value))
		if err != nil {
			return err
		}
	}
	return nil
}

// content refuses a version as a whole if part of it makes no sense: the one
// before it stays.
func (r *rows) content(c *ContentRow) error {
	n, err := r.tx.inode(c.Ino)
	switch {
	case errors.Is(err, ErrNotExist) || err == nil && !n.IsRegular():
		r.problem("content of inode %d is refused: it is no file", c.Ino)
		return nil
	case err != nil:
		return err
	case r.t.Moved && c.Version == n.PubVersion && c.Size == n.PubSize && c.Base == c.Size && r.within(c):
		return r.gaps.overlay(r.tx, r.t.Generation, c, &n)
	case c.Version <= n.PubVersion || c.Size < 0 || c.Base < 0 || !r.stored(c.Ops):
		r.problem("content of inode %d, version %d, is refused", c.Ino, c.Version)
		return nil
	}
	if err := r.gaps.overlay(r.tx, r.t.Generation, c, &n); err != nil {
		return err
	}
	return r.tx.run(`UPDATE inodes SET version = ?, pub_version = ?, pub_generation = ?, size = ?, pub_size = ?,
		mtime = ?, pub_mtime = ? WHERE ino = ?`, c.Version, c.Version, r.t.Generation, c.Size, c.Size, c.Mtime, c.Mtime, c.Ino)
}

// within reports whether all ops put stored bytes inside of the file.
func (r *rows) within(c *ContentRow) bool {
	for i := range c.Ops {
		if c.Ops[i].Segment == 0 || c.Ops[i].Off+c.Ops[i].Len > c.Size {
			return false
		}
	}
	return r.stored(c.Ops)
}

// stored reports whether all ops speak of places in segments that exist.
func (r *rows) stored(ops []Op) bool {
	for i := range ops {
		op := &ops[i]
		if !op.valid() || op.Segment > r.last {
			return false
		}
		if op.Segment != 0 && op.Pos+op.Len > r.sizes[op.Segment] {
			return false
		}
	}
	return true
}

func (r *rows) name(row *NameRow) error {
	if err := checkName(row.Name); err != nil || row.Ino == Root || row.Ino >= maxIno || row.Parent >= maxIno {
		r.problem("name %.64q of inode %d in %d is refused", row.Name, row.Ino, row.Parent)
		return nil
	}
	if row.Ino == 0 {
		return r.tx.run(`DELETE FROM dirents WHERE parent = ? AND name = ?`, row.Parent, row.Name)
	}
	return r.tx.run(`INSERT INTO dirents (parent, name, ino, pub, cookie, generation) VALUES (?1, ?2, ?3, ?3, ?4, ?5)
		ON CONFLICT (parent, name) DO UPDATE SET ino = excluded.ino, pub = excluded.pub, generation = excluded.generation`,
		row.Parent, row.Name, row.Ino, r.tx.newCookie(), r.t.Generation)
}

package index

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// ShareRequest asks for a range of a file to become one of another file.
type ShareRequest struct {
	From, To Ino
	Off, Len int64 // in From; the end is cut to that of From
	At       int64 // in To, at its end or behind; what is in between reads as zeros
}

// Shared is what became of a request.
type Shared struct {
	Len  int64 // what was shared, up to the end of From
	Attr Attr  // of To afterwards
}

// Share puts a range of a stored file behind what a new one has: no byte
// moves, the content is adopted like that of a file from the trash. Staging has
// to hold nothing of To. It commits NORMAL: what it refers to cannot be
// collected before a later barrier, which covers it.
//
// ErrStale: From is dirty, or To is not new, longer than At, or on its way
// into a trailer. ErrStoring: a segment is not certified. ErrCollected. Then
// nothing was done, and who asked has to copy. Hashes of ranges are not shared:
// adopted content has none.
func (db *DB) Share(ctx context.Context, r ShareRequest) (s Shared, err error) {
	err = db.update(func(tx *txn) error {
		s, err = tx.share(r)
		return err
	})
	if err != nil {
		return Shared{}, fmt.Errorf("share inode %d with %d: %w", r.From, r.To, err)
	}
	return s, nil
}

func (tx *txn) share(r ShareRequest) (s Shared, err error) {
	from, err := tx.inode(r.From)
	if err != nil {
		return s, err
	}
	to, err := tx.inode(r.To)
	if err != nil {
		return s, err
	}
	if err := tx.sharable(&from, &to, r); err != nil {
		return s, err
	}
	end := min(from.Size, r.Off+r.Len)
	list, err := tx.extents(r.From, r.Off, end)
	if err != nil {
		return s, err
	}
	ops := make([]Op, len(list))
	for i, e := range list {
		ops[i] = Op{Off: e.Off - r.Off + r.At, Len: e.Len, Segment: e.Segment, Pos: e.Pos}
	}
	if err := tx.shareOps(&to, ops, r.At+end-r.Off); err != nil {
		return s, err
	}
	s.Len = end - r.Off
	s.Attr, err = tx.attr(r.To)
	return s, err
}

// sharable returns ErrStale unless the content of from can become that of to.
func (tx *txn) sharable(from, to *inode, r ShareRequest) error {
	why := ""
	adopted, err := tx.int(`SELECT EXISTS (SELECT 1 FROM adopted WHERE ino = ?)`, to.Ino)
	switch {
	case err != nil:
		return err
	case r.From == r.To, !from.IsRegular(), !to.IsRegular(), r.Off < 0, r.Len <= 0, r.At < 0, r.Off > math.MaxInt64-r.Len,
		r.At > math.MaxInt64-r.Len, r.Off >= from.Size:
		why = "cannot be shared"
	case from.Dirty, from.PubVersion == 0, from.Size != from.PubSize:
		why = "is not stored as it is"
	case to.Size > r.At:
		why = "is longer"
	case to.PubVersion != 0 && (adopted == 0 || to.Dirty), to.PubVersion == 0 && to.Size > 0:
		why = "is not new"
	case tx.st.cut.names(to.Ino):
		why = "is being stored"
	default:
		return nil
	}
	return fmt.Errorf("it %s: %w", why, ErrStale)
}

// shareOps adds extents behind what a file has, which may be nothing, and makes
// it end at size. It gets a new version: what a packer knows of it is stale.
func (tx *txn) shareOps(to *inode, ops []Op, size int64) error {
	first := to.PubVersion == 0
	if err := tx.run(`UPDATE inodes SET version = version + 1 WHERE ino = ?`, to.Ino); err != nil {
		return err
	}
	tx.setTold(to.Ino, told{})
	if first {
		return errors.Join(tx.run(`DELETE FROM held WHERE ino = ?`, to.Ino), tx.adopt(&to.Attr, size, tx.now, ops),
			tx.run(`UPDATE inodes SET ctime = ? WHERE ino = ?`, tx.now, to.Ino))
	}
	for i := range ops {
		if err := tx.need(ops[i].Segment); err != nil {
			return err
		}
		if err := tx.lay(tx.st.open, to.Ino, ops[i]); err != nil {
			return err
		}
	}
	tx.st.bytes += size - to.Size
	return tx.run(`UPDATE inodes SET size = ?1, pub_size = ?1, mtime = ?2, pub_mtime = ?2, ctime = ?2,
		pub_version = version, generation = ?3 WHERE ino = ?4`, size, tx.now, tx.st.open, to.Ino)
}

package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/walfs/walfs/blobstore/walrus"
)

// UntrashRequest asks for a file in the trash, at a path.
type UntrashRequest struct {
	ID   int64
	Path []byte // from the root, without a leading slash
}

// Untrashed is what became of a request.
type Untrashed struct {
	UntrashRequest
	Ino  Ino
	Size int64
	Made int // folders that were missing on the way
	// Linked says that Ino has other names: no file was made.
	Linked bool
	Err    error // nothing of the request was done
}

// Untrash makes files of what lies in the trash, which stays there: a second
// request makes another file of the same extents. A name of a file that had
// others becomes a link of that file if its content is the same still. Folders that are missing are
// made, open to the owner of the file only. It commits FULL, and what it has
// made goes into the next trailer.
//
// The error of a request is ErrNotExist (no such ID), ErrExist, ErrNotDir,
// ErrName, ErrNameLong, or ErrStoring when a segment is not certified: no
// other place has its content then.
func (db *DB) Untrash(ctx context.Context, list []UntrashRequest) (done []Untrashed, err error) {
	err = db.full(func(tx *txn) error {
		done = make([]Untrashed, len(list))
		for i := range list {
			u := &done[i]
			u.UntrashRequest = list[i]
			u.Err = tx.attempt(func(tx *txn) error { return tx.untrash(u) })
			if u.Err != nil && tx.raw.AutoCommit() { // the transaction is gone
				return u.Err
			}
		}
		return tx.countBarrier()
	})
	if err != nil {
		return nil, fmt.Errorf("restore from the trash: %w", err)
	}
	return done, nil
}

func (tx *txn) untrash(u *Untrashed) error {
	r, err := tx.one(`SELECT mode, uid, gid, size, atime, mtime, btime, target, ino, version, shared FROM trash WHERE id = ?`, u.ID)
	if errors.Is(err, errNoRow) {
		return fmt.Errorf("trash has no %d: %w", u.ID, ErrNotExist)
	}
	if err != nil {
		return err
	}
	c := CreateRequest{Mode: r.uint32(0), UID: r.uint32(1), GID: r.uint32(2), Target: r.bytes(7)}
	was := Attr{Size: r.int(3), Atime: r.int(4), Mtime: r.int(5), Btime: r.int(6), Ino: r.ino(8), Version: r.uint(9)}
	shared := r.int(10) != 0
	if c.Parent, c.Name, err = tx.makeWay(u, &c); err != nil {
		return err
	}
	if shared {
		if done, err := tx.relink(u, c.Parent, c.Name, &was); done || err != nil {
			return err
		}
	}
	a, err := tx.create(c, true)
	if err != nil {
		return err
	}
	u.Ino, u.Size = a.Ino, was.Size
	err = errors.Join(
		tx.run(`UPDATE trash SET ino = ?, version = ? WHERE ino = ? AND version = ? AND shared = 1`, a.Ino, a.Version, was.Ino, was.Version),
		tx.run(`UPDATE inodes SET atime = ?, mtime = ?, btime = ? WHERE ino = ?`, was.Atime, was.Mtime, was.Btime, a.Ino),
		tx.restoreXattrs(a.Ino, u.ID),
	)
	if err != nil || !a.IsRegular() {
		return err
	}
	var ops []Op
	err = tx.query(`SELECT off, len, segment, pos FROM trash_extents WHERE id = ? ORDER BY off`, func(r row) error {
		ops = append(ops, Op{Off: r.int(0), Len: r.int(1), Segment: r.uint(2), Pos: r.int(3)})
		return nil
	}, u.ID)
	if err != nil {
		return err
	}
	return tx.adopt(&a, was.Size, was.Mtime, ops)
}

// restoreXattrs gives an inode the attributes of a file in the trash.
func (tx *txn) restoreXattrs(ino Ino, id int64) error {
	err := tx.query(`SELECT name FROM trash_xattrs WHERE id = ?`, func(r row) error {
		tx.db.attrNames.add(string(r.bytes(0)))
		return nil
	}, id)
	return errors.Join(err, tx.run(`INSERT INTO xattrs (ino, name, value) SELECT ?, name, value FROM trash_xattrs WHERE id = ?`, ino, id))
}

// relink makes a name a link of the file that it was one of, unless that is gone
// or has other content than it had then. What of its content is not stored yet,
// a restore from the trash was never to give.
func (tx *txn) relink(u *Untrashed, parent Ino, name []byte, was *Attr) (done bool, err error) {
	a, err := tx.attr(was.Ino)
	if errors.Is(err, ErrNotExist) || err == nil && (a.Nlink == 0 || a.Nlink >= maxLinks || a.Dirty || a.PubVersion != was.Version) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	u.Ino, u.Size, u.Linked = a.Ino, a.Size, true
	return true, errors.Join(tx.bind(parent, name, &a), tx.setLinks(&a, a.Nlink+1), tx.touchDir(parent, 0))
}

// makeWay returns the directory and the name of a path, and makes what is
// missing on the way.
func (tx *txn) makeWay(u *Untrashed, c *CreateRequest) (dir Ino, name []byte, err error) {
	names := bytes.Split(u.Path, []byte("/"))
	for _, name := range names {
		if err := checkName(name); err != nil {
			return 0, nil, err
		}
	}
	dir = Root
	last := len(names) - 1
	for _, name := range names[:last] {
		a, err := tx.lookup(dir, name)
		if errors.Is(err, ErrNotExist) {
			u.Made++
			a, err = tx.create(CreateRequest{Parent: dir, Name: name, Mode: modeDir | 0o700, UID: c.UID, GID: c.GID}, true)
		}
		if err == nil && !a.IsDir() {
			err = fmt.Errorf("%.64q: %w", name, ErrNotDir)
		}
		if err != nil {
			return 0, nil, err
		}
		dir = a.Ino
	}
	return dir, names[last], nil
}

// adopt gives a regular file that was never published and that staging holds
// nothing of the content of extents of others, in ascending order. No byte
// moves: the next trailer says where it lies, and until then the table adopted
// does. ErrStoring: a segment is not certified. ErrStale: the file was published.
func (tx *txn) adopt(a *Attr, size, mtime int64, ops []Op) error {
	if !a.IsRegular() || a.PubVersion != 0 {
		return fmt.Errorf("inode %d, version %d: %w", a.Ino, a.PubVersion, ErrStale)
	}
	for i := range ops {
		if err := tx.need(ops[i].Segment); err != nil {
			return err
		}
		if err := tx.lay(tx.st.open, a.Ino, ops[i]); err != nil {
			return err
		}
	}
	tx.st.bytes += size - a.Size
	return errors.Join(
		tx.run(`UPDATE inodes SET size = ?1, pub_size = ?1, mtime = ?2, pub_mtime = ?2, dirty = 0, touched = 0,
			pub_version = version, pub_generation = 0, generation = ?3 WHERE ino = ?4`, size, mtime, tx.st.open, a.Ino),
		tx.run(`DELETE FROM jobs WHERE ino = ?`, a.Ino),
		tx.run(`INSERT INTO adopted (ino) VALUES (?)`, a.Ino),
	)
}

// need makes sure that a segment stays: somebody refers to it again.
func (tx *txn) need(segment uint64) error {
	s, err := tx.segment(segment)
	if err != nil {
		return err
	}
	if s.Stage < walrus.Certified {
		return fmt.Errorf("segment %d: %w", segment, ErrStoring)
	}
	return tx.run(`UPDATE segments SET condemned = NULL WHERE number = ? AND condemned IS NOT NULL`, segment)
}

// anyAdopted reports whether there is adopted content.
func (c *conn) anyAdopted() (bool, error) {
	n, err := c.int(`SELECT EXISTS (SELECT 1 FROM adopted)`)
	return n != 0, err
}

// cutAdopted adds the content of the files whose extents are in no committed
// trailer, unless the cut completes a version of them: that has all of it. A
// file without a name is left out, and may be gone before the next cut.
func (tx *txn) cutAdopted(t *Trailer, whole map[Ino]uint64) error {
	var list []inode
	err := tx.query(`SELECT `+inodeColumns+` FROM adopted CROSS JOIN inodes i ON i.ino = adopted.ino
		WHERE i.nlink > 0`, func(r row) error {
		if n := scanInode(r); whole[n.Ino] == 0 {
			list = append(list, n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, n := range list {
		c := ContentRow{Ino: n.Ino, Version: n.PubVersion, Size: n.PubSize, Mtime: n.pubMtime}
		if c.Ops, err = tx.liveOps(n.Ino); err != nil {
			return err
		}
		t.Contents = append(t.Contents, c)
	}
	return nil
}

// mergeAdopted makes the content row of a version that was packed whole say
// all of it, if what it builds on stands in no trailer.
func (tx *txn) mergeAdopted(c *ContentRow) error {
	if _, err := tx.one(`SELECT 1 FROM adopted WHERE ino = ?`, c.Ino); err != nil {
		if errors.Is(err, errNoRow) {
			return nil
		}
		return err
	}
	below, err := tx.liveOps(c.Ino)
	if err != nil {
		return err
	}
	var ops []Op
	for _, op := range below {
		if op.Len = min(op.Len, c.Base-op.Off); op.Len > 0 {
			ops = append(ops, op)
		}
	}
	c.Base, c.Ops = 0, append(ops, c.Ops...)
	return nil
}

// liveOps returns the published content of a file.
func (c *conn) liveOps(ino Ino) (ops []Op, err error) {
	err = c.query(`SELECT off, len, segment, pos FROM extents WHERE ino = ? AND dead = 9223372036854775807 ORDER BY off`,
		func(r row) error {
			ops = append(ops, Op{Off: r.int(0), Len: r.int(1), Segment: r.uint(2), Pos: r.int(3)})
			return nil
		}, ino)
	return ops, err
}

// settleAdopted takes away what stands for the content of an adopted file, and
// reports whether the file was one: a trailer is committed that has all of it,
// or the file goes.
func (tx *txn) settleAdopted(ino Ino) (bool, error) {
	was, err := tx.exec(`DELETE FROM adopted WHERE ino = ?`, ino)
	if err != nil || was == 0 {
		return false, err
	}
	return true, tx.run(`DELETE FROM extents WHERE ino = ? AND dead = 9223372036854775807`, ino)
}

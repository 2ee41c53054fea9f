package index

import (
	"errors"
	"fmt"
)

// inode is a row of the table inodes.
type inode struct {
	Attr
	generation    uint64
	target        []byte
	touched       bool
	reap          bool
	pubGeneration uint64
	pubMtime      int64
}

// attrCount is the number of columns of attrColumns.
const attrCount = 15

const (
	attrColumns = `i.ino, i.mode, i.uid, i.gid, i.nlink, i.rdev, i.size, i.atime, i.mtime, i.ctime, i.btime,
		i.version, i.dirty, i.pub_version, i.pub_size`
	inodeColumns = attrColumns + `, i.generation, i.target, i.touched, i.reap, i.pub_generation, i.pub_mtime`

	sqlAttr  = `SELECT ` + attrColumns + ` FROM inodes i WHERE i.ino = ?`
	sqlInode = `SELECT ` + inodeColumns + ` FROM inodes i WHERE i.ino = ?`

	sqlInsertInode = `INSERT INTO inodes (ino, mode, uid, gid, nlink, rdev, size, atime, mtime, ctime, btime,
		version, dirty, pub_version, pub_size, generation, target, touched, reap, pub_generation, pub_mtime)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// scanAttr reads attrColumns that begin at column k.
func scanAttr(r row, k int) Attr {
	return Attr{
		Ino: r.ino(k), Mode: r.uint32(k + 1), UID: r.uint32(k + 2), GID: r.uint32(k + 3),
		Nlink: r.uint32(k + 4), Rdev: r.uint32(k + 5), Size: r.int(k + 6),
		Atime: r.int(k + 7), Mtime: r.int(k + 8), Ctime: r.int(k + 9), Btime: r.int(k + 10),
		Version: r.uint(k + 11), Dirty: r.int(k+12) != 0, PubVersion: r.uint(k + 13), PubSize: r.int(k + 14),
	}
}

// scanInode reads inodeColumns.
func scanInode(r row) inode {
	k := attrCount
	return inode{
		Attr: scanAttr(r, 0), generation: r.uint(k), target: r.bytes(k + 1), touched: r.int(k+2) != 0,
		reap: r.int(k+3) != 0, pubGeneration: r.uint(k + 4), pubMtime: r.int(k + 5),
	}
}

// attr returns the attributes of an inode, or ErrNotExist.
func (c *conn) attr(ino Ino) (Attr, error) {
	r, err := c.one(sqlAttr, ino)
	if err != nil {
		return Attr{}, missing(err, ino)
	}
	return scanAttr(r, 0), nil
}

// inode returns a whole row, or ErrNotExist.
func (c *conn) inode(ino Ino) (inode, error) {
	r, err := c.one(sqlInode, ino)
	if err != nil {
		return inode{}, missing(err, ino)
	}
	return scanInode(r), nil
}

// missing turns errNoRow into ErrNotExist.
func missing(err error, ino Ino) error {
	if errors.Is(err, errNoRow) {
		return fmt.Errorf("inode %d: %w", ino, ErrNotExist)
	}
	return err
}

func (tx *txn) insertInode(n *inode) error {
	return tx.run(sqlInsertInode, n.Ino, n.Mode, n.UID, n.GID, n.Nlink, n.Rdev, n.Size,
		n.Atime, n.Mtime, n.Ctime, n.Btime, n.Version, truth(n.Dirty), n.PubVersion, n.PubSize,
		n.generation, n.target, truth(n.touched), truth(n.reap), n.pubGeneration, n.pubMtime)
}

// dir returns a directory that has not been removed.
func (tx *txn) dir(ino Ino) (Attr, error) {
	a, err := tx.attr(ino)
	switch {
	case err != nil:
		return a, err
	case !a.IsDir():
		return a, fmt.Errorf("inode %d: %w", ino, ErrNotDir)
	case a.Nlink == 0:
		return a, fmt.Errorf("removed directory %d: %w", ino, ErrNotExist)
	}
	return a, nil
}

// touchDir notes that the names in a directory changed, and how many of its
// subdirectories came or went.
//
// The three statements differ in the indexes that they make SQLite rewrite.
func (tx *txn) touchDir(ino Ino, subdirs int) error {
	if subdirs != 0 {
		return tx.run(`UPDATE inodes SET mtime = ?, ctime = ?, nlink = nlink + ?, generation = ? WHERE ino = ?`,
			tx.now, tx.now, subdirs, tx.st.open, ino)
	}
	n, err := tx.exec(`UPDATE inodes SET mtime = ?, ctime = ? WHERE ino = ? AND generation = ?`,
		tx.now, tx.now, ino, tx.st.open)
	if err != nil || n != 0 {
		return err
	}
	return tx.run(`UPDATE inodes SET mtime = ?, ctime = ?, generation = ? WHERE ino = ?`,
		tx.now, tx.now, tx.st.open, ino)
}

// setLinks sets the link count of an inode that lost or got a name.
// A last link that goes is no change that a trailer has to carry.
func (tx *txn) setLinks(a *Attr, nlink uint32) error {
	a.Nlink, a.Ctime = nlink, tx.now
	if nlink > 0 {
		return tx.run(`UPDATE inodes SET nlink = ?, ctime = ?, generation = ? WHERE ino = ?`,
			nlink, tx.now, tx.st.open, a.Ino)
	}
	// Names that waited for the inode need not wait any longer, see nameCut.
	return errors.Join(
		tx.run(`UPDATE inodes SET nlink = 0, ctime = ? WHERE ino = ?`, tx.now, a.Ino),
		tx.run(`DELETE FROM jobs WHERE ino = ?`, a.Ino),
		tx.run(`UPDATE dirents INDEXED BY dirents_pub SET generation = ?1
			WHERE pub = ?2 AND pub IS NOT NULL AND ino IS NOT pub AND generation < ?1`, tx.st.open, a.Ino),
	)
}

// removeDir notes that a directory lost its name. Nothing in it is published
// any longer for the sake of another name.
func (tx *txn) removeDir(a *Attr) error {
	return errors.Join(
		tx.setLinks(a, 0),
		tx.run(`UPDATE dirents SET generation = ?1 WHERE parent = ?2 AND generation < ?1`, tx.st.open, a.Ino),
	)
}

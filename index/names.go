package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// MaxName is the length of the longest name in bytes. Source: NAME_MAX of Linux.
const MaxName = 255

// maxTarget is the length of the longest target of a symbolic link in bytes.
// Source: PATH_MAX of Linux, which counts a final NUL.
const maxTarget = 4095

// maxLinks is the largest number of links of a file. Source: EXT4_LINK_MAX.
const maxLinks = 65000

// checkName returns ErrName or ErrNameLong for what cannot name an entry.
func checkName(name []byte) error {
	switch {
	case len(name) > MaxName:
		return ErrNameLong
	case len(name) == 0, string(name) == ".", string(name) == "..", bytes.IndexByte(name, '/') >= 0, bytes.IndexByte(name, 0) >= 0:
		return fmt.Errorf("%q: %w", name, ErrName)
	}
	return nil
}

const (
	sqlLookup = `SELECT ` + attrColumns + ` FROM dirents d JOIN inodes i ON i.ino = d.ino
		WHERE d.parent = ? AND d.name = ?`
	sqlBind = `INSERT INTO dirents (parent, name, ino, pub, cookie, generation, needs) VALUES (?, ?, ?, NULL, ?, ?, ?)
		ON CONFLICT (parent, name) DO UPDATE SET ino = excluded.ino, cookie = excluded.cookie,
		generation = excluded.generation, needs = excluded.needs WHERE ino IS NULL`
)

// Lookup returns the inode that a live name is bound to, or ErrNotExist.
func (db *DB) Lookup(ctx context.Context, parent Ino, name []byte) (Attr, error) {
	return db.reading(func(c *conn) (Attr, error) { return c.lookup(parent, name) })
}

func (c *conn) lookup(parent Ino, name []byte) (Attr, error) {
	r, err := c.one(sqlLookup, parent, nonNil(name))
	if errors.Is(err, errNoRow) {
		return Attr{}, ErrNotExist
	}
	if err != nil {
		return Attr{}, err
	}
	return scanAttr(r, 0), nil
}

// nonNil keeps an empty blob from becoming NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// bind gives a name to an inode, or returns ErrExist when the name is live.
func (tx *txn) bind(parent Ino, name []byte, a *Attr) error {
	n, err := tx.exec(sqlBind, parent, name, a.Ino, tx.newCookie(), tx.st.open, a.needs())
	if err == nil && n == 0 {
		return ErrExist
	}
	return err
}

// rebind gives a live name to another inode. The entry keeps its cookie.
func (tx *txn) rebind(parent Ino, name []byte, a *Attr) error {
	return tx.run(`UPDATE dirents SET ino = ?, generation = ?, needs = ? WHERE parent = ? AND name = ?`,
		a.Ino, tx.st.open, a.needs(), parent, name)
}

// needs returns the version that has to be published with a name that an
// inode gets now; 0: any.
func (a *Attr) needs() uint64 {
	if a.IsRegular() && a.Dirty {
		return a.Version
	}
	return 0
}

// unbind takes a live name away. What is published under it stays until a cut.
func (tx *txn) unbind(parent Ino, name []byte) error {
	n, err := tx.exec(`DELETE FROM dirents WHERE parent = ? AND name = ? AND pub IS NULL`, parent, name)
	if err != nil || n != 0 {
		return err
	}
	return tx.run(`UPDATE dirents SET ino = NULL, generation = ? WHERE parent = ? AND name = ?`,
		tx.st.open, parent, name)
}

// Create makes an inode under a new name. A regular file starts with version
// 1, open-dirty: the first writes need no MarkDirty. ErrNotExist: the parent is
// gone. ErrNotDir, ErrExist, ErrName, ErrNameLong; ErrRange: no such type of
// file, or the target of a symbolic link is empty or longer than 4095 bytes.
func (db *DB) Create(ctx context.Context, r CreateRequest) (a Attr, err error) {
	named := len(r.Name) > 0
	if named {
		if err := checkName(r.Name); err != nil {
			return a, err
		}
	}
	if err := checkKind(r.Mode, r.Target); err != nil {
		return a, err
	}
	if !named && r.Mode&modeType != modeRegular {
		return a, fmt.Errorf("create: %w", ErrName)
	}
	return db.answer(&op{kind: opCreate, create: r}, db.update)
}

// createIn makes an inode under a name, or without one.
func (tx *txn) createIn(r CreateRequest) (Attr, error) {
	named := len(r.Name) > 0
	if named || r.Parent != 0 {
		parent, err := tx.dir(r.Parent)
		if err != nil {
			return Attr{}, err
		}
		r.inherit(parent.Mode, parent.GID)
	}
	return tx.create(r, named)
}

// inherit gives an inode what a directory with the set-gid bit passes on.
func (r *CreateRequest) inherit(mode, gid uint32) {
	if mode&modeSetGID == 0 {
		return
	}
	r.GID = gid
	if r.Mode&modeType == modeDir {
		r.Mode |= modeSetGID
	}
}

// checkKind returns ErrRange for a mode without a file type and for a bad target.
func checkKind(mode uint32, target []byte) error {
	switch mode & modeType {
	case modeSymlink:
		if len(target) == 0 || len(target) > maxTarget || bytes.IndexByte(target, 0) >= 0 {
			return fmt.Errorf("symbolic link to %d bytes: %w", len(target), ErrRange)
		}
		return nil
	case modeDir, modeRegular, modeFifo, modeSocket, modeChar, modeBlock:
		if len(target) != 0 {
			return fmt.Errorf("mode %o with a target: %w", mode, ErrRange)
		}
		return nil
	}
	return fmt.Errorf("mode %o: %w", mode, ErrRange)
}

func (tx *txn) create(r CreateRequest, named bool) (Attr, error) {
	n := inode{
		Attr: Attr{Mode: r.Mode, UID: r.UID, GID: r.GID, Rdev: r.Rdev, Size: int64(len(r.Target)), Version: 1,
			Atime: tx.now, Mtime: tx.now, Ctime: tx.now, Btime: tx.now},
		generation: tx.st.open, target: r.Target,
	}
	if n.Ino = tx.made; n.Ino == 0 {
		n.Ino = tx.newIno()
	}
	tx.above(n.Ino + 1)
	if err := tx.inheritACL(&n, &r); err != nil {
		return Attr{}, err
	}
	if n.IsRegular() {
		n.Dirty = true
	} else {
		n.PubVersion = 1
	}
	subdirs := 0
	if named {
		n.Nlink = 1
		if n.IsDir() {
			n.Nlink, subdirs = 2, 1
		}
		if err := tx.bind(r.Parent, r.Name, &n.Attr); err != nil {
			return Attr{}, err
		}
		if err := tx.touchDir(r.Parent, subdirs); err != nil {
			return Attr{}, err
		}
	}
	tx.st.inodes++
	return n.Attr, tx.insertInode(&n)
}

// Link gives an inode that is no directory another name and returns its
// attributes. ErrIsDir, ErrLinks (more than 65000), and as Create.
func (db *DB) Link(ctx context.Context, ino, parent Ino, name []byte) (a Attr, err error) {
	if err := checkName(name); err != nil {
		return a, err
	}
	return db.answer(&op{kind: opLink, ino: ino, parent: parent, name: name}, db.update)
}

func (tx *txn) link(ino, parent Ino, name []byte) (Attr, error) {
	if _, err := tx.dir(parent); err != nil {
		return Attr{}, err
	}
	if err := tx.queueFirst(ino, 0); err != nil { // it is told with the name what size the file has
		return Attr{}, err
	}
	a, err := tx.attr(ino)
	if err != nil {
		return a, err
	}
	switch {
	case a.IsDir():
		return a, ErrIsDir
	case a.Nlink >= maxLinks:
		return a, ErrLinks
	}
	if err := tx.bind(parent, name, &a); err != nil {
		return a, err
	}
	if err := tx.setLinks(&a, a.Nlink+1); err != nil {
		return a, err
	}
	return a, errors.Join(tx.reconsider(&a), tx.touchDir(parent, 0))
}

// Unlink removes the name of anything but a directory (ErrIsDir) and returns
// the inode as it is afterwards. A file that loses its last name goes to the trash, and
// so does a name that was stored of a file that has others.
func (db *DB) Unlink(ctx context.Context, parent Ino, name []byte) (a Attr, err error) {
	return db.answer(&op{kind: opUnlink, parent: parent, name: name}, func(fn func(*txn) error) error {
		return db.deleting(db.update, fn)
	})
}

func (tx *txn) unlink(parent Ino, name []byte) (Attr, error) {
	a, err := tx.lookup(parent, name)
	if err != nil {
		return a, err
	}
	if a.IsDir() {
		return a, ErrIsDir
	}
	if err := tx.keep(&a, parent, name, false); err != nil {
		return a, err
	}
	if err := tx.unbind(parent, name); err != nil {
		return a, err
	}
	if err := tx.setLinks(&a, a.Nlink-1); err != nil {
		return a, err
	}
	return a, errors.Join(tx.reconsider(&a), tx.touchDir(parent, 0))
}

// Vanish removes every live name of a file, as Unlink does.
func (db *DB) Vanish(ctx context.Context, ino Ino) error {
	return db.deleting(db.update, func(tx *txn) error {
		a, err := tx.attr(ino)
		if err != nil {
			return err
		}
		if a.IsDir() {
			return ErrIsDir
		}
		var names []edge
		err = tx.query(`SELECT parent, name FROM dirents INDEXED BY dirents_ino WHERE ino = ?`, func(r row) error {
			names = append(names, edge{parent: r.ino(0), name: r.bytes(1)})
			return nil
		}, ino)
		if err != nil {
			return err
		}
		if len(names) > 0 {
			last := a
			last.Nlink = 1 // all names go
			if err := tx.keep(&last, names[0].parent, names[0].name, false); err != nil {
				return err
			}
		}
		for _, n := range names {
			if err := errors.Join(tx.unbind(n.parent, n.name), tx.touchDir(n.parent, 0)); err != nil {
				return err
			}
		}
		return tx.setLinks(&a, 0)
	})
}

// Rmdir removes an empty directory and returns it as it is afterwards.
// ErrNotDir, ErrNotEmpty.
func (db *DB) Rmdir(ctx context.Context, parent Ino, name []byte) (a Attr, err error) {
	return db.answer(&op{kind: opRmdir, parent: parent, name: name}, db.update)
}

func (tx *txn) rmdir(parent Ino, name []byte) (Attr, error) {
	a, err := tx.lookup(parent, name)
	if err != nil {
		return a, err
	}
	if !a.IsDir() {
		return a, ErrNotDir
	}
	if err := tx.checkEmpty(a.Ino); err != nil {
		return a, err
	}
	if err := tx.unbind(parent, name); err != nil {
		return a, err
	}
	if err := tx.removeDir(&a); err != nil {
		return a, err
	}
	return a, tx.touchDir(parent, -1)
}

// checkEmpty returns ErrNotEmpty when a directory has live names.
func (c *conn) checkEmpty(dir Ino) error {
	_, err := c.one(`SELECT 1 FROM dirents INDEXED BY dirents_cookie WHERE parent = ? AND ino IS NOT NULL LIMIT 1`, dir)
	if errors.Is(err, errNoRow) {
		return nil
	}
	if err != nil {
		return err
	}
	return ErrNotEmpty
}

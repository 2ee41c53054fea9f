package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Get returns an inode, or ErrNotExist.
func (db *DB) Get(ctx context.Context, ino Ino) (Attr, error) {
	return db.reading(func(c *conn) (Attr, error) { return c.attr(ino) })
}

// reading reads attributes, with what waits to be queued over them.
func (db *DB) reading(fn func(*conn) (Attr, error)) (a Attr, err error) {
	for fresh := false; !fresh; {
		moment := db.soon.moment()
		err = db.peek(func(c *conn) error {
			a, err = fn(c)
			fresh = err != nil || db.over(c, &a, moment)
			return err
		})
		if err != nil {
			return a, err
		}
	}
	return a, nil
}

// SetAttr changes attributes and returns all of them. The mtime of a file
// whose live version is the published one is published too. A new mode changes
// the access ACL. ErrStale: a new
// size for a file that is not marked dirty; ErrRange: a negative size, or the
// size of something that is no regular file.
func (db *DB) SetAttr(ctx context.Context, ino Ino, c Change) (a Attr, err error) {
	if c.Size == nil {
		return db.answer(&op{kind: opSetAttr, ino: ino, change: c}, db.update)
	}
	err = db.update(func(tx *txn) error {
		a, err = tx.setAttr(ino, c)
		return err
	})
	return a, err
}

func (tx *txn) setAttr(ino Ino, c Change) (Attr, error) {
	if err := tx.queueFirst(ino, c.Seq); err != nil {
		return Attr{}, err
	}
	n, err := tx.inode(ino)
	if err != nil {
		return Attr{}, err
	}
	if c.Size != nil {
		if err := checkResize(&n.Attr, *c.Size); err != nil {
			return Attr{}, err
		}
		tx.st.bytes += *c.Size - n.Size
	}
	if n.Dirty {
		tx.newer(ino, toldRow, c.Seq)
	}
	n.apply(c, tx.now)
	n.generation = tx.st.open
	if c.Mode != nil {
		if err := tx.chmodACL(&n); err != nil {
			return Attr{}, err
		}
	}
	return n.Attr, tx.saveAttr(&n)
}

func checkResize(a *Attr, size int64) error {
	switch {
	case size < 0, !a.IsRegular():
		return fmt.Errorf("size %d of inode %d: %w", size, a.Ino, ErrRange)
	case !a.Dirty && size != a.Size:
		return fmt.Errorf("size %d of clean inode %d: %w", size, a.Ino, ErrStale)
	}
	return nil
}

func (n *inode) apply(c Change, now int64) {
	if c.Mode != nil {
		n.Mode = n.Mode&modeType | *c.Mode&modePerm
	}
	for _, f := range []struct {
		from *uint32
		to   *uint32
	}{{c.UID, &n.UID}, {c.GID, &n.GID}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	n.Ctime = now
	for _, f := range []struct {
		from *int64
		to   *int64
	}{{c.Size, &n.Size}, {c.Atime, &n.Atime}, {c.Mtime, &n.Mtime}, {c.Ctime, &n.Ctime}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if c.Mtime != nil {
		n.touched = n.Dirty
		if !n.Dirty {
			n.pubMtime = n.Mtime
		}
	}
}

func (tx *txn) saveAttr(n *inode) error {
	return tx.run(`UPDATE inodes SET mode = ?, uid = ?, gid = ?, size = ?, atime = ?, mtime = ?, ctime = ?,
		generation = ?, touched = ?, pub_mtime = ? WHERE ino = ?`,
		n.Mode, n.UID, n.GID, n.Size, n.Atime, n.Mtime, n.Ctime, n.generation, truth(n.touched), n.pubMtime, n.Ino)
}

// ReadDir returns up to max entries of a directory whose cookies are greater
// than after, in the order of their cookies. An entry keeps its cookie for life.
func (db *DB) ReadDir(ctx context.Context, dir Ino, after uint64, max int) (entries []Entry, err error) {
	moment := db.soon.moment()
	var stale []int
	err = db.peekAll(func(c *conn) error {
		err := c.query(`SELECT d.cookie, d.name, `+attrColumns+`
			FROM dirents d INDEXED BY dirents_cookie CROSS JOIN inodes i ON i.ino = d.ino
			WHERE d.parent = ? AND d.cookie > ? AND d.ino IS NOT NULL ORDER BY d.cookie LIMIT ?`,
			func(r row) error {
				e := Entry{Cookie: r.uint(0), Name: r.bytes(1), Attr: scanAttr(r, 2)}
				if !db.over(c, &e.Attr, moment) {
					stale = append(stale, len(entries))
				}
				entries = append(entries, e)
				return nil
			}, dir, after, max)
		if err != nil || len(entries) > 0 {
			return err
		}
		a, err := c.attr(dir)
		if err == nil && !a.IsDir() {
			return ErrNotDir
		}
		return err
	})
	for _, i := range stale {
		if err == nil {
			entries[i].Attr, err = db.Get(ctx, entries[i].Attr.Ino)
		}
	}
	return entries, err
}

// LastCookie returns the greatest cookie in a directory, 0 when it is empty.
// Entries that come later have greater ones.
func (db *DB) LastCookie(ctx context.Context, dir Ino) (cookie uint64, err error) {
	err = db.peek(func(c *conn) error {
		n, err := c.int(`SELECT coalesce(max(cookie), 0) FROM dirents INDEXED BY dirents_cookie
			WHERE parent = ? AND ino IS NOT NULL`, dir)
		cookie = uint64(n)
		return err
	})
	return cookie, err
}

// Readlink returns the target of a symbolic link. ErrRange: it is something else.
func (db *DB) Readlink(ctx context.Context, ino Ino) (target []byte, err error) {
	err = db.peek(func(c *conn) error {
		n, err := c.inode(ino)
		if err == nil && !n.IsSymlink() {
			return fmt.Errorf("inode %d is no symbolic link: %w", ino, ErrRange)
		}
		target = n.target
		return err
	})
	return target, err
}

const sqlNameOf = `SELECT parent, name FROM dirents INDEXED BY dirents_ino WHERE ino = ? LIMIT 1`

func (c *conn) parent(ino Ino) (Ino, error) {
	parent, _, err := c.nameOf(ino)
	return parent, err
}

// nameOf returns a live name of an inode, or ErrNotExist.
func (c *conn) nameOf(ino Ino) (Ino, []byte, error) {
	r, err := c.one(sqlNameOf, ino)
	if err != nil {
		return 0, nil, missing(err, ino)
	}
	return r.ino(0), r.bytes(1), nil
}

// Parent returns a directory that holds a live name of the inode; Root is its own parent.
func (db *DB) Parent(ctx context.Context, ino Ino) (parent Ino, err error) {
	if ino == Root {
		return Root, nil
	}
	err = db.peek(func(c *conn) error {
		parent, err = c.parent(ino)
		return err
	})
	return parent, err
}

// Path returns a path of the inode from the root, beginning with a slash, for messages.
func (db *DB) Path(ctx context.Context, ino Ino) (string, error) {
	var names []string
	err := db.snapshot(func(c *conn) error {
		for ino != Root {
			parent, name, err := c.nameOf(ino)
			if err != nil {
				return err
			}
			names = append(names, string(name))
			ino = parent
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	slices.Reverse(names)
	return "/" + strings.Join(names, "/"), nil
}

// Paths returns all live paths of an inode that is no directory, without a leading slash.
func (db *DB) Paths(ctx context.Context, ino Ino) (paths []string, err error) {
	err = db.snapshot(func(c *conn) error {
		var names []edge
		err := c.query(`SELECT parent, name FROM dirents INDEXED BY dirents_ino WHERE ino = ?`, func(r row) error {
			names = append(names, edge{parent: r.ino(0), name: r.bytes(1)})
			return nil
		}, ino)
		if err != nil {
			return err
		}
		for _, n := range names {
			path := string(n.name)
			for at := n.parent; at != Root; {
				parent, name, err := c.nameOf(at)
				if err != nil {
					return err
				}
				path, at = string(name)+"/"+path, parent
			}
			paths = append(paths, path)
		}
		return nil
	})
	return paths, err
}

// Resolve walks a path from the root; empty elements and "." stay where they
// are. It follows no symbolic links. ErrNotExist, ErrNotDir.
func (db *DB) Resolve(ctx context.Context, path string) (a Attr, err error) {
	err = db.snapshot(func(c *conn) error {
		if a, err = c.attr(Root); err != nil {
			return err
		}
		for name := range bytes.SplitSeq([]byte(path), []byte("/")) {
			if a, err = c.step(a, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Attr{}, fmt.Errorf("resolve: %w", err)
	}
	return a, nil
}

func (c *conn) step(a Attr, name []byte) (Attr, error) {
	switch {
	case len(name) == 0:
		return a, nil
	case !a.IsDir():
		return a, ErrNotDir
	case string(name) == ".":
		return a, nil
	case string(name) == ".." && a.Ino == Root:
		return a, nil
	case string(name) == "..":
		parent, err := c.parent(a.Ino)
		if err != nil {
			return a, err
		}
		return c.attr(parent)
	}
	return c.lookup(a.Ino, name)
}

// Orphans returns the inodes without a live link.
func (db *DB) Orphans(ctx context.Context) (inos []Ino, err error) {
	err = db.view(func(c *conn) error {
		inos, err = c.inos(`SELECT ino FROM inodes INDEXED BY inodes_orphan WHERE nlink = 0 ORDER BY ino`)
		return err
	})
	return inos, err
}

// inos returns the first column of all rows.
func (c *conn) inos(sql string, args ...any) ([]Ino, error) {
	var inos []Ino
	err := c.query(sql, func(r row) error {
		inos = append(inos, r.ino(0))
		return nil
	}, args...)
	return inos, err
}

// Reap deletes inodes that have no link left and that nobody has open, in one
// transaction. Those that the published tree still needs go by themselves once
// that is over. It returns the inodes that have no link: nobody needs any
// longer what is local of them.
func (db *DB) Reap(ctx context.Context, inos ...Ino) (unlinked []Ino, err error) {
	err = db.update(func(tx *txn) error {
		unlinked = unlinked[:0]
		for _, ino := range inos {
			linked, err := tx.reap(ino)
			if err != nil {
				return err
			}
			if !linked {
				unlinked = append(unlinked, ino)
			}
		}
		return nil
	})
	return unlinked, err
}

// reap deletes an inode, at once or later, unless it has links.
func (tx *txn) reap(ino Ino) (linked bool, err error) {
	n, err := tx.inode(ino)
	switch {
	case errors.Is(err, ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case n.Nlink > 0:
		return true, nil
	}
	deleted, err := tx.bury(&n)
	if err == nil && !deleted {
		err = tx.run(`UPDATE inodes SET reap = 1 WHERE ino = ?`, ino)
	}
	return false, err
}

// bury deletes an inode unless it is published under some name or the cut
// that is not committed yet may publish it.
func (tx *txn) bury(n *inode) (bool, error) {
	if tx.st.cut.names(n.Ino) {
		return false, nil
	}
	if _, err := tx.one(`SELECT 1 FROM dirents INDEXED BY dirents_pub
		WHERE pub = ? AND pub IS NOT NULL AND ino IS NOT pub LIMIT 1`, n.Ino); !errors.Is(err, errNoRow) {
		return false, err
	}
	if _, err := tx.settleAdopted(n.Ino); err != nil {
		return false, err
	}
	if err := errors.Join(tx.retire(n), tx.dropCopy(n.Ino)); err != nil {
		return false, err
	}
	for _, sql := range []string{
		`DELETE FROM inodes WHERE ino = ?`, `DELETE FROM xattrs WHERE ino = ?`, `DELETE FROM hashes WHERE ino = ?`,
		`DELETE FROM jobs WHERE ino = ?`, `DELETE FROM partials WHERE ino = ?`, `DELETE FROM held WHERE ino = ?`,
		`DELETE FROM pins WHERE ino = ?`,
	} {
		if err := tx.run(sql, n.Ino); err != nil {
			return false, err
		}
	}
	tx.setTold(n.Ino, told{})
	tx.st.inodes--
	if n.IsRegular() {
		tx.st.bytes -= n.Size
	}
	return true, nil
}

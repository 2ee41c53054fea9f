package index

import (
	"context"
	"errors"
	"fmt"
)

// A file is pinned, so that its local copy is never evicted, when it was, or
// else when a folder was that a name of it leads through. What is nearest on
// the way up counts, and of several names one is enough. Pins are this
// machine's own: no trailer carries them, and a restore knows of none.

// SetPin pins an inode and what is below it, or makes it an exception from
// pins above. ErrNotExist. Afterwards the caller fetches what PinnedAbsent returns.
func (db *DB) SetPin(ctx context.Context, ino Ino, pinned bool) error {
	return db.update(func(tx *txn) error {
		if _, err := tx.attr(ino); err != nil {
			return err
		}
		return tx.run(`INSERT INTO pins (ino, pinned) VALUES (?, ?)
			ON CONFLICT (ino) DO UPDATE SET pinned = excluded.pinned`, ino, truth(pinned))
	})
}

// ClearPin undoes SetPin: what is above counts again. ErrNoAttr: there was nothing to undo.
func (db *DB) ClearPin(ctx context.Context, ino Ino) error {
	return db.update(func(tx *txn) error {
		n, err := tx.exec(`DELETE FROM pins WHERE ino = ?`, ino)
		if err == nil && n == 0 {
			err = fmt.Errorf("pin of inode %d: %w", ino, ErrNoAttr)
		}
		return err
	})
}

// Pinned reports whether an inode is pinned, itself or by a folder above. It
// costs one look-up while nothing is pinned, and one for each folder above else.
func (db *DB) Pinned(ctx context.Context, ino Ino) (pinned bool, err error) {
	err = db.snapshot(func(c *conn) error {
		some, err := c.somePinned()
		if some && err == nil {
			pinned, err = c.pinned(ino)
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("pin of inode %d: %w", ino, err)
	}
	return pinned, nil
}

// somePinned reports whether anything is pinned at all.
func (c *conn) somePinned() (bool, error) {
	n, err := c.int(`SELECT EXISTS (SELECT 1 FROM pins WHERE pinned = 1)`)
	return n != 0, err
}

// Evictable returns those of some inodes that are not pinned, and have no content whose storage has ended:
// what is here of others must not be given up.
func (db *DB) Evictable(ctx context.Context, inos []Ino) (may []Ino, err error) {
	at := db.atEpoch()
	err = db.snapshot(func(c *conn) error {
		pins, err := c.somePinned()
		if err != nil {
			return err
		}
		for _, ino := range inos {
			stays := false
			if pins {
				stays, err = c.pinned(ino)
			}
			if err == nil && !stays && at.now != 0 {
				stays, err = c.hasEnded(ino, at)
			}
			if err != nil {
				return fmt.Errorf("inode %d: %w", ino, err)
			}
			if !stays {
				may = append(may, ino)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("what may be evicted: %w", err)
	}
	return may, nil
}

func (c *conn) pinned(ino Ino) (bool, error) {
	if own, ok, err := c.ownPin(ino); ok || err != nil {
		return own, err
	}
	dirs, err := c.inos(`SELECT DISTINCT parent FROM dirents INDEXED BY dirents_ino WHERE ino = ?`, ino)
	if err != nil {
		return false, err
	}
	for _, dir := range dirs {
		if pinned, err := c.pinnedDir(dir); pinned || err != nil {
			return pinned, err
		}
	}
	return false, nil
}

// pinnedDir is pinned for a directory, which has one name.
func (c *conn) pinnedDir(dir Ino) (bool, error) {
	for {
		if own, ok, err := c.ownPin(dir); ok || err != nil {
			return own, err
		}
		up, err := c.parent(dir)
		if errors.Is(err, ErrNotExist) { // the root, or a directory that was removed
			return false, nil
		}
		if err != nil {
			return false, err
		}
		dir = up
	}
}

// ownPin returns what SetPin set for an inode itself.
func (c *conn) ownPin(ino Ino) (pinned, ok bool, err error) {
	r, err := c.one(`SELECT pinned FROM pins WHERE ino = ?`, ino)
	if errors.Is(err, errNoRow) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	return r.int(0) != 0, true, nil
}

// PinnedAbsent returns up to max pinned files above the inode after, in
// ascending order, that are stored and of which there is no local copy, or not
// a whole one. Its cost grows with what is pinned.
func (db *DB) PinnedAbsent(ctx context.Context, after Ino, max int) (list []Attr, err error) {
	err = db.view(func(c *conn) error {
		return c.query(`WITH RECURSIVE below (ino) AS (
				SELECT ino FROM pins WHERE pinned = 1
				UNION SELECT d.ino FROM below CROSS JOIN dirents d INDEXED BY dirents_cookie ON d.parent = below.ino
					WHERE d.ino IS NOT NULL AND d.ino NOT IN (SELECT ino FROM pins WHERE pinned = 0))
			SELECT `+attrColumns+` FROM below CROSS JOIN inodes i ON i.ino = below.ino
			WHERE i.ino > ? AND i.mode & 61440 = 32768 AND i.dirty = 0 AND i.pub_version > 0 AND i.size > 0 AND i.nlink > 0
				AND NOT EXISTS (SELECT 1 FROM copies c WHERE c.ino = i.ino AND c.bytes >= i.size)
			ORDER BY i.ino LIMIT ?`, func(r row) error {
			list = append(list, scanAttr(r, 0))
			return nil
		}, after, max)
	})
	if err != nil {
		return nil, fmt.Errorf("pinned files: %w", err)
	}
	return list, nil
}

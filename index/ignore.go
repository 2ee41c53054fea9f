package index

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
)

// A regular file that was never published is ignored while all its names match
// the list: its job rests, so that nothing of it gets into a segment or a trailer,
// and nobody waits for it. What was published once stays so under any name. A
// name under which another file is published counts as no match: that file would
// else stay there for good.

// CheckPattern returns an error for what cannot match a name: patterns are those
// of path.Match, for one name, without a slash.
func CheckPattern(pattern string) error {
	if pattern == "" || strings.Contains(pattern, "/") {
		return fmt.Errorf("%q matches no name: %w", pattern, ErrName)
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return fmt.Errorf("%q: %w", pattern, err)
	}
	return nil
}

// matches reports whether a name is on the list.
func (db *DB) matches(name []byte) bool {
	for _, pattern := range db.ignore {
		if ok, err := path.Match(pattern, string(name)); ok && err == nil {
			return true
		}
	}
	return false
}

// Ignored returns the versions of the files that are ignored.
func (db *DB) Ignored(ctx context.Context) (versions map[Ino]uint64, err error) {
	versions = map[Ino]uint64{}
	err = db.view(func(c *conn) error {
		return c.query(`SELECT ino, version FROM jobs INDEXED BY jobs_ignored WHERE ignored = 1`, func(r row) error {
			versions[r.ino(0)] = r.uint(1)
			return nil
		})
	})
	return versions, err
}

// IsIgnored reports whether a file is ignored.
func (db *DB) IsIgnored(ctx context.Context, ino Ino) (is bool, err error) {
	err = db.view(func(c *conn) error {
		is, err = c.isIgnored(ino)
		return err
	})
	return is, err
}

func (c *conn) isIgnored(ino Ino) (bool, error) {
	n, err := c.int(`SELECT EXISTS (SELECT 1 FROM jobs WHERE ino = ? AND ignored = 1)`, ino)
	return n != 0, err
}

// toIgnore finds out whether a file is to be ignored.
func (tx *txn) toIgnore(a *Attr) (bool, error) {
	if !a.IsRegular() || a.PubVersion > 0 || len(tx.db.ignore) == 0 {
		return false, nil
	}
	names, all := 0, true
	err := tx.query(`SELECT name, pub FROM dirents INDEXED BY dirents_ino WHERE ino = ?`, func(r row) error {
		names++
		all = all && r.ino(1) == 0 && tx.db.matches(r.bytes(0))
		return nil
	}, a.Ino)
	return all && names > 0, err
}

// reconsider looks again whether a file is to be ignored, since its names changed.
// One that is not any longer is queued as if it were written now.
func (tx *txn) reconsider(a *Attr) error {
	if !a.IsRegular() || a.PubVersion > 0 || a.Nlink == 0 {
		return nil
	}
	ignored, err := tx.toIgnore(a)
	if err != nil {
		return err
	}
	if ignored {
		return tx.run(`UPDATE jobs SET ignored = 1 WHERE ino = ? AND ignored = 0`, a.Ino)
	}
	return tx.run(`UPDATE jobs SET ignored = 0, queued = ?, tries = 0, next = 0, error = NULL
		WHERE ino = ? AND ignored = 1`, tx.now, a.Ino)
}

// displaced looks again at the file that has a name under which another one is published now.
func (tx *txn) displaced(parent Ino, name []byte) error {
	if !tx.db.matches(name) {
		return nil
	}
	a, err := tx.lookup(parent, name)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return tx.reconsider(&a)
}

// useList looks at all files that wait if the list is another one than the last time.
func (tx *txn) useList(patterns []string) error {
	if patterns == nil {
		return nil
	}
	list := strings.Join(patterns, "/")
	r, err := tx.one(sqlMeta, metaIgnore)
	if err == nil && r.text(0) == list {
		return nil
	}
	if err != nil && !errors.Is(err, errNoRow) {
		return err
	}
	var files []Attr
	err = tx.query(`SELECT `+attrColumns+` FROM jobs j CROSS JOIN inodes i ON i.ino = j.ino WHERE i.pub_version = 0`, func(r row) error {
		files = append(files, scanAttr(r, 0))
		return nil
	})
	if err != nil {
		return err
	}
	for i := range files {
		if err := tx.reconsider(&files[i]); err != nil {
			return err
		}
	}
	return tx.run(sqlSetMeta, metaIgnore, list)
}

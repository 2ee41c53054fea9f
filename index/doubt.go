package index

import "context"

// After a reboot a clean copy holds what was certified only if its bytes were
// on stable storage before. CopiesSynced notes that of copies; CopiesDoubt marks
// the others once and for good, so that they can go one after another.

// unsyncable is copies.synced of a copy that is not the whole content, doubtful
// that of one that must not be read any more.
const (
	doubtful   = -1
	unsyncable = -2
)

// CopiesUnsynced returns up to max clean copies that are the whole content, of
// which it is not known that they are on stable storage, with their versions.
func (db *DB) CopiesUnsynced(ctx context.Context, max int) (versions map[Ino]uint64, err error) {
	versions = map[Ino]uint64{}
	err = db.view(func(c *conn) error {
		return c.query(`SELECT c.ino, i.version FROM copies c JOIN inodes i ON i.ino = c.ino
			WHERE c.synced = 0 AND i.dirty = 0 AND i.version = i.pub_version LIMIT ?`, func(r row) error {
			versions[r.ino(0)] = r.uint(1)
			return nil
		}, max)
	})
	return versions, err
}

// CopiesUnsettled reports whether there are whole copies, of dirty files too,
// of which it is not known that they are on stable storage.
func (db *DB) CopiesUnsettled(ctx context.Context) (are bool, err error) {
	err = db.view(func(c *conn) error {
		n, err := c.int(`SELECT EXISTS (SELECT 1 FROM copies WHERE synced = 0)`)
		are = n != 0
		return err
	})
	return are, err
}

// CopiesSynced notes that copies are on stable storage, with the versions that
// they had, by CopiesUnsynced, before they were brought there. What was marked
// dirty since is left alone.
func (db *DB) CopiesSynced(ctx context.Context, versions map[Ino]uint64) error {
	return db.update(func(tx *txn) error {
		for ino, version := range versions {
			if err := tx.run(`UPDATE copies SET synced = ? WHERE ino = ? AND synced = 0 AND EXISTS (
				SELECT 1 FROM inodes i WHERE i.ino = copies.ino AND i.dirty = 0 AND i.version = ?)`, version, ino, version); err != nil {
				return err
			}
		}
		return nil
	})
}

// CopiesDoubt marks copies that a reboot may have damaged, listed or not, inside a barrier.
func (db *DB) CopiesDoubt(ctx context.Context, inos []Ino) error {
	return db.full(func(tx *txn) error {
		for _, ino := range inos {
			if err := tx.run(`INSERT INTO copies (ino, bytes, used, synced) VALUES (?, 0, 0, ?)
				ON CONFLICT (ino) DO UPDATE SET synced = excluded.synced`, ino, doubtful); err != nil {
				return err
			}
		}
		return tx.countBarrier()
	})
}

// CopiesGone forgets copies that CopiesDoubt has marked, once their files are
// gone. What was written and certified since is left alone.
func (db *DB) CopiesGone(ctx context.Context, inos []Ino) error {
	return db.update(func(tx *txn) error {
		for _, ino := range inos {
			n, err := tx.int(`SELECT count(*) FROM copies WHERE ino = ? AND synced = ?`, ino, doubtful)
			if err == nil && n > 0 {
				err = tx.dropCopy(ino)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

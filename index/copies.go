package index

import "context"

// Copy is a clean local copy of a file in staging.
type Copy struct {
	Ino   Ino
	Bytes int64
	Used  int64 // Unix time in nanoseconds
}

// CopyAdd notes that staging keeps a clean copy of a file, or its new length.
func (db *DB) CopyAdd(ctx context.Context, ino Ino, bytes int64) error {
	return db.update(func(tx *txn) error {
		return tx.run(`INSERT INTO copies (ino, bytes, used) VALUES (?, ?, ?)
			ON CONFLICT (ino) DO UPDATE SET bytes = excluded.bytes, used = excluded.used`, ino, bytes, tx.now)
	})
}

// CopyTouch notes that a clean copy was used.
func (db *DB) CopyTouch(ctx context.Context, ino Ino) error {
	return db.update(func(tx *txn) error {
		return tx.run(`UPDATE copies SET used = ? WHERE ino = ?`, tx.now, ino)
	})
}

// CopyDrop forgets a clean copy, inside a barrier: the file may go afterwards.
func (db *DB) CopyDrop(ctx context.Context, ino Ino) error {
	return db.full(func(tx *txn) error {
		if err := tx.run(`DELETE FROM copies WHERE ino = ?`, ino); err != nil {
			return err
		}
		return tx.countBarrier()
	})
}

// CopiesOldest returns up to max clean copies, those first that were not used for longest.
func (db *DB) CopiesOldest(ctx context.Context, max int) (list []Copy, err error) {
	err = db.view(func(c *conn) error {
		return c.query(`SELECT ino, bytes, used FROM copies ORDER BY used LIMIT ?`, func(r row) error {
			list = append(list, Copy{Ino: r.ino(0), Bytes: r.int(1), Used: r.int(2)})
			return nil
		}, max)
	})
	return list, err
}

// CopyInos returns the inodes that have a clean copy, in ascending order.
func (db *DB) CopyInos(ctx context.Context) (inos []Ino, err error) {
	err = db.view(func(c *conn) error {
		inos, err = c.inos(`SELECT ino FROM copies ORDER BY ino`)
		return err
	})
	return inos, err
}

// CopiesBytes returns the length of all clean copies together.
func (db *DB) CopiesBytes(ctx context.Context) (n int64, err error) {
	err = db.view(func(c *conn) error {
		n, err = c.int(`SELECT sum(bytes) FROM copies`)
		return err
	})
	return n, err
}

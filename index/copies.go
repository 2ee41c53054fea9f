package index

import (
	"context"
	"errors"
)

// Copy is a clean local copy of a file in staging.
type Copy struct {
	Ino   Ino
	Bytes int64 // that it takes on the disk
	Used  int64 // Unix time in nanoseconds
	Hot   bool  // it was used since it became a copy
}

// CopiesSum is how many clean copies there are, and how many bytes they take.
type CopiesSum struct {
	Files int64
	Bytes int64 // all of them
	Hot   int64 // those that were used since they became copies
}

// CopiesSum sums up the clean copies, from memory.
func (db *DB) CopiesSum() CopiesSum { return db.latest.Load().copies }

// CopyAdd notes that staging keeps a clean copy of a file, or its new length.
// Whether it survives a reboot is not known. ErrNotExist: the file was deleted.
func (db *DB) CopyAdd(ctx context.Context, ino Ino, bytes int64) error {
	return db.update(func(tx *txn) error { return tx.addCopy(ino, bytes, unsyncable) })
}

// KeptCopy is a clean copy that is new.
type KeptCopy struct {
	Ino   Ino
	Bytes int64 // that it takes on the disk
	Whole bool  // it is the whole content: then it survives a reboot once CopiesSynced says so
}

// CopyKeep is CopyAdd for copies that may be the whole content, in one transaction.
// Files that were deleted are skipped.
func (db *DB) CopyKeep(ctx context.Context, copies ...KeptCopy) error {
	return db.update(func(tx *txn) error {
		for _, k := range copies {
			synced := unsyncable
			if k.Whole {
				synced = 0
			}
			if err := tx.addCopy(k.Ino, k.Bytes, synced); err != nil && !errors.Is(err, ErrNotExist) {
				return err
			}
		}
		return nil
	})
}

func (tx *txn) addCopy(ino Ino, bytes int64, synced int) error {
	if _, err := tx.one(`SELECT 1 FROM inodes WHERE ino = ?`, ino); err != nil {
		return missing(err, ino)
	}
	if err := tx.dropCopy(ino); err != nil {
		return err
	}
	tx.st.copies.Files++
	tx.st.copies.Bytes += bytes
	return tx.run(`INSERT INTO copies (ino, bytes, used, synced) VALUES (?, ?, ?, ?)`, ino, bytes, tx.now, synced)
}

// CopiesTouch notes that clean copies were used. Inodes without one are skipped.
func (db *DB) CopiesTouch(ctx context.Context, inos []Ino) error {
	return db.update(func(tx *txn) error {
		for _, ino := range inos {
			r, err := tx.one(`SELECT bytes, hot FROM copies WHERE ino = ?`, ino)
			if errors.Is(err, errNoRow) {
				continue
			}
			if err != nil {
				return err
			}
			if r.int(1) == 0 {
				tx.st.copies.Hot += r.int(0)
			}
			if err := tx.run(`UPDATE copies SET used = ?, hot = 1 WHERE ino = ?`, tx.now, ino); err != nil {
				return err
			}
		}
		return nil
	})
}

// CopiesCool takes at least the given number of bytes from the copies that are
// hot, those first that were not used for longest, to those that are not.
func (db *DB) CopiesCool(ctx context.Context, bytes int64) error {
	return db.update(func(tx *txn) error {
		for bytes > 0 {
			r, err := tx.one(`SELECT ino, bytes FROM copies WHERE hot = 1 ORDER BY used LIMIT 1`)
			if errors.Is(err, errNoRow) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := tx.run(`UPDATE copies SET hot = 0 WHERE ino = ?`, r.ino(0)); err != nil {
				return err
			}
			bytes -= r.int(1)
			tx.st.copies.Hot -= r.int(1)
		}
		return nil
	})
}

// CopyDrop forgets clean copies, inside a barrier: the files may go afterwards.
func (db *DB) CopyDrop(ctx context.Context, inos ...Ino) error {
	return db.full(func(tx *txn) error {
		for _, ino := range inos {
			if err := tx.dropCopy(ino); err != nil {
				return err
			}
		}
		return tx.countBarrier()
	})
}

// dropCopy forgets a clean copy, if there is one.
func (tx *txn) dropCopy(ino Ino) error {
	r, err := tx.one(`SELECT bytes, hot FROM copies WHERE ino = ?`, ino)
	if errors.Is(err, errNoRow) {
		return nil
	}
	if err != nil {
		return err
	}
	tx.st.copies.Files--
	tx.st.copies.Bytes -= r.int(0)
	if r.int(1) != 0 {
		tx.st.copies.Hot -= r.int(0)
	}
	return tx.run(`DELETE FROM copies WHERE ino = ?`, ino)
}

// CopiesOldest returns up to max clean copies in the order in which they should
// go: those that were never used, then the others, each by time.
func (db *DB) CopiesOldest(ctx context.Context, max int) (list []Copy, err error) {
	err = db.view(func(c *conn) error {
		return c.query(`SELECT ino, bytes, used, hot FROM copies WHERE synced <> -1 ORDER BY hot, used LIMIT ?`, func(r row) error {
			list = append(list, Copy{Ino: r.ino(0), Bytes: r.int(1), Used: r.int(2), Hot: r.int(3) != 0})
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

// copiesSum adds up what CopiesSum has in memory.
func (c *conn) copiesSum() (s CopiesSum, err error) {
	r, err := c.one(`SELECT CAST(total(bytes) AS INTEGER), CAST(total(CASE WHEN hot = 1 THEN bytes END) AS INTEGER), count(*) FROM copies`)
	if err != nil {
		return s, err
	}
	return CopiesSum{Bytes: r.int(0), Hot: r.int(1), Files: r.int(2)}, nil
}

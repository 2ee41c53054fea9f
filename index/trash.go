package index

import (
	"context"
	"errors"
	"slices"
	"time"
)

// A regular file or a symbolic link that loses its last name goes to the trash,
// if it was stored: a row with its path, and references to the extents that
// were published. Nothing is copied, and a segment that the trash refers to is
// not collected. What was written and not packed yet is gone with the file.
//
// A name of a file that has others goes there too, if it was stored: when it is
// restored it is made a link of the file again, while that has the content of then.
//
// The trash belongs to this state folder: no trailer carries it.

// Trashed is a file in the trash.
type Trashed struct {
	ID       int64
	Path     []byte        // from the root, without a leading slash
	Deleted  time.Time     // as the machine's clock had it
	Age      time.Duration // that really passed since, as far as TrashClock knows
	Replaced bool          // another file took the name
	Mode     uint32        // with the type bits of st_mode
	Size     int64
	Mtime    int64 // Unix time in nanoseconds
}

// TrashQuery selects files in the trash; the zero value selects all.
type TrashQuery struct {
	ID     int64  // only this one
	Path   []byte // only what had this path, or one below it
	Before int64  // only IDs less than this, for the next page
	Max    int    // at most so many
}

// TrashSum sums up files in the trash.
type TrashSum struct {
	Files int64
	Bytes int64 // of their content
}

// trashPathSQL selects a path, ?1, and what lies below it, from ?2 up to ?3.
const trashPathSQL = `(?1 = x'' OR path = ?1 OR path >= ?2 AND path < ?3)`

// below returns the bounds of the paths below a path.
func below(path []byte) (from, to []byte) {
	return append(slices.Clip(path), '/'), append(slices.Clip(path), '/'+1)
}

// Trash lists files in the trash, those first that were deleted last.
func (db *DB) Trash(ctx context.Context, q TrashQuery) (list []Trashed, err error) {
	if q.Before == 0 {
		q.Before = never
	}
	if q.Max == 0 {
		q.Max = never
	}
	from, to := below(q.Path)
	err = db.snapshot(func(c *conn) error {
		passed, err := c.int(sqlMeta, metaTrashPassed)
		if err != nil {
			return err
		}
		return c.query(`SELECT id, deleted, passed, replaced, path, mode, size, mtime FROM trash
			WHERE `+trashPathSQL+` AND (?4 = 0 OR id = ?4) AND id < ?5 ORDER BY id DESC LIMIT ?6`, func(r row) error {
			list = append(list, Trashed{ID: r.int(0), Deleted: time.Unix(0, r.int(1)), Age: time.Duration(passed - r.int(2)),
				Replaced: r.int(3) != 0, Path: r.bytes(4), Mode: r.uint32(5), Size: r.int(6), Mtime: r.int(7)})
			return nil
		}, nonNil(q.Path), from, to, q.ID, q.Before, q.Max)
	})
	return list, err
}

// TrashSum returns how much lies in the trash, from memory.
func (db *DB) TrashSum() TrashSum {
	st := db.latest.Load()
	return TrashSum{Files: st.trashed, Bytes: st.trashedBytes}
}

// giveWay is how many files the trash gives up at first when there is no room.
const giveWay = 1000

// deleting runs fn, which may put a file into the trash. Who deletes files
// wants room: if there is none for that, the file goes without, and if there is
// none even so, what was deleted first gives way.
func (db *DB) deleting(commit func(func(*txn) error) error, fn func(*txn) error) error {
	err := commit(fn)
	for give := 0; db.trash && errors.Is(err, ErrFull); give = max(giveWay, 4*give) {
		gone := TrashSum{}
		err = commit(func(tx *txn) error {
			before := tx.gone
			tx.gone = true
			defer func() { tx.gone = before }()
			var err error
			if gone, err = tx.dropOldest(give); err != nil {
				return err
			}
			return fn(tx)
		})
		if err == nil {
			db.log.Warn("no room for the trash: a file was deleted for good", "op", "keep", "given up", gone.Files)
		}
		if give > 0 && gone.Files < int64(give) { // that was all
			return err
		}
	}
	return err
}

// dropOldest gives up to limit files up that were deleted first.
func (tx *txn) dropOldest(limit int) (TrashSum, error) {
	last, err := tx.int(`SELECT max(id) FROM (SELECT id FROM trash ORDER BY id LIMIT ?)`, limit)
	if err != nil || last == 0 {
		return TrashSum{}, err
	}
	return tx.drop(0, last)
}

// keep puts a name that is about to be lost, and is still bound, into the trash,
// with what it leads to.
func (tx *txn) keep(a *Attr, parent Ino, name []byte, replaced bool) error {
	if !tx.db.trash || tx.gone {
		return nil
	}
	stored, err := tx.isStored(a, parent, name)
	if err == nil && stored && a.Nlink > 1 {
		stored, err = tx.isPublished(a.Ino, parent, name)
	}
	if err != nil || !stored {
		return err
	}
	dir, err := tx.dirPath(parent)
	if err != nil {
		return err
	}
	path := append(slices.Clip(dir), name...)
	err = tx.run(`INSERT INTO trash (deleted, passed, replaced, path, mode, uid, gid, size, atime, mtime, btime, target, ino, version, shared)
		SELECT ?1, ?2, ?3, ?4, mode, uid, gid, CASE WHEN target IS NULL THEN pub_size ELSE size END, atime,
		CASE WHEN target IS NULL THEN pub_mtime ELSE mtime END, btime, target, ino, pub_version, ?6 FROM inodes WHERE ino = ?5`,
		tx.now, tx.st.passed, truth(replaced), path, a.Ino, truth(a.Nlink > 1))
	if err != nil {
		return err
	}
	tx.st.trashed++
	if a.IsRegular() {
		tx.st.trashedBytes += a.PubSize
		err = tx.run(`INSERT INTO trash_extents (id, off, len, segment, pos)
			SELECT last_insert_rowid(), off, len, segment, pos FROM extents WHERE ino = ? AND dead = 9223372036854775807`, a.Ino)
	}
	return errors.Join(err, tx.run(`INSERT INTO trash_xattrs (id, name, value)
		SELECT last_insert_rowid(), name, value FROM xattrs WHERE ino = ?`, a.Ino))
}

// isPublished reports whether a name was stored as one of this inode.
func (tx *txn) isPublished(ino, parent Ino, name []byte) (bool, error) {
	n, err := tx.int(`SELECT EXISTS (SELECT 1 FROM dirents WHERE parent = ? AND name = ? AND pub = ?)`, parent, name, ino)
	return n != 0, err
}

// isStored reports whether there is a published version of a file that can be had back.
func (tx *txn) isStored(a *Attr, parent Ino, name []byte) (bool, error) {
	switch {
	case a.IsRegular():
		if a.PubVersion == 0 {
			return false, nil
		}
		// A segment that was made again has zeros where the file had content.
		_, err := tx.one(`SELECT 1 FROM gaps d CROSS JOIN extents e ON e.ino = d.ino AND e.segment = d.segment
			WHERE d.ino = ? AND e.dead = 9223372036854775807 AND `+inGap+` LIMIT 1`, a.Ino)
		if errors.Is(err, errNoRow) {
			return true, nil
		}
		return false, err
	case a.IsSymlink(): // no version says so: locks are symbolic links for a moment
		n, err := tx.int(`SELECT EXISTS (SELECT 1 FROM dirents WHERE parent = ?1 AND name = ?2 AND pub = ?3) OR EXISTS
			(SELECT 1 FROM dirents INDEXED BY dirents_pub WHERE pub = ?3 AND pub IS NOT NULL AND ino IS NOT pub)`, parent, name, a.Ino)
		return n != 0, err
	}
	return false, nil
}

// pathOf is the path of the directory in which something was deleted last.
type pathOf struct {
	dir  Ino // 0: none
	path []byte
}

// dirPath returns the path of a directory as it begins the paths of its
// entries: with a slash at its end, and empty for the root.
func (tx *txn) dirPath(dir Ino) ([]byte, error) {
	if tx.db.lastDir.dir == dir {
		return tx.db.lastDir.path, nil
	}
	var names [][]byte
	for at := dir; at != Root; {
		parent, name, err := tx.nameOf(at)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
		at = parent
	}
	var path []byte
	for _, name := range slices.Backward(names) {
		path = append(append(path, name...), '/')
	}
	tx.forgetPath()
	tx.db.lastDir = pathOf{dir, path}
	return path, nil
}

// forgetPath is called when paths change, and again if that is undone.
func (tx *txn) forgetPath() {
	tx.db.lastDir = pathOf{}
	tx.undo = append(tx.undo, func() { tx.db.lastDir = pathOf{} })
}

// EmptyTrash gives up files in the trash for good and returns what they were.
// It commits FULL. IDs that are not there are left out.
func (db *DB) EmptyTrash(ctx context.Context, ids []int64) (gone TrashSum, err error) {
	err = db.full(func(tx *txn) error {
		gone = TrashSum{}
		for _, id := range ids {
			one, err := tx.drop(id, id)
			if err != nil {
				return err
			}
			gone.Files += one.Files
			gone.Bytes += one.Bytes
		}
		return tx.countBarrier()
	})
	return gone, err
}

// drop deletes the rows with IDs in a range.
func (tx *txn) drop(from, to int64) (gone TrashSum, err error) {
	r, err := tx.one(`SELECT count(*), CAST(total(CASE WHEN target IS NULL THEN size END) AS INTEGER) FROM trash WHERE id BETWEEN ? AND ?`, from, to)
	if err != nil {
		return gone, err
	}
	gone = TrashSum{Files: r.int(0), Bytes: r.int(1)}
	tx.st.trashed -= gone.Files
	tx.st.trashedBytes -= gone.Bytes
	return gone, errors.Join(
		tx.run(`DELETE FROM trash_extents WHERE id BETWEEN ? AND ?`, from, to),
		tx.run(`DELETE FROM trash_xattrs WHERE id BETWEEN ? AND ?`, from, to),
		tx.run(`DELETE FROM trash WHERE id BETWEEN ? AND ?`, from, to),
	)
}

// dropLost takes out of the trash what refers to a segment whose bytes are lost
// and made again: nothing of what was deleted can be.
func (tx *txn) dropLost(segment uint64) error {
	ids, err := tx.inos(`SELECT DISTINCT id FROM trash_extents WHERE segment = ?`, segment)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := tx.drop(int64(id), int64(id)); err != nil {
			return err
		}
	}
	return nil
}

// TrashClock tells how much time passed for the trash, which is not what the
// machine's clock says: that may be years ahead, and be put right.
type TrashClock struct {
	Passed time.Duration // in all
	// What the machine said when Passed was written down.
	Wall   time.Time
	Boot   string        // of which boot Uptime is; "": the trash was never looked at
	Uptime time.Duration // of the machine
}

// TrashClock returns what ExpireTrash wrote down.
func (db *DB) TrashClock(ctx context.Context) (t TrashClock, err error) {
	err = db.snapshot(func(c *conn) error {
		for key, field := range map[string]*int64{metaTrashPassed: (*int64)(&t.Passed), metaTrashUptime: (*int64)(&t.Uptime)} {
			if *field, err = c.int(sqlMeta, key); err != nil {
				return err
			}
		}
		wall, err := c.int(sqlMeta, metaTrashWall)
		if err != nil {
			return err
		}
		t.Wall = fromUnixNano(wall)
		r, err := c.one(sqlMeta, metaTrashBoot)
		if errors.Is(err, errNoRow) {
			return nil
		}
		if err == nil {
			t.Boot = r.text(0)
		}
		return err
	})
	return t, err
}

// ExpireTrash sets the trash's clock, which never goes back, and gives up
// at most limit files, the oldest first, that lie there for longer than keep.
func (db *DB) ExpireTrash(ctx context.Context, t TrashClock, keep time.Duration, limit int) (gone TrashSum, err error) {
	err = db.update(func(tx *txn) error {
		gone = TrashSum{}
		tx.st.passed = max(tx.st.passed, uint64(t.Passed))
		err := errors.Join(
			tx.run(sqlSetMeta, metaTrashWall, unixNano(t.Wall)),
			tx.run(sqlSetMeta, metaTrashBoot, t.Boot),
			tx.run(sqlSetMeta, metaTrashUptime, int64(t.Uptime)),
		)
		if err != nil {
			return err
		}
		last := int64(0)
		err = tx.query(`SELECT id, passed FROM trash ORDER BY id LIMIT ?`, func(r row) error {
			if time.Duration(tx.st.passed-r.uint(1)) > keep {
				last = r.int(0)
				return nil
			}
			return errStop
		}, limit)
		if err == errStop {
			err = nil
		}
		if err != nil || last == 0 {
			return err
		}
		gone, err = tx.drop(0, last)
		return err
	})
	return gone, err
}

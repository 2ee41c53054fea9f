package index

import (
	"context"
	"errors"
	"fmt"
)

// Queued is what Queue writes down of a file.
type Queued struct {
	Size  int64
	Mtime int64  // Unix time in nanoseconds
	Seq   uint64 // order of what is told of a file, see order; 0: not known, the newest

	told int64 // when, as Unix time in nanoseconds; 0: in the transaction
}

// Changed returns the ctime that a file with attributes a has with what is
// told of it: that of the last change of its content, now at most. It is another
// one than before, although the kernel's clock for content goes by ticks, and may be behind.
func (q Queued) Changed(a *Attr, now int64) int64 {
	if q.Mtime == a.Mtime {
		return a.Ctime
	}
	return max(a.Ctime+1, min(q.Mtime, now))
}

// Held is what staging holds of a file at a barrier.
type Held struct {
	Ino    Ino
	Size   int64
	Base   int64 // smallest size since the published version was snapshotted
	Mtime  int64
	Blocks []byte // packed bitmap of held 4 KiB blocks, zstd
	Seq    uint64 // as in Queued
}

// errNeedsBarrier ends a NORMAL transaction that would have to be FULL.
var errNeedsBarrier = errors.New("needs a barrier")

// MarkDirty raises the version of a regular file and marks it open-dirty. The
// commit is FULL when the file was clean and has published content, since then
// staging is about to differ from what certified blobs hold. Seq is as in
// Queued, and newer than every state of before. ErrRange: not a regular file.
func (db *DB) MarkDirty(ctx context.Context, ino Ino, seq uint64) (version uint64, err error) {
	err = db.update(func(tx *txn) error {
		version, err = tx.markDirty(ino, seq, false)
		return err
	})
	if !errors.Is(err, errNeedsBarrier) {
		return version, err
	}
	err = db.full(func(tx *txn) error {
		version, err = tx.markDirty(ino, seq, true)
		return err
	})
	return version, err
}

func (tx *txn) markDirty(ino Ino, seq uint64, inBarrier bool) (uint64, error) {
	a, err := tx.attr(ino)
	if err != nil {
		return 0, err
	}
	if !a.IsRegular() {
		return 0, fmt.Errorf("inode %d is no regular file: %w", ino, ErrRange)
	}
	version := a.Version + 1
	if a.Dirty {
		if err := tx.run(`DELETE FROM partials WHERE ino = ?`, ino); err != nil {
			return 0, err
		}
		return version, tx.run(`UPDATE inodes SET version = ? WHERE ino = ?`, version, ino)
	}
	if a.PubVersion > 0 && !inBarrier {
		return 0, errNeedsBarrier
	}
	// What a barrier wrote of the version before, or is about to, is behind what is published.
	tx.setTold(ino, told{seq, seq})
	return version, errors.Join(
		tx.run(`DELETE FROM held WHERE ino = ?`, ino),
		tx.run(`UPDATE copies SET synced = ? WHERE ino = ?`, unsyncable, ino),
		tx.run(`UPDATE inodes SET version = ?, dirty = 1, touched = 0 WHERE ino = ?`, version, ino),
	)
}

// Unmark takes back the MarkDirty that made a version, when nothing was written
// after all: the version before is the live one again. That one is the published
// one, or, with packing, about to be. It reports whether it did.
func (db *DB) Unmark(ctx context.Context, ino Ino, version uint64, packing bool) (done bool, err error) {
	err = db.update(func(tx *txn) error {
		n, err := tx.inode(ino)
		if err != nil {
			return err
		}
		published := n.PubVersion+1 == version
		if done = n.Dirty && n.Version == version && (published || packing); !done {
			return nil
		}
		if err := tx.run(`UPDATE inodes SET version = ?, dirty = ? WHERE ino = ?`, version-1, truth(!published), ino); err != nil {
			return err
		}
		// Names that the file got meanwhile would wait for a version that never comes.
		if err := tx.run(`UPDATE dirents SET needs = ? WHERE ino = ? AND needs = ?`, version-1, ino, version); err != nil {
			return err
		}
		if !published {
			return tx.run(`UPDATE jobs SET version = ? WHERE ino = ?`, version-1, ino)
		}
		if !n.touched {
			tx.setTold(ino, told{})
		}
		return errors.Join(
			tx.run(`DELETE FROM jobs WHERE ino = ?`, ino),
			tx.run(`DELETE FROM partials WHERE ino = ?`, ino),
			tx.run(`DELETE FROM held WHERE ino = ?`, ino),
		)
	})
	return done && err == nil, err
}

// Queue writes size and mtime of a dirty file into its row and adds a job for
// its version. A file that is clean keeps both, and one without a link gets no job.
func (db *DB) Queue(ctx context.Context, ino Ino, q Queued) error {
	if q.Size < 0 {
		return fmt.Errorf("size %d of inode %d: %w", q.Size, ino, ErrRange)
	}
	return db.update(func(tx *txn) error {
		_, err := tx.queue(ino, q)
		return err
	})
}

// queue does what Queue says and returns the file as it was.
func (tx *txn) queue(ino Ino, q Queued) (n inode, err error) {
	n, err = tx.inode(ino)
	if err != nil {
		return n, err
	}
	if !n.IsRegular() {
		return n, fmt.Errorf("inode %d is no regular file: %w", ino, ErrRange)
	}
	if !n.Dirty {
		return n, tx.settle(&n, q)
	}
	if !tx.newer(ino, toldRow, q.Seq) {
		return n, nil // whoever told the newer state added the job too
	}
	if err := tx.resize(&n, q); err != nil {
		return n, err
	}
	if n.touched {
		if err := tx.run(`UPDATE inodes SET touched = 0 WHERE ino = ?`, ino); err != nil {
			return n, err
		}
	}
	if n.Nlink == 0 {
		return n, nil
	}
	ignored, err := tx.toIgnore(&n.Attr)
	if err != nil {
		return n, err
	}
	return n, tx.run(`INSERT INTO jobs (ino, version, queued, tries, next, ignored) VALUES (?, ?, ?, 0, 0, ?)
		ON CONFLICT (ino) DO UPDATE SET version = excluded.version, tries = 0, next = 0, error = NULL, ignored = excluded.ignored
		WHERE version <> excluded.version`, ino, n.Version, tx.now, truth(ignored))
}

// settle takes over the last mtime of a version that was packed while the file
// was still open and its mtime had been set.
func (tx *txn) settle(n *inode, q Queued) error {
	if !n.touched || q.Size != n.Size || q.Seq != 0 && q.Seq < tx.db.told[n.Ino][toldRow] {
		return nil
	}
	tx.setTold(n.Ino, told{})
	if q.Mtime != n.Mtime {
		n.Mtime, n.pubMtime, n.Ctime, n.generation = q.Mtime, q.Mtime, tx.now, tx.st.open
	}
	n.touched = false
	return tx.saveAttr(n)
}

// resize brings the row of a dirty file in line with staging.
func (tx *txn) resize(n *inode, q Queued) error {
	if n.Size == q.Size && n.Mtime == q.Mtime {
		return nil
	}
	now := tx.now
	if q.told != 0 {
		now = q.told
	}
	n.Ctime = q.Changed(&n.Attr, now)
	tx.st.bytes += q.Size - n.Size
	n.Size, n.Mtime = q.Size, q.Mtime
	return tx.run(`UPDATE inodes SET size = ?, mtime = ?, ctime = ? WHERE ino = ?`, n.Size, n.Mtime, n.Ctime, n.Ino)
}

// Barrier makes everything committed before it, and what staging holds of the
// given files, survive a power cut: it always writes a row, and syncs the log. It adds
// jobs for the files like Queue; those that are gone are skipped. Callers that
// arrive while an earlier barrier runs share one. ErrUnsynced: the disk failed.
func (db *DB) Barrier(ctx context.Context, held []Held) error {
	for _, h := range held {
		if h.Size < 0 || h.Base < 0 {
			return fmt.Errorf("inode %d: size %d, base %d: %w", h.Ino, h.Size, h.Base, ErrRange)
		}
	}
	return db.synced(func(tx *txn) error { return tx.barrier(held...) })
}

// barrier does what Barrier says, in a transaction that is synced.
func (tx *txn) barrier(held ...Held) error {
	for i := range held {
		if err := tx.hold(&held[i]); err != nil && !errors.Is(err, ErrNotExist) {
			return err
		}
	}
	return tx.countBarrier()
}

// countBarrier writes a row, because a transaction that writes nothing syncs nothing.
func (tx *txn) countBarrier() error {
	return tx.run(`UPDATE meta SET value = value + 1 WHERE key = ?`, metaBarrier)
}

func (tx *txn) hold(h *Held) error {
	n, err := tx.queue(h.Ino, Queued{Size: h.Size, Mtime: h.Mtime, Seq: h.Seq})
	if err != nil || !n.Dirty || !tx.newer(h.Ino, toldHeld, h.Seq) {
		return err
	}
	return tx.run(`INSERT INTO held (ino, size, base, mtime, blocks) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (ino) DO UPDATE SET size = excluded.size, base = excluded.base,
		mtime = excluded.mtime, blocks = excluded.blocks`, h.Ino, h.Size, h.Base, h.Mtime, h.Blocks)
}

// Hold is Barrier for one file whose content is on stable storage already, and its
// names since a Barrier that began no sooner than the sync. Of a file that was
// never published it waits for no disk: after a reboot such a file is what its data
// file is, and nothing is published before this is committed.
func (db *DB) Hold(ctx context.Context, h Held) error {
	if h.Size < 0 || h.Base < 0 {
		return fmt.Errorf("inode %d: size %d, base %d: %w", h.Ino, h.Size, h.Base, ErrRange)
	}
	_, err := db.answer(&op{kind: opHold, held: h}, func(func(*txn) error) error { return errNeedsBarrier })
	if errors.Is(err, errNeedsBarrier) {
		return db.Barrier(ctx, []Held{h})
	}
	return err
}

// holdNew does what Barrier does for a file that was never published.
func (tx *txn) holdNew(h *Held) error {
	a, err := tx.attr(h.Ino)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err == nil && a.PubVersion > 0 {
		return errNeedsBarrier
	}
	return errors.Join(err, tx.hold(h))
}

// HeldAt returns what the last barrier wrote of a file, or ErrNotExist.
func (db *DB) HeldAt(ctx context.Context, ino Ino) (h Held, err error) {
	err = db.view(func(c *conn) error {
		r, err := c.one(`SELECT size, base, mtime, blocks FROM held WHERE ino = ?`, ino)
		if err != nil {
			return missing(err, ino)
		}
		h = Held{Ino: ino, Size: r.int(0), Base: r.int(1), Mtime: r.int(2), Blocks: r.bytes(3)}
		return nil
	})
	return h, err
}

// DropHeld forgets what barriers wrote of a file. Finish does so for clean files.
func (db *DB) DropHeld(ctx context.Context, ino Ino) error {
	return db.update(func(tx *txn) error { return tx.run(`DELETE FROM held WHERE ino = ?`, ino) })
}

// EachDirty calls each for the files that are marked open-dirty and have a
// name, and tells whether there is a job for the live version.
func (db *DB) EachDirty(ctx context.Context, each func(a Attr, queued bool) error) error {
	return db.view(func(c *conn) error {
		return c.query(`SELECT `+attrColumns+`, j.version IS i.version FROM inodes i INDEXED BY inodes_dirty
			LEFT JOIN jobs j ON j.ino = i.ino WHERE i.dirty = 1 AND i.nlink > 0 ORDER BY i.ino`,
			func(r row) error { return each(scanAttr(r, 0), r.int(attrCount) != 0) })
	})
}

// Dirties returns the files that are marked open-dirty.
func (db *DB) Dirties(ctx context.Context) (list []Attr, err error) {
	err = db.view(func(c *conn) error {
		return c.query(`SELECT `+attrColumns+` FROM inodes i INDEXED BY inodes_dirty WHERE i.dirty = 1 ORDER BY i.ino`,
			func(r row) error {
				list = append(list, scanAttr(r, 0))
				return nil
			})
	})
	return list, err
}

// DirtyFiles returns how many files are marked open-dirty.
func (db *DB) DirtyFiles(ctx context.Context) (n int64, err error) {
	err = db.view(func(c *conn) error {
		n, err = c.int(`SELECT count(*) FROM inodes INDEXED BY inodes_dirty WHERE dirty = 1`)
		return err
	})
	return n, err
}

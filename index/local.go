package index

import (
	"context"
	"errors"
)

// Local is what the index knows of a file that staging holds something of.
type Local struct {
	Ino       Ino
	Size      int64 // as the index has it
	Bytes     int64 // that its clean copy takes on the disk; 0 if it is none
	Known     bool  // there is such an inode
	Published bool  // a version of it was packed whole
	Dirty     bool  // it was marked dirty since
	Settled   bool  // the live version is the published one, and the anchor covers that
	Synced    bool  // it is a clean copy, whole, and on stable storage
	Doubtful  bool  // it is a copy that a reboot may have damaged, see CopiesDoubt
}

// scanWorth is how many rows may be read in order in the time that it takes to look one up.
const scanWorth = 16

// Locals calls each for all of the given inodes, which ascend: first for those that have a
// copy, then for the others, each in ascending order. Of the others it looks up few,
// and reads the whole table for many.
func (db *DB) Locals(ctx context.Context, inos []Ino, each func(Local) error) error {
	st := db.latest.Load()
	return db.view(func(c *conn) error {
		others, err := c.localCopies(inos, st.anchored, each)
		if err != nil {
			return err
		}
		if int64(len(others))*scanWorth < st.inodes {
			return c.locals(others, st.anchored, each)
		}
		return c.scanLocals(others, st.anchored, each)
	})
}

const (
	localColumns = `i.ino, i.pub_version, i.dirty, i.pub_generation, i.version, c.synced, i.size, c.bytes`
	anyLocals    = localColumns + ` FROM inodes i LEFT JOIN copies c ON c.ino = i.ino`
	copyLocals   = localColumns + ` FROM copies c CROSS JOIN inodes i ON i.ino = c.ino`
)

func scanLocal(r row, anchored uint64) Local {
	published, dirty, synced := r.int(1) > 0, r.int(2) != 0, r.int(5) // 0 without a row
	return Local{
		Ino: r.ino(0), Size: r.int(6), Bytes: r.int(7), Known: true, Published: published, Dirty: dirty,
		Settled:  published && !dirty && r.uint(3) <= anchored,
		Synced:   published && !dirty && synced > 0 && synced == r.int(1) && synced == r.int(4),
		Doubtful: published && !dirty && synced == doubtful,
	}
}

// localCopies calls each for those inodes that have a copy, and returns the others.
func (c *conn) localCopies(inos []Ino, anchored uint64, each func(Local) error) (others []Ino, err error) {
	err = c.query(`SELECT `+copyLocals+` ORDER BY c.ino`, func(r row) error {
		ino := r.ino(0)
		for len(inos) > 0 && inos[0] < ino {
			others = append(others, inos[0])
			inos = inos[1:]
		}
		if len(inos) == 0 || inos[0] != ino {
			return nil
		}
		inos = inos[1:]
		return each(scanLocal(r, anchored))
	})
	return append(others, inos...), err
}

func (c *conn) locals(inos []Ino, anchored uint64, each func(Local) error) error {
	for _, ino := range inos {
		l := Local{Ino: ino}
		r, err := c.one(`SELECT `+anyLocals+` WHERE i.ino = ?`, ino)
		switch {
		case err == nil:
			l = scanLocal(r, anchored)
		case !errors.Is(err, errNoRow):
			return err
		}
		if err := each(l); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) scanLocals(inos []Ino, anchored uint64, each func(Local) error) error {
	unknown := func(below Ino) error {
		for len(inos) > 0 && inos[0] < below {
			if err := each(Local{Ino: inos[0]}); err != nil {
				return err
			}
			inos = inos[1:]
		}
		return nil
	}
	err := c.query(`SELECT `+anyLocals+` ORDER BY i.ino`, func(r row) error {
		ino := r.ino(0)
		if err := unknown(ino); err != nil {
			return err
		}
		if len(inos) == 0 || inos[0] != ino {
			return nil
		}
		inos = inos[1:]
		return each(scanLocal(r, anchored))
	})
	if err != nil {
		return err
	}
	return unknown(never)
}

// QueueAll does what Queue does for many files, in one transaction.
func (db *DB) QueueAll(ctx context.Context, files map[Ino]Queued) error {
	return db.update(func(tx *txn) error {
		for ino, q := range files {
			if _, err := tx.queue(ino, q); err != nil {
				return err
			}
		}
		return nil
	})
}

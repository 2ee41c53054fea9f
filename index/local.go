package index

import (
	"context"
	"errors"
)

// Local is what the index knows of a file that staging holds something of.
type Local struct {
	Ino       Ino
	Known     bool // there is such an inode
	Published bool // a version of it was packed whole
	Settled   bool // the live version is the published one, and the anchor covers that
}

// scanWorth is how many rows may be read in order in the time that it takes to look one up.
const scanWorth = 16

// Locals calls each for all of the given inodes, which ascend. It looks up few
// of them and reads the whole table for many.
func (db *DB) Locals(ctx context.Context, inos []Ino, each func(Local) error) error {
	st := db.latest.Load()
	return db.view(func(c *conn) error {
		if int64(len(inos))*scanWorth < st.inodes {
			return c.locals(inos, st.anchored, each)
		}
		return c.scanLocals(inos, st.anchored, each)
	})
}

const localColumns = `ino, pub_version, dirty, pub_generation`

func scanLocal(r row, anchored uint64) Local {
	published := r.int(1) > 0
	return Local{Ino: r.ino(0), Known: true, Published: published, Settled: published && r.int(2) == 0 && r.uint(3) <= anchored}
}

func (c *conn) locals(inos []Ino, anchored uint64, each func(Local) error) error {
	for _, ino := range inos {
		l := Local{Ino: ino}
		r, err := c.one(`SELECT `+localColumns+` FROM inodes WHERE ino = ?`, ino)
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
	err := c.query(`SELECT `+localColumns+` FROM inodes ORDER BY ino`, func(r row) error {
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

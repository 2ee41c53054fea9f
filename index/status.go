package index

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/walfs/walfs/blobstore/walrus"
)

// State is how safe a file is.
type State string

// The states of a file, in order.
const (
	StateLocal     State = "local"     // ignored: safe on this machine, and never anywhere else
	StateDirty     State = "dirty"     // written, not synced
	StateStaged    State = "staged"    // safe on this machine
	StateStoring   State = "storing"   // packed
	StateCertified State = "certified" // a fresh machine with the keys gets it back
	StateExpiring  State = "expiring"  // certified, and should have been renewed
	StateLost      State = "lost"      // it was, and some of it cannot be had any more
)

// Anchored reports whether the anchor covers the file as it is.
func (s State) Anchored() bool {
	return s == StateCertified || s == StateExpiring || s == StateLost
}

// Status is what State reports of an inode.
type Status struct {
	State    State
	Error    string // of the last try to commit it or a segment with its content
	Extents  []Extent
	EndEpoch walrus.Epoch // nearest of its segments; 0 when none is known
}

// State returns how safe an inode is and where its published content is.
// Staging may know of writes that make a file dirty and are not marked here yet.
func (db *DB) State(ctx context.Context, ino Ino) (s Status, err error) {
	st := db.latest.Load()
	err = db.snapshot(func(c *conn) error {
		if s, err = c.status(ino, st, db.atEpoch()); err == nil {
			s.Extents, err = c.extents(ino, 0, never)
		}
		return err
	})
	return s, err
}

// Clean returns those of some inodes of which all is certified, and nothing newer is
// here, and the content is not lost.
func (db *DB) Clean(ctx context.Context, inos []Ino) (clean []Ino, err error) {
	st := db.latest.Load()
	err = db.snapshot(func(c *conn) error {
		for _, ino := range inos {
			s, err := c.status(ino, st, db.atEpoch())
			if errors.Is(err, ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("state of inode %d: %w", ino, err)
			}
			if s.State.Anchored() && s.State != StateLost {
				clean = append(clean, ino)
			}
		}
		return nil
	})
	return clean, err
}

// status is State without the extents.
func (c *conn) status(ino Ino, st *state, at epochs) (s Status, err error) {
	n, err := c.inode(ino)
	if err != nil {
		return s, err
	}
	if s.State, s.Error, err = c.state(&n, st); err != nil || !n.IsRegular() {
		return s, err
	}
	r, err := c.one(`SELECT min(nullif(s.end_epoch, 0)), max(s.error) FROM segments s WHERE s.number IN
		(SELECT segment FROM extents WHERE ino = ? AND dead = 9223372036854775807)`, ino)
	if err != nil {
		return s, err
	}
	s.EndEpoch = walrus.Epoch(r.int(0))
	if s.Error == "" {
		s.Error = r.text(1)
	}
	if s.State != StateCertified {
		return s, nil
	}
	if strings.HasPrefix(s.Error, lostMark) {
		s.State = StateLost
		return s, nil
	}
	var ending string
	if s.State, ending, err = c.endState(ino, s.EndEpoch, at); ending != "" {
		s.Error = ending
	}
	return s, err
}

func (c *conn) state(n *inode, st *state) (State, string, error) {
	if n.IsRegular() && n.Dirty {
		r, err := c.one(`SELECT version, error, ignored FROM jobs WHERE ino = ?`, n.Ino)
		switch {
		case err == errNoRow:
			return StateDirty, "", nil
		case err != nil:
			return "", "", err
		case r.uint(0) == n.Version && r.int(2) != 0:
			return StateLocal, "", nil
		case r.uint(0) == n.Version:
			return StateStaged, r.text(1), nil
		}
		return StateDirty, r.text(1), nil
	}
	if n.generation > st.anchored || n.pubGeneration > st.anchored {
		return StateStoring, "", nil
	}
	// A name that changed and changed back is published as it is, in some committed generation.
	pending, err := c.int(`SELECT EXISTS (SELECT 1 FROM dirents INDEXED BY dirents_ino
		WHERE ino = ? AND (ino IS NOT pub OR min(generation, ?) > ?))`, n.Ino, st.packed, st.anchored)
	if err != nil || pending != 0 {
		return StateStoring, "", err
	}
	return StateCertified, "", nil
}

// Usage counts what the drive holds. Bytes are the live sizes of regular files.
type Usage struct {
	Inodes    int64
	Bytes     int64 // the sum of the following five
	Dirty     int64
	Staged    int64
	Storing   int64
	Certified int64
	Ignored   int64

	IgnoredFiles int64
}

// Lengths returns how long all regular files that have a name are together. Its
// cost grows with what was deleted and is still published.
func (db *DB) Lengths(ctx context.Context) (n int64, err error) {
	err = db.view(func(c *conn) error {
		n, err = c.int(`SELECT CAST(total(CASE WHEN mode & 61440 = 32768 THEN size END) AS INTEGER)
			FROM inodes INDEXED BY inodes_orphan WHERE nlink = 0`)
		return err
	})
	return db.latest.Load().bytes - n, err
}

// Usage returns the counts. Its cost grows with what is not certified only.
func (db *DB) Usage(ctx context.Context) (u Usage, err error) {
	err = db.snapshot(func(c *conn) error {
		r, err := c.one(`SELECT CAST(total(CASE WHEN j.version = i.version OR j.ignored = 1 THEN 0 ELSE i.size END) AS INTEGER),
			CAST(total(CASE WHEN j.version = i.version AND j.ignored = 0 THEN i.size ELSE 0 END) AS INTEGER),
			CAST(total(CASE WHEN j.ignored = 1 THEN i.size ELSE 0 END) AS INTEGER), count(CASE WHEN j.ignored = 1 THEN 1 END)
			FROM inodes i INDEXED BY inodes_dirty LEFT JOIN jobs j ON j.ino = i.ino WHERE i.dirty = 1`)
		if err != nil {
			return err
		}
		u.Dirty, u.Staged, u.Ignored, u.IgnoredFiles = r.int(0), r.int(1), r.int(2), r.int(3)
		u.Storing, err = c.int(`SELECT CAST(total(i.size) AS INTEGER) FROM (SELECT ino FROM unfinished UNION SELECT ino FROM adopted) u
			CROSS JOIN inodes i ON i.ino = u.ino WHERE i.dirty = 0`)
		return err
	})
	st := db.latest.Load()
	u.Inodes, u.Bytes = st.inodes, st.bytes
	u.Certified = max(0, u.Bytes-u.Dirty-u.Staged-u.Storing-u.Ignored)
	return u, err
}

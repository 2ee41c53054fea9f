package index

import "errors"

// pendingName is a row of the table dirents whose live and published inode differ.
type pendingName struct {
	parent    Ino
	name      []byte
	live, pub Ino // 0: NULL
}

func scanPending(r row) pendingName {
	return pendingName{parent: r.ino(0), name: r.bytes(1), live: r.ino(2), pub: r.ino(3)}
}

const (
	sqlPendingChanged = `SELECT parent, name, ino, pub FROM dirents INDEXED BY dirents_pending
		WHERE ino IS NOT pub AND generation > ?`
	sqlPendingOf = `SELECT parent, name, ino, pub FROM dirents INDEXED BY dirents_ino WHERE ino = ? AND ino IS NOT pub`
)

// cutNames adds the names that changed since the last generation, and those
// that waited for one of the files that are whole now.
func (tx *txn) cutNames(t *Trailer, whole map[Ino]bool) error {
	var pending []pendingName
	err := tx.query(sqlPendingChanged, func(r row) error {
		if p := scanPending(r); !whole[p.live] {
			pending = append(pending, p)
		}
		return nil
	}, tx.st.packed)
	if err != nil {
		return err
	}
	for i := range t.Contents {
		err := tx.query(sqlPendingOf, func(r row) error {
			pending = append(pending, scanPending(r))
			return nil
		}, t.Contents[i].Ino)
		if err != nil {
			return err
		}
	}
	for _, p := range pending {
		ino, emit, err := tx.decide(p, whole)
		if err != nil {
			return err
		}
		if emit {
			t.Names = append(t.Names, NameRow{Parent: p.parent, Name: p.name, Ino: ino})
		}
	}
	return nil
}

// decide returns what a trailer says of a pending name: the inode that it is
// bound to or 0 when it is removed, or nothing.
//
// A name bound to a file that was never packed whole waits. Meanwhile the inode
// that it displaced stays published under it, unless that one has another
// name by now: then it would be seen under both.
func (tx *txn) decide(p pendingName, whole map[Ino]bool) (ino Ino, emit bool, err error) {
	if p.live == 0 || whole[p.live] {
		return p.live, true, nil
	}
	version, err := tx.int(`SELECT pub_version FROM inodes WHERE ino = ?`, p.live)
	if err != nil || version > 0 {
		return p.live, true, err
	}
	if p.pub == 0 {
		return 0, false, nil
	}
	_, _, err = tx.nameOf(p.pub)
	if errors.Is(err, ErrNotExist) {
		return 0, false, nil
	}
	return 0, true, err
}

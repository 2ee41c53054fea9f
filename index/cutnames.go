package index

import (
	"context"
	"errors"
)

// place is where a name stands.
type place struct {
	parent Ino
	name   string
}

// pendingName is a row of the table dirents whose live and published inode differ.
type pendingName struct {
	place
	live, pub Ino    // 0: NULL
	needs     uint64 // version of live that has to be published with the name
	changed   uint64 // generation
	ready     bool   // live may be published under the name, content and all
	known     bool   // some version of live is published
	forced    bool   // what is published there cannot stay: a directory is there now, its own is gone, or ForceNames
	emit      bool   // the trailer says something of the name
}

const (
	sqlPendingColumns = `SELECT parent, name, ino, pub, needs, generation FROM dirents`
	sqlPendingForced  = sqlPendingColumns + ` INDEXED BY dirents_pending WHERE ino IS NOT pub AND generation <= ?`
	sqlPendingChanged = sqlPendingColumns + ` INDEXED BY dirents_pending WHERE ino IS NOT pub AND generation > ?`
	sqlPendingLive    = sqlPendingColumns + ` INDEXED BY dirents_ino WHERE ino = ? AND ino IS NOT pub`
	sqlPendingPub     = sqlPendingColumns + ` INDEXED BY dirents_pub WHERE pub = ? AND pub IS NOT NULL AND ino IS NOT pub`
	sqlNamesOf        = `SELECT parent, name, pub FROM dirents INDEXED BY dirents_ino WHERE ino = ?`
)

// nameCut decides what a trailer says of the names that differ between the
// live and the published tree.
//
// A name is published with the content that the file had when it got the
// name, or newer content: else a restore would find a half-written file, or an
// empty one, where there was a whole one. Until that is packed the name waits,
// and so does what goes with it: the name that the file had before, and the
// file that was displaced.
type nameCut struct {
	tx    *txn
	force uint64         // up to this generation, see ForceNames
	whole map[Ino]uint64 // the versions that this cut completes
	all   map[place]*pendingName
	order []*pendingName
	names map[Ino][]boundName // live names of inodes that are published under a pending name
}

// boundName is a live name of an inode.
type boundName struct {
	place
	pub Ino
}

// cutNames adds the names that changed since the last generation, and those
// that waited for one of the files that are whole now.
func (tx *txn) cutNames(t *Trailer, whole map[Ino]uint64) error {
	c := &nameCut{tx: tx, whole: whole, all: map[place]*pendingName{}, names: map[Ino][]boundName{}}
	if err := c.collect(sqlPendingChanged, tx.st.packed); err != nil {
		return err
	}
	if c.force = tx.db.force.Load(); c.force > 0 {
		if err := c.collect(sqlPendingForced, c.force); err != nil {
			return err
		}
	}
	for i := range t.Contents {
		ino := t.Contents[i].Ino
		if err := c.collect(sqlPendingLive, ino); err != nil {
			return err
		}
		if err := c.collect(sqlPendingPub, ino); err != nil {
			return err
		}
	}
	if err := c.decide(); err != nil {
		return err
	}
	for _, p := range c.order {
		if !p.emit {
			continue
		}
		row := NameRow{Parent: p.parent, Name: []byte(p.name)}
		if p.ready {
			row.Ino = p.live
		}
		t.Names = append(t.Names, row)
	}
	return nil
}

// collect adds the rows of a query, and all rows whose fate hangs on theirs.
func (c *nameCut) collect(sql string, arg any) error {
	from := len(c.order)
	err := c.tx.query(sql, func(r row) error {
		p := &pendingName{place: place{r.ino(0), string(r.bytes(1))}, live: r.ino(2), pub: r.ino(3), needs: r.uint(4), changed: r.uint(5)}
		if c.all[p.place] == nil {
			c.all[p.place] = p
			c.order = append(c.order, p)
		}
		return nil
	}, arg)
	if err != nil {
		return err
	}
	for _, p := range c.order[from:] {
		if p.pub != 0 {
			if err := c.loadNames(p.pub); err != nil {
				return err
			}
		}
		if p.live != 0 {
			if err := c.collect(sqlPendingPub, p.live); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadNames reads the live names of an inode that is published under a pending
// name, and adds the pending ones.
func (c *nameCut) loadNames(ino Ino) error {
	if _, ok := c.names[ino]; ok {
		return nil
	}
	var names []boundName
	err := c.tx.query(sqlNamesOf, func(r row) error {
		names = append(names, boundName{place{r.ino(0), string(r.bytes(1))}, r.ino(2)})
		return nil
	}, ino)
	c.names[ino] = names
	if err != nil || len(names) == 0 {
		return err
	}
	return c.collect(sqlPendingLive, ino)
}

// decide finds out which rows the trailer carries: as many as can be without
// a published file vanishing that has a live name.
func (c *nameCut) decide() error {
	for _, p := range c.order {
		if err := c.prepare(p); err != nil {
			return err
		}
	}
	c.giveWay()
	for changed := true; changed; {
		changed = false
		for _, p := range c.order {
			if p.emit && !p.forced && !c.mayGo(p) {
				p.emit, changed = false, true
			}
		}
	}
	return nil
}

// prepare decides about a row by itself.
func (c *nameCut) prepare(p *pendingName) error {
	if p.live == 0 {
		p.emit = true
		_, err := c.tx.dir(p.parent)
		p.forced = errors.Is(err, ErrNotExist)
		if p.forced {
			return nil
		}
		p.forced = p.changed <= c.force
		return err
	}
	a, err := c.tx.attr(p.live)
	if err != nil {
		return err
	}
	version := max(c.whole[p.live], a.PubVersion)
	p.forced = a.IsDir()
	p.known = version > 0
	p.ready = p.known && version >= p.needs
	p.emit = p.ready || p.pub != 0
	p.forced = p.forced || p.ready && p.changed <= c.force
	return nil
}

// giveWay lets files be published early under their new names that would
// vanish from the old ones: an older version is better than none.
func (c *nameCut) giveWay() {
	var early []*pendingName
	for _, p := range c.order {
		if !p.forced || c.shown(p.pub) {
			continue
		}
		for _, n := range c.names[p.pub] {
			if q := c.all[n.place]; q != nil && q.pub == 0 && q.known {
				early = append(early, q)
			}
		}
	}
	for _, q := range early {
		q.ready, q.emit = true, true
	}
}

// mayGo reports whether the trailer may take a published inode away from a
// name. What was deleted stays until its successor is there, and what has
// another name until it is published there.
func (c *nameCut) mayGo(p *pendingName) bool {
	if p.pub == 0 {
		return true
	}
	if len(c.names[p.pub]) == 0 {
		return p.live == 0 || p.ready
	}
	return c.shown(p.pub)
}

// shown reports whether an inode is or will be published under a live name.
func (c *nameCut) shown(ino Ino) bool {
	for _, n := range c.names[ino] {
		if n.pub == ino {
			return true
		}
		if q := c.all[n.place]; q != nil && q.ready && q.emit {
			return true
		}
	}
	return false
}

// Changing returns the generation of changes made now.
func (db *DB) Changing() uint64 { return db.latest.Load().open }

// sqlNamesWaiting selects the names that changed up to a generation and are not published as
// they are now. Those of ignored files wait for nothing.
const sqlNamesWaiting = `SELECT 1 FROM dirents d INDEXED BY dirents_pending WHERE d.ino IS NOT d.pub AND d.generation <= ?
	AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.ino = d.ino AND j.ignored = 1)`

// NamesWaiting counts the names that changed up to a generation and are not
// published as they are now. Those of ignored files are not counted.
func (db *DB) NamesWaiting(ctx context.Context, generation uint64) (n int, err error) {
	err = db.view(func(c *conn) error {
		waiting, err := c.int(`SELECT count(*) FROM (`+sqlNamesWaiting+`)`, generation)
		n = int(waiting)
		return err
	})
	return n, err
}

// sqlWayTo counts names of an inode, ?1, and of all folders on the ways to it.
const sqlWayTo = `WITH RECURSIVE way(ino) AS (VALUES (?1) UNION
	SELECT d.parent FROM way CROSS JOIN dirents d INDEXED BY dirents_ino WHERE d.ino = way.ino)
	SELECT count(*) FROM way CROSS JOIN dirents d INDEXED BY dirents_ino WHERE d.ino = way.ino AND `

const (
	sqlWaitingTo = sqlWayTo + `d.ino IS NOT d.pub AND d.generation <= ?2
		AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.ino = d.ino AND j.ignored = 1)`
	sqlPendingTo = sqlWayTo + `(d.ino IS NOT d.pub OR min(d.generation, ?2) > ?3)`
)

// WayAnchored reports whether the anchor covers the names of an inode and of
// all folders on the way to it.
func (db *DB) WayAnchored(ctx context.Context, ino Ino) (is bool, err error) {
	st := db.latest.Load()
	err = db.snapshot(func(c *conn) error {
		n, err := c.int(sqlPendingTo, ino, st.packed, st.anchored)
		is = n == 0
		return err
	})
	return is, err
}

// NamesWaitingOf counts the names of one inode, and of the folders on the way to
// it, that changed up to a generation and are not published.
func (db *DB) NamesWaitingOf(ctx context.Context, ino Ino, generation uint64) (n int, err error) {
	err = db.view(func(c *conn) error {
		waiting, err := c.int(sqlWaitingTo, ino, generation)
		n = int(waiting)
		return err
	})
	return n, err
}

// ForceNames makes names that changed up to a generation wait no longer for
// files that lose their published name by it: those are published under their
// new names as they are published now. Files that are written and renamed all the time would hold the names up for good.
func (db *DB) ForceNames(generation uint64) {
	for {
		before := db.force.Load()
		if before >= generation || db.force.CompareAndSwap(before, generation) {
			return
		}
	}
}

// unforce ends ForceNames once it has done what it was for.
func (tx *txn) unforce() error {
	force := tx.db.force.Load()
	if force == 0 {
		return nil
	}
	waiting, err := tx.int(`SELECT EXISTS (`+sqlNamesWaiting+`)`, force)
	if err == nil && waiting == 0 {
		tx.db.force.CompareAndSwap(force, 0)
	}
	return err
}

package index

import (
	"context"
	"errors"
	"fmt"
)

// LostFolder is the name of the folder in the root for what has no name, or no
// folder, that is known.
const LostFolder = "lost+found"

// Placed says what became of what Later told.
type Placed struct {
	Inodes map[Ino]bool // that were laid, or got or lost a name
	Names  map[LaterName]bool
	Lost   map[Ino]bool // in LostFolder
	Bare   map[Ino]bool // of which no trailer told the attributes
}

// Place lays over the replayed tree what later trailers tell: inodes that are
// known with all of their content, and names. What the names of then have no
// place for, or what loses its last one, goes to LostFolder by its number and
// the last name that is known. It is done as if a program had done all that now:
// no committed trailer says it, and the next one will. So numbers of segments
// are to be skipped first, see SkipTo. Segments are those of the contents which
// the replay does not have; content in any other is left out.
func (r *Replay) Place(ctx context.Context, l *Later, segments []SegmentRow) (p Placed, err error) {
	err = r.db.update(func(tx *txn) error {
		if err := r.prune(tx); err != nil { // else what never had a name would look like what lost it
			return err
		}
		for i := range segments {
			s := segments[i]
			// It carries no trailer that was replayed, and counts to the newest that was.
			s.Part, s.Parts, s.Announced = 0, 1, 0
			if err := tx.insertSegment(&s, tx.st.packed, Finished); err != nil {
				return err
			}
			r.sizes[s.Number] = s.Size
		}
		tx.st.nextIno = max(tx.st.nextIno, uint64(l.next))
		tx.st.inoLimit = max(tx.st.inoLimit, tx.st.nextIno)
		w := placing{tx: tx, r: r, last: map[Ino]string{}, p: Placed{Inodes: map[Ino]bool{}, Names: map[LaterName]bool{}, Lost: map[Ino]bool{}, Bare: map[Ino]bool{}}}
		if err := errors.Join(w.inodes(l.Inodes()), w.names(l.Names())); err != nil {
			return err
		}
		if err := errors.Join(w.shelveDirs(), w.shelveFiles()); err != nil {
			return err
		}
		p = w.p
		return nil
	})
	if err != nil {
		return p, fmt.Errorf("place what later generations tell: %w", err)
	}
	return p, nil
}

// placing is one run of Place.
type placing struct {
	tx   *txn
	r    *Replay
	last map[Ino]string // the last name that is known of what may lose it
	lost Ino            // the folder, 0 until it is needed
	p    Placed
}

func (w *placing) inodes(list []*LaterInode) error {
	for _, n := range list {
		if err := w.inode(n); err != nil {
			return err
		}
	}
	return nil
}

// inode lays what is known of an inode. A file without content is not laid; one of
// which nothing but the content is known is the root's owner's alone.
func (w *placing) inode(l *LaterInode) error {
	old, err := w.tx.inode(l.Ino)
	exists := err == nil
	if err != nil && !errors.Is(err, ErrNotExist) {
		return err
	}
	if l.Row == nil {
		if exists || l.Content == nil {
			return nil
		}
		root, err := w.tx.attr(Root)
		if err != nil {
			return err
		}
		t := l.Content.Mtime
		l.Row = &InodeRow{Ino: l.Ino, Mode: modeRegular | 0o600, UID: root.UID, GID: root.GID, Atime: t, Mtime: t, Ctime: t, Btime: t}
		w.p.Bare[l.Ino] = true
	}
	if exists && (old.Btime != l.Row.Btime || (old.Mode^l.Row.Mode)&modeType != 0) {
		return nil // the number is another file's, which stays
	}
	row := l.Row
	n := inode{
		Attr: Attr{Ino: row.Ino, Mode: row.Mode, UID: row.UID, GID: row.GID, Rdev: row.Rdev,
			Atime: row.Atime, Mtime: row.Mtime, Ctime: row.Ctime, Btime: row.Btime, Version: 1, PubVersion: 1},
		generation: w.tx.st.open, target: row.Target, pubMtime: row.Mtime,
	}
	switch {
	case n.IsDir():
		n.Nlink = 2 // counted in the end
	case n.IsSymlink():
		n.Size = int64(len(row.Target))
	case n.IsRegular() && l.Content != nil && (!exists || l.Content.Version > old.PubVersion) && w.stored(l.Content):
		c := l.Content
		n.Version, n.PubVersion, n.Size, n.PubSize = c.Version, c.Version, c.Size, c.Size
		n.Mtime, n.pubMtime = c.Mtime, c.Mtime
		if c.Version == l.Told {
			n.Mtime, n.pubMtime = row.Mtime, row.Mtime // it may have been set since
		}
		if err := w.content(l.Ino, c); err != nil {
			return err
		}
	case n.IsRegular() && exists:
		n = old // its times may be those of a version which is missing
		n.Mode, n.UID, n.GID, n.generation = row.Mode, row.UID, row.GID, w.tx.st.open
		if l.Told <= old.PubVersion {
			n.Atime, n.Mtime, n.Ctime, n.pubMtime = row.Atime, row.Mtime, row.Ctime, row.Mtime
		}
	case n.IsRegular():
		return nil
	}
	w.p.Inodes[l.Ino] = true
	if exists {
		n.Nlink = old.Nlink
	}
	err = errors.Join(w.tx.run(`DELETE FROM inodes WHERE ino = ?`, l.Ino), w.tx.insertInode(&n))
	if err != nil {
		return err
	}
	rows := rows{tx: w.tx, t: &Trailer{Generation: l.Generation}, report: &w.r.report}
	rows.tx.above(l.Ino + 1)
	return rows.xattrs(row)
}

// stored reports whether all of a content lies in segments that are there.
func (w *placing) stored(c *ContentRow) bool {
	for i := range c.Ops {
		op := &c.Ops[i]
		size, ok := w.r.sizes[op.Segment]
		if !ok || !op.valid() || op.Pos+op.Len > size || op.Off+op.Len > c.Size {
			return false
		}
	}
	return true
}

// content takes the place of what is published of a file. As with files from the
// trash the next trailer has all of it.
func (w *placing) content(ino Ino, c *ContentRow) error {
	if err := w.tx.run(`DELETE FROM extents WHERE ino = ?`, ino); err != nil {
		return err
	}
	for _, op := range c.Ops {
		if err := w.tx.lay(w.tx.st.open, ino, op); err != nil {
			return err
		}
	}
	return w.tx.run(`INSERT OR IGNORE INTO adopted (ino) VALUES (?)`, ino)
}

func (w *placing) names(list []LaterName) error {
	for _, n := range list {
		if err := w.name(n); err != nil {
			return err
		}
	}
	return nil
}

// name gives a name to an inode, or takes it away. One of an inode that is not
// known leaves what is there.
func (w *placing) name(n LaterName) error {
	if n.Ino != 0 {
		w.last[n.Ino] = n.Name
	}
	before, err := w.tx.lookup(n.Parent, []byte(n.Name))
	if err != nil && !errors.Is(err, ErrNotExist) {
		return err
	}
	bound := err == nil
	if bound && before.Ino == n.Ino {
		w.p.Names[n] = true
		return nil
	}
	if n.Ino == 0 {
		w.p.Names[n] = true
		if !bound {
			return nil
		}
		w.forget(&before, n.Name)
		return w.tx.unbind(n.Parent, []byte(n.Name))
	}
	a, err := w.tx.attr(n.Ino)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	dir, err := w.tx.attr(n.Parent)
	if errors.Is(err, ErrNotExist) || err == nil && !dir.IsDir() {
		return nil // what it names is found without a name
	}
	if err != nil {
		return err
	}
	if a.IsDir() { // which has one name only
		if err := w.unnameDir(n.Ino); err != nil {
			return err
		}
	}
	w.p.Names[n], w.p.Inodes[n.Ino] = true, true
	if bound {
		w.forget(&before, n.Name)
		return w.tx.rebind(n.Parent, []byte(n.Name), &a)
	}
	return w.tx.bind(n.Parent, []byte(n.Name), &a)
}

// forget notes that an inode loses a name.
func (w *placing) forget(a *Attr, name string) {
	w.p.Inodes[a.Ino] = true
	if w.last[a.Ino] == "" {
		w.last[a.Ino] = name
	}
}

// unnameDir takes the names of a directory away.
func (w *placing) unnameDir(dir Ino) error {
	var list []edge
	err := w.tx.query(`SELECT parent, name FROM dirents INDEXED BY dirents_ino WHERE ino = ?`, func(r row) error {
		list = append(list, edge{parent: r.ino(0), name: r.bytes(1)})
		return nil
	}, dir)
	for _, e := range list {
		err = errors.Join(err, w.tx.unbind(e.parent, e.name))
		w.last[dir] = string(e.name)
	}
	return err
}

// shelveDirs moves the directories that the root does not reach any more to
// LostFolder, the topmost of each tree, and one of each circle.
func (w *placing) shelveDirs() error {
	for {
		reached, err := w.r.walk(w.tx)
		if err != nil {
			return err
		}
		var free, circle []Ino
		err = w.tx.query(`SELECT i.ino, EXISTS (SELECT 1 FROM dirents d INDEXED BY dirents_ino WHERE d.ino = i.ino)
			FROM inodes i WHERE i.mode & 61440 = 16384 ORDER BY i.ino`, func(r row) error {
			switch ino := r.ino(0); {
			case reached[ino]:
			case r.int(1) == 0:
				free = append(free, ino)
			case len(circle) == 0:
				circle = append(circle, ino)
			}
			return nil
		})
		if len(free) == 0 {
			free = circle
		}
		if err != nil || len(free) == 0 {
			return err
		}
		for _, dir := range free {
			if err := errors.Join(w.unnameDir(dir), w.shelve(dir)); err != nil {
				return err
			}
		}
	}
}

// shelveFiles moves what has no name and is no directory to LostFolder.
func (w *placing) shelveFiles() error {
	list, err := w.tx.inos(`SELECT ino FROM inodes WHERE mode & 61440 <> 16384 AND NOT EXISTS
		(SELECT 1 FROM dirents d INDEXED BY dirents_ino WHERE d.ino = inodes.ino) ORDER BY ino`)
	if err != nil {
		return err
	}
	for _, ino := range list {
		if err := w.shelve(ino); err != nil {
			return err
		}
	}
	return nil
}

// shelve gives an inode a name in LostFolder: its number, and the last name that is known.
func (w *placing) shelve(ino Ino) error {
	if w.lost == 0 {
		if err := w.makeLost(); err != nil {
			return err
		}
	}
	a, err := w.tx.attr(ino)
	if err != nil {
		return err
	}
	base := fmt.Sprint(ino)
	if name := w.last[ino]; name != "" {
		base += "-" + name
	}
	w.p.Inodes[ino], w.p.Lost[ino] = true, true
	return w.bindFree(w.lost, base, &a)
}

// bindFree gives an inode a name in a folder, with a number behind it if it is taken.
func (w *placing) bindFree(dir Ino, base string, a *Attr) error {
	suffix := ""
	for i := 1; ; i++ {
		err := w.tx.bind(dir, []byte(base[:min(len(base), MaxName-len(suffix))]+suffix), a)
		if !errors.Is(err, ErrExist) {
			return err
		}
		suffix = fmt.Sprintf(".%d", i)
	}
}

// makeLost finds LostFolder in the root, or makes it for the root's owner.
func (w *placing) makeLost() error {
	root, err := w.tx.attr(Root)
	if err != nil {
		return err
	}
	for i, name := 1, LostFolder; ; i++ {
		a, err := w.tx.lookup(Root, []byte(name))
		if errors.Is(err, ErrNotExist) {
			a, err = w.tx.create(CreateRequest{Parent: Root, Name: []byte(name), Mode: modeDir | 0o700, UID: root.UID, GID: root.GID}, true)
		}
		if err != nil {
			return err
		}
		if a.IsDir() {
			w.lost = a.Ino
			return nil
		}
		name = fmt.Sprintf("%s.%d", LostFolder, i)
	}
}

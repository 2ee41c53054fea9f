package index

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// Later gathers what trailers tell above one that cannot be read. They cannot
// be replayed, since each tells differences, but much of what they tell stands
// by itself: all that is told of an inode, of a name, of a content that was
// written whole. It belongs to one goroutine.
//
// Ranges of a file are laid over the version before only if that is the one
// they were written over: nothing is missing between the two, or the number of
// the version is the next one. So versions are never mixed.
type Later struct {
	replay *Replay
	inodes map[Ino]*LaterInode
	names  map[place]LaterName
	order  []place // of names, in the order in which they were told last
	below  uint64  // generation before the next one, if nothing is missing
	run    int     // counts what is missing
	next   Ino     // greater than every number that is told
}

// LaterInode is what is told of an inode.
type LaterInode struct {
	Ino        Ino
	Row        *InodeRow // nil: nothing
	Generation uint64    // that told it
	Told       uint64    // the newest version of its content that is told; 0: none
	Content    *ContentRow
	ContentOf  uint64 // generation that told Content

	whole []knownVersion // versions all of which is known, ascending
	now   *ContentRow    // the newest version, if all of it is known
	run   int            // in which now was told
	asked bool           // the replay was asked for the version that is there
}

type knownVersion struct {
	row        *ContentRow
	generation uint64
}

// LaterName is what is told of a name.
type LaterName struct {
	Parent     Ino
	Name       string
	Ino        Ino    // 0: it was removed
	Generation uint64 // that told it
}

// Later begins gathering above what is replayed.
func (r *Replay) Later() *Later {
	return &Later{replay: r, inodes: map[Ino]*LaterInode{}, names: map[place]LaterName{}, below: r.db.latest.Load().packed}
}

// Add gathers what a trailer tells. Trailers come in ascending order.
func (l *Later) Add(ctx context.Context, t *Trailer) error {
	if t.Previous != l.below {
		l.run++
	}
	l.below = t.Generation
	if t.NextIno < maxIno {
		l.next = max(l.next, t.NextIno)
	}
	for i := range t.Inodes {
		row := &t.Inodes[i]
		if row.Ino == 0 || row.Ino >= maxIno || row.Mode > modeType|modePerm || checkKind(row.Mode, row.Target) != nil {
			continue
		}
		n := l.inode(row.Ino)
		n.Row, n.Generation = row, t.Generation
	}
	for i := range t.Contents {
		if c := &t.Contents[i]; c.Ino > Root && c.Ino < maxIno {
			if err := l.content(ctx, t, c); err != nil {
				return err
			}
		}
	}
	for i := range t.Names {
		n := &t.Names[i]
		if checkName(n.Name) != nil || n.Ino == Root || n.Ino >= maxIno || n.Parent >= maxIno {
			continue
		}
		at := place{n.Parent, string(n.Name)}
		l.names[at] = LaterName{n.Parent, at.name, n.Ino, t.Generation}
		l.order = append(l.order, at)
	}
	return nil
}

func (l *Later) inode(ino Ino) *LaterInode {
	n := l.inodes[ino]
	if n == nil {
		n = &LaterInode{Ino: ino}
		l.inodes[ino] = n
	}
	return n
}

// content takes over a version, whole if that can be proven.
func (l *Later) content(ctx context.Context, t *Trailer, c *ContentRow) error {
	n := l.inode(c.Ino)
	if !n.asked { // what is replayed is the version before, if nothing is missing
		n.asked = true
		row, err := l.replay.Content(ctx, c.Ino)
		if err != nil && !errors.Is(err, ErrNotExist) {
			return err
		}
		if err == nil && n.Row != nil && !l.replay.same(n.Row) {
			row = nil // the number is another file's
		}
		n.now = row
	}
	n.Told = max(n.Told, c.Version)
	// The number of a version says which file's it is only if a row does.
	sure := n.run == l.run || n.Row != nil
	moves := t.Moved && c.Base == c.Size // perhaps only where the version lies that it names
	switch {
	case !sound(c):
		n.now = nil
	case n.now != nil && sure && moves && c.Version == n.now.Version && c.Size == n.now.Size:
		n.now = overlaid(n.now, c)
	case c.Version == 0 || n.now != nil && c.Version <= n.now.Version:
		n.now = nil
	case covers(c):
		n.now = overlaid(&ContentRow{Ino: c.Ino}, c)
	case n.now != nil && (n.run == l.run || sure && !moves && c.Version == n.now.Version+1):
		n.now = overlaid(n.now, c)
	default:
		n.now = nil
	}
	n.run = l.run
	if n.now == nil {
		return nil
	}
	if k := len(n.whole) - 1; k >= 0 && n.whole[k].row.Version == n.now.Version {
		n.whole = n.whole[:k] // it only lies elsewhere
	}
	n.whole = append(n.whole, knownVersion{n.now, t.Generation})
	return nil
}

// sound reports whether the numbers of a version can be those of one.
func sound(c *ContentRow) bool {
	if c.Size < 0 || c.Base < 0 {
		return false
	}
	for i := range c.Ops {
		if !c.Ops[i].valid() {
			return false
		}
	}
	return true
}

// covers reports whether a row tells all of a version, whatever it was written over.
func covers(c *ContentRow) bool {
	ops := slices.Clone(c.Ops)
	slices.SortFunc(ops, func(a, b Op) int { return cmp.Compare(a.Off, b.Off) })
	end := int64(0)
	for _, op := range ops {
		if op.Off > end {
			break
		}
		end = max(end, op.Off+op.Len)
	}
	return end >= min(c.Base, c.Size)
}

// overlaid returns all of the version that a row makes of the one below it.
func overlaid(below, c *ContentRow) *ContentRow {
	now := &ContentRow{Ino: c.Ino, Version: c.Version, Size: c.Size, Mtime: c.Mtime}
	var ops []Op
	for _, op := range below.Ops {
		if op.Len = min(op.Len, c.Base-op.Off); op.Len > 0 {
			ops = append(ops, op)
		}
	}
	for _, op := range c.Ops {
		ops = append(carved(ops, op.Off, op.Off+op.Len), op)
	}
	for _, op := range ops {
		if op.Len = min(op.Len, c.Size-op.Off); op.Len > 0 && op.Segment != 0 {
			now.Ops = append(now.Ops, op)
		}
	}
	slices.SortFunc(now.Ops, func(a, b Op) int { return cmp.Compare(a.Off, b.Off) })
	return now
}

// carved takes a range out of a list of ranges.
func carved(list []Op, from, to int64) (rest []Op) {
	for _, op := range list {
		if left := min(op.Off+op.Len, from) - op.Off; left > 0 {
			rest = append(rest, Op{Off: op.Off, Len: left, Segment: op.Segment, Pos: op.Pos})
		}
		if start := max(op.Off, to); start < op.Off+op.Len {
			rest = append(rest, Op{Off: start, Len: op.Off + op.Len - start, Segment: op.Segment, Pos: op.Pos + start - op.Off})
		}
	}
	return rest
}

// Segments returns the numbers of all segments that hold content which is known whole.
func (l *Later) Segments() []uint64 {
	set := map[uint64]bool{}
	for _, n := range l.inodes {
		for _, w := range n.whole {
			for _, op := range w.row.Ops {
				set[op.Segment] = true
			}
		}
	}
	list := make([]uint64, 0, len(set))
	for number := range set {
		list = append(list, number)
	}
	slices.Sort(list)
	return list
}

// Choose sets the Content of each file to its newest version of which all
// ranges can be had, which readable decides.
func (l *Later) Choose(readable func(Op) (bool, error)) error {
	for _, n := range l.Inodes() {
		n.Content = nil
	whole:
		for _, w := range slices.Backward(n.whole) {
			for _, op := range w.row.Ops {
				ok, err := readable(op)
				if err != nil {
					return err
				}
				if !ok {
					continue whole
				}
			}
			n.Content, n.ContentOf = w.row, w.generation
			break
		}
	}
	return nil
}

// Inodes returns what is told of inodes, in ascending order. It is the gatherer's own.
func (l *Later) Inodes() []*LaterInode {
	list := make([]*LaterInode, 0, len(l.inodes))
	for _, n := range l.inodes {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b *LaterInode) int { return cmp.Compare(a.Ino, b.Ino) })
	return list
}

// Names returns the last that is told of each name, in the order of the telling.
func (l *Later) Names() []LaterName {
	var list []LaterName
	seen := make(map[place]bool, len(l.names))
	for _, at := range slices.Backward(l.order) {
		if !seen[at] {
			seen[at] = true
			list = append(list, l.names[at])
		}
	}
	slices.Reverse(list)
	return list
}

// Content returns all of the content of a file as it is replayed so far.
// ErrNotExist: there is no such file, or no version of it.
func (r *Replay) Content(ctx context.Context, ino Ino) (row *ContentRow, err error) {
	err = r.db.view(func(c *conn) error {
		n, err := c.inode(ino)
		if err != nil {
			return err
		}
		if !n.IsRegular() || n.PubVersion == 0 {
			return missing(errNoRow, ino)
		}
		row = &ContentRow{Ino: ino, Version: n.PubVersion, Size: n.PubSize, Mtime: n.pubMtime}
		row.Ops, err = c.liveOps(ino)
		return err
	})
	return row, err
}

// same reports whether an inode that is replayed is the one that a row speaks
// of: numbers may be used again by a machine that went on from older generations.
func (r *Replay) same(row *InodeRow) bool {
	var a Attr
	err := r.db.view(func(c *conn) (err error) {
		a, err = c.attr(row.Ino)
		return err
	})
	return err == nil && a.Btime == row.Btime && (a.Mode^row.Mode)&modeType == 0
}

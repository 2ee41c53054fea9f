package index_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/walfs/walfs/index"
)

// published is what a restore has to give.
type published struct {
	names  map[name]index.Ino
	inodes map[index.Ino]*node
}

// node is an inode of a published tree. A missing version means that no version of the file was packed whole.
type node struct {
	attr    index.Attr
	target  string
	xattrs  map[string]string
	version uint64
	data    []byte
	// Writing to a file changes the time of its last change, which is published
	// with its next version only, or with another attribute.
	loose bool
	// deleted and published still, in a restore from a full snapshot
	adrift bool
}

func (p published) clone() published {
	q := published{names: maps.Clone(p.names), inodes: make(map[index.Ino]*node)}
	for ino, n := range p.inodes {
		c := *n
		q.inodes[ino] = &c
	}
	return q
}

// after returns the published tree that a cut taken now leads to, by the rules of
// publication, looked at from the names: it knows nothing of generations.
func (w *world) after(completed []*pack) published {
	next := w.tree.clone()
	whole := make(map[index.Ino]*pack)
	for _, p := range completed {
		whole[p.ino] = p
	}
	inos := map[index.Ino]bool{index.Root: true}
	for _, ino := range w.names {
		inos[ino] = true
	}
	for ino := range whole {
		inos[ino] = true
	}
	for ino := range inos {
		w.publishInode(next, ino, whole[ino])
	}
	next.names = w.namesAfter(next)
	return next
}

// namesAfter returns the published names: of all changes that lead to the live
// ones as many as can be without a file vanishing that has a live name.
func (w *world) namesAfter(next published) map[name]index.Ino {
	stays, ready := make(map[name]bool), make(map[name]bool)
	for n := range w.names {
		ready[n] = w.ready(next, n)
	}
	w.giveWay(next, ready)
	for {
		names := maps.Clone(next.names)
		for n, shown := range names {
			if live := w.names[n]; live != shown && !stays[n] && !ready[n] {
				delete(names, n)
			}
		}
		for n, live := range w.names {
			if !stays[n] && ready[n] {
				names[n] = live
			}
		}
		settled := true
		for n, shown := range next.names {
			if stays[n] || names[n] == shown || w.mustGo(n) || !w.misses(names, n, shown) {
				continue
			}
			stays[n], settled = true, false
		}
		if settled {
			return names
		}
	}
}

// ready reports whether a live name may be published with what is published of the file.
func (w *world) ready(next published, n name) bool {
	shown := next.inodes[w.names[n]]
	return shown != nil && (w.files[w.names[n]] == nil || shown.version >= w.needs[n])
}

// mustGo reports whether what is published at a place cannot stay there: a
// directory is there now, or its own directory is gone.
func (w *world) mustGo(n name) bool {
	live, bound := w.names[n]
	return bound && w.dirs[live] || !bound && !w.dirs[n.parent]
}

// giveWay makes new names of files ready that would vanish because they cannot
// stay where they are: an older version is better than none.
func (w *world) giveWay(next published, ready map[name]bool) {
	early := maps.Clone(ready)
	for n, shown := range next.names {
		if w.names[n] == shown || !w.mustGo(n) {
			continue
		}
		var free []name
		seen := false
		for at, ino := range w.names {
			if ino != shown {
				continue
			}
			seen = seen || early[at] || next.names[at] == ino
			if next.names[at] == 0 {
				free = append(free, at)
			}
		}
		for _, at := range free {
			ready[at] = ready[at] || !seen
		}
	}
}

// misses reports whether an inode that was published at n should still be
// published, and is not.
func (w *world) misses(names map[name]index.Ino, n name, ino index.Ino) bool {
	named := false
	for at, i := range w.names {
		if i == ino {
			named = true
			if names[at] == ino {
				return false
			}
		}
	}
	return named || w.names[n] != 0 && names[n] == 0
}

// publishInode shows the live attributes of an inode, with size, mtime and
// content of the published version if it is a file.
func (w *world) publishInode(next published, ino index.Ino, p *pack) {
	a, err := w.db.Get(ctx, ino)
	if p != nil && errors.Is(err, index.ErrNotExist) {
		return
	}
	w.expect("get", err)
	old := next.inodes[ino]
	n := &node{attr: a, xattrs: w.xattrs(w.db, ino)}
	if a.IsSymlink() {
		n.target = string(must(w.db.Readlink(ctx, ino)))
	}
	if f := w.files[ino]; f != nil {
		switch {
		case p != nil:
			n.version, n.data, n.attr.Mtime = p.v.number, p.v.data, p.v.mtime
			if p.v.number == f.number {
				n.attr.Mtime = f.mtime
			}
		case old == nil && !f.adopted:
			return
		case old == nil:
			n.version, n.data = f.adoptedAs, f.was
			if f.number != f.adoptedAs {
				n.attr.Mtime, n.loose = f.shown, true
			}
		default:
			n.version, n.data = old.version, old.data
			if f.number != old.version {
				n.attr.Mtime, n.loose = f.shown, true
			}
		}
		n.attr.Size = int64(len(n.data))
	}
	next.inodes[ino] = n
}

func (w *world) xattrs(db *index.DB, ino index.Ino) map[string]string {
	m := make(map[string]string)
	for _, name := range must(db.ListXattr(ctx, ino)) {
		m[name] = string(must(db.GetXattr(ctx, ino, name)))
	}
	return m
}

// flatten returns a line for every path of a published tree.
func (p published) flatten() map[string]string {
	links, subdirs := make(map[index.Ino]uint32), make(map[index.Ino]uint32)
	for n, ino := range p.names {
		links[ino]++
		if p.inodes[ino].attr.IsDir() {
			subdirs[n.parent]++
		}
	}
	lines := make(map[string]string)
	var walk func(path string, ino index.Ino)
	walk = func(path string, ino index.Ino) {
		n := *p.inodes[ino]
		n.attr.Nlink = links[ino]
		if n.attr.IsDir() {
			n.attr.Nlink = 2 + subdirs[ino]
		}
		lines[path] = n.line()
		for at, child := range p.names {
			if at.parent == ino {
				walk(path+"/"+at.name, child)
			}
		}
	}
	walk("", index.Root)
	return lines
}

func (n *node) line() string {
	a := n.attr
	if n.loose {
		a.Ctime = 0
	}
	if n.adrift {
		a.Mode, a.UID, a.GID, a.Atime, a.Mtime, a.Ctime, n.xattrs = a.Mode&0o170000, 0, 0, 0, 0, 0, nil
	}
	return fmt.Sprintf("ino %d mode %o uid %d gid %d nlink %d rdev %d size %d times %d %d %d %d target %q xattrs %q version %d data %x",
		a.Ino, a.Mode, a.UID, a.GID, a.Nlink, a.Rdev, a.Size, a.Atime, a.Mtime, a.Ctime, a.Btime, n.target, n.xattrs, n.version, n.data)
}

// walk returns a line for every path of an index, as flatten does.
func (w *world) walk(db *index.DB) map[string]string {
	lines := make(map[string]string)
	var visit func(path string, a index.Attr)
	visit = func(path string, a index.Attr) {
		n := node{attr: a, xattrs: w.xattrs(db, a.Ino)}
		if shown := w.tree.inodes[a.Ino]; shown != nil {
			n.loose, n.adrift = shown.loose, shown.adrift
		}
		if a.IsSymlink() {
			n.target = string(must(db.Readlink(ctx, a.Ino)))
		}
		if a.IsRegular() {
			n.version, n.data = a.Version, w.read(must(db.Extents(ctx, a.Ino, 0, -1)), a.Size)
		}
		lines[path] = n.line()
		if !a.IsDir() {
			return
		}
		for _, e := range must(db.ReadDir(ctx, a.Ino, 0, 1000)) {
			visit(path+"/"+string(e.Name), e.Attr)
		}
	}
	visit("", must(db.Get(ctx, index.Root)))
	return lines
}

// read puts a file together from its extents.
func (w *world) read(extents []index.Extent, size int64) []byte {
	data := make([]byte, size)
	end := int64(0)
	for _, e := range extents {
		if e.Off < end || e.Off+e.Len > size {
			w.t.Fatalf("extent %d+%d after %d in %d bytes", e.Off, e.Len, end, size)
		}
		end = e.Off + e.Len
		copy(data[e.Off:end], w.segments[e.Segment][e.Pos:e.Pos+e.Len])
	}
	return data
}

func diff(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	for path := range want {
		if got[path] != want[path] {
			t.Errorf("%s: %q\n got %s\nwant %s", what, path, got[path], want[path])
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%s: %q should not be there: %s", what, path, got[path])
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

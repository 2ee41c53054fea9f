package index_test

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/walfs/walfs/index"
)

// binned is what the model knows of a file in the trash.
type binned struct {
	id       int64
	path     string
	replaced bool
	attr     index.Attr // before it was deleted
	mtime    int64      // published
	xattrs   map[string]string
	target   string
	data     []byte // published
	segments map[uint64]bool
	may      bool // it was stored, and all of it is there
	named    bool // it was stored under this name
}

// pathOf returns the path of a name.
func (w *world) pathOf(n name) string {
	path := n.name
	for dir := n.parent; dir != index.Root; {
		for at, ino := range w.names {
			if ino == dir {
				path, dir = at.name+"/"+path, at.parent
				break
			}
		}
	}
	return path
}

// bin looks at a file that is about to lose a name.
func (w *world) bin(n name, replaced bool) *binned {
	ino := w.names[n]
	b := &binned{path: w.pathOf(n), replaced: replaced, attr: must(w.db.Get(ctx, ino)), xattrs: w.xattrs(w.db, ino), segments: map[uint64]bool{}, named: w.tree.names[n] == ino}
	switch f := w.files[ino]; {
	case f != nil:
		b.may = w.versionOf(ino) > 0
		if shown := w.tree.inodes[ino]; shown != nil {
			b.data = shown.data
		} else {
			b.data = f.was
		}
		b.mtime = f.shown
		extents := must(w.db.Extents(ctx, ino, 0, -1))
		for _, e := range extents {
			b.segments[e.Segment] = true
		}
		b.may = b.may && bytes.Equal(w.readReal(extents, int64(len(b.data))), b.data)
	case b.attr.IsSymlink():
		b.target, b.mtime = string(must(w.db.Readlink(ctx, ino))), b.attr.Mtime
		b.may = slices.Contains(slices.Collect(maps.Values(w.tree.names)), ino)
	}
	return b
}

// readReal reads extents as they are after segments were made again.
func (w *world) readReal(extents []index.Extent, size int64) []byte {
	data := make([]byte, size)
	for _, e := range extents {
		plain := w.gapped[e.Segment]
		if plain == nil {
			plain = w.segments[e.Segment]
		}
		copy(data[e.Off:e.Off+e.Len], plain[e.Pos:])
	}
	return data
}

// binned checks that what lost its last name is in the trash if it can be had
// back, and only then.
func (w *world) binned(b *binned, last bool) {
	w.t.Helper()
	if b == nil || b.attr.IsDir() {
		return
	}
	list := must(w.db.Trash(ctx, index.TrashQuery{Max: 1}))
	isNew := len(list) > 0 && w.trash[list[0].ID] == nil
	if isNew != (last && b.may) {
		w.t.Fatalf("%q: in the trash: %v, last name %v, stored %v", b.path, isNew, last, b.may)
	}
	if !isNew {
		return
	}
	got := list[0]
	size := int64(len(b.data) + len(b.target))
	if string(got.Path) != b.path || got.Replaced != b.replaced || got.Size != size || got.Mode != b.attr.Mode || got.Mtime != b.mtime {
		w.t.Fatalf("in the trash %+v, want %+v", got, b)
	}
	b.id = got.ID
	w.trash[b.id] = b
}

// dropLost forgets what was in a segment that was made again.
func (w *world) dropLost(segment uint64) {
	maps.DeleteFunc(w.trash, func(_ int64, b *binned) bool { return b.segments[segment] })
}

// sameTrash compares the trash with the model's.
func (w *world) sameTrash() {
	w.t.Helper()
	var got []int64
	var sum index.TrashSum
	for _, t := range must(w.db.Trash(ctx, index.TrashQuery{})) {
		got = append(got, t.ID)
		sum.Files++
		if t.Mode&0o170000 == 0o100000 {
			sum.Bytes += t.Size
		}
	}
	slices.Reverse(got)
	if want := slices.Sorted(maps.Keys(w.trash)); !slices.Equal(got, want) {
		w.t.Fatalf("in the trash %v, want %v", got, want)
	}
	if s := w.db.TrashSum(); s != sum {
		w.t.Fatalf("trash of %+v, want %+v", s, sum)
	}
}

// untrash restores a few files from the trash, where they were or elsewhere,
// and now and then gives one up.
func (w *world) untrash() {
	ids := slices.Sorted(maps.Keys(w.trash))
	if len(ids) == 0 {
		return
	}
	var list []index.UntrashRequest
	for range 1 + w.rng.IntN(3) {
		b := w.trash[ids[w.rng.IntN(len(ids))]]
		path := b.path
		if w.rng.IntN(2) == 0 {
			path = w.pathOf(w.place())
		}
		list = append(list, index.UntrashRequest{ID: b.id, Path: []byte(path)})
	}
	done, err := w.db.Untrash(ctx, list)
	w.expect("untrash", err)
	for _, u := range done {
		w.untrashed(u)
	}
	if w.rng.IntN(8) == 0 {
		id := ids[w.rng.IntN(len(ids))]
		gone, err := w.db.EmptyTrash(ctx, []int64{id, 1 << 40})
		w.expect("empty trash", err)
		if gone.Files != 1 || gone.Bytes != int64(len(w.trash[id].data)) {
			w.t.Fatalf("gave up %+v of %d bytes", gone, len(w.trash[id].data))
		}
		delete(w.trash, id)
	}
}

// untrashed does in the model what a restore did, and compares.
func (w *world) untrashed(u index.Untrashed) {
	b := w.trash[u.ID]
	at := name{index.Root, ""}
	var want error
	names := strings.Split(string(u.Path), "/")
	var made []name
	for i, n := range names {
		at.name = n
		ino, exists := w.names[at]
		if i == len(names)-1 {
			if exists {
				want = index.ErrExist
			}
			break
		}
		if exists && !w.dirs[ino] {
			want = index.ErrNotDir
			break
		}
		if !exists {
			if want != nil || !w.expect("untrash", u.Err, index.ErrStoring) {
				break
			}
			ino = must(w.db.Lookup(ctx, at.parent, []byte(n))).Ino
			made = append(made, at)
			w.dirs[ino], w.names[at] = true, ino
		}
		at = name{parent: ino}
	}
	if want == nil && !u.Linked {
		for s := range b.segments {
			if !w.certified[s] {
				want = index.ErrStoring
			}
		}
	}
	if !errors.Is(u.Err, want) {
		w.t.Fatalf("untrash %+v: %v, want %v", u, u.Err, want)
	}
	if u.Err != nil {
		return
	}
	if u.Made != len(made) {
		w.t.Fatalf("untrash %+v made %d folders", u, len(made))
	}
	a := must(w.db.Get(ctx, u.Ino))
	if u.Linked {
		if got := w.readReal(must(w.db.Extents(ctx, u.Ino, 0, -1)), a.Size); !b.named || !a.IsSymlink() && !bytes.Equal(got, b.data) || a.Nlink < 2 {
			w.t.Fatalf("untrash linked %+v, with %x, want %x", a, got, b.data)
		}
		w.bind(at, u.Ino)
		return
	}
	if a.Mode != b.attr.Mode || a.UID != b.attr.UID || a.GID != b.attr.GID || a.Btime != b.attr.Btime || a.Mtime != b.mtime ||
		a.Size != int64(len(b.data)+len(b.target)) || !reflect.DeepEqual(w.xattrs(w.db, u.Ino), b.xattrs) {
		w.t.Fatalf("untrash made %+v, want %+v", a, b)
	}
	if a.IsSymlink() {
		w.bind(at, u.Ino)
		return
	}
	if got := w.readReal(must(w.db.Extents(ctx, u.Ino, 0, -1)), a.Size); !bytes.Equal(got, b.data) {
		w.t.Fatalf("untrash gives %x, want %x", got, b.data)
	}
	w.files[u.Ino] = &file{
		version: version{number: 1, mtime: a.Mtime, base: a.Size, data: slices.Clone(b.data), dirty: map[int64]bool{}},
		nextMin: a.Size, shown: a.Mtime, adopted: true, adoptedAs: 1, was: b.data,
	}
	w.bind(at, u.Ino)
	if s := must(w.db.State(ctx, u.Ino)); s.State != index.StateStoring {
		w.t.Fatalf("restored file is %s", s.State)
	}
}

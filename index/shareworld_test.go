package index_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/walfs/walfs/index"
)

// share makes a file of ranges of another one, or puts one behind what a file
// has that was made so and stands in no trailer yet.
func (w *world) share() {
	clean := w.live(func(ino index.Ino) bool { f := w.files[ino]; return f != nil && !f.marked && len(f.dirty) == 0 })
	if len(clean) == 0 {
		return
	}
	from := w.names[w.pick(clean)]
	to, p := w.names[w.pick(clean)], w.place()
	if f := w.files[to]; w.names[p] == 0 && (!f.adopted || w.rng.IntN(3) > 0) {
		a, err := w.db.Create(ctx, index.CreateRequest{Parent: p.parent, Name: []byte(p.name), Mode: fileMode})
		w.expect("create", err)
		to, w.files[a.Ino] = a.Ino, newFile(a)
		w.bind(p, to)
	}
	src, dst := w.files[from], w.files[to]
	r := index.ShareRequest{From: from, To: to, At: int64(len(dst.data)), Len: int64(len(src.data)) + 1}
	if len(src.data) > 1 && w.rng.IntN(2) == 0 {
		r.Off = int64(w.rng.IntN(len(src.data)))
		r.Len = 1 + int64(w.rng.IntN(len(src.data)))
		r.At += int64(w.rng.IntN(6))
	}
	s, err := w.db.Share(ctx, r)
	if !w.expect("share", err, index.ErrStale, index.ErrStoring, index.ErrCollected) {
		return
	}
	w.shares++
	if !dst.adopted && len(dst.data) > 0 || dst.packing != nil && !dst.packing.gone && len(dst.data) > 0 || len(dst.dirty) > 0 {
		w.t.Fatalf("shared %+v with what is not new", r)
	}
	data := slices.Concat(dst.data, make([]byte, r.At-int64(len(dst.data))), src.data[r.Off:r.Off+s.Len])
	if got := w.readReal(must(w.db.Extents(ctx, to, 0, -1)), s.Attr.Size); !bytes.Equal(got, data) || s.Attr.Dirty {
		w.t.Fatalf("share gives %x, want %x", got, data)
	}
	w.files[to] = &file{
		version: version{number: s.Attr.Version, mtime: s.Attr.Mtime, base: s.Attr.Size, data: data, dirty: map[int64]bool{}},
		nextMin: s.Attr.Size, shown: s.Attr.Mtime, adopted: true, adoptedAs: s.Attr.Version, was: data,
	}
}

// TestShareCut shares with a file whose first version, which is empty, is on
// its way into a trailer: that would come to stand for the content.
func TestShareCut(t *testing.T) {
	db := open(t)
	c := &committer{t: t, db: db}
	tree(t, db, "a")
	c.both(c.packed("a", 1, 5))
	certify(t, db, 1)
	tree(t, db, "b")
	from, to := lookup(t, db, "a").Ino, lookup(t, db, "b")
	empty := index.Packed{Ino: to.Ino, Version: to.Version, Mtime: to.Mtime}
	trailer := c.cut(empty)
	r := index.ShareRequest{From: from, To: to.Ino, Len: 5}
	if _, err := db.Share(ctx, r); !errors.Is(err, index.ErrStale) {
		t.Fatalf("shared with what is being stored: %v", err)
	}
	c.commit(trailer, empty)
	if _, err := db.Share(ctx, r); !errors.Is(err, index.ErrStale) {
		t.Errorf("shared with what is stored: %v", err)
	}
	tree(t, db, "c")
	to = lookup(t, db, "c")
	r.To = to.Ino
	if s := must(db.Share(ctx, r)); s.Len != 5 || s.Attr.Size != 5 || s.Attr.Version == to.Version {
		t.Errorf("shared %+v", s)
	}
	old := index.Packed{Ino: to.Ino, Version: to.Version, Mtime: to.Mtime} // packed before, and not cut yet
	if _, err := db.CutTrailer(ctx, []index.Packed{old}); !errors.Is(err, index.ErrStale) {
		t.Errorf("what was packed before: %v", err)
	}
	c.both()
	c.expect("a:xxxxx b: c:xxxxx")
}

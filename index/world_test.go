package index_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/walfs/walfs/index"
)

// block is the granularity in bytes at which the model's staging knows what is dirty.
const block = 4

// version is a state of a file's content, as a pack takes it.
type version struct {
	number uint64
	mtime  int64
	base   int64
	data   []byte
	dirty  map[int64]bool // blocks that are not published yet
}

// file is the model's staging of a regular file.
type file struct {
	version
	marked  bool  // MarkDirty was called since the last pack
	nextMin int64 // smallest size since the last pack
	shown   int64 // published mtime
	late    bool  // written after its mtime was set, and not queued since
	open    bool  // unlinked and still in use
	queued  bool
	packing *pack
	was     []byte // its first content, if it is adopted

	adopted   bool   // made of extents of others
	adoptedAs uint64 // version
}

// pack is a version on its way into one or several segments.
type pack struct {
	ino  index.Ino
	v    version
	left []index.Op // ranges that are in no segment yet
	ops  []index.Op
	gone bool // the machine crashed, or the pack was given up
}

// name is a place in the tree.
type name struct {
	parent index.Ino
	name   string
}

// world drives an index the way a mount and a committer do and remembers what
// it did, by itself.
type world struct {
	t     testing.TB
	rng   *rand.Rand
	clock *clock
	path  string
	db    *index.DB

	names map[name]index.Ino // live
	needs map[name]uint64    // version that has to be published with the name
	dirs  map[index.Ino]bool
	files map[index.Ino]*file

	segments  map[uint64][]byte // plaintext
	gapped    map[uint64][]byte // of segments that were made again
	certified map[uint64]bool
	collected map[uint64]bool // deleted on the ledger
	hauled    int
	shares    int
	committed func(generation uint64) // by store; nil: nothing
	trailers  []carried
	tree      published // after the newest commit
	history   map[uint64]published
	crashes   int
	trash     map[int64]*binned
}

// carried is an encoded trailer and the segments that carry it.
type carried struct {
	encoded  []byte
	segments []index.SegmentRow
	full     bool // a full snapshot stands behind the rows
	late     bool // in which attributes may be newer than the trailer
}

func (w *world) pick(names []name) name { return names[w.rng.IntN(len(names))] }

// live returns the live names that satisfy a condition, in a fixed order.
func (w *world) live(ok func(index.Ino) bool) []name {
	var list []name
	for n, ino := range w.names {
		if ok(ino) {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b name) int {
		return cmp.Or(cmp.Compare(a.parent, b.parent), cmp.Compare(a.name, b.name))
	})
	return list
}

func (w *world) isFile(ino index.Ino) bool { return w.files[ino] != nil }
func (w *world) any(index.Ino) bool        { return true }

// place returns a random directory and one of few names, so that names collide.
func (w *world) place() name {
	dirs := slices.Sorted(maps.Keys(w.dirs))
	return name{dirs[w.rng.IntN(len(dirs))], string(rune('a' + w.rng.IntN(5)))}
}

// expect ends the test unless err is nil or one of the given ones.
func (w *world) expect(what string, err error, allowed ...error) bool {
	w.t.Helper()
	if err == nil {
		return true
	}
	for _, a := range allowed {
		if errors.Is(err, a) {
			return false
		}
	}
	w.t.Fatalf("%s: %v", what, err)
	return false
}

func (w *world) create(mode uint32) {
	p := w.place()
	r := index.CreateRequest{Parent: p.parent, Name: []byte(p.name), Mode: mode, UID: w.rng.Uint32N(3), GID: 5, Rdev: 7}
	if mode == symlinkMode {
		r.Target = []byte(fmt.Sprint("to", w.rng.IntN(9)))
	}
	a, err := w.db.Create(ctx, r)
	_, exists := w.names[p]
	if !w.expect("create", err, index.ErrExist) {
		if !exists {
			w.t.Fatalf("create %v: exists", p)
		}
		return
	}
	if exists {
		w.t.Fatalf("create %v over an entry", p)
	}
	w.bind(p, a.Ino)
	switch {
	case a.IsDir():
		w.dirs[a.Ino] = true
	case a.IsRegular():
		w.files[a.Ino] = newFile(a)
	}
}

func newFile(a index.Attr) *file {
	return &file{version: version{number: a.Version, mtime: a.Mtime, dirty: make(map[int64]bool)}, marked: true}
}

// temporary makes a file without a name, writes it and maybe names it.
func (w *world) temporary() {
	a, err := w.db.Create(ctx, index.CreateRequest{Mode: fileMode})
	w.expect("create without a name", err)
	w.files[a.Ino] = newFile(a)
	w.writeFile(a.Ino)
	p := w.place()
	if _, taken := w.names[p]; taken {
		w.reap(a.Ino)
		return
	}
	_, err = w.db.Link(ctx, a.Ino, p.parent, []byte(p.name))
	w.expect("link", err)
	w.bind(p, a.Ino)
	w.queue(a.Ino)
}

// write changes a random file: overwrites, appends, truncates or empties and rewrites it.
func (w *world) write() {
	files := w.live(w.isFile)
	if len(files) == 0 {
		return
	}
	ino := w.names[w.pick(files)]
	w.writeFile(ino)
	if w.rng.IntN(3) > 0 {
		w.queue(ino)
	}
}

func (w *world) writeFile(ino index.Ino) {
	f := w.files[ino]
	if !f.marked {
		v, err := w.db.MarkDirty(ctx, ino, 0)
		w.expect("mark dirty", err)
		f.number, f.marked = v, true
	}
	switch w.rng.IntN(4) {
	case 0:
		w.truncate(f, w.rng.IntN(len(f.data)+2*block))
	case 1: // as editors save
		w.truncate(f, 0)
		w.overwrite(f, 0, 1+w.rng.IntN(6*block))
	case 2:
		w.overwrite(f, len(f.data), 1+w.rng.IntN(2*block))
	default:
		w.overwrite(f, w.rng.IntN(len(f.data)+1), 1+w.rng.IntN(2*block))
	}
	f.mtime = w.clock.now().UnixNano()
	f.late = true
}

func (w *world) truncate(f *file, size int) {
	if size < len(f.data) {
		for b := range f.dirty {
			if b*block >= int64(size) {
				delete(f.dirty, b)
			}
		}
		f.data = f.data[:size:size]
		f.base, f.nextMin = min(f.base, int64(size)), min(f.nextMin, int64(size))
		return
	}
	f.data = append(slices.Clone(f.data), make([]byte, size-len(f.data))...)
}

func (w *world) overwrite(f *file, at, n int) {
	data := append(slices.Clone(f.data), make([]byte, max(0, at+n-len(f.data)))...)
	for i := at; i < at+n; i++ {
		data[i] = byte(1 + w.rng.IntN(255))
	}
	f.data = data
	for b := int64(at) / block; b <= int64(at+n-1)/block; b++ {
		f.dirty[b] = true
	}
}

// queue is what the mount does when a file is closed.
func (w *world) queue(ino index.Ino) {
	f := w.files[ino]
	w.expect("queue", w.db.Queue(ctx, ino, index.Queued{Size: int64(len(f.data)), Mtime: f.mtime}))
	f.late, f.queued = false, true
}

func (w *world) barrier() {
	var held []index.Held
	for _, n := range w.live(w.isFile) {
		if f := w.files[w.names[n]]; f.marked && w.rng.IntN(4) == 0 {
			held = append(held, index.Held{Ino: w.names[n], Size: int64(len(f.data)), Base: f.base, Mtime: f.mtime})
			f.late, f.queued = false, true
		}
	}
	w.expect("barrier", w.db.Barrier(ctx, held))
}

// reap lets go of an inode without links, at once or when it is closed.
func (w *world) reap(ino index.Ino) {
	f := w.files[ino]
	if f != nil && !f.open && w.rng.IntN(3) == 0 {
		f.open = true
		return
	}
	_, err := w.db.Reap(ctx, ino)
	w.expect("reap", err)
	_, err = w.db.Get(ctx, ino)
	deleted := errors.Is(err, index.ErrNotExist)
	if f != nil {
		f.open = false
		if deleted && f.packing != nil {
			f.packing.gone = true
		}
	}
}

func (w *world) unlink() {
	names := w.live(w.any)
	if len(names) == 0 {
		return
	}
	n := w.pick(names)
	ino := w.names[n]
	if w.dirs[ino] {
		_, err := w.db.Rmdir(ctx, n.parent, []byte(n.name))
		if empty := !w.occupied(ino); !w.expect("rmdir", err, index.ErrNotEmpty) || !empty {
			if empty || err == nil {
				w.t.Fatalf("rmdir of %v: %v, empty %v", n, err, empty)
			}
			return
		}
		delete(w.names, n)
		delete(w.dirs, ino)
		w.reap(ino)
		return
	}
	bin := w.bin(n, false)
	a, err := w.db.Unlink(ctx, n.parent, []byte(n.name))
	w.expect("unlink", err)
	w.binned(bin, a.Nlink == 0 || bin.named)
	delete(w.names, n)
	if a.Nlink == 0 {
		w.reap(ino)
	}
}

func (w *world) occupied(dir index.Ino) bool {
	for n := range w.names {
		if n.parent == dir {
			return true
		}
	}
	return false
}

// closeSome closes unlinked files that were left open.
func (w *world) closeSome() {
	for _, ino := range slices.Sorted(maps.Keys(w.files)) {
		if w.files[ino].open && w.rng.IntN(2) == 0 {
			w.reap(ino)
		}
	}
}

func (w *world) link() {
	files := w.live(func(ino index.Ino) bool { return !w.dirs[ino] })
	if len(files) == 0 {
		return
	}
	ino, p := w.names[w.pick(files)], w.place()
	_, err := w.db.Link(ctx, ino, p.parent, []byte(p.name))
	if _, taken := w.names[p]; w.expect("link", err, index.ErrExist) == taken {
		w.t.Fatalf("link to %v: %v", p, err)
	}
	if err == nil {
		w.bind(p, ino)
	}
}

// bind gives an inode a name. What a file is now has to be published with it.
func (w *world) bind(p name, ino index.Ino) {
	w.names[p] = ino
	delete(w.needs, p)
	if f := w.files[ino]; f != nil && f.number != w.versionOf(ino) {
		w.needs[p] = f.number
	}
}

func (w *world) rename() {
	names := w.live(w.any)
	if len(names) == 0 {
		return
	}
	from, to := w.pick(names), w.place()
	r := index.RenameRequest{OldParent: from.parent, OldName: []byte(from.name), NewParent: to.parent, NewName: []byte(to.name)}
	moved, target := w.names[from], w.names[to]
	switch w.rng.IntN(6) {
	case 0:
		r.NoReplace = true
	case 1:
		r.Exchange = true
	case 2:
		r.Full = true
	}
	var bin *binned
	if target != 0 && target != moved && !r.Exchange && !r.NoReplace {
		bin = w.bin(to, true)
	}
	displaced, err := w.db.Rename(ctx, r)
	if !w.expect("rename", err, index.ErrExist, index.ErrNotExist, index.ErrLoop, index.ErrIsDir, index.ErrNotDir, index.ErrNotEmpty) {
		return
	}
	if moved == target {
		return
	}
	if r.Exchange {
		w.bind(from, target)
		w.bind(to, moved)
		return
	}
	if displaced.Ino != target {
		w.t.Fatalf("rename displaced inode %d, want %d", displaced.Ino, target)
	}
	w.binned(bin, target != 0 && displaced.Nlink == 0)
	delete(w.names, from)
	w.bind(to, moved)
	if target != 0 && displaced.Nlink == 0 {
		delete(w.dirs, target)
		w.reap(target)
	}
}

func (w *world) attributes() {
	ino := index.Root
	if names := w.live(w.any); len(names) > 0 {
		ino = w.names[w.pick(names)]
	}
	switch w.rng.IntN(4) {
	case 0:
		mode, uid := w.rng.Uint32N(0o10000), w.rng.Uint32N(5)
		_, err := w.db.SetAttr(ctx, ino, index.Change{Mode: &mode, UID: &uid})
		w.expect("chmod", err)
	case 1:
		atime, mtime := w.rng.Int64()-1<<62, w.rng.Int64()-1<<62
		_, err := w.db.SetAttr(ctx, ino, index.Change{Atime: &atime, Mtime: &mtime})
		w.expect("utimes", err)
		if f := w.files[ino]; f != nil {
			f.mtime, f.late = mtime, false
			if f.number == w.versionOf(ino) {
				f.shown = mtime
			}
		}
	case 2:
		value := bytes.Repeat([]byte{byte(w.rng.Uint32())}, w.rng.IntN(40))
		w.expect("setxattr", w.db.SetXattr(ctx, ino, fmt.Sprint("user.x", w.rng.IntN(3)), value, 0))
	default:
		err := w.db.RemoveXattr(ctx, ino, fmt.Sprint("user.x", w.rng.IntN(3)))
		w.expect("removexattr", err, index.ErrNoAttr)
	}
}

// step does one random thing that a program may do.
func (w *world) step() {
	switch w.rng.IntN(27) {
	case 0, 1, 2:
		w.create(fileMode)
	case 3, 4:
		w.create(dirMode)
	case 5:
		w.create(symlinkMode)
	case 6:
		w.create(0o010600)
	case 7:
		w.temporary()
	case 8, 9, 10, 11, 12:
		w.write()
	case 13, 14:
		w.unlink()
	case 15:
		w.link()
	case 16, 17, 18:
		w.rename()
	case 19, 20:
		w.attributes()
	case 21, 22, 23:
		w.untrash()
	case 24, 25:
		w.share()
	default:
		w.barrier()
		w.closeSome()
	}
}

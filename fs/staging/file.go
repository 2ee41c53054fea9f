package staging

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/index"
)

// Shape is what the index knows of a file when staging begins to hold it.
type Shape struct {
	Size    int64
	Mtime   int64  // Unix time in nanoseconds
	Base    int64  // length of published content that shows through; 0: none
	Version uint64 // the index marked this version dirty just now; 0: it did not
	Under   uint64 // version of the published content; 0: not known
	New     bool   // nothing was ever published
}

// File is what staging holds of one inode. Its methods may be called concurrently.
type File struct {
	d       *Dir
	ino     index.Ino
	refs    int  // guarded by d.mu
	doomed  bool // guarded by d.mu: delete when the last use ends
	ready   chan struct{}
	err     error // of opening, once ready is closed
	writers atomic.Int32
	lent    atomic.Bool   // changed under mu; see lend.go
	holes   atomic.Uint64 // how often a part of the content was cut off or punched

	lending sync.Mutex // held while a file that is lent gets another version; taken before marking
	marking sync.Mutex // held while the inode is being marked
	syncing sync.Mutex // held while the data is being synced

	mu       sync.RWMutex // guards the fields below and the order of writes to both files
	data     *os.File
	blockMap *os.File // nil: there is none
	behind   bool     // the map lacks a change
	size     int64
	base     int64
	under    under
	mtime    int64
	stamped  bool // the data file's time is mtime
	version  uint64
	marked   bool // the index knows that version is being changed
	whole    bool // the data file is the whole content, holes included
	plain    bool // whole, base 0, all of it dirty: blocks and map are not needed
	blocks   blocks
	epoch    uint64
	unsynced bool
	timed    bool   // the data file's time was set since the last sync
	grown    int64  // bytes written since the room was counted
	pack     *Pack  // in flight
	seen     stamp  // of the data file, while it is lent
	quiet    bool   // a change after seen gives another stamp
	turns    uint64 // changes that were noticed
	wrote    int64  // when the kernel wrote last by itself
	proof    proof  // that nothing was written since the version before
	back     func() // see Lend; good while it is lent
}

// File opens what staging holds of an inode, or begins to hold it. The caller releases it.
func (d *Dir) File(ctx context.Context, ino index.Ino, s Shape) (*File, error) {
	f, err := d.use(ino, func(f *File) error { return f.create(s) })
	for errors.Is(err, ErrNotExist) && ctx.Err() == nil { // a Lookup came first and found nothing
		f, err = d.use(ino, func(f *File) error { return f.create(s) })
	}
	if err != nil {
		return nil, fmt.Errorf("staging file %d: %w", ino, err)
	}
	return f, nil
}

// Lookup opens what staging holds of an inode, if anything. The caller releases it.
func (d *Dir) Lookup(ino index.Ino) (*File, bool, error) {
	f, err := d.use(ino, func(*File) error { return ErrNotExist })
	if errors.Is(err, ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("staging file %d: %w", ino, err)
	}
	return f, true, nil
}

// use returns the open file of an inode, or loads it, or makes it.
func (d *Dir) use(ino index.Ino, create func(*File) error) (*File, error) {
	return d.useBy(ino, (*File).load, create)
}

// useBy is use with another way to load a file. Who asks for the file meanwhile waits.
func (d *Dir) useBy(ino index.Ino, load, create func(*File) error) (*File, error) {
	d.mu.Lock()
	if f := d.open[ino]; f != nil {
		f.refs++
		d.mu.Unlock()
		<-f.ready
		if f.err != nil {
			return nil, f.err
		}
		return f, nil
	}
	d.opens++
	p := d.present[ino]
	if p != nil {
		p.opened = d.opens
	}
	f := &File{d: d, ino: ino, refs: 1, ready: make(chan struct{}), unsynced: p == nil || p.unsynced}
	f.timed = f.unsynced
	d.open[ino] = f
	d.mu.Unlock()
	if p != nil {
		f.err = load(f)
	} else {
		f.err = create(f)
	}
	if f.err != nil {
		d.mu.Lock()
		delete(d.open, ino)
		d.mu.Unlock()
		f.closeFiles()
	}
	close(f.ready)
	if f.err != nil {
		return nil, f.err
	}
	return f, nil
}

// Release ends the use of a file.
func (f *File) Release() {
	d := f.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.refs--; f.refs > 0 {
		return
	}
	delete(d.open, f.ino)
	delete(d.lent, f.ino)
	if p := d.present[f.ino]; p != nil {
		p.written = p.written || f.marked
		if info, err := f.data.Stat(); err == nil {
			d.count(p, footprint(info, f.blockMap != nil))
		}
	}
	f.closeFiles()
	if f.doomed {
		if err := d.entomb(f.ino); err != nil {
			d.log.Error("delete staging file", "op", "release", "ino", uint64(f.ino), "err", err)
		}
	}
}

// closeFiles drops the descriptors. What was written to them is with the
// kernel already, so that closing has nothing left to report.
func (f *File) closeFiles() {
	for _, file := range []*os.File{f.data, f.blockMap} {
		if file != nil {
			_ = file.Close()
		}
	}
}

// create makes the files of an inode of which nothing is held.
func (f *File) create(s Shape) error {
	f.size, f.base, f.mtime = s.Size, min(s.Base, s.Size), s.Mtime
	f.version, f.marked = s.Version, s.Version != 0
	f.whole, f.plain = f.base == 0, f.base == 0
	if err := f.d.clearDoubted(f.ino); err != nil {
		return err
	}
	if !f.plain {
		f.under = under{s.Under, s.Under}
		if err := f.createMap(); err != nil {
			return err
		}
	}
	if err := f.createData(); err != nil {
		return err
	}
	f.d.mu.Lock()
	f.d.opens++
	f.d.present[f.ino] = &presence{unsynced: true, unlinked: true, mapped: !f.plain, fresh: s.New && f.plain, opened: f.d.opens}
	f.d.mu.Unlock()
	return nil
}

// NoteCopy notes that a program copies content of another file to the same place in this one.
func (f *File) NoteCopy(from index.Ino) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if p := f.d.present[f.ino]; p != nil {
		p.copyOf = from
	}
}

// CopyOf returns the file of the last NoteCopy since staging was opened, or 0. It is a hint:
// both may have changed since.
func (f *File) CopyOf() index.Ino {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if p := f.d.present[f.ino]; p != nil {
		return p.copyOf
	}
	return 0
}

// createData makes the data file; it appears with its size.
func (f *File) createData() (err error) {
	path := f.d.dataPath(f.ino)
	if f.size == 0 {
		f.data, err = f.d.disk.create(path)
		return err
	}
	tmp := path + ".tmp"
	if f.data, err = f.d.disk.create(tmp); err != nil {
		return err
	}
	if err := f.d.disk.truncate(f.data, f.size); err != nil {
		return err
	}
	return f.d.disk.rename(tmp, path)
}

// load opens the files of an inode.
func (f *File) load() (err error) {
	if err := f.loadData(); err != nil {
		return err
	}
	synced, revived := f.d.copied(f.ino)
	if revived {
		return f.loadCopy()
	}
	f.blockMap, err = openToWrite(f.d.mapPath(f.ino))
	if errors.Is(err, os.ErrNotExist) {
		f.blockMap, f.whole, f.plain = nil, true, true
		return nil
	}
	if err != nil {
		return err
	}
	err = f.loadMap()
	if synced && (errors.Is(err, ErrCorrupt) || err == nil && !f.isCopy()) {
		return f.loadCopy() // the map is one that a power cut has left, some starts ago
	}
	return err
}

// loadData opens the data file alone.
func (f *File) loadData() (err error) {
	if f.data, err = openToWrite(f.d.dataPath(f.ino)); err != nil {
		return err
	}
	info, err := f.data.Stat()
	if err != nil {
		return err
	}
	f.size, f.mtime, f.stamped = info.Size(), info.ModTime().UnixNano(), true
	return nil
}

// openToWrite opens a file for reading and writing or, where the file system has turned
// read-only, for reading: who writes is refused when he marks the inode.
func openToWrite(path string) (*os.File, error) {
	f, err := openFile(path, os.O_RDWR)
	if errors.Is(err, unix.EROFS) {
		return openFile(path, os.O_RDONLY)
	}
	return f, err
}

// Ino returns the number of the inode.
func (f *File) Ino() index.Ino { return f.ino }

// Size returns the live size in bytes.
func (f *File) Size() int64 {
	f.rlock()
	defer f.mu.RUnlock()
	return f.size
}

// Mtime returns when the content changed last, as Unix time in nanoseconds.
func (f *File) Mtime() int64 {
	f.rlock()
	defer f.mu.RUnlock()
	return f.mtime
}

// SetMtime sets what Mtime returns, or the nearest that the file system can hold:
// another time would not survive.
func (f *File) SetMtime(ns int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.look(); err != nil {
		return err
	}
	f.mtime, f.stamped, f.seen = ns, false, stamp{}
	if err := f.stamp(); err != nil {
		return err
	}
	now, err := stampOf(f.data)
	if err != nil {
		return fmt.Errorf("time of staging file %d: %w", f.ino, err)
	}
	f.mtime = now.mtime
	return f.look()
}

// Stamp makes the time of the last change survive a crash to the nanosecond;
// without it, what survives is as coarse as the clock of the file system.
func (f *File) Stamp() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stamp()
}

func (f *File) stamp() error {
	if f.stamped {
		return nil
	}
	if err := f.d.disk.setMtime(f.d.dataPath(f.ino), f.mtime); err != nil {
		return fmt.Errorf("set time of staging file %d: %w", f.ino, err)
	}
	f.stamped, f.timed = true, true
	if f.plain { // of others a barrier tells the time
		f.unsync()
	}
	return nil
}

// touch notes a change of the content. The caller holds mu.
func (f *File) touch() {
	f.turns++
	if f.lent.Load() { // look takes over the time that the write gave the data file
		f.seen = stamp{}
	} else {
		f.mtime, f.stamped = time.Now().UnixNano(), false
	}
	if f.pack != nil {
		f.pack.moved.Store(true)
	}
	f.unsync()
}

// unsync notes that something is not on stable storage. The caller holds mu.
func (f *File) unsync() {
	if f.unsynced {
		return
	}
	f.unsynced = true
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if p := f.d.present[f.ino]; p != nil {
		p.unsynced = true
	}
}

// Base returns below which offset published content shows through where
// staging holds nothing: the smallest size since that content was published.
func (f *File) Base() int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.base
}

// Epoch changes whenever content that staging does not hold may have changed.
func (f *File) Epoch() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.epoch
}

// Complete reports whether staging holds the whole content.
func (f *File) Complete() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.complete()
}

// complete is Complete for those who hold mu.
func (f *File) complete() bool {
	return f.whole || f.blocks.next(0, blocksFor(f.base), absent) == blocksFor(f.base)
}

// Dirty reports whether the file may have changed since its last Pack was committed.
func (f *File) Dirty() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.marked || f.plain || f.blocks.next(0, f.blocks.end(), dirty) < f.blocks.end()
}

// AddWriter counts a handle that is open for writing.
func (f *File) AddWriter() { f.writers.Add(1) }

// DropWriter is the opposite of AddWriter.
func (f *File) DropWriter() { f.writers.Add(-1) }

// Writers returns how many handles are open for writing. One that is closed and
// has left a mapping counts too.
func (f *File) Writers() int {
	n := int(f.writers.Load())
	if n == 0 && f.lent.Load() {
		return 1
	}
	return n
}

// Clean tells that the live version is the published one: no block is dirty,
// and all published content shows through. The caller knows that nobody
// writes to the file meanwhile.
func (f *File) Clean() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pack != nil || f.lent.Load() {
		return nil // its Commit, or the kernel, knows better
	}
	f.marked = false
	f.settled()
	switch {
	case f.plain:
		f.under = under{}
		if err := f.spread(); err != nil {
			return fmt.Errorf("staging file %d: %w", f.ino, err)
		}
		f.blocks.change(dirty, clean)
		f.base = f.size
		return nil
	case f.base == f.size && f.blocks.next(0, f.blocks.end(), dirty) == f.blocks.end():
		return nil
	}
	f.base, f.under = f.size, under{}
	f.epoch++
	f.blocks.change(dirty, clean)
	if err := f.rewriteMap(); err != nil {
		return fmt.Errorf("staging file %d: %w", f.ino, err)
	}
	return nil
}

// unsettled notes that something was written that is not packed. The caller holds mu.
func (f *File) unsettled() {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if p := f.d.present[f.ino]; p != nil {
		p.written = true
	}
}

// settled notes that nothing was written that is not packed. The caller holds mu.
func (f *File) settled() {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if p := f.d.present[f.ino]; p != nil {
		p.written, p.fresh = false, false
	}
}

// Finished tells that packed blocks are certified.
func (f *File) Finished() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.blocks.change(packed, clean) {
		return nil
	}
	if err := f.rewriteMap(); err != nil {
		return fmt.Errorf("staging file %d: %w", f.ino, err)
	}
	return nil
}

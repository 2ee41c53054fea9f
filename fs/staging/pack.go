package staging

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// Pack is a snapshot of a file on its way to a segment. Its methods are for
// one goroutine.
type Pack struct {
	Version uint64
	Size    int64
	Mtime   int64  // Unix time in nanoseconds
	Base    int64  // published content from here on is not part of the version
	Seq     uint64 // as in index.Queued

	f      *File
	ranges []PackRange
	copy   *os.File // nil: reads the live file
	copied int64    // bytes
	unseen bool     // it is the snapshot of a file that is lent
	same   Same     // of a snapshot of a file that is lent; nil: nothing is known
	known  known    // what the copy leaves out by that
	moved  atomic.Bool
	done   bool

	// What follows is guarded by f.mu.
	since blocks // dirty: written since the snapshot
	base  int64  // smallest size since the snapshot
	lent  bool   // the file was, at some time since the snapshot
}

// PackRange is a range that changed since the last committed Pack.
type PackRange struct {
	Off, Len int64
	Hole     bool // reads as zeros; there is nothing to store
	Same     bool // what is published there, of which the snapshot has no bytes
}

// Pack takes a snapshot. Without copy it reads the live file, so that later
// writes show in it (see Moved); with copy it has bytes of its own. Either
// way it waits for running writes only. ErrBusy: the file has another Pack.
// The caller ends it with Commit or Abort.
func (f *File) Pack(ctx context.Context, copy bool) (*Pack, error) {
	return f.PackSince(ctx, copy, nil)
}

// PackSince is Pack for a caller who knows what is published: of a file that is lent, of
// which nobody knows what changed, the snapshot leaves out what is the same still.
func (f *File) PackSince(ctx context.Context, copy bool, same Same) (*Pack, error) {
	p := &Pack{f: f, same: same}
	f.mu.Lock()
	if f.pack != nil {
		f.mu.Unlock()
		return nil, fmt.Errorf("pack inode %d: %w", f.ino, ErrBusy)
	}
	f.pack = p
	f.mu.Unlock()
	f.publishing()
	err := p.snapshot(ctx, copy)
	for errors.Is(err, errTurned) && ctx.Err() == nil {
		p.dropCopy()
		p.copy, p.copied, p.known = nil, 0, nil
		err = p.snapshot(ctx, copy)
	}
	if err != nil {
		p.Abort()
		return nil, fmt.Errorf("pack inode %d: %w", f.ino, err)
	}
	return p, nil
}

// errTurned ends a snapshot of a file that was lent, or taken back, meanwhile.
var errTurned = errors.New("lent or taken back meanwhile")

// snapshot takes the snapshot of a file as it is now: lent or not.
func (p *Pack) snapshot(ctx context.Context, copy bool) error {
	p.unseen = p.f.lent.Load()
	switch {
	case p.unseen:
		return p.takeLent(ctx)
	case copy:
		return p.takeCopy(ctx)
	}
	return p.take(ctx)
}

// publishing adds a use to a file that is in use, and is no longer fresh.
func (f *File) publishing() {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.refs++
	if p := f.d.present[f.ino]; p != nil {
		p.fresh = false
	}
}

// take makes the snapshot: what is written from here on is recorded apart and
// raises the version.
func (p *Pack) take(ctx context.Context) error {
	return p.gate(ctx, func() error { return nil })
}

// gate takes the snapshot between two writes, after do ran there too.
func (p *Pack) gate(ctx context.Context, do func() error) error {
	f := p.f
	f.marking.Lock()
	defer f.marking.Unlock()
	if err := f.learnVersion(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lent.Load() != p.unseen {
		return errTurned
	}
	if err := do(); err != nil {
		return err
	}
	var err error
	if p.ranges, err = f.changes(); err != nil {
		return err
	}
	p.lent = p.unseen
	p.Version, p.Size, p.Mtime, p.Base, p.Seq = f.version, f.size, f.mtime, f.base, f.d.seq.Add(1)
	p.since, p.base = blocks{}, f.size
	p.moved.Store(false)
	if f.marked {
		f.unsettled()
	}
	f.marked = false
	return nil
}

// learnVersion asks for the version of a file that was not written since it
// was opened. The caller holds marking.
func (f *File) learnVersion(ctx context.Context) error {
	f.mu.RLock()
	known := f.version != 0
	f.mu.RUnlock()
	if known {
		return nil
	}
	var version uint64
	var err error
	if ask := f.d.c.Version; ask != nil {
		version, err = ask(ctx, f.ino)
	} else {
		version, err = f.d.c.MarkDirty(ctx, f.ino, f.d.seq.Add(1))
	}
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.version = version
	f.mu.Unlock()
	return nil
}

// changes returns the ranges that are dirty. The caller holds mu.
func (f *File) changes() ([]PackRange, error) {
	var ranges []PackRange
	add := func(off, end int64, hole bool) {
		if off >= end || hole && off >= f.base {
			return // nothing is there anyway
		}
		ranges = append(ranges, PackRange{Off: off, Len: end - off, Hole: hole})
	}
	if f.plain {
		err := f.eachData(0, f.size, func(off, end int64) error {
			add(off, end, false)
			return nil
		})
		return ranges, err
	}
	limit := blocksFor(f.size)
	for b := f.blocks.next(0, limit, dirty); b < limit; b = f.blocks.next(b, limit, dirty) {
		stop, _ := f.blocks.run(b, limit)
		at, end := b*BlockSize, min(stop*BlockSize, f.size)
		err := f.eachData(at, end, func(off, dataEnd int64) error {
			add(at, off, true)
			add(off, dataEnd, false)
			at = dataEnd
			return nil
		})
		if err != nil {
			return nil, err
		}
		add(at, end, true)
		b = stop
	}
	return ranges, nil
}

// record notes a write after the snapshot. The caller holds f.mu.
func (p *Pack) record(from, to int64) { p.since.set(from, to, dirty) }

// Ranges returns what changed, in order, in multiples of BlockSize but for the end of the file.
func (p *Pack) Ranges() []PackRange { return p.ranges }

// ReadAt reads from the snapshot, like io.ReaderAt, but for what is the Same.
func (p *Pack) ReadAt(b []byte, off int64) (int, error) {
	if p.known.touches(off, int64(len(b))) {
		return 0, fmt.Errorf("inode %d at %d: not in the snapshot", p.f.ino, off)
	}
	if p.copy != nil {
		return p.copy.ReadAt(b, off)
	}
	return p.f.ReadAt(b, off)
}

// Moved reports whether the snapshot is spoilt: it reads the live file, and
// that has changed.
func (p *Pack) Moved() bool { return p.copy == nil && p.moved.Load() }

// Commit tells that the index has published the snapshot: what was not
// written since is packed, and shows what was published when it is gone.
func (p *Pack) Commit() error {
	if p.done {
		return nil
	}
	defer p.end()
	f := p.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.lent { // what was written since nobody knows
		f.epoch++
		return nil
	}
	if f.plain {
		f.blocks = blocks{}
		for _, r := range p.ranges {
			f.blocks.set(blockOf(r.Off), blocksFor(r.Off+r.Len), packed)
		}
		f.plain = false
	} else {
		f.blocks.change(dirty, packed)
	}
	limit := blocksFor(f.size)
	f.under = f.underPacked(p)
	f.whole = f.complete() // whoever counts on it: nothing published shows through the hole that it may have grown by
	for b := p.since.next(0, limit, dirty); b < limit; b = p.since.next(b, limit, dirty) {
		end, _ := p.since.run(b, limit)
		f.redirty(b, end)
		b = end
	}
	f.base = min(p.base, f.size)
	f.epoch++
	if !f.marked {
		f.settled()
	}
	if err := f.keepPacked(); err != nil {
		return fmt.Errorf("packed inode %d: %w", f.ino, err)
	}
	return nil
}

// redirty makes those of the blocks from..to-1 dirty that are held. A write
// that failed may have left others.
func (f *File) redirty(from, to int64) {
	for from < to {
		end, s := f.blocks.run(from, to)
		if s != absent || f.whole {
			f.blocks.set(from, end, dirty)
		}
		from = end
	}
}

// keepPacked writes the map after a commit. A file that is packed whole needs
// none: read again without one, it is what it is now, only more of it dirty.
func (f *File) keepPacked() error {
	f.blocks.set(blocksFor(f.size), f.blocks.end(), absent)
	switch {
	case f.blockMap != nil:
		return f.rewriteMap()
	case f.blocks.next(0, f.blocks.end(), dirty) < f.blocks.end():
		return f.createMap()
	}
	return nil
}

// Abort drops the snapshot: all that was dirty stays so.
func (p *Pack) Abort() {
	if !p.done {
		p.end()
	}
}

// end is called without f.mu, or as the last thing under it.
func (p *Pack) end() {
	p.done = true
	f := p.f
	f.mu.Lock()
	f.pack = nil
	f.mu.Unlock()
	p.dropCopy()
	f.Release()
}

package staging

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// Fill reads published content: len(p) bytes at off, zeros where there is none.
type Fill func(ctx context.Context, p []byte, off int64) error

// accountStep is in bytes: Dir.Bytes lags behind by so much for each open file.
const accountStep = 8 << 20

// Mark marks the inode dirty in the index, if a write would do so, and
// returns the version that is being changed.
func (f *File) Mark(ctx context.Context) (version uint64, err error) {
	f.marking.Lock()
	defer f.marking.Unlock()
	f.mu.RLock()
	version, marked := f.version, f.marked
	f.mu.RUnlock()
	if marked {
		return version, nil
	}
	version, err = f.d.c.MarkDirty(ctx, f.ino, f.d.seq.Add(1))
	if err != nil {
		return 0, fmt.Errorf("mark inode %d: %w", f.ino, err)
	}
	f.mu.Lock()
	f.version, f.marked = version, true
	f.mu.Unlock()
	return version, nil
}

// lockMarked takes mu with the inode marked.
func (f *File) lockMarked(ctx context.Context) error {
	f.mu.Lock()
	for !f.marked {
		f.mu.Unlock()
		if _, err := f.Mark(ctx); err != nil {
			return err
		}
		f.mu.Lock()
	}
	if err := f.look(); err != nil {
		f.mu.Unlock()
		return err
	}
	return nil
}

// WriteAt writes p. A block that it covers in part, and that staging does not
// hold, is filled first, without a lock while fill runs. When less than all
// of p could be written, as on a full disk, it returns how much was.
func (f *File) WriteAt(ctx context.Context, p []byte, off int64, fill Fill) (int, error) {
	if off < 0 || off > math.MaxInt64-int64(len(p)) {
		return 0, fmt.Errorf("write %d bytes at %d: %w", len(p), off, ErrTooLarge)
	}
	if len(p) == 0 {
		return 0, nil
	}
	filled, err := f.lockFilled(ctx, off, off+int64(len(p)), fill)
	if err != nil {
		return 0, err
	}
	defer f.mu.Unlock()
	n, err := f.write(p, off, filled)
	if err != nil {
		err = fmt.Errorf("write staging file %d: %w", f.ino, err)
	}
	return n, err
}

// block is the content of one block as it was published.
type block struct {
	number int64
	p      []byte
}

// lockFilled takes mu with the inode marked and returns the content of the
// blocks that have to be filled before off..end-1 is written.
func (f *File) lockFilled(ctx context.Context, off, end int64, fill Fill) ([]block, error) {
	var filled []block
	epoch := uint64(0)
	for {
		if err := f.lockMarked(ctx); err != nil {
			return nil, err
		}
		need := f.toFill(off, end)
		if len(need) == 0 {
			return nil, nil
		}
		if filled != nil && epoch == f.epoch {
			return filled, nil
		}
		var base int64
		epoch, base = f.epoch, f.base
		f.mu.Unlock()
		filled = make([]block, len(need))
		for i, number := range need {
			p := make([]byte, BlockSize)
			start := number * BlockSize
			if err := fill(ctx, p[:min(BlockSize, base-start)], start); err != nil {
				return nil, fmt.Errorf("fill block %d of inode %d: %w", number, f.ino, err)
			}
			filled[i] = block{number, p}
		}
	}
}

// toFill returns the blocks at the ends of off..end-1 that staging does not
// hold, in which published content shows through, and that the write does not
// cover: a write that failed may have left anything in them. The caller holds mu.
func (f *File) toFill(off, end int64) []int64 {
	if f.whole {
		return nil
	}
	var need []int64
	for _, b := range []int64{blockOf(off), blockOf(end - 1)} {
		start := b * BlockSize
		covered := off <= start && end >= min(start+BlockSize, f.size)
		if start >= f.base || f.blocks.get(b) != absent || covered {
			continue
		}
		if len(need) == 0 || need[0] != b {
			need = append(need, b)
		}
	}
	return need
}

// write writes p, and before it those of the filled blocks that are still
// absent. The caller holds mu.
func (f *File) write(p []byte, off int64, filled []block) (n int, err error) {
	end := off + int64(len(p))
	first, last := blockOf(off), blocksFor(end)
	if err := f.needMap(); err != nil {
		return 0, err
	}
	if err := f.markBefore(first, last); err != nil {
		return 0, err
	}
	size := f.size
	defer func() {
		if n == 0 && err != nil { // the data file may have grown
			err = errors.Join(err, f.d.disk.truncate(f.data, size))
		}
	}()
	for _, b := range filled {
		if f.blocks.get(b.number) != absent {
			continue
		}
		start := b.number * BlockSize
		if _, err := f.d.disk.pwrite(f.data, b.p[:min(BlockSize, max(size, end)-start)], start); err != nil {
			return 0, err
		}
	}
	n, err = f.d.disk.pwrite(f.data, p, off)
	if n == 0 {
		return 0, err
	}
	last = blocksFor(off + int64(n))
	f.changed(first, last)
	if merr := f.markAfter(first, last); merr != nil {
		n = 0
		return 0, merr
	}
	f.size = max(f.size, off+int64(n))
	f.count(int64(n))
	return n, err
}

// markBefore makes those of the blocks from..to-1 dirty that are held, and
// those in which nothing published shows through: of these the data file has
// all there is, zeros, already. The caller holds mu.
func (f *File) markBefore(from, to int64) error {
	if f.plain {
		return nil
	}
	if f.whole {
		return f.setBlocks(from, to, dirty)
	}
	free := max(from, min(to, blocksFor(f.base)))
	for b := from; b < free; {
		end, s := f.blocks.run(b, free)
		if s != absent && s != dirty {
			if err := f.setBlocks(b, end, dirty); err != nil {
				return err
			}
		}
		b = end
	}
	return f.setBlocks(free, to, dirty)
}

// markAfter makes the blocks from..to-1, whose data is written, dirty.
func (f *File) markAfter(from, to int64) error {
	if f.plain || f.whole {
		return nil
	}
	return f.setBlocks(from, to, dirty)
}

// changed notes that blocks have new content. The caller holds mu.
func (f *File) changed(from, to int64) {
	f.touch()
	if f.pack != nil {
		f.pack.record(from, to)
	}
}

// count keeps Dir.Bytes about right while a file grows. The caller holds mu.
func (f *File) count(n int64) {
	if f.grown += n; f.grown < accountStep {
		return
	}
	f.grown = 0
	if info, err := f.data.Stat(); err == nil {
		f.d.account(f.ino, footprint(info, f.blockMap != nil))
	}
}

// Truncate sets the size. What it cuts off stays gone when the file grows again.
func (f *File) Truncate(ctx context.Context, size int64) error {
	if size < 0 {
		return fmt.Errorf("truncate to %d: %w", size, ErrTooLarge)
	}
	if err := f.lockMarked(ctx); err != nil {
		return err
	}
	defer f.mu.Unlock()
	if err := f.resize(ctx, size); err != nil {
		return fmt.Errorf("truncate staging file %d: %w", f.ino, err)
	}
	return nil
}

// resize is Truncate under the lock. Once the data file is cut the change is
// made: read again, a map tells no more than the size allows. So if the map
// cannot follow now, it does before the next change.
func (f *File) resize(ctx context.Context, size int64) error {
	if err := f.needMap(); err != nil {
		return err
	}
	if size < f.base && f.d.c.Cut != nil {
		if err := f.settleData(); err != nil {
			return err
		}
		h := f.held()
		h.Size, h.Base, h.Blocks = size, size, encodeRuns(f.spans(size))
		if err := f.d.c.Cut(ctx, h); err != nil {
			return err
		}
	}
	f.holes.Add(1)
	if err := f.d.disk.truncate(f.data, size); err != nil {
		return err
	}
	if f.pack != nil && size < f.size {
		f.pack.base = min(f.pack.base, size)
		f.pack.record(blockOf(size), blocksFor(f.size)) // zeros, when it grows again
	}
	f.size = size
	f.touch()
	var err error
	if size < f.base {
		f.base = size
		f.epoch++
		err = f.writeHeader()
	}
	if err = errors.Join(err, f.dropBeyond(size)); err != nil {
		f.d.log.Warn("block map is behind", "op", "truncate", "ino", uint64(f.ino), "err", err)
	}
	return nil
}

// settleData brings to stable storage what Cut is about to vouch for: also a
// clean copy, which nobody had a reason to sync. The caller holds mu.
func (f *File) settleData() error {
	if f.unsynced {
		if err := f.d.disk.sync(f.data); err != nil {
			return err
		}
	}
	f.d.mu.Lock()
	p := f.d.present[f.ino]
	unlinked := p != nil && p.unlinked
	f.d.mu.Unlock()
	if !unlinked {
		return nil
	}
	return f.d.disk.syncDir(f.d.folder(f.ino))
}

// Punch makes a range read as zeros and frees its room; the size stays.
func (f *File) Punch(ctx context.Context, off, n int64, fill Fill) error {
	end := min(f.Size(), off+min(n, math.MaxInt64-off))
	if off < 0 || n < 0 || off >= end {
		return f.touched(ctx)
	}
	from, to := blocksFor(off)*BlockSize, end/BlockSize*BlockSize
	if end == f.Size() {
		to = max(from, blocksFor(end)*BlockSize)
	}
	if from >= to {
		_, err := f.WriteAt(ctx, make([]byte, end-off), off, fill)
		return err
	}
	for _, edge := range []struct{ off, end int64 }{{off, from}, {to, end}} {
		if edge.off < edge.end {
			if _, err := f.WriteAt(ctx, make([]byte, edge.end-edge.off), edge.off, fill); err != nil {
				return err
			}
		}
	}
	if err := f.lockMarked(ctx); err != nil {
		return err
	}
	defer f.mu.Unlock()
	if err := f.punch(from/BlockSize, to/BlockSize); err != nil {
		return fmt.Errorf("punch staging file %d: %w", f.ino, err)
	}
	return nil
}

// touched notes a change that changed nothing.
func (f *File) touched(ctx context.Context) error {
	if err := f.lockMarked(ctx); err != nil {
		return err
	}
	defer f.mu.Unlock()
	f.touch()
	return nil
}

// punch makes whole blocks holes. The caller holds mu.
func (f *File) punch(from, to int64) error {
	if to = min(to, blocksFor(f.size)); from >= to {
		return nil
	}
	if err := f.needMap(); err != nil {
		return err
	}
	if err := f.markBefore(from, to); err != nil {
		return err
	}
	f.changed(from, to)
	f.holes.Add(1)
	if err := f.d.disk.punch(f.data, from*BlockSize, (to-from)*BlockSize); err != nil {
		return err
	}
	return f.markAfter(from, to)
}

// Allocate reserves room for the part of a range in which nothing published
// shows through; the size stays, the time changes as with every fallocate(2).
func (f *File) Allocate(ctx context.Context, off, n int64) error {
	if off < 0 || n <= 0 || off > math.MaxInt64-n {
		return fmt.Errorf("allocate %d bytes at %d: %w", n, off, ErrTooLarge)
	}
	if err := f.lockMarked(ctx); err != nil {
		return err
	}
	defer f.mu.Unlock()
	from, end := off, off+n
	if !f.whole {
		from = max(off, blocksFor(f.base)*BlockSize)
	}
	if from >= end {
		f.touch()
		return nil
	}
	if err := f.d.disk.reserve(f.data, from, end-from); err != nil {
		return fmt.Errorf("allocate in staging file %d: %w", f.ino, err)
	}
	f.touch()
	return nil
}

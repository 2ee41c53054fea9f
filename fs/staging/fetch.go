package staging

import (
	"context"
	"fmt"
	"math"
)

// Fetch makes staging hold the published content of a range, as a clean copy,
// where it shows through. Nothing else changes, and writes go on meanwhile:
// fill runs without a lock. A file that is whole needs nothing.
func (f *File) Fetch(ctx context.Context, off, n int64, fill Fill) error {
	if off < 0 || n <= 0 || off > math.MaxInt64-n {
		return nil
	}
	at, limit := blockOf(off), blocksFor(off+n)
	for at < limit {
		if err := ctx.Err(); err != nil {
			return err
		}
		from, to, epoch, base := f.absentRun(at, limit)
		if from >= to {
			return nil
		}
		p := make([]byte, (to-from)*BlockSize)
		start := from * BlockSize
		if err := fill(ctx, p[:min(int64(len(p)), base-start)], start); err != nil {
			return fmt.Errorf("fetch inode %d at %d: %w", f.ino, start, err)
		}
		done, err := f.keepFetched(p, from, to, epoch)
		if err != nil {
			return fmt.Errorf("fetch staging file %d: %w", f.ino, err)
		}
		if done {
			at = to
		}
	}
	return nil
}

// absentRun returns the first run of blocks from..to-1 that is absent and has
// published content below the base.
func (f *File) absentRun(from, to int64) (first, end int64, epoch uint64, base int64) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	to = min(to, blocksFor(f.base))
	if f.whole {
		return to, to, f.epoch, f.base
	}
	if first = f.blocks.next(from, to, absent); first < to {
		end, _ = f.blocks.run(first, to)
	}
	return first, end, f.epoch, f.base
}

// keepFetched holds those of the blocks from..to-1 that are absent still. It
// reports false when what was fetched may be of another version.
func (f *File) keepFetched(p []byte, from, to int64, epoch uint64) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch != epoch {
		return false, nil
	}
	if err := f.needMap(); err != nil {
		return false, err
	}
	for b := f.blocks.next(from, to, absent); b < to; b = f.blocks.next(b, to, absent) {
		end, _ := f.blocks.run(b, to)
		off, stop := b*BlockSize, min(end*BlockSize, f.size)
		if err := f.putClean(p[off-from*BlockSize:stop-from*BlockSize], off); err != nil {
			return false, err
		}
		f.unsync() // before a barrier tells that the blocks are held
		if err := f.setBlocks(b, end, clean); err != nil {
			return false, err
		}
		f.count(stop - off)
		b = end
	}
	return true, nil
}

// putClean writes published content into blocks that are absent. A write that
// failed may have left anything in them, so zeros are made and not taken for granted.
func (f *File) putClean(p []byte, off int64) error {
	for len(p) > 0 {
		zero := isZero(p[:min(BlockSize, len(p))])
		n := BlockSize
		for n < len(p) && isZero(p[n:min(n+BlockSize, len(p))]) == zero {
			n += BlockSize
		}
		n = min(n, len(p))
		if zero {
			if err := f.d.disk.punch(f.data, off, int64(n)); err != nil {
				return err
			}
		} else if _, err := f.d.disk.pwrite(f.data, p[:n], off); err != nil {
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func isZero(p []byte) bool {
	for _, v := range p {
		if v != 0 {
			return false
		}
	}
	return true
}

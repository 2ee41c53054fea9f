package staging

import (
	"errors"
	"fmt"
	"io"
)

// Fate is what became of content that was packed.
type Fate uint8

// The fates of packed content.
const (
	Kept    Fate = iota // staging has it
	Changed             // it was written or cut off since
	Gone                // staging does not hold it
)

// PackedRange is a range of the content that the last committed Pack left behind.
type PackedRange struct {
	Off, Len int64
	Fate     Fate
}

// ReadPacked reads the content of len(p) bytes at off as the last committed
// Pack left it, as far as staging still has it, and tells what became of each
// part. The rest of p stays as it is. A file that does not know, after a crash,
// that it was packed has changed as a whole.
func (f *File) ReadPacked(p []byte, off int64) ([]PackedRange, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var ranges []PackedRange
	for at, end := off, off+int64(len(p)); at < end; {
		stop, fate := f.fate(at, end)
		if fate == Kept {
			n, err := f.data.ReadAt(p[at-off:stop-off], at)
			if int64(n) < stop-at {
				if err == nil || errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return nil, fmt.Errorf("read staging file %d: %w", f.ino, err)
			}
		}
		ranges = append(ranges, PackedRange{Off: at, Len: stop - at, Fate: fate})
		at = stop
	}
	return ranges, nil
}

// fate returns what became of the packed content at off, and up to where, at
// end at the latest. The caller holds mu.
func (f *File) fate(off, end int64) (stop int64, fate Fate) {
	if off >= f.base {
		return end, Changed
	}
	end = min(end, f.base)
	limit, s := f.blocks.run(blockOf(off), blocksFor(end))
	switch {
	case s == dirty:
		fate = Changed
	case s == absent && !f.whole: // in a whole file it is a hole
		fate = Gone
	}
	return min(end, limit*BlockSize), fate
}

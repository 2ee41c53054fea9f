package staging

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Range is a range of a file.
type Range struct {
	Off, Len int64
	Held     bool // staging has its bytes
}

// Held splits a range of the file, up to its size, into what staging holds and what not.
func (f *File) Held(off, n int64) []Range {
	f.rlock()
	defer f.mu.RUnlock()
	end := f.size
	if off < 0 || n <= 0 || off >= end {
		return nil
	}
	if n < end-off {
		end = off + n
	}
	if f.whole {
		return []Range{{Off: off, Len: end - off, Held: true}}
	}
	var ranges []Range
	for off < end {
		stop := min(end, f.runEnd(off, end))
		held := f.blocks.get(blockOf(off)) != absent
		ranges = append(ranges, Range{Off: off, Len: stop - off, Held: held})
		off = stop
	}
	return ranges
}

// HeldBytes returns how many bytes of the file staging holds, holes included.
func (f *File) HeldBytes() (n int64) {
	for _, r := range f.Held(0, f.Size()) {
		if r.Held {
			n += r.Len
		}
	}
	return n
}

// runEnd returns where the run of held, or of absent, blocks ends that off lies in.
func (f *File) runEnd(off, end int64) int64 {
	limit := blocksFor(end)
	stop, s := f.blocks.run(blockOf(off), limit)
	for stop < limit && s != absent {
		next, t := f.blocks.run(stop, limit)
		if t == absent {
			break
		}
		stop = next
	}
	return min(end, stop*BlockSize)
}

// ReadAt reads a range that staging holds. It returns io.EOF at the end of
// the file, as io.ReaderAt does.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	n, err := f.data.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("read staging file %d: %w", f.ino, err)
	}
	return n, err
}

// Span tells what a range of the file, from the offset asked for to End, is.
type Span struct {
	End  int64
	Held bool // staging has its bytes
	Data bool // held, and no hole
}

// Span returns what begins at an offset. At the end of the file, and beyond, End is the offset.
func (f *File) Span(off int64) (Span, error) {
	f.rlock()
	defer f.mu.RUnlock()
	if off < 0 || off >= f.size {
		return Span{End: off}, nil
	}
	end := f.size
	if !f.whole {
		end = f.runEnd(off, f.size)
		if f.blocks.get(blockOf(off)) == absent {
			return Span{End: end}, nil
		}
	}
	data, err := seek(f.data, off, end, unix.SEEK_DATA)
	if err != nil {
		return Span{}, fmt.Errorf("seek in staging file %d: %w", f.ino, err)
	}
	if data > off {
		return Span{End: data, Held: true}, nil
	}
	hole, err := seek(f.data, off, end, unix.SEEK_HOLE)
	if err != nil {
		return Span{}, fmt.Errorf("seek in staging file %d: %w", f.ino, err)
	}
	return Span{End: hole, Held: true, Data: true}, nil
}

// Allocated returns how many bytes the data takes on disk.
func (f *File) Allocated() (int64, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	info, err := f.data.Stat()
	if err != nil {
		return 0, fmt.Errorf("stat staging file %d: %w", f.ino, err)
	}
	return allocated(info), nil
}

package fs

import (
	"context"
	"sync"
)

const (
	windowSize = 1 << 20
	// mostAhead is how many windows are read ahead of one reader: 32 MiB.
	mostAhead = 32
	// windowsTogether is how many windows are being read at a time, the oldest first.
	windowsTogether = 8
	// streak is how many reads in a row make a reader sequential.
	streak = 2
)

// DefaultReadahead is how many bytes may be in memory that were read ahead, for
// all readers together.
const DefaultReadahead = 32 << 20

// readahead reads published content ahead of a sequential reader, in windows
// that begin at multiples of windowSize. How far doubles with what he has read, and is
// no more than that: who reads the first megabytes of a file, to show what it is, does not
// pull the whole of it. At most it is his share of the memory for all. The zero value is ready for use.
type readahead struct {
	mu      sync.Mutex // guards the fields below
	end     int64      // of the last read
	run     int        // reads in a row
	depth   int        // windows to read ahead; 0: the reader is not sequential
	first   int64      // window in which the reads in a row began
	newest  int64      // window that was reached last
	epoch   uint64     // of the windows
	windows map[int64]*fetch
}

// note tells of a read. The kernel itself reads ahead, in parallel and not
// quite in order: near enough to the one before counts as sequential.
func (a *readahead) note(fs *FS, off int64, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	reach := max(windowSize, nearReads*int64(n))
	near := off >= a.end-reach && off <= a.end+reach
	if !near || a.end == 0 && off > 0 {
		a.run, a.first, a.newest = 0, off/windowSize, off/windowSize
		a.setDepth(fs, 0)
	}
	a.run++
	a.end = max(off+int64(n), a.end)
	if !near {
		a.end = off + int64(n)
	}
	if a.run <= streak {
		return
	}
	if w := off / windowSize; w > a.newest || a.depth == 0 {
		a.newest = w
		depth := max(1, a.depth)
		if w-a.first >= int64(2*depth) {
			depth *= 2
		}
		a.setDepth(fs, min(fs.shareAhead(), depth))
	}
}

// nearReads is how many reads of its size the kernel may be ahead of itself.
const nearReads = 8

// setDepth counts the reader among those who are read ahead of. The caller holds mu.
func (a *readahead) setDepth(fs *FS, depth int) {
	switch {
	case a.depth == 0 && depth > 0:
		fs.streams.Add(1)
	case a.depth > 0 && depth == 0:
		fs.streams.Add(-1)
	}
	a.depth = depth
}

// shareAhead returns how many windows one of the sequential readers may have.
func (fs *FS) shareAhead() int {
	readers := max(1, int(fs.streams.Load()))
	return min(mostAhead, max(1, cap(fs.windows)/readers))
}

// read fills p with published content, which ends at base. Epoch is that of
// the file: windows of another one are not good any more.
func (a *readahead) read(ctx context.Context, f *file, p []byte, off, base int64, epoch uint64) error {
	for len(p) > 0 {
		w := off / windowSize
		from := int(off - w*windowSize)
		n := min(len(p), windowSize-from)
		g := a.window(f, w, base, epoch)
		if g == nil {
			g, from = f.fs.startFetch(f.ino, off, n), 0
		}
		if err := g.copy(ctx, p[:n], from); err != nil {
			a.forget(f.fs, w)
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// window returns the window w, and begins to read those behind it. It returns
// nil for a reader that is not sequential, and when memory is short.
func (a *readahead) window(f *file, w, base int64, epoch uint64) *fetch {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.epoch != epoch {
		a.dropAll(f.fs, func(int64) bool { return true })
		a.epoch = epoch
	}
	if a.depth == 0 {
		return nil
	}
	a.dropAll(f.fs, func(have int64) bool { return have < w-1 || have > w+int64(a.depth)+windowsTogether })
	for next := w; next <= w+int64(a.depth) && next*windowSize < base; next++ {
		if a.windows[next] != nil {
			continue
		}
		if !a.begin(f, next, base) {
			break
		}
	}
	return a.windows[w]
}

// begin starts to read a window, if there is memory for it. The caller holds mu.
func (a *readahead) begin(f *file, w, base int64) bool {
	select {
	case f.fs.windows <- struct{}{}:
	default:
		return false
	}
	if a.windows == nil {
		a.windows = map[int64]*fetch{}
	}
	a.windows[w] = f.fs.fetchWindow(f.ino, w*windowSize, int(min(windowSize, base-w*windowSize)))
	return true
}

// forget drops a window that could not be read, so that the next read tries again.
func (a *readahead) forget(fs *FS, w int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropAll(fs, func(have int64) bool { return have == w })
}

// drop lets go of all windows.
func (a *readahead) drop(fs *FS) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropAll(fs, func(int64) bool { return true })
	a.setDepth(fs, 0)
	a.run = 0
}

// dropAll lets go of some windows. Memory of one that is still being read is
// given back when it is done. The caller holds mu.
func (a *readahead) dropAll(fs *FS, which func(w int64) bool) {
	for w, g := range a.windows {
		if !which(w) {
			continue
		}
		delete(a.windows, w)
		select {
		case <-g.done:
			<-fs.windows
		default:
			fs.giveBack(g)
		}
	}
}

// giveBack gives the memory of a window back when it is done.
func (fs *FS) giveBack(g *fetch) {
	fs.fetches.Add(1)
	go func() {
		defer fs.fetches.Done()
		<-g.done
		<-fs.windows
	}()
}

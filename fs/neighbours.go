package fs

import (
	"context"
	"sync"

	"github.com/walfs/walfs/index"
)

// Small files that were made together lie together in a segment, in the order
// of their names. Who reads them one after another is read ahead of across
// files: the slivers that come next are brought into the cache.

const (
	// nextFile is how far behind the end of one file the next may begin.
	nextFile = 64 << 10
	// streakFiles is how many files read in a row begin it. Reading the heads
	// of files makes a row only where they are as short as that.
	streakFiles = 3
	// mostTrails is how many segments are remembered.
	mostTrails = 64
)

// trail is where files are read one after another in a segment.
type trail struct {
	end     int64 // plaintext position behind the last read
	run     int   // files in a row
	ahead   int64 // position up to which it was read ahead
	window  int64 // bytes to read ahead next
	running bool
}

// neighbours remembers the trails. The zero value is ready for use.
type neighbours struct {
	mu     sync.Mutex // guards the field below
	trails map[uint64]*trail
}

// note tells that extents were read. A file begins at offset 0.
func (b *neighbours) note(fs *FS, extents []index.Extent) {
	if len(extents) == 0 {
		return
	}
	first, last := &extents[0], &extents[len(extents)-1]
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.trails[last.Segment]
	if t == nil {
		if b.trails == nil || len(b.trails) >= mostTrails {
			b.trails = map[uint64]*trail{}
		}
		t = &trail{}
		b.trails[last.Segment] = t
	}
	switch {
	case first.Off != 0 || first.Segment != last.Segment:
	case first.Pos >= t.end && first.Pos <= t.end+nextFile && t.end > 0:
		t.run++
	default:
		t.run, t.ahead, t.window = 0, 0, windowSize/2
	}
	t.end = last.Pos + last.Len
	if t.run >= streakFiles {
		b.follow(fs, t, last)
	}
}

// follow reads on behind the end of a trail, if less than a window is left of
// what was read ahead. The caller holds mu.
func (b *neighbours) follow(fs *FS, t *trail, e *index.Extent) {
	if t.running || t.ahead > t.end+t.window/2 {
		return
	}
	at := *e
	at.Pos = max(t.ahead, t.end)
	opener, err := fs.keys.open(fs.cfg.Keys, e)
	if err != nil {
		return // the next read tells
	}
	t.window = min(2*t.window, maxTrail)
	at.Len = min(t.window, opener.PlainSize()-at.Pos)
	if at.Len <= 0 || !fs.begin() {
		return
	}
	t.running = true
	go func() {
		defer fs.fetches.Done()
		ctx, cancel := fs.deadline(fs.cfg.ReadTimeout)
		defer cancel()
		fs.warm(ctx, &at)
		b.mu.Lock()
		defer b.mu.Unlock()
		t.running, t.ahead = false, at.Pos+at.Len
	}()
}

// maxTrail is how many bytes of a segment are read ahead at a time.
const maxTrail = 4 << 20

// warm reads a range of a segment, so that the cache has it. It waits for its
// turn among the windows, and what goes wrong is told to who reads the range.
func (fs *FS) warm(ctx context.Context, e *index.Extent) {
	select {
	case fs.ahead <- struct{}{}:
		defer func() { <-fs.ahead }()
	case <-ctx.Done():
		return
	}
	p := make([]byte, min(windowSize, e.Len))
	for end := e.Pos + e.Len; e.Pos < end && ctx.Err() == nil; {
		p = p[:min(int64(len(p)), end-e.Pos)]
		if err := fs.readExtent(ctx, e, p); err != nil {
			fs.log.Debug("read ahead", "op", "read", "segment", e.Segment, "err", err)
			return
		}
		e.Pos, e.Len = e.Pos+int64(len(p)), e.Len-int64(len(p))
	}
}

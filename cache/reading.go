package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
)

// A call of the file system that a disk does not answer cannot be taken back: it holds its
// goroutine and a thread. So files are read by loaders, of which there are only so many, and who
// wants the bytes fetches them after stallsAfter, or gets them if they come first all the same. Loaders stay until Close, which costs less than
// new ones. A buffer is its loader's until the file is read whole, and nobody sees it before.

// mostLoaders is how many files are read at a time.
const mostLoaders = 64

// mostStalled is how many files may take longer to be read than stallsAfter until the disk is taken to
// hang. It is passed by then until one of them has been read.
const mostStalled = 3

// loaders read files and renew their times.
type loaders struct {
	asked   chan *reading
	closing chan struct{} // closed by Close
	left    chan struct{} // from each loader that has ended
	opened  time.Time
	spare   sync.Pool // of *reading

	hired atomic.Int32 // grows only under Cache.mu, while the cache is not closed
	// began is when a loader began what it does, in ns since opened; 0: it does nothing.
	began [mostLoaders]atomic.Int64
}

func (l *loaders) init() {
	l.asked, l.closing, l.left = make(chan *reading), make(chan struct{}), make(chan struct{}, mostLoaders)
	l.opened = time.Now()
	l.spare.New = func() any {
		r := &reading{done: make(chan struct{}, 1), stalled: time.NewTimer(stallsAfter)}
		r.stalled.Stop()
		return r
	}
}

// hang reports whether so many readings stall that the disk does.
func (l *loaders) hang() bool {
	stalled, late := 0, int64(time.Since(l.opened)-stallsAfter)
	for i := range l.hired.Load() {
		if began := l.began[i].Load(); began > 0 && began <= late {
			stalled++
		}
	}
	return stalled >= mostStalled
}

// reading is something that a loader does for e.
type reading struct {
	e       *entry
	touch   time.Time     // that the file gets, and no more is done; nobody waits for it. Zero: it is read
	done    chan struct{} // gets an element when data is set: then the reading is its reader's again
	stalled *time.Timer
	data    []byte // nil when the file is no good
}

// read has the file of e read, and waits for that as long as stallsAfter and ctx let it. A ctx that has
// ended already lets it: what is here is taken all the same. When that was not long enough it returns the reading, which
// goes on.
func (c *Cache) read(ctx context.Context, e *entry) (data []byte, late *reading) {
	ended := ctx.Done()
	if ctx.Err() != nil {
		ended = nil
	}
	r := c.loaders.spare.Get().(*reading)
	r.e = e
	r.stalled.Reset(stallsAfter)
	begun, over := c.ask(r), false
	if !begun {
		select {
		case c.loaders.asked <- r:
			begun = true
		case <-c.loaders.closing:
		case <-r.stalled.C:
		case <-ended:
		}
	}
	if begun {
		select {
		case <-r.done:
			over = true
		case <-r.stalled.C:
			c.stalls(e.id)
		case <-ended:
		}
	}
	r.stalled.Stop()
	if begun && !over {
		return nil, r
	}
	data = r.data // nil when the file is no good
	r.e, r.data = nil, nil
	c.loaders.spare.Put(r)
	return data, nil
}

// ask gives r to a loader that has nothing to do, or to a new one. It says no when there are enough.
func (c *Cache) ask(r *reading) bool {
	select {
	case c.loaders.asked <- r:
		return true
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.loaders.hired.Load()
	if c.closed || i == mostLoaders {
		return false
	}
	c.loaders.hired.Store(i + 1)
	go c.loader(int(i), r)
	return true
}

// loader does r, and what comes after it, until Close.
func (c *Cache) loader(i int, r *reading) {
	l := &c.loaders
	defer func() { l.left <- struct{}{} }()
	for {
		l.began[i].Store(max(1, int64(time.Since(l.opened))))
		c.serve(r)
		l.began[i].Store(0)
		select {
		case r = <-l.asked:
		case <-l.closing:
			return
		}
	}
}

// serve goes on when nobody waits any more. Once r is done it is its reader's.
func (c *Cache) serve(r *reading) {
	e, renew := r.e, r.touch
	if renew.IsZero() {
		data, err := readFile(c.root, pathOf(e.id))
		renew = c.loaded(e, data, err)
		if err == nil {
			r.data = data
		}
		r.done <- struct{}{}
	}
	if !renew.IsZero() {
		c.touch(e.id, renew)
	}
}

// touchSoon renews the time of a file, unless much else is asked of the disk.
func (c *Cache) touchSoon(e *entry, at time.Time) { _ = c.ask(&reading{e: e, touch: at}) }

// stalls logs the first of a row of readings that were given up.
func (c *Cache) stalls(id walrus.SliverID) {
	c.mu.Lock()
	said := c.stalling
	c.stalling = true
	c.mu.Unlock()
	if !said {
		c.log.Warn("disk does not answer, cached slivers are fetched again", "sliver", id, "took", stallsAfter)
	}
}

// dismiss ends all loaders, and reports whether they have ended: who closes does not wait for a disk
// that hangs. The cache is closed already.
func (c *Cache) dismiss() bool {
	close(c.loaders.closing)
	stalled := time.NewTimer(stallsAfter)
	defer stalled.Stop()
	for range c.loaders.hired.Load() {
		select {
		case <-c.loaders.left:
		case <-stalled.C:
			return false
		}
	}
	return true
}

package main

import (
	"context"
	"errors"
	"sync"
	"time"

	drivefs "github.com/walfs/walfs/fs"
)

// How old the numbers may be.
const (
	roomStale  = 500 * time.Millisecond // when somebody writes or asks
	roomUrgent = 50 * time.Millisecond  // when a writer is about to be refused
	roomWatch  = time.Second            // while something is being drained
)

// Who looks all the time may use the numbers for roomShare times as long as the look took, roomOldest at
// most: with 400,000 files that wait it takes half a second. What is written meanwhile is counted, and
// before a writer is refused there is another look.
const (
	roomShare  = 20
	roomOldest = 10 * time.Second
)

// room says how much may be written: what is staged must fit onto the nodes' disks as
// slivers, or it could never be certified. What can be evicted counts as free.
type room struct {
	d     *drive
	disks []disk
	limit int64 // bytes that staging may hold undrained; 0: as the disks have room

	look sync.Mutex // one look at a time
	kick chan struct{}

	mu      sync.Mutex    // guards the fields below
	at      time.Time     // of the last look
	took    time.Duration // that look
	looks   int           // that were begun
	taken   int64         // bytes staged since
	staged  int64         // bytes that waited to be drained at the last look
	written int64         // bytes staged since nothing waited to be drained
	counted bool          // written counts
	busy    bool          // at the last look something waited to be drained
	space   drivefs.Space
	spare   int64 // bytes that may still be staged, by the last look
}

func newRoom(d *drive) (*room, error) {
	r := &room{d: d, kick: make(chan struct{}, 1), limit: int64(d.config.StagingLimit)}
	if err := r.findDisks(); err != nil {
		return nil, err
	}
	return r, nil
}

// hooks returns what the file system asks.
func (r *room) hooks() drivefs.Room {
	return drivefs.Room{Take: r.take, Space: r.get, Spare: r.unlooked, Quota: int64(r.d.config.Quota)}
}

// take refuses n more bytes when they could not be drained, and makes the writer wait
// the longer the less is left.
func (r *room) take(n int64) error {
	r.mu.Lock()
	age, stale, fits, watched := time.Since(r.at), r.stale(), n <= r.spareNow(), r.watching()
	var wait time.Duration
	if fits {
		r.count(n)
		wait = r.slow(n)
	}
	r.mu.Unlock()
	if stale || !watched {
		r.wake()
	}
	if fits {
		time.Sleep(wait)
		return nil
	}
	if age > roomUrgent {
		if err := r.refresh(context.Background(), roomUrgent); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n > r.spareNow() {
		return drivefs.ErrNoRoom
	}
	r.count(n)
	return nil
}

// spareNow returns how many bytes may be staged now, by the disks and by the limit for
// staging. The caller holds mu.
func (r *room) spareNow() int64 {
	spare := r.spare - r.taken
	if r.limit > 0 {
		spare = min(spare, r.limit-r.staged-r.taken)
	}
	return spare
}

// Writers are slowed down while staging is fuller than slowFrom of what it may hold, from
// nothing to slowRate, in bytes a second, when it is full. That is less than draining does
// on a slow disk, so that who writes on and on goes at its pace and is not refused.
const (
	slowFrom = 0.8
	slowRate = 4 << 20
)

// slow returns how long the writer of n bytes, which are counted, has to wait. The caller holds mu.
func (r *room) slow(n int64) time.Duration {
	held := float64(r.staged + r.taken)
	full := held / (held + float64(max(0, r.spareNow())))
	if n <= 0 || full <= slowFrom {
		return 0
	}
	steep := (full - slowFrom) / (1 - slowFrom)
	return time.Duration(steep * steep * float64(n) / slowRate * float64(time.Second))
}

// count notes that n bytes are staged. The caller holds mu.
func (r *room) count(n int64) {
	r.taken += n
	r.written += n
}

// get returns what statfs shows, from memory.
func (r *room) get() drivefs.Space {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stale() {
		r.wake()
	}
	space := r.space
	space.Free = max(0, space.Free-r.taken)
	return space
}

// left returns how many bytes may still be staged, 0 when that is not known.
func (r *room) left() int64 {
	if err := r.refresh(context.Background(), r.polled()); err != nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, r.spareNow())
}

// unlooked is left from memory. Only before the first look it looks.
func (r *room) unlooked() int64 {
	r.mu.Lock()
	at, stale, spare := r.at, r.stale(), r.spareNow()
	r.mu.Unlock()
	if at.IsZero() {
		return r.left()
	}
	if stale {
		r.wake()
	}
	return spare
}

func (r *room) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// run looks again when somebody asks who has old numbers, when the index changes, and while
// something is drained, and makes room where it is short. When there is room again on a disk that
// was full, what failed for it is tried again. It sleeps when nothing happens.
func (r *room) run(ctx context.Context) error {
	told := ""
	for {
		changed, looks := r.d.index.NextChange(), r.begun()
		err := errors.Join(r.refresh(ctx, r.polled()), r.relieve())
		if err != nil && ctx.Err() == nil && err.Error() != told {
			told = err.Error()
			r.d.log.Warn("cannot tell how much room there is", "err", err)
		}
		var tick <-chan time.Time
		if err != nil || r.draining(looks) {
			tick, changed = time.After(roomWatch), nil
		}
		select {
		case <-changed:
		case <-r.kick:
		case <-tick:
		case <-ctx.Done():
			return nil
		}
	}
}

// relieve tells the committer when there is more room than there was.
func (r *room) relieve() (err error) {
	more := false
	for i := range r.disks {
		relieved, e := r.disks[i].relieved()
		more, err = more || relieved, errors.Join(err, e)
	}
	if more {
		r.d.committer.Retry()
	}
	return err
}

// begun returns how many looks were begun.
func (r *room) begun() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.looks
}

// draining reports whether run has to look again by itself: something waits, or no look was begun
// since there were so many, because the last one was new enough, and may not have seen what woke run.
func (r *room) draining(looks int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.watching() || r.looks == looks
}

// watching reports whether run looks again by itself: something waits to be drained, or was
// staged after the last look. The caller holds mu.
func (r *room) watching() bool { return r.busy || r.taken > 0 }

// backlog is what has to be drained and what can be given up for it, in bytes.
type backlog struct {
	busy     bool  // something waits to be stored
	drains   bool  // that is not only names
	staged   int64 // not known to be on the nodes
	segments int64 // packed and not certified
	copies   int64 // clean copies, as far as they are sure to be clean
	cache    int64
	stored   int64 // certified contents, for statfs
	ignored  int64 // that stays in staging
}

// bearable returns how old the numbers may be for those who look all the time. The caller holds mu.
func (r *room) bearable() time.Duration { return min(max(roomStale, roomShare*r.took), roomOldest) }

// polled is bearable for those who do not hold mu.
func (r *room) polled() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bearable()
}

// stale reports whether the numbers are older than is bearable. The caller holds mu.
func (r *room) stale() bool { return time.Since(r.at) > r.bearable() }

// refresh looks at backlog and disks, unless that was done less than age ago.
func (r *room) refresh(ctx context.Context, age time.Duration) error {
	r.look.Lock()
	defer r.look.Unlock()
	r.mu.Lock()
	fresh := time.Since(r.at) < age
	before, written := r.taken, r.written
	if !r.counted {
		written = 1 << 62 // before this process: unknown
	}
	if !fresh {
		r.looks++
	}
	r.mu.Unlock()
	if fresh {
		return nil
	}
	began := time.Now()
	b, err := r.backlog(ctx, written)
	if err != nil {
		return err
	}
	spare, short := int64(1)<<62, int64(0)
	for i := range r.disks {
		left, lacks, err := r.disks[i].spare(b)
		if err != nil {
			return err
		}
		spare, short = min(spare, left), max(short, lacks)
	}
	r.evict(b, short)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.took, r.spare, r.staged = time.Now(), time.Since(began), spare, b.staged
	r.taken -= before // the look saw those bytes, but for the lag
	if b.busy && !r.watching() {
		r.wake() // run may have gone to sleep, and is not who looks here
	}
	if r.busy = b.busy; b.drains {
		r.taken += min(before, stagingLag)
	} else {
		r.written, r.counted = r.taken, true
	}
	free := max(0, spare)
	r.space = drivefs.Space{Total: free + b.stored + b.staged + b.ignored, Free: free}
	return nil
}

// backlog adds up what waits. What staging holds beside clean copies and ignored files has to be drained; so
// have changes of files of which it also keeps a copy, which are at most what was written
// and at most the dirty files as a whole.
func (r *room) backlog(ctx context.Context, written int64) (b backlog, err error) {
	r.d.staging.Look() // at what the kernel writes by itself
	usage, err := r.d.index.Usage(ctx)
	if err != nil {
		return b, err
	}
	copies := r.d.index.CopiesSum().Bytes
	waiting := r.d.copies.Load().Waiting() // certified, and not counted as copies yet
	pending, err := r.d.index.Pending(ctx)
	if err != nil {
		return b, err
	}
	b.segments, b.cache, b.stored = int64(pending.Segments), r.d.cache.Used(), usage.Storing+usage.Certified
	b.drains = b.segments > 0 || usage.Dirty+usage.Staged+usage.Storing > 0
	if !b.drains {
		// A file that is being written for the first time has no size in the index yet.
		dirty, err := r.d.index.DirtyFiles(ctx)
		if err != nil {
			return b, err
		}
		b.drains = dirty > usage.IgnoredFiles
	}
	b.busy = b.drains || pending.Names
	if usage.IgnoredFiles > 0 {
		if b.ignored, err = r.ignored(ctx); err != nil {
			return b, err
		}
	}
	if b.drains {
		b.staged = max(0, r.d.staging.Bytes()-copies-waiting-b.ignored)
	}
	changed := max(0, min(usage.Dirty+usage.Staged, written)-b.staged)
	b.staged += changed
	b.copies = max(0, copies-changed)
	return b, nil
}

// ignored returns how many bytes staging holds that are never drained.
func (r *room) ignored(ctx context.Context) (n int64, err error) {
	files, err := r.d.index.Ignored(ctx)
	for ino := range files {
		held, _ := r.d.staging.Allocated(ino)
		n += held
	}
	return n, err
}

// evict gives the cache and the clean copies less than their budget while room is short.
func (r *room) evict(b backlog, short int64) {
	budget := r.d.budget
	if short > 0 {
		budget = min(budget, max(0, b.copies+b.cache-short))
	}
	if r.d.cache.Budget() != budget {
		r.d.cache.SetBudget(budget)
		r.d.copies.Load().Wake()
	}
}

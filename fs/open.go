package fs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// opened is what is known of the handles of a file. Its mutex is held while the
// way is chosen, which may take a barrier.
type opened struct {
	mu      sync.Mutex // guards the fields below; taken before file.mu
	way     way
	handles int
	node    *node  // of the first handle
	backing int32  // ID, while the way is wayPassed
	lingers bool   // the last handle is closed, and the file is mapped; counts as a use
	watched uint64 // turns of staging at the last look

	opening atomic.Int64 // opens that the kernel may not be done with

	checked atomic.Int64 // staging's Wrote when the mode was set
}

// Content changes through the kernel only, so what it has cached stays good.
const cachedFlags = fuse.FOPEN_KEEP_CACHE

// opening is the opening of a file.
type opening struct {
	n     *node
	flags uint32
	isNew bool // it was just made, so that nothing of it is published
}

func (r opening) writable() bool { return r.flags&syscall.O_ACCMODE != syscall.O_RDONLY }

// open begins the use of a file through a handle of the kernel, and returns
// the flags that the kernel is told.
func (f *file) open(ctx context.Context, r opening) (flags uint32, err error) {
	o := &f.opened
	o.opening.Add(1) // until the handle's first Flush, or its Release
	defer func() {
		if err != nil {
			o.opening.Add(-1)
		}
	}()
	o.mu.Lock()
	defer o.mu.Unlock()
	chosen := o.way == wayNone
	if chosen {
		o.node = r.n
		f.choose(ctx, r)
	}
	direct := r.flags&syscall.O_DIRECT != 0 // programs may count on any alignment
	if o.way == wayPassed && r.writable() {
		if !chosen && !f.mayLend(ctx, r) {
			direct = true // what is written comes to us, which counts it and clears bits
		}
		err = f.lend(ctx, r)
	}
	if err != nil && chosen {
		f.fs.log.Warn("file is not lent to the kernel", "op", "open", "ino", uint64(f.ino), "err", err)
		f.unpass()
		o.way, err = wayCached, nil
	}
	if err != nil {
		return 0, err
	}
	o.handles++
	if o.way == wayCached {
		f.fs.passing.cached.Add(1)
		return cachedFlags, nil
	}
	f.fs.passing.opens.Add(1)
	flags = fuse.FOPEN_PASSTHROUGH | f.fs.passing.ticket(o.backing)
	if direct {
		flags |= fuse.FOPEN_DIRECT_IO
	}
	return flags, nil
}

// choose decides how an inode that nobody has open is opened. The caller holds opened.mu.
func (f *file) choose(ctx context.Context, r opening) {
	o, p := &f.opened, &f.fs.passing
	o.way = wayCached
	if !p.on.Load() || f.setid.Load() || r.writable() && !f.mayLend(ctx, r) {
		return
	}
	local := f.staged()
	if local == nil || !local.Complete() {
		return
	}
	id, errno := p.server.RegisterBackingFd(&fuse.BackingMap{Fd: int32(local.Fd())})
	if errno != 0 {
		if p.failed.Add(1) == 1 {
			f.fs.log.Warn("the kernel refuses passthrough; such files are read and written through the daemon", "op", "open", "ino", uint64(f.ino), "err", errno)
		}
		return
	}
	o.way, o.backing = wayPassed, id
}

// What decides whether a file may be written unseen.
const (
	// growth is how many bytes there has to be room for beside the file: it may
	// grow by so much before that is noticed.
	growth = 2 << 30
	// mostRehashed is the length in bytes from which on a file that has published
	// content is not lent: all of it is read to find out what changed.
	mostRehashed = 1 << 30
)

// mayLend reports whether the kernel may write a file by itself. The caller holds opened.mu.
func (f *file) mayLend(ctx context.Context, r opening) bool {
	local := f.staged()
	if f.fs.readOnly.Load() || f.fs.quota.limit > 0 || local == nil || f.setid.Load() {
		return false // a quota counts before a file grows
	}
	if !f.fs.passing.clones && r.restless() {
		return false
	}
	if local.Lent() {
		return f.fs.spare() >= 0
	}
	size := local.Size()
	if f.fs.spare() < size+growth {
		return false
	}
	if r.isNew {
		return true
	}
	if _, err := f.fs.cfg.Index.GetXattr(ctx, f.ino, capabilityXattr); !errors.Is(err, index.ErrNoAttr) {
		return false // a write has to clear it
	}
	attr, err := f.fs.cfg.Index.Get(ctx, f.ino)
	return err == nil && (attr.PubVersion == 0 || size <= mostRehashed)
}

// restless reports whether a file that is opened in such a way may be written
// for a long time without a pause: logs, databases, images of disks. Without
// clones it can be packed then only if we see each write. Who makes a file, and
// would have emptied it, writes it from the front to the end: compilers, archivers, all
// that calls fopen(3) with "w+" or os.Create of Go.
func (r opening) restless() bool {
	anew := r.flags&syscall.O_EXCL != 0 || r.isNew && r.flags&syscall.O_TRUNC != 0 // mkstemp(3), or as above
	rdwr := r.flags&syscall.O_ACCMODE == syscall.O_RDWR && !anew
	return rdwr || r.flags&syscall.O_APPEND != 0
}

// capabilityXattr holds capabilities of a program, which end when it is written. Source: capabilities(7).
const capabilityXattr = "security.capability"

// lend lets the kernel write the file by itself. What it was until now, and
// that it is about to change, is on stable storage before. The caller holds opened.mu.
func (f *file) lend(ctx context.Context, r opening) error {
	if err := f.fs.change(); err != nil {
		return err // not even for a handle whose writes come to us: it could be mapped
	}
	o, p := &f.opened, &f.fs.passing
	local := f.staged()
	if local == nil {
		return fmt.Errorf("inode %d: %w", f.ino, errLost)
	}
	if local.Lent() {
		return nil
	}
	if err := f.fs.take(local.Size()); err != nil {
		return err
	}
	if err := local.Lend(ctx, f.back); err != nil {
		return err
	}
	o.checked.Store(local.Wrote())
	p.mu.Lock()
	p.lent[f] = struct{}{}
	p.mu.Unlock()
	p.wake()
	if r.isNew {
		return nil
	}
	go o.node.NotifyContent(-1, 0) // so that the kernel asks for size and time
	attr, err := f.fs.cfg.Index.Get(ctx, f.ino)
	if err == nil && attr.PubVersion != 0 {
		err = f.sync(ctx)
	}
	if err != nil && o.handles == 0 {
		_, terr := local.TakeBack(ctx)
		f.unlend()
		err = errors.Join(err, terr)
	}
	return err
}

// close ends the use of a file through a handle.
func (f *file) close(ctx context.Context) error {
	o := &f.opened
	o.mu.Lock()
	o.handles--
	lingered := f.settle()
	o.mu.Unlock()
	if lingered {
		return errors.Join(f.release(ctx), f.release(ctx))
	}
	return f.release(ctx)
}

// settle ends the way in which a file was open, once no handle and no mapping
// is left. A file that is only mapped stays in use. It reports whether there is
// such a use that the caller has to end. The caller holds opened.mu.
func (f *file) settle() (lingered bool) {
	o := &f.opened
	if o.handles > 0 {
		return false
	}
	if local := f.staged(); o.way == wayPassed && local != nil && local.Lent() {
		if !f.takeBack(local) {
			if !o.lingers {
				o.lingers = true
				f.fs.mu.Lock()
				f.refs++
				f.fs.mu.Unlock()
			}
			return false
		}
		f.unlend()
		f.keepCopy(local)
	}
	f.unpass()
	lingered = o.lingers
	o.way, o.node, o.lingers = wayNone, nil, false
	return lingered
}

// The kernel tells of a release a moment before it closes the data file.
const (
	backTries = 6
	backPause = 50 * time.Microsecond // after the first try; it doubles
)

// takeBack takes a file back that no handle is open of, and reports whether it is not mapped either.
func (f *file) takeBack(local *staging.File) bool {
	for i := range backTries {
		if done := f.tryBack(local); done || f.opened.lingers {
			return done
		}
		time.Sleep(backPause << i)
	}
	return false
}

func (f *file) tryBack(local *staging.File) bool {
	done, err := local.TakeBack(context.Background())
	if err != nil {
		f.fs.log.Warn("file stays lent to the kernel", "op", "release", "ino", uint64(f.ino), "err", err)
	}
	return done
}

// back takes a file back that nobody has open or mapped any more, although its Release is
// still on its way, or the watch has not seen the end of a mapping. Each handle
// was flushed once, so that the kernel has the data file open for each that is not
// closed; who opens it now waits for us. So a lease proves here what it proves at the end.
func (f *file) back() {
	o := &f.opened
	if o.opening.Load() > 0 {
		return // and may hold the lock for long, where there is little room
	}
	o.mu.Lock()
	ended := false
	switch local := f.staged(); {
	case local == nil || !local.Lent() || o.opening.Load() > 0:
	case o.handles == 0:
		ended = o.lingers && f.settle()
	case f.tryBack(local):
		f.unlend()
		f.keepCopy(local)
	}
	o.mu.Unlock()
	if ended {
		f.endLingering(context.Background())
	}
}

// endLingering ends the use that a file has which is only mapped.
func (f *file) endLingering(ctx context.Context) {
	if err := f.release(ctx); err != nil {
		f.fs.log.Warn("size and time are not noted", "op", "release", "ino", uint64(f.ino), "err", err)
	}
}

// unpass gives up the backing ID. The kernel forgets the file with the last
// handle that it has. The caller holds opened.mu.
func (f *file) unpass() {
	o := &f.opened
	if o.way != wayPassed {
		return
	}
	if errno := f.fs.passing.server.UnregisterBackingFd(o.backing); errno != 0 {
		f.fs.log.Debug("backing ID", "op", "release", "ino", uint64(f.ino), "err", errno)
	}
	o.backing = 0
}

// unlend notes that the kernel does not write the file any more.
func (f *file) unlend() {
	p := &f.fs.passing
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.lent, f)
}

// isLent reports whether the kernel may write the file by itself.
func (f *file) isLent() bool {
	local := f.staged()
	return local != nil && local.Lent()
}

// keepCopy makes a clean copy of a file again that was lent, and not written. What
// was certified meanwhile nobody tells staging but this.
func (f *file) keepCopy(local *staging.File) {
	if local.Dirty() {
		return
	}
	ctx := context.Background()
	status, err := f.fs.cfg.Index.State(ctx, f.ino)
	if err == nil && status.State.Anchored() {
		if err = local.Finished(); err == nil {
			err = f.fs.cfg.Index.CopyAdd(ctx, f.ino, local.Size())
		}
	}
	if err != nil && !errors.Is(err, index.ErrNotExist) {
		f.fs.log.Warn("clean copy is not known", "op", "release", "ino", uint64(f.ino), "err", err)
	}
}

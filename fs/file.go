package fs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

const setidBits = syscall.S_ISUID | syscall.S_ISGID

// file is a regular file while somebody uses it.
type file struct {
	fs    *FS
	ino   index.Ino
	refs  int           // guarded by fs.mu
	ready chan struct{} // closed once the file is loaded
	err   error         // of loading

	opened opened

	setid atomic.Bool // the mode has set-uid or set-gid bits

	mu      sync.Mutex    // guards the fields below
	local   *staging.File // nil: staging holds nothing
	size    int64         // without local
	base    int64         // without local: length of published content that shows through
	lost    bool          // staging should hold content, and does not
	writers int
	queued  index.Queued // what the index knows, Seq apart; Size -1: nothing yet
	turns   uint64       // of local, when that was told
}

// acquire begins the use of a regular file.
func (fs *FS) acquire(ctx context.Context, ino index.Ino) (*file, error) {
	return fs.use(ino, func(f *file) error {
		attr, err := fs.cfg.Index.Get(ctx, ino)
		if err != nil {
			return err
		}
		return f.load(ctx, attr)
	})
}

// acquireNew begins the use of a file that was just made.
func (fs *FS) acquireNew(ctx context.Context, attr index.Attr) (*file, error) {
	return fs.use(attr.Ino, func(f *file) (err error) {
		f.setid.Store(attr.Mode&setidBits != 0)
		f.queued.Size = -1
		f.local, err = fs.cfg.Staging.File(ctx, f.ino, staging.Shape{Mtime: attr.Mtime, Version: attr.Version, New: true})
		return err
	})
}

func (fs *FS) use(ino index.Ino, load func(*file) error) (*file, error) {
	fs.mu.Lock()
	if f := fs.inUse[ino]; f != nil {
		f.refs++
		fs.mu.Unlock()
		<-f.ready
		if f.err != nil {
			return nil, f.err
		}
		return f, nil
	}
	f := &file{fs: fs, ino: ino, refs: 1, ready: make(chan struct{})}
	fs.inUse[ino] = f
	fs.mu.Unlock()
	if f.err = load(f); f.err != nil {
		fs.mu.Lock()
		delete(fs.inUse, ino)
		fs.mu.Unlock()
	}
	close(f.ready)
	if f.err != nil {
		return nil, f.err
	}
	return f, nil
}

// using returns a file if somebody uses it, without a use of its own.
func (fs *FS) using(ino index.Ino) *file {
	fs.mu.RLock()
	f := fs.inUse[ino]
	fs.mu.RUnlock()
	if f == nil {
		return nil
	}
	<-f.ready
	if f.err != nil {
		return nil
	}
	return f
}

// load learns what index and staging know of a file.
func (f *file) load(ctx context.Context, attr index.Attr) error {
	if !attr.IsRegular() {
		return fmt.Errorf("inode %d is no regular file: %w", f.ino, index.ErrRange)
	}
	f.setid.Store(attr.Mode&setidBits != 0)
	f.size, f.base = attr.Size, min(attr.Size, attr.PubSize)
	f.queued = index.Queued{Size: attr.Size, Mtime: attr.Mtime}
	local, ok, err := f.fs.cfg.Staging.Lookup(f.ino)
	if err != nil {
		return err
	}
	if !ok {
		f.lost = attr.Dirty && attr.Size > f.base
		return nil
	}
	if !attr.Dirty && attr.PubVersion != 0 {
		err = local.Clean()
		f.fs.touch(f.ino)
	}
	if err == nil && local.Mtime() != attr.Mtime {
		err = local.SetMtime(attr.Mtime)
	}
	if err != nil {
		local.Release()
		return err
	}
	f.local, f.turns = local, local.Turns()
	return nil
}

// release ends a use, and writes size and time into the index. If the index
// cannot take them now, the last use goes over to the flusher.
func (f *file) release(ctx context.Context) error {
	err := f.queue(ctx)
	fs := f.fs
	fs.mu.Lock()
	last := f.refs == 1
	switch {
	case last && err != nil:
		fs.stuck = append(fs.stuck, f)
		last = false
		fs.kick()
	case last:
		fs.ended.note(f.ino)
		delete(fs.inUse, f.ino)
		f.refs = 0
	default:
		f.refs--
	}
	fs.mu.Unlock()
	if !last {
		return err
	}
	f.mu.Lock()
	local := f.local
	f.local = nil
	f.mu.Unlock()
	if local != nil {
		local.Release()
	}
	fs.reap(f.ino)
	return err
}

// staged returns what staging holds of the file, or nil.
func (f *file) staged() *staging.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.local
}

// stage returns what staging holds of the file, and makes it begin to hold it.
func (f *file) stage(ctx context.Context) (*staging.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.local != nil {
		return f.local, nil
	}
	if f.lost {
		return nil, fmt.Errorf("inode %d: %w", f.ino, errLost)
	}
	attr, err := f.fs.cfg.Index.Get(ctx, f.ino)
	if err != nil {
		return nil, err
	}
	local, err := f.fs.cfg.Staging.File(ctx, f.ino, staging.Shape{
		Size: f.size, Mtime: attr.Mtime, Base: f.base, Under: attr.PubVersion, New: attr.PubVersion == 0,
	})
	if err != nil {
		return nil, err
	}
	for range f.writers {
		local.AddWriter()
	}
	f.local = local
	return local, nil
}

func (f *file) addWriter() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writers++
	if f.local != nil {
		f.local.AddWriter()
	}
}

func (f *file) dropWriter() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writers--
	if f.local != nil {
		f.local.DropWriter()
	}
}

// written reports whether the file is open for writing.
func (f *file) written() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writers > 0
}

// live returns size and base as programs see them.
func (f *file) live() (size, base int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.local != nil {
		return f.local.Size(), f.local.Base()
	}
	return f.size, f.base
}

// queue brings size and time of a file into the index, and with them a job,
// if they changed since it did so last.
func (f *file) queue(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.local == nil {
		return nil
	}
	turns, now := f.local.Turns(), f.local.State()
	if sameState(now, f.queued) && turns == f.turns {
		return nil
	}
	if err := f.local.Stamp(); err != nil {
		return err
	}
	err := f.fs.cfg.Index.QueueSoon(ctx, f.ino, now)
	if errors.Is(err, index.ErrNotExist) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	f.queued, f.turns = now, turns
	f.fs.cfg.Wake()
	return nil
}

func sameState(a, b index.Queued) bool { return a.Size == b.Size && a.Mtime == b.Mtime }

// sync makes content, size and names survive a power cut. All who wait for a
// barrier share one.
func (f *file) sync(ctx context.Context) error {
	local := f.staged()
	if local == nil {
		return f.fs.cfg.Index.Barrier(ctx, nil)
	}
	turns := local.Turns()
	held, err := f.fs.syncBoth(ctx, local)
	if err != nil {
		return err
	}
	f.mu.Lock()
	if held.Seq > f.queued.Seq {
		f.queued, f.turns = index.Queued{Size: held.Size, Mtime: held.Mtime, Seq: held.Seq}, turns
	}
	f.mu.Unlock()
	f.fs.cfg.Wake()
	return nil
}

// syncBoth brings what staging holds of a file, and names, to stable storage. Content
// goes first, lest a barrier vouch for what is not there; but of a new file it
// vouches for nothing, and both go at once.
func (fs *FS) syncBoth(ctx context.Context, local *staging.File) (index.Held, error) {
	if !local.Fresh() {
		held, err := local.Sync(ctx)
		if err != nil {
			return held, err
		}
		return held, fs.cfg.Index.Barrier(ctx, []index.Held{held})
	}
	names := make(chan error, 1)
	go func() { names <- fs.cfg.Index.Barrier(ctx, nil) }()
	held, err := local.Sync(ctx)
	if err = errors.Join(err, <-names); err != nil {
		return held, err
	}
	return held, fs.cfg.Index.Hold(ctx, held)
}

// touch notes that a clean copy was used, so that others are evicted first.
func (fs *FS) touch(ino index.Ino) {
	fs.mu.Lock()
	fs.touched[ino] = struct{}{}
	fs.mu.Unlock()
	fs.kick()
}

package fs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/walfs/walfs/index"
)

// flushEvery is how much a power cut may cost of what nobody synced. What the
// kernel writes by itself is noticed up to watchEvery later.
const flushEvery = 5*time.Second - watchEvery

// runFlusher brings what was changed to stable storage, flushEvery after the
// first change at the latest, until stop is closed. It sleeps while nothing changes.
func (fs *FS) runFlusher(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-fs.kicks:
		}
		wait := time.NewTimer(fs.rest)
		select {
		case <-stop:
			wait.Stop()
			return
		case <-wait.C:
		}
		fs.kicked.Store(false)
		if err := fs.flush(context.Background()); err != nil {
			fs.log.Error("changes are not safe from a power cut yet", "op", "flush", "err", err)
			fs.kick()
		}
	}
}

// flush makes all that was changed survive a power cut.
func (fs *FS) flush(ctx context.Context) error {
	fs.cfg.Staging.Look()
	stuck := fs.releaseStuck(ctx)
	graves := fs.cfg.Staging.Graves()
	held, err := fs.cfg.Staging.SyncAll(ctx, fs.cfg.Staging.Unsynced())
	if err == nil {
		fs.synced = append(fs.synced, held...)
		err = fs.cfg.Index.Barrier(ctx, fs.synced)
	}
	if err == nil {
		fs.synced = nil
		err = fs.cfg.Staging.Clear(graves)
	}
	fs.touchCopies(ctx)
	return errors.Join(stuck, err)
}

// releaseStuck ends the use of files that were closed when the index could
// not take their size.
func (fs *FS) releaseStuck(ctx context.Context) (err error) {
	fs.mu.Lock()
	stuck := fs.stuck
	fs.stuck = nil
	fs.mu.Unlock()
	for _, f := range stuck {
		err = errors.Join(err, f.release(ctx))
	}
	return err
}

// touchCopies writes down which clean copies were used. Nothing depends on it
// but which of them goes first.
func (fs *FS) touchCopies(ctx context.Context) {
	fs.mu.Lock()
	touched := fs.touched
	fs.touched = map[index.Ino]struct{}{}
	fs.mu.Unlock()
	if len(touched) == 0 {
		return
	}
	if err := fs.cfg.Index.CopiesTouch(ctx, slices.Collect(maps.Keys(touched))); err != nil {
		fs.log.Warn("use of copies is not noted", "op", "touch", "err", err)
	}
}

// abandon lets go of staging although handles are open that nobody will close.
func (f *file) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.local != nil {
		f.local.Release()
		f.local = nil
	}
}

// shutdown ends what the kernel, which is gone, has left open, and makes all
// survive a power cut.
func (fs *FS) shutdown(ctx context.Context) error {
	fs.mu.Lock()
	fs.stopped = true
	var open []*file
	for _, f := range fs.inUse {
		open = append(open, f)
	}
	fs.mu.Unlock()
	fs.stop()
	fs.stopCertifying()
	fs.fetches.Wait()
	var errs []error
	for _, f := range open {
		errs = append(errs, f.queue(ctx))
		f.abandon()
	}
	fs.reapAll()
	return errors.Join(append(errs, fs.flush(ctx))...)
}

package fs

import (
	"context"
	"errors"
	"time"

	"github.com/walfs/walfs/index"
)

// An inode without a link lives on while a handle is open or the kernel
// remembers it (a working directory, say). Then it is reaped. What a crash
// leaves behind Recover reaps.

// unlink notes that an inode may have lost its last link.
func (fs *FS) unlink(attr index.Attr) {
	if attr.Ino == 0 || attr.Nlink > 0 {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if _, ok := fs.unlinked[attr.Ino]; !ok {
		fs.unlinked[attr.Ino] = false
	}
}

// reapWithin is how long a deletion waits for earlier ones to free room.
const reapWithin = 2 * time.Second

// patiently repeats a change for which the disk is too full, while files that
// were deleted before wait for the kernel to forget them.
func (fs *FS) patiently(change func() error) error {
	for deadline := time.Now().Add(reapWithin); ; time.Sleep(10 * time.Millisecond) {
		err := change()
		if !errors.Is(err, index.ErrFull) || !fs.reaping() || time.Now().After(deadline) {
			return err
		}
	}
}

// reaping reports whether there are inodes to be reaped.
func (fs *FS) reaping() bool {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	return len(fs.unlinked)+fs.burying > 0
}

// relink notes that an inode has a link again.
func (fs *FS) relink(ino index.Ino) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	delete(fs.unlinked, ino)
}

// forgotten notes that the kernel has forgotten an inode.
func (fs *FS) forgotten(ino index.Ino) {
	fs.mu.Lock()
	_, ok := fs.unlinked[ino]
	if ok {
		fs.unlinked[ino] = true
	}
	fs.mu.Unlock()
	if ok {
		fs.reap(context.Background(), ino)
	}
}

// reap deletes an inode if it has no link left and nobody uses it.
func (fs *FS) reap(ctx context.Context, ino index.Ino) {
	fs.mu.Lock()
	due := fs.unlinked[ino] && fs.inUse[ino] == nil
	if due {
		delete(fs.unlinked, ino)
		fs.burying++
	}
	fs.mu.Unlock()
	if !due {
		return
	}
	defer func() {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		fs.burying--
	}()
	if err := fs.bury(ctx, ino); err != nil {
		fs.log.Error("deleted inode stays until the next start", "op", "reap", "ino", uint64(ino), "err", err)
	}
}

// bury deletes an inode without a link. What is published of it needs no local
// bytes, also when the index keeps it for the published tree's sake.
func (fs *FS) bury(ctx context.Context, ino index.Ino) error {
	if _, err := fs.cfg.Index.Reap(ctx, ino); err != nil {
		return err
	}
	attr, err := fs.cfg.Index.Get(ctx, ino)
	switch {
	case err == nil && attr.Nlink > 0: // it has a name again
		return nil
	case err != nil && !errors.Is(err, index.ErrNotExist):
		return err
	}
	fs.kick() // a barrier has to follow
	return fs.cfg.Staging.Discard(ino)
}

// reapAll reaps what the kernel did not get to forget before it unmounted.
func (fs *FS) reapAll(ctx context.Context) {
	fs.mu.Lock()
	var inos []index.Ino
	for ino := range fs.unlinked {
		fs.unlinked[ino] = true
		inos = append(inos, ino)
	}
	fs.mu.Unlock()
	for _, ino := range inos {
		fs.reap(ctx, ino)
	}
}

package fs

import (
	"context"
	"errors"
	"slices"
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
		fs.reap(ino)
	}
}

// Deleted inodes are buried many at a time. Who removes a tree does not wait
// for it: an inode without a link is found again after a crash. But one that
// takes much room may be what somebody deletes to have some.
const (
	buryAfter    = 100 * time.Millisecond // as changes of names are committed
	buryTogether = 64                     // in one transaction, so that others do not wait for long
	buryAtOnce   = 1 << 18                // bytes
)

// reap has an inode deleted if it has no link left and nobody uses it.
func (fs *FS) reap(ino index.Ino) {
	local, _ := fs.cfg.Staging.Allocated(ino)
	fs.mu.Lock()
	due := fs.unlinked[ino] && fs.inUse[ino] == nil
	if due {
		delete(fs.unlinked, ino)
		fs.burying++
	}
	gather := due && local < buryAtOnce && fs.served
	if gather {
		fs.dead = append(fs.dead, ino)
		if len(fs.dead) == 1 {
			fs.burials.Go(fs.buryDead)
		}
	}
	fs.mu.Unlock()
	if due && !gather {
		fs.buryEach(context.Background(), []index.Ino{ino})
	}
}

// buryDead deletes the inodes that gather for some time.
func (fs *FS) buryDead() {
	time.Sleep(buryAfter)
	fs.mu.Lock()
	dead := fs.dead
	fs.dead = nil
	fs.mu.Unlock()
	for some := range slices.Chunk(dead, buryTogether) {
		fs.buryEach(context.Background(), some)
	}
}

// buryEach deletes inodes together or, where that fails, those that it can.
func (fs *FS) buryEach(ctx context.Context, inos []index.Ino) {
	if err := fs.bury(ctx, inos...); err != nil {
		for _, ino := range inos {
			if err := fs.bury(ctx, ino); err != nil {
				fs.log.Error("deleted inode stays until the next start", "op", "reap", "ino", uint64(ino), "err", err)
			}
		}
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.burying -= len(inos)
}

// bury deletes inodes without a link. What is published of them needs no local
// bytes, also when the index keeps them for the published tree's sake.
func (fs *FS) bury(ctx context.Context, inos ...index.Ino) error {
	unlinked, err := fs.cfg.Index.Reap(ctx, inos...)
	if err != nil {
		return err
	}
	fs.kick() // a barrier has to follow
	for _, ino := range unlinked {
		if err := fs.cfg.Staging.Discard(ino); err != nil {
			return err
		}
	}
	return nil
}

// reapAll reaps what the kernel did not get to forget before it unmounted.
func (fs *FS) reapAll() {
	fs.mu.Lock()
	var inos []index.Ino
	for ino := range fs.unlinked {
		fs.unlinked[ino] = true
		inos = append(inos, ino)
	}
	fs.mu.Unlock()
	for _, ino := range inos {
		fs.reap(ino)
	}
	fs.burials.Wait()
}

package fs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/walfs/walfs/fs/staging"
	"github.com/walfs/walfs/index"
)

// Recovered is what Recover found.
type Recovered struct {
	Queued  int // files with changes that were not packed
	Reaped  int // files that were deleted while open
	Shelved int // staging files that no inode knows, moved to lost+found
	Lost    int // files whose local bytes are gone and were the only ones
	Deleted int // files that a power cut brought back in part, and that are deleted again
	Damaged int // files whose block map is damaged: they cannot be read until they are repaired
}

// Recover brings staging and index together after a stop of any kind. Rebooted
// is what index.Boot said: then block maps count only as far as a barrier
// recorded them. It needs no network.
func (fs *FS) Recover(ctx context.Context, rebooted bool) (Recovered, error) {
	r := recovery{fs: fs, rebooted: rebooted}
	for _, step := range []func(context.Context) error{r.reap, r.graves, r.staged, r.sever, r.missing} {
		if err := step(ctx); err != nil {
			return r.found, fmt.Errorf("recover: %w", err)
		}
	}
	fs.kick()
	return r.found, nil
}

type recovery struct {
	fs       *FS
	rebooted bool
	found    Recovered
}

// reap deletes the inodes that had no link but were open.
func (r *recovery) reap(ctx context.Context) error {
	inos, err := r.fs.cfg.Index.Orphans(ctx)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(inos, buryTogether) {
		if err := r.fs.bury(ctx, some...); err != nil {
			return err
		}
		r.found.Reaped += len(some)
	}
	return nil
}

// graves finishes deletions. Those that a power cut has undone are made again,
// since what was deleted is gone.
func (r *recovery) graves(ctx context.Context) error {
	graves := r.fs.cfg.Staging.Graves()
	if len(graves) == 0 {
		return nil
	}
	for _, ino := range graves {
		attr, err := r.fs.cfg.Index.Get(ctx, ino)
		if errors.Is(err, index.ErrNotExist) || err == nil && (attr.Nlink == 0 || !r.rebooted) {
			continue
		}
		if err == nil {
			r.fs.log.Warn("file is deleted again that a power cut brought back", "op", "recover", "ino", uint64(ino))
			r.found.Deleted++
			err = r.fs.cfg.Index.Vanish(ctx, ino)
		}
		if err == nil {
			err = r.fs.bury(ctx, ino)
		}
		if err != nil {
			return fmt.Errorf("inode %d: %w", ino, err)
		}
	}
	if err := r.fs.cfg.Index.Barrier(ctx, nil); err != nil {
		return err
	}
	return r.fs.cfg.Staging.Clear(graves)
}

// together is how many files are looked at side by side, so that they share barriers.
const together = 64

// staged looks at all that staging holds.
func (r *recovery) staged(ctx context.Context) error {
	if r.rebooted { // then only copies that have their length count
		if err := r.fs.cfg.Staging.See(); err != nil {
			return err
		}
	}
	var unknown, known, doubtful []index.Ino
	err := r.fs.cfg.Index.Locals(ctx, r.fs.cfg.Staging.Inos(), func(l index.Local) error {
		switch {
		case !l.Known:
			unknown = append(unknown, l.Ino)
		case l.Doubtful:
			doubtful = append(doubtful, l.Ino)
		case !r.rebooted:
			r.fs.cfg.Staging.Trust(l)
		case !l.Published || l.Dirty:
			known = append(known, l.Ino)
		case !l.Synced || !r.fs.cfg.Staging.Revive(l.Ino, l.Size):
			doubtful = append(doubtful, l.Ino)
		}
		return nil
	})
	if err == nil {
		err = r.fs.cfg.Staging.See()
	}
	if err != nil {
		return err
	}
	for _, ino := range unknown {
		if err := r.shelve(ino); err != nil {
			return fmt.Errorf("inode %d: %w", ino, err)
		}
	}
	if err := r.doubt(ctx, doubtful); err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(together)
	for _, ino := range known {
		group.Go(func() error {
			if err := r.afterReboot(ctx, ino); err != nil {
				return fmt.Errorf("inode %d: %w", ino, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// doubt gives up clean copies that nobody synced for sure: the published content
// stands. One of which the nodes have nothing any more is put aside. The others
// count as absent from now on, and are removed later.
func (r *recovery) doubt(ctx context.Context, inos []index.Ino) error {
	ended, err := r.fs.cfg.Index.Ended(ctx)
	if err != nil {
		return err
	}
	if ended.Segments > 0 {
		var rest []index.Ino
		for _, ino := range inos {
			only, err := r.fs.cfg.Index.HasEnded(ctx, ino)
			if err == nil && only {
				err = r.shelveCopy(ctx, ino)
			} else {
				rest = append(rest, ino)
			}
			if err != nil {
				return fmt.Errorf("inode %d: %w", ino, err)
			}
		}
		inos = rest
	}
	if r.rebooted && len(inos) > 0 { // else it is written down already
		if err := r.fs.cfg.Index.CopiesDoubt(ctx, inos); err != nil {
			return err
		}
	}
	r.fs.cfg.Staging.Doubt(inos)
	return nil
}

func (r *recovery) shelve(ino index.Ino) error {
	r.fs.log.Warn("staging file of an unknown inode goes to lost+found", "op", "recover", "ino", uint64(ino))
	r.found.Shelved++
	return r.fs.cfg.Staging.Shelve(ino)
}

// afterReboot brings what staging holds back to what is known to be on the disk.
func (r *recovery) afterReboot(ctx context.Context, ino index.Ino) error {
	attr, err := r.fs.cfg.Index.Get(ctx, ino)
	if err != nil {
		return err
	}
	if attr.PubVersion == 0 {
		return r.fs.cfg.Staging.Adopt(attr.Ino)
	}
	if attr.Dirty {
		held, err := r.fs.cfg.Index.HeldAt(ctx, attr.Ino)
		if err == nil {
			return r.fs.cfg.Staging.Restrict(held)
		}
		if !errors.Is(err, index.ErrNotExist) {
			return err
		}
	}
	// Changes that no barrier has seen: the published content stands.
	if err := r.fs.cfg.Index.CopyDrop(ctx, attr.Ino); err != nil {
		return err
	}
	return r.fs.cfg.Staging.Remove(attr.Ino)
}

// shelveCopy puts a clean copy aside of which the nodes have nothing any more.
func (r *recovery) shelveCopy(ctx context.Context, ino index.Ino) error {
	if err := r.fs.cfg.Index.CopyDrop(ctx, ino); err != nil {
		return err
	}
	r.fs.log.Warn("copy of a file whose storage has ended goes to lost+found", "op", "recover", "ino", uint64(ino))
	r.found.Shelved++
	return r.fs.cfg.Staging.Shelve(ino)
}

// sever cuts off programs that outlived the mount which lent them a file. What
// they wrote until now counts.
func (r *recovery) sever(ctx context.Context) error {
	if r.rebooted {
		return nil
	}
	var inos []index.Ino
	err := r.fs.cfg.Index.EachDirty(ctx, func(a index.Attr, _ bool) error {
		if _, _, plain := r.fs.cfg.Staging.Plain(a.Ino); plain { // as all that are lent
			inos = append(inos, a.Ino)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, ino := range inos {
		severed, err := r.fs.cfg.Staging.Sever(ino)
		if err != nil { // a full disk keeps nobody from his files
			r.fs.log.Error("file may still be written in a mount that is gone", "op", "recover", "ino", uint64(ino), "err", err)
		}
		if severed {
			r.fs.log.Warn("file is still open in a mount that is gone; what is written there from now on is lost", "op", "recover", "ino", uint64(ino))
		}
	}
	return nil
}

// queueTogether is how many files are queued in one transaction.
const queueTogether = 1024

// missing queues what changed, with size and time as staging has them. Most
// files were queued when they were closed, and have not changed since.
func (r *recovery) missing(ctx context.Context) error {
	var changed []index.Attr
	err := r.fs.cfg.Index.EachDirty(ctx, func(a index.Attr, queued bool) error {
		size, mtime, plain := r.fs.cfg.Staging.Plain(a.Ino)
		if !queued || !plain || size != a.Size || mtime != a.Mtime {
			changed = append(changed, a)
			return nil
		}
		r.found.Queued++
		return nil
	})
	if err != nil {
		return err
	}
	for list := range slices.Chunk(changed, queueTogether) {
		files := make(map[index.Ino]index.Queued, len(list))
		for _, attr := range list {
			if err := r.look(ctx, attr, files); err != nil {
				return fmt.Errorf("inode %d: %w", attr.Ino, err)
			}
		}
		if err := r.fs.cfg.Index.QueueAll(ctx, files); err != nil {
			return err
		}
	}
	return nil
}

// look notes what has to be told of a file.
func (r *recovery) look(ctx context.Context, attr index.Attr, files map[index.Ino]index.Queued) error {
	if !r.fs.cfg.Staging.Has(attr.Ino) {
		if lost, err := r.isLost(ctx, attr); err != nil || lost {
			return err
		}
	}
	// What is not there is made, with nothing in it: the committer packs it as no change.
	local, err := r.fs.cfg.Staging.File(ctx, attr.Ino, staging.Shape{Size: attr.PubSize, Mtime: attr.Mtime, Base: attr.PubSize, Under: attr.PubVersion})
	if errors.Is(err, staging.ErrCorrupt) { // no reason to keep the others from their owner
		r.fs.log.Error("block map is damaged", "op", "recover", "ino", uint64(attr.Ino), "err", err)
		r.found.Damaged++
		return nil
	}
	if err != nil {
		return err
	}
	defer local.Release()
	r.found.Queued++
	files[attr.Ino] = local.State()
	return nil
}

// isLost reports whether a dirty file should have content in staging. One that
// no barrier saw before the machine stopped never had any that was promised.
func (r *recovery) isLost(ctx context.Context, attr index.Attr) (bool, error) {
	if attr.Size <= attr.PubSize {
		return false, nil
	}
	if r.rebooted {
		_, err := r.fs.cfg.Index.HeldAt(ctx, attr.Ino)
		if errors.Is(err, index.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	r.fs.log.Error("content in staging is gone", "op", "recover", "ino", uint64(attr.Ino))
	r.found.Lost++
	return true, nil
}

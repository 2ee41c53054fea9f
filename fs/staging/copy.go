package staging

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/walfs/walfs/index"
)

// Clean copies that are known to be on stable storage survive a power cut: the
// data file alone is the whole content, whatever became of the map. Those that
// are not known to be must not be read after it. They go one after another,
// while staging behaves as if they were not there.

// copiesParallel is how many copies are synced side by side.
const copiesParallel = 8

// SyncCopies brings the data of files to stable storage, and their names.
// Unlike Sync it says nothing of changes: those of files that are written
// meanwhile still have to be synced. It returns the inodes of which there is a file.
func (d *Dir) SyncCopies(ctx context.Context, inos []index.Ino) (there []index.Ino, err error) {
	folders := map[string]bool{}
	d.mu.Lock()
	for _, ino := range inos {
		if d.present[ino] != nil {
			there = append(there, ino)
			folders[d.folder(ino)] = true
		}
	}
	d.mu.Unlock()
	if len(there) > syncOneByOne {
		if err := d.disk.syncFS(d.c.Dir); err != nil {
			return nil, fmt.Errorf("sync copies: %w", err)
		}
		return there, nil
	}
	var group errgroup.Group
	group.SetLimit(copiesParallel)
	for _, ino := range there {
		group.Go(func() error { return d.syncData(ino) })
	}
	err = group.Wait()
	for folder := range folders {
		err = errors.Join(err, d.disk.syncDir(folder))
	}
	if err != nil {
		return nil, fmt.Errorf("sync copies: %w", err)
	}
	return there, ctx.Err()
}

// syncData syncs the data file of an inode, if there still is one.
func (d *Dir) syncData(ino index.Ino) error {
	f, err := os.Open(d.dataPath(ino))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(d.disk.sync(f), f.Close())
}

// Revive takes the data file of an inode for its whole content, clean, after a
// reboot and before anybody uses it. It reports whether the file has the size that
// the content has; else it stays as it is.
func (d *Dir) Revive(ino index.Ino, size int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.present[ino]
	if p == nil || p.opened > 0 {
		return false
	}
	if d.see(ino, p); p.unseen || p.size != size {
		return false
	}
	p.unsynced, p.unlinked, p.synced, p.revived = false, false, true, true
	return true
}

// Doubt takes files that nobody has opened since the folder was for absent: a
// reboot may have damaged them. They are removed by DropDoubted, and replaced
// by what is written to their inodes.
func (d *Dir) Doubt(inos []index.Ino) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, ino := range inos {
		if p := d.present[ino]; p != nil && p.opened == 0 {
			d.doubted[ino] = p
			delete(d.present, ino)
			d.bytes -= p.bytes
		}
	}
}

// Doubted returns up to max inodes with files that Doubt was told of and that
// are still here.
func (d *Dir) Doubted(max int) []index.Ino {
	d.mu.Lock()
	defer d.mu.Unlock()
	var inos []index.Ino
	for ino := range d.doubted {
		if len(inos) == max {
			break
		}
		inos = append(inos, ino)
	}
	slices.Sort(inos)
	return inos
}

// DropDoubted removes the files of inodes that Doubt was told of.
func (d *Dir) DropDoubted(inos []index.Ino) error {
	for _, ino := range inos {
		d.mu.Lock()
		err := d.dropDoubted(ino)
		d.mu.Unlock()
		if err != nil {
			return fmt.Errorf("drop copy: %w", err)
		}
	}
	return nil
}

// dropDoubted removes a file that is in doubt, if it is. The map goes first:
// what is written to the inode must not find it. The caller holds mu.
func (d *Dir) dropDoubted(ino index.Ino) error {
	if d.doubted[ino] == nil {
		return nil
	}
	if err := errors.Join(d.disk.remove(d.mapPath(ino)), d.disk.remove(d.dataPath(ino))); err != nil {
		return err
	}
	delete(d.doubted, ino)
	return nil
}

// clearDoubted makes way for a new file of an inode.
func (d *Dir) clearDoubted(ino index.Ino) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dropDoubted(ino)
}

// copied reports, once, whether a file is a clean copy that is known to be on
// stable storage, and whether it has survived a reboot.
func (d *Dir) copied(ino index.Ino) (synced, revived bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.present[ino]
	if p == nil {
		return false, false
	}
	synced, revived = p.synced, p.revived
	p.synced, p.revived = false, false
	return synced, revived
}

// loadCopy opens a clean copy that is the whole content. A new map takes the
// place of the one that there may be, before anything is changed.
func (f *File) loadCopy() error {
	f.whole, f.plain, f.base = true, false, f.size
	f.blocks = blocks{}
	f.blocks.set(0, blocksFor(f.size), clean)
	return f.createMap()
}

// isCopy reports whether the map says what loadCopy makes it say.
func (f *File) isCopy() bool {
	return f.complete() && f.base == f.size && f.blocks.next(0, f.blocks.end(), dirty) == f.blocks.end()
}

// Footprint returns how many bytes the data of the file and its map take on the disk.
func (f *File) Footprint() (int64, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	info, err := f.data.Stat()
	if err != nil {
		return 0, fmt.Errorf("staging file %d: %w", f.ino, err)
	}
	return footprint(info, f.blockMap != nil), nil
}

// footprint returns what a data file takes on the disk together with its map,
// which may be sparse and count too much.
func footprint(info os.FileInfo, mapped bool) int64 {
	n := allocated(info)
	if mapped {
		n += mapRoom(info.Size())
	}
	return n
}

// mapRoom returns how many bytes the map of a file of size bytes takes at most.
func mapRoom(size int64) int64 {
	units := (blocksFor(size) + unitBlocks - 1) / unitBlocks
	return blocksFor(mapHeader+units*unitSize) * BlockSize
}

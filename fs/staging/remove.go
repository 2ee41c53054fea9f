package staging

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/walfs/walfs/index"
)

// Remove deletes what staging holds of an inode. ErrBusy: it is in use, or was
// written since it was packed, however shortly before.
func (d *Dir) Remove(ino index.Ino) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.remove(ino)
}

// RemoveIdle is Remove for a file that Idle has told the last opening of. ErrBusy: it was opened since.
func (d *Dir) RemoveIdle(ino index.Ino, opened uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.present[ino]; p != nil && p.opened != opened {
		return fmt.Errorf("remove staging file %d: %w", ino, ErrBusy)
	}
	return d.remove(ino)
}

// remove is Remove. The caller holds mu.
func (d *Dir) remove(ino index.Ino) error {
	if p := d.present[ino]; d.open[ino] != nil || p != nil && p.written {
		return fmt.Errorf("remove staging file %d: %w", ino, ErrBusy)
	}
	return d.delete(ino)
}

// Withdraw deletes an empty file of which the caller has the only use, and ends
// that use. ErrBusy: somebody else uses it, or it is not empty; then nothing happens.
func (f *File) Withdraw() error {
	d := f.d
	d.mu.Lock()
	defer d.mu.Unlock()
	busy := fmt.Errorf("withdraw staging file %d: %w", f.ino, ErrBusy)
	if !f.mu.TryLock() { // who holds it may wait for d.mu
		return busy
	}
	defer f.mu.Unlock()
	if f.refs != 1 || f.doomed || f.lent.Load() || f.pack != nil || f.size != 0 {
		return busy
	}
	if err := d.delete(f.ino); err != nil {
		return err
	}
	delete(d.open, f.ino)
	f.closeFiles()
	return nil
}

// Discard deletes what staging holds of an inode that was deleted, once it is
// no longer in use. A power cut may bring its names back, but not without what
// it leaves: an empty file, the grave, which says that the deletion was meant.
func (d *Dir) Discard(ino index.Ino) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.open[ino]; f != nil {
		f.doomed = true
		return nil
	}
	return d.entomb(ino)
}

// entomb deletes the files of an inode but for a grave. The room is free at
// once; file systems bring a change of names to the disk before later changes.
// The caller holds mu.
func (d *Dir) entomb(ino index.Ino) error {
	p := d.present[ino]
	if p == nil {
		return nil
	}
	if err := d.disk.rename(d.dataPath(ino), d.gravePath(ino)); err != nil {
		return fmt.Errorf("bury staging file: %w", err)
	}
	d.bytes -= p.bytes
	delete(d.present, ino)
	d.graves[ino] = struct{}{}
	if err := errors.Join(d.disk.empty(d.gravePath(ino)), d.disk.remove(d.mapPath(ino))); err != nil {
		return fmt.Errorf("bury staging file: %w", err)
	}
	return nil
}

// Graves returns the deleted inodes of which there are graves, in ascending order.
func (d *Dir) Graves() []index.Ino {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.graves))
}

// Clear removes graves, once a barrier has made sure that the deletions stay.
func (d *Dir) Clear(graves []index.Ino) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, ino := range graves {
		if err := d.disk.remove(d.gravePath(ino)); err != nil {
			return fmt.Errorf("remove grave: %w", err)
		}
		delete(d.graves, ino)
	}
	return nil
}

// delete removes the files of an inode. The data goes first: a map without
// data means nothing, but data without a map would be the whole content. The
// caller holds mu.
func (d *Dir) delete(ino index.Ino) error {
	p := d.present[ino]
	if p == nil {
		return nil
	}
	if err := d.disk.remove(d.dataPath(ino)); err != nil {
		return fmt.Errorf("remove staging file: %w", err)
	}
	d.bytes -= p.bytes
	delete(d.present, ino)
	if err := d.disk.remove(d.mapPath(ino)); err != nil {
		return fmt.Errorf("remove block map: %w", err)
	}
	return nil
}

// Shelve moves what staging holds of an inode that nobody knows to the folder
// lost+found, where it stays until a person looks at it.
func (d *Dir) Shelve(ino index.Ino) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.present[ino]
	if p == nil {
		return fmt.Errorf("shelve staging file %d: %w", ino, ErrNotExist)
	}
	if d.open[ino] != nil {
		return fmt.Errorf("shelve staging file %d: %w", ino, ErrBusy)
	}
	if err := d.disk.rename(d.dataPath(ino), d.shelf(d.dataPath(ino))); err != nil {
		return fmt.Errorf("shelve staging file: %w", err)
	}
	d.bytes -= p.bytes
	delete(d.present, ino)
	if err := d.disk.rename(d.mapPath(ino), d.shelf(d.mapPath(ino))); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("shelve block map: %w", errors.Join(err, d.disk.remove(d.mapPath(ino))))
	}
	return nil
}

// shelf returns a name in lost+found that is free. An inode number may come
// up there more than once.
func (d *Dir) shelf(path string) string {
	shelf := filepath.Join(d.c.Dir, dirLost, filepath.Base(path))
	for i := 1; ; i++ {
		if _, err := os.Lstat(shelf); err != nil {
			return shelf
		}
		shelf = filepath.Join(d.c.Dir, dirLost, fmt.Sprintf("%s.%d", filepath.Base(path), i))
	}
}

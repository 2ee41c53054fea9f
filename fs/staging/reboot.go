package staging

import (
	"errors"
	"fmt"

	"github.com/walfs/walfs/index"
)

// After a power cut a block map may be older or newer than the data file, and
// data that no barrier waited for may be missing, zeros in its place. What a
// barrier wrote into the index is true: Restrict goes back to it. A file that
// was never published needs no map, its data file is all there is: Adopt.

// Restrict makes a file be what a barrier wrote down of it, after a reboot and
// before anybody uses the file. A data file that is shorter was cut after the
// barrier, and stays so.
func (d *Dir) Restrict(h index.Held) error {
	f, err := d.reopen(h.Ino, func(f *File) error { return f.restrict(h) })
	if err != nil {
		return fmt.Errorf("restrict staging file %d: %w", h.Ino, err)
	}
	f.Release()
	return nil
}

func (f *File) restrict(h index.Held) error {
	if h.Size < 0 || h.Base < 0 {
		return fmt.Errorf("size %d, base %d: %w", h.Size, h.Base, ErrCorrupt)
	}
	size := min(h.Size, f.size)
	spans, err := decodeRuns(h.Blocks, blocksFor(size))
	if err != nil {
		return err
	}
	f.blocks = blocks{}
	at := int64(0)
	for _, s := range append(spans, span{blocksFor(size), blocksFor(size)}) {
		if at < s.from {
			if err := f.d.disk.punch(f.data, at*BlockSize, (s.from-at)*BlockSize); err != nil {
				return err
			}
		}
		f.blocks.set(s.from, s.to, dirty)
		at = s.to
	}
	if err := f.d.disk.truncate(f.data, size); err != nil {
		return err
	}
	f.size, f.base, f.mtime, f.stamped = size, min(h.Base, size), h.Mtime, false
	f.plain = f.base == 0
	f.whole = f.plain || f.blocks.all(0, blocksFor(size), dirty)
	change := f.needMap
	if f.plain {
		change = f.dropMap
	}
	if err := change(); err != nil {
		return err
	}
	return f.stamp()
}

// Adopt makes a file without published content be what its data file is,
// after a reboot and before anybody uses it.
func (d *Dir) Adopt(ino index.Ino) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.present[ino]
	if p == nil {
		return fmt.Errorf("adopt staging file %d: %w", ino, ErrNotExist)
	}
	if d.open[ino] != nil {
		return fmt.Errorf("adopt staging file %d: %w", ino, ErrBusy)
	}
	if err := d.disk.remove(d.mapPath(ino)); err != nil {
		return fmt.Errorf("adopt staging file %d: %w", ino, err)
	}
	p.mapped = false
	return nil
}

// reopen opens the data file of an inode whose map may be damaged, and has the file made right before
// anybody else sees it: who packed it as it is without its map would store holes in the place of content. For the
// same reason the old map stays until the right one takes its place: a crash before that leaves what it found.
func (d *Dir) reopen(ino index.Ino, right func(*File) error) (*File, error) {
	for {
		ours := false
		f, err := d.useBy(ino, func(f *File) error {
			ours = true
			if err := f.loadData(); err != nil {
				return err
			}
			d.copied(ino) // it was a clean copy, if it was one
			f.mu.Lock()
			defer f.mu.Unlock()
			return right(f)
		}, func(*File) error { return ErrNotExist })
		switch {
		case err == nil && !ours:
			f.Release()
			return nil, ErrBusy
		case err != nil && !ours && errors.Is(err, ErrCorrupt):
			continue // somebody else met the damaged map just now
		}
		return f, err
	}
}

// dropMap removes the map of a file that needs none.
func (f *File) dropMap() error {
	if err := f.d.disk.remove(f.d.mapPath(f.ino)); err != nil {
		return err
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if p := f.d.present[f.ino]; p != nil {
		p.mapped = false
	}
	return nil
}
